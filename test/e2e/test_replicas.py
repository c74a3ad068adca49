"""Three servers on one PostgreSQL: nothing is lost and nothing runs twice, whatever becomes of them.

Each command appends its number to a file, so that one that ran twice shows. ODDJOB_TEST_RUNS
sets how many runs the test under kill -9 makes.
"""

import concurrent.futures
import json
import os
import random
import re
import signal
import socketserver
import subprocess
import sys
import threading
import time

import pytest

import harness
from harness import FINAL, OPEN, eventually

sys.path.insert(0, str(harness.ROOT / "test" / "testing"))
from postgresql import Postgres  # noqa: E402

RUNS = int(os.environ.get("ODDJOB_TEST_RUNS", "60"))
LEASE = 3  # seconds


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One cluster and one PostgreSQL for all of this file."""
    folder = tmp_path_factory.mktemp("replicas")
    cluster = harness.DevCluster(folder)
    postgres = Postgres()
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "witness"},
                   "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Mi"}}}})
    for name, more in (("payments", {}), ("one", {"oddjob.dev/max-concurrent": "2"}),
                       ("guarded", {"oddjob.dev/approval": "required", "oddjob.dev/approver-users": "bob"})):
        made = harness.workload(name, {**OPEN, **more}, volumeMounts=[{"name": "witness", "mountPath": "/witness"}])
        made["spec"]["template"]["spec"]["volumes"] = [
            {"name": "witness", "persistentVolumeClaim": {"claimName": "witness"}}]
        cluster.apply(made)
    yield folder, cluster, postgres
    postgres.stop()
    cluster.stop()


class Replicas:
    def __init__(self, folder, cluster, url, count=3):
        folder.mkdir()
        self.folder = folder
        self.database = url.split("/")[3].split("?")[0]
        self.servers, self.child = [], None
        for i in range(count):
            (folder / f"r{i}").mkdir()
            server = harness.Server(folder / f"r{i}", cluster.kubeconfig)
            server.config["database"] = {"url": url, "lease": f"{LEASE}s"}
            server.config["limits"] = {"runsPerMinute": 0, "requestsPerMinute": 0, "activeRunsPerSubject": 0}
            self.servers.append(server.start())
        self.ready()

    def ready(self):
        for server in self.servers:
            eventually(lambda s=server: self.up(s), "a replica is ready", 60)

    @staticmethod
    def up(server):
        try:
            return server.api(None).get("/readyz")[0] == 200
        except OSError:
            return False

    def command(self, n, lines=5, pause=0.2):
        return ["sh", "-c", f"echo {n} >> /witness/{self.folder.name}; i=0; while [ $i -lt {lines} ]; do i=$((i+1)); "
                            f"echo run {n} line $i; sleep {pause}; done; exit {n % 3}"]

    @staticmethod
    def output(n, lines=5):
        return "".join(f"run {n} line {i}\n" for i in range(1, lines + 1))

    def ask(self, call, what, seconds=120):
        """By whichever replica answers."""
        def attempt():
            server = random.choice(self.servers)
            try:
                status, body, _ = call(server)
            except (OSError, AssertionError, ValueError):
                return None
            return body if status in (200, 201) else None
        return eventually(attempt, what, seconds, 0.1)

    def submit(self, n, server=None, workload="payments", **kwargs):
        body = {"namespace": "default", "workload": f"deploy/{workload}", "command": self.command(n, **kwargs)}
        headers = {"Idempotency-Key": f"{self.folder.name}-{n}"}
        if server is not None:
            status, run, _ = server.api("ann").post("/api/v1/runs", body, headers=headers)
            assert status == 201, run
            return run["id"]
        return self.ask(lambda s: s.api("ann").post("/api/v1/runs", body, headers=headers), "a run is accepted")["id"]

    def final(self, run, seconds=120):
        def ended(server):
            status, body, headers = server.api("ann").get(f"/api/v1/runs/{run}")
            return (status if body.get("state") in FINAL else 0), body, headers
        return self.ask(ended, f"run {run} ends", seconds)

    def check(self, n, run):
        final = self.final(run)
        expected = "succeeded" if n % 3 == 0 else "failed"
        assert (final["state"], final["exitCode"]) == (expected, n % 3), final
        assert final["logComplete"], final
        log = self.ask(lambda s: s.api("ann").get(f"/api/v1/runs/{run}/log"), "the log is read")
        assert log.decode() == self.output(n), f"run {run}: a line is lost or doubled"
        return final

    def marked(self):
        # Where the dev cluster keeps what is written to claims.
        marks, = self.folder.parent.glob(f"cluster/**/claims/default_witness/{self.folder.name}")
        return sorted(int(n) for n in marks.read_text().split())

    def verify(self):
        verdict = self.ask(lambda s: s.api("root").get("/api/v1/audit/verify"), "the audit is verified")
        assert verdict["ok"], verdict
        return verdict

    def stop(self):
        if self.child is not None:
            self.child.kill()
        for server in self.servers:
            if server.process.alive():
                server.process.child.send_signal(signal.SIGCONT)
                server.stop()


@pytest.fixture
def replicas(place, request):
    folder, cluster, postgres = place
    name = request.node.name.replace("test_", "")[:40].lower()
    made = Replicas(folder / name, cluster, postgres.create(f"db_{name}"))
    yield made
    made.stop()


def test_servers_are_killed_at_random_and_nothing_is_lost_or_run_twice(replicas):
    over = threading.Event()
    kills = []

    def chaos():
        dice = random.Random(7)
        while not over.wait(dice.uniform(0.2, 1.2)):
            server = dice.choice(replicas.servers)
            server.process.kill()
            kills.append(time.monotonic())
            over.wait(dice.uniform(0.1, 0.8))
            server.start(wait=False)

    killer = threading.Thread(target=chaos)
    began = time.monotonic()
    killer.start()
    try:
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            runs = list(pool.map(lambda n: replicas.submit(n, pause=0.5), range(RUNS)))
            finals = list(pool.map(lambda n: replicas.final(runs[n], 60 + RUNS), range(RUNS)))
    finally:
        over.set()
        killer.join()
    took = time.monotonic() - began
    assert kills
    replicas.ready()
    assert len(set(runs)) == RUNS
    for n, run in enumerate(runs):
        replicas.check(n, run)
    assert replicas.marked() == list(range(RUNS)), "each command ran once"
    lost = [f for f in finals if f["state"] == "lost"]
    assert not lost, lost
    verdict = replicas.verify()
    print(f"\n{RUNS} runs in {took:.0f} s, {len(kills)} servers killed: lost 0, run twice 0, "
          f"{verdict['events']} audit records verified")


def test_an_owner_that_stood_still_past_its_lease_does_nothing_any_more(replicas, place):
    runs = [replicas.submit(n, replicas.servers[0], lines=5, pause=0.6) for n in range(4)]
    late = [replicas.submit(10 + n, replicas.servers[0]) for n in range(2)]
    os.kill(replicas.servers[0].process.child.pid, signal.SIGSTOP)
    sleeper, others = replicas.servers[0], replicas.servers[1:]
    eventually(lambda: any("nobody owned are taken up" in s.log() for s in others), "the others take over", 60)
    os.kill(sleeper.process.child.pid, signal.SIGCONT)
    replicas.servers = others
    for n, run in list(enumerate(runs)) + [(10 + n, run) for n, run in enumerate(late)]:
        replicas.check(n, run)
    replicas.servers = [sleeper, *others]
    assert replicas.marked() == [0, 1, 2, 3, 10, 11]
    eventually(lambda: "was believed dead" in sleeper.log() or "another replica's now" in sleeper.log(),
               "the sleeper learns of it", 30)
    run = replicas.submit(20, sleeper)
    replicas.check(20, run)
    replicas.verify()


def test_any_replica_answers_for_any_run(replicas):
    one, two, three = replicas.servers
    run = replicas.submit(0, one, lines=20)
    # Live, by a server that does not own it.
    follower = replicas.child = two.popen("ann", "logs", "-f", run, stdout=-1)
    assert follower.stdout.readline() == b"run 0 line 1\n"
    assert eventually(lambda: two.api("ann").get(f"/api/v1/runs/{run}")[1]["state"] == "running", "running is seen", 30)
    rest = follower.stdout.read()
    assert follower.wait(60) == 0
    assert rest.decode() == replicas.output(0, 20)[len("run 0 line 1\n"):]
    # Cancelled by another.
    run = replicas.submit(1, two, lines=1000)
    eventually(lambda: three.api("ann").get(f"/api/v1/runs/{run}")[1]["state"] == "running", "it runs", 30)
    status, body, _ = three.api("ann").post(f"/api/v1/runs/{run}/cancel")
    assert status in (200, 202), body
    assert replicas.final(run)["state"] == "cancelled"
    # Approved by another.
    run = replicas.submit(3, one, workload="guarded")
    shown = three.api("bob").get(f"/api/v1/runs/{run}")[1]
    assert shown["state"] == "pending_approval"
    done = three.oddjob("bob", "approve", run, "--yes")
    assert done.code == 0, done
    replicas.check(3, run)
    replicas.verify()


def test_limits_count_the_runs_of_all_replicas(replicas):
    def attempt(n):
        server = replicas.servers[n % 3]
        body = {"namespace": "default", "workload": "deploy/one", "command": replicas.command(n, pause=1)}
        return server.api("ann").post("/api/v1/runs", body)

    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(attempt, range(9)))
    made = [body for status, body, _ in answers if status == 201]
    refused = [body["code"] for status, body, _ in answers if status != 201]
    assert len(made) == 2, refused
    assert set(refused) == {"policy.max_concurrent"}, refused
    for run in made:
        replicas.final(run["id"])


def test_a_rolling_restart_hands_over_at_once(replicas, place):
    runs = [replicas.submit(n, pause=1) for n in range(6)]
    for server in list(replicas.servers):
        name = re.findall(r"replica (\S+) takes part", server.log())[-1]
        assert server.stop() == 0
        kept = place[2].query(f"SELECT name FROM leases WHERE holder = '{name}'", replicas.database)
        assert (kept.returncode, kept.stdout) == (0, ""), "it gives back its leases, and does not let them run out"
        left = server.log()
        assert "taken over once its lease has ended" not in left
        server.start()
        eventually(lambda s=server: replicas.up(s), "it is back", 60)
    for n, run in enumerate(runs):
        replicas.check(n, run)
    assert replicas.marked() == list(range(6))
    replicas.verify()


def test_postgresql_restarts_in_the_middle(replicas, place):
    postgres = place[2]
    runs = [replicas.submit(n, pause=1) for n in range(3)]
    postgres.end(signal.SIGINT)
    time.sleep(LEASE)  # longer than anybody is sure of owning anything
    postgres.start()
    for n, run in enumerate(runs):
        replicas.check(n, run)
    # And every connection is cut at once.
    run = replicas.submit(3, pause=0.5)
    postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'oddjobd'")
    replicas.check(3, run)
    assert replicas.marked() == list(range(4))
    replicas.verify()


class Collector(socketserver.ThreadingTCPServer):
    """Speaks syslog over TCP (RFC 6587, counted octets); keeps which record came, from which process."""

    daemon_threads = True

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            length = b""
            while digit := self.rfile.read(1):
                if digit != b" ":
                    length += digit
                    continue
                message = self.rfile.read(int(length)).decode()
                self.server.heard.append((json.loads(message.split("\ufeff", 1)[1])["seq"], message.split(" ")[4]))
                length = b""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.heard = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


def test_a_collector_hears_each_record_once_whoever_sends_it(replicas):
    with Collector() as collector:
        for server in replicas.servers:
            assert server.stop() == 0
            server.config["audit"] = {"syslog": f"tcp://127.0.0.1:{collector.server_address[1]}"}
            server.start()
        replicas.ready()
        runs = [replicas.submit(n, replicas.servers[n % 3]) for n in range(6)]
        # The one that sends goes, in order; another goes on at once.
        sender = eventually(lambda: collector.heard and collector.heard[-1][1], "something is heard", 60)
        gone = next(s for s in replicas.servers if str(s.process.child.pid) == sender)
        assert gone.stop() == 0
        replicas.servers = [s for s in replicas.servers if s is not gone]
        runs += [replicas.submit(n, replicas.servers[n % 2]) for n in range(6, 9)]
        for n, run in enumerate(runs):
            replicas.check(n, run)
        end = replicas.verify()["events"]
        eventually(lambda: len(collector.heard) >= end, "all is heard", 60)
        assert [seq for seq, _ in collector.heard] == list(range(1, end + 1)), "each once, in order"
        assert len({pid for _, pid in collector.heard}) == 2, "by one at a time"
        collector.shutdown()


def test_a_dump_made_while_it_runs_is_restored(replicas, place, tmp_path):
    """docs/operations.md: pg_dump --format=custom, and pg_restore into an empty database."""
    postgres = place[2]
    before = replicas.submit(0)
    replicas.check(0, before)
    under_way = replicas.submit(1, lines=20, pause=0.5)
    replicas.ask(lambda s: ((r := s.api("ann").get(f"/api/v1/runs/{under_way}"))[1].get("state") == "running" and 200, *r[1:]), "it runs")
    dump = str(tmp_path / "dump")
    as_postgres = ["-h", str(postgres.folder), "-U", "postgres"]
    subprocess.run(["pg_dump", *as_postgres, "--format=custom", "--file", dump, replicas.database], check=True, timeout=60)
    after = replicas.submit(2)
    replicas.check(2, after)
    for server in replicas.servers:
        server.process.kill()
    url = postgres.create(f"{replicas.database}_restored")
    subprocess.run(["pg_restore", *as_postgres, "--dbname", f"{replicas.database}_restored", dump], check=True, timeout=60)
    for server in replicas.servers:
        server.config["database"]["url"] = url
        server.start()
    replicas.ready()
    final = replicas.final(under_way)
    assert (final["state"], final["exitCode"], final["logComplete"]) == ("failed", 1, True), final
    log = replicas.ask(lambda s: s.api("ann").get(f"/api/v1/runs/{under_way}/log"), "the log is read")
    assert log.decode() == replicas.output(1, 20), "from the dump's end on it was read again"
    replicas.check(0, before)
    assert replicas.servers[0].api("ann").get(f"/api/v1/runs/{after}")[0] == 404, "the dump does not know it"
    assert replicas.marked() == [0, 1, 2], "nothing ran again"
    replicas.verify()
