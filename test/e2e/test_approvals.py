"""A second person's yes: how a run gets it, and every way around it that we know of.

docs/security.md lists the attacks with the names of these tests.
"""

import concurrent.futures
import contextlib
import json
import os
import pty
import select
import signal
import sqlite3
import time

import pytest
import yaml

import harness
from harness import FINAL, eventually, workload

PEOPLE = {
    "ann": {"user": "ann", "teams": ["payments", "sre"]},      # asks; would be an approver of others' runs
    "zoe": {"user": "a.smith@example.com", "teams": ["sre"]},  # ann's second account, by auth.aliases
    "annoidc": {"user": "oidc:Ann", "teams": ["sre"]},         # and one that nobody had to declare
    "bob": {"user": "bob"},
    "carl": {"user": "carl", "teams": ["sre"]},
    "dan": {"user": "dan", "teams": ["payments"]},             # may run, may not approve
    "root": {"user": "root", "admin": True},
    "eve": {"user": "eve", "auditor": True},
}
GUARDED = {
    "oddjob.dev/allowed-teams": "payments",
    "oddjob.dev/allow-env": "*",
    "oddjob.dev/approval": "required",
    "oddjob.dev/approver-teams": "sre",
    "oddjob.dev/approver-users": "bob",
    "oddjob.dev/break-glass-teams": "payments",
}


def write_tokens(server, people):
    path = server.config["auth"]["staticTokensFile"]
    with open(path, "w") as file:
        yaml.safe_dump({"tokens": [dict(token=harness.token_of(n), **s) for n, s in people.items()]}, file)


def make_server(folder, cluster):
    folder.mkdir(exist_ok=True)
    server = harness.Server(folder, cluster.kubeconfig)
    server.config["auth"]["aliases"] = [["ann", "a.smith@example.com"]]
    write_tokens(server, PEOPLE)
    return server


@pytest.fixture(scope="module")
def guarded(cluster):
    for name, more in (("guarded", {}), ("guarded-twice", {"oddjob.dev/approval": "2"})):
        cluster.apply(workload(name, dict(GUARDED, **more), replicas=0))
    return cluster


@pytest.fixture(scope="module")
def shared(guarded, tmp_path_factory):
    server = make_server(tmp_path_factory.mktemp("approvals"), guarded).start()
    yield server
    server.stop()


@pytest.fixture
def server(shared):
    assert shared.process.alive(), shared.log()[-4000:]
    return shared


@pytest.fixture
def own(guarded, tmp_path):
    server = make_server(tmp_path, guarded)
    yield server
    if server.process and server.process.alive():
        server.process.kill()


def wait_ready(server):
    eventually(lambda: server.api(None).get("/readyz")[0] == 200, "the server has the cluster in view", 60)


def ask(server, name="guarded", command=("sh", "-c", "echo it ran; exit 3"), user="ann", **more):
    """A run that waits, with its suspended Job there."""
    wait_ready(server)
    status, body, _ = server.api(user).post("/api/v1/runs", dict(
        {"namespace": "default", "workload": f"deploy/{name}", "command": list(command)}, **more))
    assert status == 201, body
    assert body["state"] == "pending_approval", body
    return eventually(lambda: (run := look(server, body["id"])) and run.get("jobUid") and run, "its Job is recorded")


def look(server, run, user="root"):
    status, body, _ = server.api(user).get(f"/api/v1/runs/{run}")
    assert status == 200, body
    return body


def approve(server, user, run, digest=None, reason="looks right"):
    status, body, _ = server.api(user).post(f"/api/v1/runs/{run['id']}/approve",
                                            {"digest": digest or run["digest"], "reason": reason})
    return status, body


def final(server, run, seconds=60):
    return eventually(lambda: (now := look(server, run["id"])) and now["state"] in FINAL and now, "the run ends",
                      seconds)


def story(server, run):
    status, page, _ = server.api("eve").get(f"/api/v1/audit?run={run['id']}&limit=200")
    assert status == 200, page
    return page["items"]


def types(server, run):
    return [e["type"] for e in story(server, run)]


