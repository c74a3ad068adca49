"""What goes wrong around the server: a database that can't be written, a cluster that is away or talks nonsense."""

import http.server
import json
import sqlite3
import threading

import pytest
import yaml

import harness
from harness import FINAL, eventually


def test_a_locked_database_refuses_the_run(own_server, cluster):
    own_server.start()
    before = len(cluster.get("jobs")["items"])
    lock = sqlite3.connect(own_server.database, isolation_level=None)
    lock.execute("begin immediate")
    try:
        done = own_server.oddjob("ann", "run", "deploy/payments", "--", "true", seconds=120,
                                 extra={"ODDJOB_SUBMIT_DEADLINE": "5s"})
    finally:
        lock.execute("rollback")
        lock.close()
    assert done.code == 125 and "database" in done.err and "lock" in done.err, done
    assert len(cluster.get("jobs")["items"]) == before
    assert own_server.oddjob("ann", "run", "deploy/payments", "--", "true").code == 0


def test_a_kubeconfig_that_is_no_yaml(own_server):
    bad = own_server.folder / "bad-kubeconfig"
    bad.write_text("clusters: [\n  - name: x\n :::")
    own_server.config["kubernetes"]["kubeconfig"] = str(bad)
    own_server.start(wait=False)
    assert own_server.process.child.wait(20) != 0
    assert "bad-kubeconfig" in own_server.log() and "line" in own_server.log()


class Nonsense(http.server.BaseHTTPRequestHandler):
    """An 'API server' that answers everything with a login page."""

    def do_GET(self):
        body = b"<html><body>Please sign in</body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args):
        pass


class HalfADocument(Nonsense):
    """It promises a document, and hangs up in the middle of it."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"kind": "Deployment", "metadata": {"name": ')
        self.close_connection = True

    do_POST = do_GET


class NoEnd(Nonsense):
    """A document that never ends."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        try:
            self.wfile.write(b'{"kind": "Deployment", "metadata": {"name": "')
            while True:
                self.wfile.write(b"x" * (1 << 20))
        except OSError:
            self.close_connection = True

    do_POST = do_GET


def kubeconfig_for(path, url):
    path.write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": url}}], "users": [{"name": "x", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}]}))


def test_an_api_server_that_answers_html(own_server):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nonsense) as fake:
        threading.Thread(target=fake.serve_forever, daemon=True).start()
        path = own_server.folder / "kubeconfig"
        kubeconfig_for(path, f"http://127.0.0.1:{fake.server_port}")
        own_server.config["kubernetes"]["kubeconfig"] = str(path)
        own_server.start()
        done = own_server.oddjob("ann", "run", "deploy/payments", "--", "true", seconds=120,
                                 extra={"ODDJOB_SUBMIT_DEADLINE": "5s"})
        assert done.code == 125 and "text/html" in done.err, done
        status, _, _ = own_server.api(None).get("/readyz")
        assert status == 503
        fake.shutdown()


@pytest.mark.parametrize("nonsense,words", [(HalfADocument, []), (NoEnd, ["bytes"])])
def test_an_api_server_whose_documents_have_no_end(own_server, nonsense, words):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), nonsense) as fake:
        threading.Thread(target=fake.serve_forever, daemon=True).start()
        path = own_server.folder / "kubeconfig"
        kubeconfig_for(path, f"http://127.0.0.1:{fake.server_port}")
        own_server.config["kubernetes"]["kubeconfig"] = str(path)
        own_server.start()
        done = own_server.oddjob("ann", "run", "deploy/payments", "--", "true", extra={"ODDJOB_SUBMIT_DEADLINE": "5s"})
        assert done.code == 125 and f"127.0.0.1:{fake.server_port}" in done.err, done
        assert all(word in done.err for word in words), done
        assert own_server.api(None).get("/readyz")[0] == 503
        with open(f"/proc/{own_server.process.child.pid}/status") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        assert peak < 1_000_000, f"peak {peak} kB"  # at most 64 MiB of each of the answers under way
        fake.shutdown()


def test_an_api_server_that_is_down(own_server):
    path = own_server.folder / "kubeconfig"
    kubeconfig_for(path, "http://127.0.0.1:1")
    own_server.config["kubernetes"]["kubeconfig"] = str(path)
    own_server.start()
    done = own_server.oddjob("ann", "run", "deploy/payments", "--", "true", seconds=120,
                             extra={"ODDJOB_SUBMIT_DEADLINE": "5s"})
    assert done.code == 125 and "127.0.0.1:1" in done.err, done


def test_the_job_is_deleted_by_somebody_else(server, cluster):
    done = server.oddjob("ann", "run", "deploy/payments", "--detach", "-o", "json", "--", "sh", "-c",
                         "echo up; sleep 600")
    run = json.loads(done.out)
    api = server.api("ann")
    eventually(lambda: api.get(f"/api/v1/runs/{run['id']}")[1]["logBytes"] > 0, "the first line is archived")
    assert cluster.kubectl("delete", "job", run["jobName"]).code == 0
    final = eventually(lambda: (r := api.get(f"/api/v1/runs/{run['id']}")[1])["state"] in FINAL and r, "the run ends")
    assert final["state"] == "lost" and "deleted" in final["message"], final
    assert server.oddjob("ann", "logs", run["id"]).out == "up\n"


def test_a_hundred_runs_at_once_each_end_once_and_right(server, cluster):
    api = server.api("ann")
    ids = []
    for i in range(100):
        status, run, _ = api.post("/api/v1/runs", {"namespace": "default", "workload": "deploy/payments",
                                                   "command": ["sh", "-c", f"echo run {i}; exit {i % 7}"]})
        assert status == 201, run
        ids.append(run["id"])
    for i, run in enumerate(ids):
        final = eventually(lambda: (r := api.get(f"/api/v1/runs/{run}")[1])["state"] in FINAL and r, "it ends", 120)
        assert final["exitCode"] == i % 7, final
        assert api.get(f"/api/v1/runs/{run}/log")[1] == f"run {i}\n".encode()
    verdict = json.loads(server.oddjob("root", "audit", "verify", "-o", "json").out)
    assert verdict["ok"], verdict


def test_the_audit_names_a_record_that_was_altered(own_server, cluster):
    own_server.start()
    for i in range(3):
        assert own_server.oddjob("ann", "run", "deploy/payments", "--", "echo", str(i)).code == 0
    done = own_server.oddjob("root", "audit", "verify")
    assert done.code == 0, done
    own_server.stop()
    with sqlite3.connect(own_server.database) as database:
        for (trigger,) in database.execute("select name from sqlite_master where type='trigger'").fetchall():
            database.execute(f"drop trigger {trigger}")
        database.execute("update audit set actor='mallory' where seq=4")
    own_server.start()
    done = own_server.oddjob("root", "audit", "verify")
    assert done.code == 1, done
    assert "4" in done.out + done.err, done
