"""kill -9 of the server at every point of a run's life.

The dev build passes a named fault point at every store commit and every call to
the cluster (src/core/fault.hpp). One run without a crash writes down all that
are passed; then the same run is made again for each of them, with the server
killed there and started anew.
"""

import json
import os
import subprocess
import uuid

import pytest

import harness
from harness import FINAL, eventually

LINES = 200
COMMAND = ["sh", "-c", f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; done; sleep 1; echo last; exit 3"]
LOG = "".join(f"line {i}\n" for i in range(1, LINES + 1)) + "last\n"


def passages(path):
    """How often each point was passed, in the order of the first passage."""
    counts = {}
    for line in path.read_text().splitlines():
        name = line.split()[0]
        counts[name] = counts.get(name, 0) + 1
    return counts


def submit(server, key):
    """Asks for the run until some server has taken it; the key makes that one run."""
    def attempt():
        try:
            status, body, _ = server.api("ann").post(
                "/api/v1/runs", {"namespace": "default", "workload": "deploy/payments", "command": COMMAND},
                headers={"Idempotency-Key": key}, seconds=20)
        except OSError:
            if not server.process.alive():
                server.process.kill()
                server.start()
            return None
        if status == 503:  # it listens, and has not taken up its unfinished runs yet
            return None
        assert status in (200, 201), body
        return body["id"]
    return eventually(attempt, "the run is accepted", 60)


def follow_to_the_end(server, run):
    """Waits for the final state, starting the server anew when it died."""
    def final():
        if not server.process.alive():
            server.process.kill()
            server.start()
        try:
            status, body, _ = server.api("ann").get(f"/api/v1/runs/{run}")
        except OSError:
            return None
        assert status == 200, body
        return body if body["state"] in FINAL else None
    return eventually(final, "the run ends", 60)


def check(server, cluster, run):
    final = follow_to_the_end(server, run)
    assert (final["state"], final["exitCode"]) == ("failed", 3), final
    _, log, _ = server.api("ann").get(f"/api/v1/runs/{run}/log")
    assert log.decode() == LOG, "no line is lost, none repeated"
    assert final["logComplete"] and final["logBytes"] == len(LOG)
    jobs = [j for j in cluster.get("jobs")["items"] if j["metadata"]["labels"].get("oddjob.dev/run-id") == run]
    assert len(jobs) == 1 and jobs[0]["metadata"]["uid"] == final["jobUid"]
    pods = cluster.get("pods", "-l", f"oddjob.dev/run-id={run}")["items"]
    assert len(pods) == 1, [p["metadata"]["name"] for p in pods]
    created = [e for e in cluster.get("events")["items"]
               if e["involvedObject"]["name"] == final["jobName"] and e["reason"] == "SuccessfulCreate"]
    assert sum(e.get("count", 1) for e in created) == 1, created
    _, verdict, _ = server.api("root").get("/api/v1/audit/verify")
    assert verdict["ok"], verdict
    _, story, _ = server.api("root").get(f"/api/v1/audit?run={run}")
    types = [e["type"] for e in story["items"]]
    assert types[0] == "run.requested" and types.count("run.requested") == 1, types
    assert types.count("run.finished") == 1, types
    kinds = [t for t in types if t in ("run.requested", "run.started", "run.finished")]
    assert kinds == ["run.requested", "run.started", "run.finished"], types


def make_server(folder, cluster):
    folder.mkdir()
    return harness.Server(folder, cluster.kubeconfig)


def crash_once(server, cluster, point):
    """One run with a server that dies at `point`; was the point reached?"""
    # Some points are passed before the server is ready: then it dies there.
    server.start({"ODDJOB_CRASH_AT": point}, wait=False)
    ready = server.folder / "server.ready"
    eventually(lambda: ready.exists() or not server.process.alive(), "ready, or dead", 30)
    died = not server.process.alive()
    if died:
        server.process.kill()
        server.start()
    else:
        server.url = ready.read_text().strip()
        server.config["listen"]["port"] = int(server.url.rsplit(":", 1)[1])
    first = server.process
    check(server, cluster, submit(server, point))
    return died or server.process is not first


def test_kill_9_at_every_commit_and_every_call(cluster, tmp_path):
    probe = make_server(tmp_path / "probe", cluster)
    log = tmp_path / "passages"
    probe.start({"ODDJOB_FAULT_LOG": str(log)})
    check(probe, cluster, submit(probe, "probe"))
    probe.stop()
    points = [(name, n) for name, count in passages(log).items() for n in range(1, count + 1)]
    names = {name for name, _ in points}
    assert {"store.commit.before", "store.commit.after", "kube.call.before", "kube.call.after"} <= names, names
    crashed = 0
    for index, (name, n) in enumerate(points):
        server = make_server(tmp_path / f"crash-{index}", cluster)
        try:
            crashed += crash_once(server, cluster, f"{name}:{n}")
        except BaseException:
            server.process.kill()
            raise
        server.stop()
        print(f"killed at {name}:{n}: right")
    # The last points can lie behind the end of the run that is looked at.
    assert crashed >= len(points) * 0.7, f"{crashed} of {len(points)} points were reached"