def never_ran(server, cluster, run, state="denied"):
    """It ended so, without a pod, and its Job is gone."""
    ended = final(server, run)
    assert ended["state"] == state, ended
    assert ended["message"], "it says what changed"
    assert "run.starting" not in types(server, run)
    assert cluster.get("pods", "-l", f"oddjob.dev/run-id={run['id']}")["items"] == []
    eventually(lambda: not cluster.get("jobs", "-l", f"oddjob.dev/run-id={run['id']}")["items"], "its Job is gone")
    status, _ = approve(server, "bob", run)
    assert status == 409
    return ended


def patch_job(cluster, run, patch):
    done = cluster.kubectl("patch", "job", run["jobName"], "--type=merge", "-p", json.dumps(patch))
    assert done.code == 0, done


# ---- as it is meant -----------------------------------------------------------------


def test_a_run_waits_and_another_person_starts_it(server, guarded, tmp_path):
    out = (tmp_path / "out").open("wb")
    err = (tmp_path / "err").open("wb")
    waiting = server.popen("ann", "run", "deploy/guarded", "--reason", "ticket 42", "--", "sh", "-c",
                           "echo it ran; exit 3", stdout=out, stderr=err)
    try:
        shown = eventually(lambda: "pproval by team sre or user bob" in (text := (tmp_path / "err").read_text()) and text,
                           "the waiting run says who can approve")
        assert "0 of 1" in shown
        listed = eventually(lambda: (done := server.oddjob("bob", "pending")).code == 0 and "ann" in done.out and done,
                            "bob sees it")
        ident = next(line.split()[0] for line in listed.out.splitlines() if "deploy/guarded" in line and "it ran" in line)
        own = server.oddjob("ann", "pending")
        assert ident not in own.out, "nobody is shown their own as theirs to approve"
        refused = server.oddjob("bob", "approve", ident)
        assert refused.code == 125 and "--digest sha256:" in refused.err, refused
        seen = server.oddjob("bob", "approve", ident, "--yes", "--reason", "checked")
        assert seen.code == 0 and "it starts" in seen.out, seen
        for part in ("ticket 42", "ann", "Digest:", "+++ oj-guarded", "sh -c"):
            assert part in seen.err, f"{part!r} is not shown to the approver: {seen.err}"
        assert waiting.wait(60) == 3, (tmp_path / "err").read_text()
    finally:
        if waiting.poll() is None:
            waiting.kill()
        out.close()
        err.close()
    assert (tmp_path / "out").read_text() == "it ran\n"
    told = server.oddjob("bob", "show", ident)
    assert "1 of 1" in told.out and "bob at" in told.out and "checked" in told.out, told
    told = server.oddjob("eve", "audit", "list", "--run", ident)
    lines = told.out.splitlines()
    for line, part in zip(lines, ("asked to run `sh -c", "made the Job oj-guarded", "approved the Job with digest",
                                  "asked the policy again", "saw the command run", "recorded its end: failed, exit code 3"),
                          strict=True):
        assert part in line, f"{part!r} is not in: {line}"
    assert "because: ticket 42" in lines[0] and "team sre or user bob" in lines[0]
    assert "bob approved" in lines[2] and "because: checked" in lines[2]
    told = server.oddjob("eve", "audit", "list", "--run", ident, "-o", "jsonl")
    records = [json.loads(line) for line in told.out.splitlines()]
    assert [r["type"] for r in records] == ["run.requested", "run.job_created", "run.approved", "run.starting",
                                            "run.started", "run.finished"]


def at_a_terminal(server, user, answer, *args):
    """Runs oddjob as if at a terminal; types `answer` when it asks. Exit code and what was shown."""
    master, slave = pty.openpty()
    process = server.popen(user, *args, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 0.2)[0]:
                if process.poll() is not None:
                    break
                continue
            try:
                piece = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
            if answer and b"[y/N]" in shown:
                os.write(master, answer.encode())
                answer = None
        return process.wait(30), shown.decode(errors="replace")
    finally:
        if process.poll() is None:
            process.kill()
        os.close(master)


def test_at_a_terminal_it_shows_and_asks(server):
    run = ask(server)
    for answer in ("n\n", "\n", "yep\n"):
        code, shown = at_a_terminal(server, "bob", answer, "approve", run["id"])
        assert code == 125 and "not approved" in shown and "+++ oj-guarded" in shown, shown
    assert look(server, run["id"])["state"] == "pending_approval"
    code, shown = at_a_terminal(server, "bob", "yes\n", "approve", run["id"])
    assert code == 0 and "it starts" in shown, shown
    assert final(server, run)["exitCode"] == 3


