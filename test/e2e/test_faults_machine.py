"""What happens to the server's own machine, and what is simply too much, on a real cluster."""

import concurrent.futures
import glob
import os
import pathlib

from harness import eventually
from invariants import audited, ended, log_of

LINES = "".join(f"{i}\n" for i in range(1, 501))
SCRIPT = "seq 1 500; gate end; seq 501 3000; echo last; exit 3"
LOG = "".join(f"{i}\n" for i in range(1, 3001)) + "last\n"


# ---- the disk -----------------------------------------------------------------------------------------------

class SmallDisk:
    """The server's database is on a disk of 4 MiB that no other process has."""

    def __init__(self, folder):
        self.folder = folder / "disk"
        self.folder.mkdir()

    def under(self, server):
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        server.prefix = ["unshare", *user, "--mount", "sh", "-c", 'mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@"',
                         str(self.folder)]
        server.config["database"]["url"] = f"sqlite:{self.folder}/oddjob.db"

    def path(self, server):
        return pathlib.Path(f"/proc/{server.process.child.pid}/root{self.folder}/filler")

    def fill(self, server):
        with open(self.path(server), "wb", buffering=0) as filler:
            for size in (65536, 4096):
                try:
                    while filler.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass

    def free(self, server):
        self.path(server).unlink(missing_ok=True)


def test_the_disk_under_the_database_is_full(place):
    disk = SmallDisk(place.folder)
    server = place.server(change=disk.under)
    run = place.detach(server, SCRIPT, mark="first")
    place.speaking(server, run, len(LINES))
    disk.fill(server)

    def refused():
        # What there was room for in the files that exist is used up first.
        done = server.oddjob("ann", "run", "-n", place.namespace, "deploy/w", "--", *place.command("true", "refused"),
                             extra={"ODDJOB_SUBMIT_DEADLINE": "3s"})
        return done.code == 125 and done
    done = eventually(refused, "a run is refused", 120)
    assert "full" in done.err, done
    assert server.process.alive(), server.log()[-2000:]
    started = place.witness.starts("refused")
    place.witness.open("end")  # the running one goes on, with nowhere to put its log
    name = place.record(server, run)["jobName"]
    eventually(lambda: place.cluster.get("job", name, namespace=place.namespace)["status"].get("failed") == 1,
               "the Job has ended", 120)
    assert place.record(server, run)["state"] == "running", "its end is not on record yet"
    disk.free(server)
    place.check(server, run, mark="first", state="failed", exit_code=3, log=LOG)
    again = place.detach(server, "exit 4", mark="again")
    place.check(server, again, mark="again", state="failed", exit_code=4)
    assert place.witness.starts("refused") == started, "what was refused did not start later"


# ---- the clock ----------------------------------------------------------------------------------------------

class Clock:
    """libfaketime: the server's wall clock, set by a file. Time that passes is left alone."""

    def __init__(self, folder):
        self.file = folder / "clock"
        self.set("+0")

    def set(self, offset):
        fresh = self.file.with_suffix(".new")
        fresh.write_text(offset + "\n")
        fresh.rename(self.file)

    def environment(self):
        library = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        assert library, "libfaketime is missing: script/bootstrap installs it"
        return {"LD_PRELOAD": library[0], "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}


def test_the_clock_jumps_while_a_pod_starts(place):
    """A start may take 15 minutes: two hours on the clock are none of them. (Back by more than the age of the API
    server's certificate, no new connection is trusted, rightly.)"""
    slow = place.witness.workload("slow", {"oddjob.dev/allowed-teams": "payments"})
    pod = slow["spec"]["template"]["spec"]
    pod["initContainers"] = [dict(pod["containers"][0], name="waits", command=[
        "sh", "-c", "while [ ! -e /witness/gate-init ]; do sleep 0.1; done"])]
    place.cluster.apply(slow, namespace=place.namespace)
    clock = Clock(place.folder)
    server = place.server(environment=clock.environment())
    run = place.detach(server, SCRIPT, workload="slow")
    label = f"oddjob.dev/run-id={run}"
    waiting = lambda: any("running" in s["state"] for p in place.cluster.get("pods", "-l", label, namespace=place.namespace)["items"]
                          for s in p["status"].get("initContainerStatuses", []))
    eventually(waiting, "the init container runs", 120)
    clock.set("+2h")
    other = place.detach(server, "exit 4", mark="other")  # the server lives on, by the new clock
    assert ended(server, other)["exitCode"] == 4
    assert place.record(server, run)["state"] == "starting"
    place.witness.open("init")
    place.witness.open("end")
    record = ended(server, run)
    assert (record["state"], record["exitCode"]) == ("failed", 3), record
    assert record["startedAt"] <= record["finishedAt"] and log_of(server, run) == LOG.encode(), record
    assert place.witness.starts("ran") == 1


def test_the_clock_jumps_while_a_command_runs(place):
    clock = Clock(place.folder)
    server = place.server(environment=clock.environment())
    run = place.detach(server, SCRIPT)
    place.speaking(server, run, len(LINES))
    clock.set("+1d")
    place.witness.open("end")
    record = place.check(server, run, state="failed", exit_code=3, log=LOG)
    assert record["createdAt"] <= record["startedAt"] <= record["finishedAt"], record


# ---- very much ----------------------------------------------------------------------------------------------

RUNS = 200


def test_two_hundred_runs_at_once(place):
    server = place.server()
    api = server.api("ann")

    def ask(i):
        status, run, _ = api.post("/api/v1/runs", {"namespace": place.namespace, "workload": "deploy/w",
                                                   "command": place.command(f"echo run {i}; exit {i % 7}", f"run-{i}")},
                                  headers={"Idempotency-Key": f"run-{i}"}, seconds=120)
        assert status == 201, run
        return run["id"]
    with concurrent.futures.ThreadPoolExecutor(RUNS) as pool:
        runs = list(pool.map(ask, range(RUNS)))
    assert len(set(runs)) == RUNS
    for i, run in enumerate(runs):
        record = ended(server, run, 900)
        assert record["exitCode"] == i % 7 and record["state"] == ("failed" if i % 7 else "succeeded"), record
        assert record["logComplete"] and log_of(server, run) == f"run {i}\n".encode(), record
    assert all(place.witness.starts(f"run-{i}") == 1 for i in range(RUNS))
    jobs = place.cluster.get("jobs", namespace=place.namespace)["items"]
    assert sorted(j["metadata"]["labels"]["oddjob.dev/run-id"] for j in jobs) == sorted(runs)
    assert len(place.cluster.get("pods", namespace=place.namespace)["items"]) == RUNS
    audited(server, place.cluster, place.record(server, runs[0]))


def test_a_line_of_a_hundred_megabytes(place):
    server = place.server()
    size = 100_000_000
    done = server.oddjob("ann", "run", "-n", place.namespace, "deploy/w", "--",
                         *place.command(f"head -c {size} /dev/zero | tr '\\0' x; exit 3"), seconds=600)
    assert done.code == 3, done.err[-2000:]
    assert len(done.raw) == size and done.raw.count(b"x") == size
    with open(f"/proc/{server.process.child.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 400_000, f"peak {peak} kB"
    place.check(server, place.newest(server), state="failed", exit_code=3)