def test_approvers_see_all_that_will_run(server):
    run = ask(server, reason="because", env=[{"name": "TOKEN", "value": "hunter2hunter2"}])
    seen = look(server, run["id"], "bob")
    assert seen["approval"]["mayApprove"] is True
    assert look(server, run["id"], "ann")["approval"]["mayApprove"] is False
    assert (seen["requester"], seen["reason"]) == ("ann", "because")
    assert seen["job"]["kind"] == "Job" and seen["report"] and "+++ " in seen["approval"]["diff"]
    assert seen["approval"]["policy"]["oddjob.dev/approval"] == "required"
    assert seen["approval"]["approverTeams"] == ["sre"] and seen["approval"]["approverUsers"] == ["bob"]
    assert "hunter2" not in json.dumps(seen)
    server.oddjob("ann", "cancel", run["id"])


def test_a_denial_ends_it_with_the_reason(server, guarded):
    run = ask(server)
    done = server.oddjob("carl", "deny", run["id"], "--reason", "not on a Friday")
    assert done.code == 0, done
    ended = never_ran(server, guarded, run)
    assert ended["message"] == "Denied by carl: not on a Friday"
    done = server.oddjob("eve", "audit", "list", "--run", run["id"])
    assert "carl denied it: not on a Friday" in done.out, done


def test_two_are_needed_where_the_workload_says_two(server):
    run = ask(server, "guarded-twice")
    assert approve(server, "bob", run)[0] == 200
    now = look(server, run["id"])
    assert now["state"] == "pending_approval" and len(now["approval"]["approvals"]) == 1
    assert approve(server, "carl", run)[0] == 200
    assert final(server, run)["exitCode"] == 3


def test_break_glass_starts_at_once_and_is_on_record(server):
    done = server.oddjob("ann", "run", "deploy/guarded", "--break-glass", "--reason", "the site is down", "--", "true")
    assert done.code == 0, done
    done = server.oddjob("eve", "audit", "list", "--type", "run.requested", "-o", "json")
    last = json.loads(done.out)["items"][-1]
    assert last["detail"]["breakGlass"] is True
    told = server.oddjob("eve", "audit", "list", "--run", last["run"])
    assert "BROKE THE GLASS" in told.out, told


def test_a_run_that_waits_survives_a_kill_of_the_server(own):
    own.start()
    run = ask(own)
    own.process.kill()
    own.start()
    wait_ready(own)
    eventually(lambda: approve(own, "bob", run)[0] == 200, "bob can approve")
    assert final(own, run)["exitCode"] == 3


def test_with_deferred_creation_there_is_no_job_before_the_yes(own, guarded):
    own.config["runs"] = {"pendingJobs": "deferred"}
    own.start()
    wait_ready(own)
    status, run, _ = own.api("ann").post("/api/v1/runs", {"namespace": "default", "workload": "deploy/guarded",
                                                          "command": ["sh", "-c", "exit 3"]})
    assert status == 201, run
    eventually(lambda: look(own, run["id"]).get("progress"), "it says what it waits for")
    assert guarded.kubectl("get", "job", run["jobName"]).code != 0
    assert approve(own, "bob", run)[0] == 200
    assert final(own, run)["exitCode"] == 3


# ---- ways around it -----------------------------------------------------------------


@pytest.mark.parametrize("user,code", [
    ("ann", "approval.own_run"),          # her own
    ("zoe", "approval.own_run"),          # her second account
    ("annoidc", "approval.own_run"),      # herself by another way in
    ("dan", "approval.not_approver"),     # allowed to run only
    ("root", "approval.not_approver"),    # an admin reads
])
def test_self_approval_and_its_disguises(server, user, code):
    run = ask(server)
    status, problem = approve(server, user, run)
    assert (status, problem["code"]) == (403, code), problem
    assert look(server, run["id"])["state"] == "pending_approval"
    refusal = [e for e in story(server, run) if e["type"] == "run.approval_refused"]
    assert len(refusal) == 1 and refusal[0]["actor"] == PEOPLE[user]["user"] and refusal[0]["detail"]["code"] == code
    server.oddjob("ann", "cancel", run["id"])


def test_one_person_counts_once(server):
    run = ask(server, "guarded-twice", user="dan")
    assert approve(server, "ann", run)[0] == 200
    assert approve(server, "ann", run)[0] == 200, "the same yes again changes nothing"
    status, problem = approve(server, "zoe", run)
    assert (status, problem["code"]) == (403, "approval.same_person"), problem
    now = look(server, run["id"])
    assert now["state"] == "pending_approval" and len(now["approval"]["approvals"]) == 1
    server.oddjob("dan", "cancel", run["id"])


def test_a_replayed_approval_starts_nothing(server):
    first = ask(server)
    assert approve(server, "bob", first)[0] == 200
    assert final(server, first)["exitCode"] == 3
    approve(server, "bob", first)
    assert approve(server, "carl", first)[0] == 409
    assert types(server, first).count("run.starting") == 1
    second = ask(server, command=("sh", "-c", "echo something else"))
    status, problem = approve(server, "bob", second, digest=first["digest"])
    assert (status, problem["code"]) == (409, "approval.digest_mismatch"), problem
    assert look(server, second["id"])["state"] == "pending_approval"
    server.oddjob("ann", "cancel", second["id"])


def test_a_stale_digest_and_none_at_all_are_refused(server):
    run = ask(server)
    status, problem = approve(server, "bob", run, digest="sha256:" + "0" * 64)
    assert (status, problem["code"]) == (409, "approval.digest_mismatch"), problem
    status, problem, _ = server.api("bob").post(f"/api/v1/runs/{run['id']}/approve", {})
    assert (status, problem["code"]) == (400, "request.digest_missing"), problem
    done = server.oddjob("bob", "approve", run["id"], "--digest", "sha256:" + "0" * 64)
    assert done.code == 125 and "digest" in done.err, done
    assert look(server, run["id"])["state"] == "pending_approval"
    server.oddjob("ann", "cancel", run["id"])


def test_a_job_patched_while_it_waits(server, guarded):
    run = ask(server)
    patch_job(guarded, run, {"spec": {"activeDeadlineSeconds": 999999}})
    ended = never_ran(server, guarded, run)
    assert ended["resultReason"] == "JobTampered", ended
    assert "run.tampered" in types(server, run)


def test_a_job_whose_annotation_was_changed(server, guarded):
    run = ask(server)
    patch_job(guarded, run, {"metadata": {"annotations": {"oddjob.dev/requester": "somebody-else"}}})
    assert approve(server, "bob", run)[0] == 200
    ended = final(server, run)
    assert ended["state"] == "denied" and "metadata.annotations.oddjob.dev/requester" in ended["message"], ended
    assert "run.tampered" in types(server, run) and "run.starting" not in types(server, run)


def test_a_job_unsuspended_by_kubectl_is_stopped(server, guarded):
    run = ask(server, command=("sh", "-c", "echo begun; sleep 600"))
    patch_job(guarded, run, {"spec": {"suspend": False}})
    ended = final(server, run)
    assert (ended["state"], ended["resultReason"]) == ("denied", "JobTampered"), ended
    eventually(lambda: not guarded.get("jobs", "-l", f"oddjob.dev/run-id={run['id']}")["items"], "its Job is gone")
    eventually(lambda: not guarded.get("pods", "-l", f"oddjob.dev/run-id={run['id']}")["items"], "its pod is gone")
    events = story(server, run)
    tampered = [e for e in events if e["type"] == "run.tampered"]
    assert len(tampered) == 1 and tampered[0]["detail"]["job"] == run["jobName"], events
    told = server.oddjob("eve", "audit", "list", "--run", run["id"])
    assert "FOUND TAMPERING" in told.out, told


def copy_of(cluster, run, **changes):
    copy = cluster.get("job", run["jobName"])
    for key in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"):
        copy["metadata"].pop(key, None)
    copy.pop("status", None)
    copy["spec"].pop("selector", None)
    for labels in (copy["metadata"]["labels"], copy["spec"]["template"]["metadata"]["labels"]):
        for key in [k for k in labels if "controller-uid" in k or "job-name" in k]:
            del labels[key]
    copy["spec"]["suspend"] = False
    copy["metadata"].update(changes)
    return copy


def test_a_job_recreated_under_the_same_name(server, guarded):
    run = ask(server, command=("sh", "-c", "sleep 600"))
    copy = copy_of(guarded, run)
    done = guarded.kubectl("delete", "job", run["jobName"], "--wait=true")
    assert done.code == 0, done
    guarded.kubectl("create", "-f", "-", stdin=json.dumps(copy))
    ended = final(server, run)
    assert ended["state"] == "denied" and "run.tampered" in types(server, run), ended
    eventually(lambda: not guarded.get("jobs", "-l", f"oddjob.dev/run-id={run['id']}")["items"], "the copy is gone")
    assert "run.starting" not in types(server, run)


def test_a_copy_of_the_job_beside_it(server, guarded):
    run = ask(server)
    guarded.apply(copy_of(guarded, run, name="oj-copied"))
    eventually(lambda: guarded.kubectl("get", "job", "oj-copied").code != 0, "the copy is gone")
    tampered = eventually(lambda: [e for e in story(server, run) if e["type"] == "run.tampered"], "it is on record")
    assert tampered[0]["detail"]["job"] == "oj-copied"
    assert approve(server, "bob", run)[0] == 200, "the run's own Job is as it was"
    assert final(server, run)["exitCode"] == 3


@pytest.mark.parametrize("change,words", [
    ({"oddjob.dev/approval": "none"}, "oddjob.dev/approval was 'required', is 'none'"),
    ({"oddjob.dev/approver-users": "bob, mallory"}, "oddjob.dev/approver-users was 'bob', is 'bob, mallory'"),
    ({"oddjob.dev/allowed-teams": "nobody"}, "oddjob.dev/allowed-teams was 'payments', is 'nobody'"),
    ({"oddjob.dev/max-timeout": "99h"}, "oddjob.dev/max-timeout is new: '99h'"),
])
def test_a_policy_changed_meanwhile(server, guarded, change, words):
    name = "guarded-changing"
    guarded.apply(workload(name, GUARDED, replicas=0))
    run = ask(server, name)
    guarded.apply(workload(name, dict(GUARDED, **change), replicas=0))
    status, problem = approve(server, "bob", run)
    assert (status, problem["code"]) == (422, "approval.policy_changed"), problem
    assert words in problem["detail"], problem
    ended = never_ran(server, guarded, run)
    assert words in ended["message"], ended


def test_an_approval_that_comes_too_late(own, guarded):
    own.start()
    run = ask(own)
    own.process.kill()
    # A day goes by.
    with contextlib.closing(sqlite3.connect(own.database)) as connection, connection:
        (document,), = connection.execute("select document from runs where id = ?", (run["id"],))
        document = json.loads(document)
        document["approval"]["expiresUs"] -= 2 * 24 * 3600 * 1_000_000
        connection.execute("update runs set document = ? where id = ?", (json.dumps(document), run["id"]))
    own.start()
    ended = never_ran(own, guarded, run, "expired")
    assert "not approved in time" in ended["message"], ended
    assert "run.expired" in types(own, run)


def test_an_approver_removed_from_the_team_does_not_count(own):
    people = dict(PEOPLE, dora={"user": "dora", "teams": ["sre"]})
    write_tokens(own, people)
    own.start()
    run = ask(own, "guarded-twice")
    assert approve(own, "carl", run)[0] == 200
    write_tokens(own, dict(people, carl={"user": "carl", "teams": ["marketing"]}))
    own.process.child.send_signal(signal.SIGHUP)
    eventually(lambda: own.api("carl").get("/api/v1/whoami")[1]["teams"] == ["marketing"], "the tokens are read again")
    assert approve(own, "bob", run)[0] == 200
    assert look(own, run["id"])["state"] == "pending_approval", "carl's yes does not count any more"
    assert approve(own, "dora", run)[0] == 200
    assert final(own, run)["exitCode"] == 3


def at_once(*calls):
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [f.result() for f in [pool.submit(c) for c in calls]]


def test_a_race_of_approve_and_cancel(server, guarded):
    for _ in range(5):
        run = ask(server)
        (status, _), _ = at_once(lambda: approve(server, "bob", run),
                                 lambda: server.api("ann").post(f"/api/v1/runs/{run['id']}/cancel", {}))
        ended = final(server, run)
        assert (ended["state"], ended.get("exitCode")) in (("cancelled", None), ("cancelled", 137), ("cancelled", 143),
                                                           ("cancelled", 3), ("failed", 3)), ended
        told = types(server, run)
        if status != 200:
            assert status == 409 and "run.starting" not in told, told
        assert told.count("run.finished") == 1 and told.count("run.starting") <= 1, told


def test_two_approvals_at_once(server, guarded):
    for _ in range(3):
        run = ask(server, "guarded-twice")
        results = at_once(lambda: approve(server, "bob", run), lambda: approve(server, "carl", run))
        assert [status for status, _ in results] == [200, 200], results
        assert final(server, run)["exitCode"] == 3
        told = types(server, run)
        assert told.count("run.approved") == 2 and told.count("run.starting") == 1, told
        assert len(guarded.get("pods", "-l", f"oddjob.dev/run-id={run['id']}")["items"]) == 1


def passages(server, guarded, tmp_path):
    """The fault points that an approved run passes: (name, detail), in order."""
    log = tmp_path / "passages"
    server.start({"ODDJOB_FAULT_LOG": str(log)})
    run = ask(server)
    assert approve(server, "bob", run)[0] == 200
    final(server, run)
    server.stop()
    return [tuple(line.split(" ", 1)) for line in log.read_text().splitlines()]


def crash_points(points):
    """Every commit of the run, and the calls around the one that starts it, by name and number."""
    out, counts = [], {}
    starts = next(i for i, (_, detail) in enumerate(points) if detail.startswith("PATCH "))
    for i, (name, detail) in enumerate(points):
        counts[name] = counts.get(name, 0) + 1
        if name.startswith("store.") and detail in ("create_run", "update_run"):
            out.append(f"{name}:{counts[name]}")
        elif name.startswith("kube.") and abs(i - starts) <= 4:
            out.append(f"{name}:{counts[name]}")
    return out


def test_a_crash_between_approval_and_start_starts_it_once(guarded, tmp_path):
    points = crash_points(passages(make_server(tmp_path / "probe", guarded), guarded, tmp_path))
    assert len(points) >= 12, points
    crashed = 0
    for index, where in enumerate(points):
        server = make_server(tmp_path / f"crash-{index}", guarded)
        # Some points are passed before the server is ready: then it dies there.
        server.start({"ODDJOB_CRASH_AT": where}, wait=False)
        ready = server.folder / "server.ready"
        eventually(lambda: ready.exists() or not server.process.alive(), "ready, or dead")
        if server.process.alive():
            server.url = ready.read_text().strip()
            server.config["listen"]["port"] = int(server.url.rsplit(":", 1)[1])
        else:
            server.process.kill()
            server.start()
            crashed += 1
        first = server.process

        def call(method, path, body=None, user="ann", headers=None):
            if not server.process.alive():
                server.process.kill()
                server.start()
            try:
                return server.api(user).call(method, path, body=body, headers=headers, seconds=20)[:2]
            except OSError:
                return None, None

        def made():
            status, body = call("POST", "/api/v1/runs", {"namespace": "default", "workload": "deploy/guarded",
                                                         "command": ["sh", "-c", "echo once; exit 3"]},
                                headers={"Idempotency-Key": f"k-{index}"})
            return body if status in (200, 201) else None

        run = eventually(made, "the run is accepted", 60)

        def yes():
            status, _ = call("POST", f"/api/v1/runs/{run['id']}/approve", {"digest": run["digest"]}, "bob")
            return status == 200

        eventually(yes, "it is approved", 60)

        def ended():
            status, body = call("GET", f"/api/v1/runs/{run['id']}", user="root")
            return body if status == 200 and body["state"] in FINAL else None

        now = eventually(ended, "it ends", 60)
        assert (now["state"], now["exitCode"]) == ("failed", 3), (where, now)
        told = types(server, run)
        for once in ("run.requested", "run.job_created", "run.approved", "run.starting", "run.finished"):
            assert told.count(once) == 1, (where, told)
        assert len(guarded.get("pods", "-l", f"oddjob.dev/run-id={run['id']}")["items"]) == 1, where
        verdict = json.loads(server.oddjob("eve", "audit", "verify", "-o", "json").out)
        assert verdict["ok"], verdict
        crashed += server.process is not first
        server.stop()
        print(f"killed at {where}: right")
    assert crashed >= len(points) * 0.7, f"{crashed} of {len(points)} points were reached"
