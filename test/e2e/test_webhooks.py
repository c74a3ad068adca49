"""Webhooks: what a receiver gets, that it can tell it from a forgery, and that none is lost."""

import http.server
import json
import re
import ssl
import subprocess
import threading
import time

import pytest

import harness
from harness import FINAL, eventually, workload

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def documented_verify():
    """The receiver's code as docs/webhooks.md shows it."""
    text = (harness.ROOT / "docs" / "webhooks.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    scope = {}
    exec(code, scope)
    return scope["verify"]


class Receiver:
    """Takes messages as long as `up`; keeps them with their headers."""

    def __init__(self, certificate=None):
        self.up, self.taken, self.attempts = True, [], 0
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.attempts += 1
                if receiver.up:
                    receiver.taken.append((dict(self.headers.items()), body))
                self.send_response(204 if receiver.up else 503)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.url = self.url.replace("http://", "https://")
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def types(self, run=None):
        events = [json.loads(body) for _, body in self.taken]
        return [e["type"] for e in events if run is None or e["run"]["id"] == run]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def told(own_server, receiver, tmp_path, cluster):
    """A server that tells the receiver."""
    cluster.apply(workload("told", {"oddjob.dev/allowed-teams": "payments", "oddjob.dev/approval": "required",
                                    "oddjob.dev/approver-users": "bob", "oddjob.dev/allow-env": "*",
                                    "oddjob.dev/break-glass-teams": "payments"}, replicas=0))
    (tmp_path / "secret").write_text(SECRET + "\n")
    own_server.config["hooks"] = [{"name": "chat", "url": receiver.url, "secretFile": str(tmp_path / "secret")}]
    own_server.start()
    return own_server


def ask(server, **more):
    def attempt():
        status, body, _ = server.api("ann").post("/api/v1/runs", dict(
            {"namespace": "default", "workload": "deploy/told", "command": ["sh", "-c", "echo hi; exit 3"],
             "env": [{"name": "PASSWORD", "value": "hunter2hunter2"}]}, **more))
        return body if status == 201 else None
    return eventually(attempt, "the run is accepted")


def test_a_run_is_told_in_order_signed_and_without_secrets(told, receiver):
    run = ask(told, reason="ticket 42")
    eventually(lambda: "run.requested" in receiver.types(run["id"]), "it is told")
    status, body, _ = told.api("bob").post(f"/api/v1/runs/{run['id']}/approve", {"digest": run["digest"], "reason": "ok"})
    assert status == 200, body
    eventually(lambda: "run.finished" in receiver.types(run["id"]), "its end is told", 60)
    assert receiver.types(run["id"]) == ["run.requested", "run.approved", "run.started", "run.finished"]
    verify, seen = documented_verify(), set()
    for headers, message in receiver.taken:
        assert verify(SECRET, headers, message, seen), headers
        assert b"hunter2" not in message and b"PASSWORD" not in message
    requested, approved, _, finished = [json.loads(message) for _, message in receiver.taken]
    assert requested["run"]["approval"]["approverUsers"] == ["bob"] and requested["run"]["reason"] == "ticket 42"
    assert approved["actor"] == "bob" and approved["detail"]["complete"] is True
    assert finished["detail"]["exitCode"] == 3


def test_a_denial_broken_glass_and_tampering_are_told(told, receiver, cluster):
    run = ask(told)
    told.api("bob").post(f"/api/v1/runs/{run['id']}/deny", {"reason": "no"})
    eventually(lambda: receiver.types(run["id"]) == ["run.requested", "run.denied", "run.finished"], "the denial is told")
    run = ask(told, breakGlass=True, reason="down")
    eventually(lambda: "run.break_glass" in receiver.types(run["id"]), "broken glass is told")
    assert "run.requested" not in receiver.types(run["id"])
    run = ask(told)
    eventually(lambda: told.api("ann").get(f"/api/v1/runs/{run['id']}")[1].get("jobUid"), "its Job is recorded")
    cluster.kubectl("patch", "job", run["jobName"], "--type=merge", "-p", '{"spec":{"suspend":false}}')
    eventually(lambda: "run.tampered" in receiver.types(run["id"]), "tampering is told")


def test_a_forged_an_altered_and_a_replayed_message_are_known(told, receiver):
    ask(told)
    headers, body = eventually(lambda: receiver.taken and receiver.taken[0], "it is told")
    verify = documented_verify()
    assert not verify("whsec_" + "A" * 32, headers, body, set()), "another secret"
    assert not verify(SECRET, headers, body.replace(b"ann", b"eve"), set()), "an altered body"
    assert not verify(SECRET, dict(headers, **{"Webhook-Id": "evt_other"}), body, set()), "an altered id"
    assert not verify(SECRET, headers, body, set(), now=time.time() + 3600), "sent again an hour later"
    fresh = dict(headers, **{"Webhook-Timestamp": str(int(time.time()) + 1)})
    assert not verify(SECRET, fresh, body, set()), "with a new timestamp"
    seen = set()
    assert verify(SECRET, headers, body, seen)
    assert not verify(SECRET, headers, body, seen), "sent again at once"


def test_what_was_not_taken_is_told_after_a_kill_of_the_server(told, receiver):
    receiver.up = False
    run = ask(told)
    eventually(lambda: receiver.attempts >= 2, "it is tried again")
    told.process.kill()
    receiver.up = True
    told.start()
    eventually(lambda: "run.requested" in receiver.types(run["id"]), "it is told after all")
    told.oddjob("ann", "cancel", run["id"])
    eventually(lambda: receiver.types(run["id"])[-1] == "run.finished", "and so is what comes next")


def test_the_receivers_certificate_is_checked(own_server, tmp_path, cluster):
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                           "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                           "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")], capture_output=True)
    assert made.returncode == 0, made.stderr
    trusted, other = Receiver(tmp_path), Receiver(tmp_path)
    try:
        (tmp_path / "secret").write_text(SECRET + "\n")
        hook = {"secretFile": str(tmp_path / "secret"), "events": ["run.requested"]}
        own_server.config["hooks"] = [dict(hook, name="trusted", url=trusted.url, caFile=str(tmp_path / "cert.pem")),
                                      dict(hook, name="other", url=other.url)]
        own_server.start()
        done = eventually(lambda: (d := own_server.oddjob("ann", "run", "deploy/payments", "--", "true")).code == 0 and d,
                          "a run")
        assert done.code == 0
        eventually(lambda: trusted.taken, "the receiver that is trusted is told")
        eventually(lambda: "webhook other" in own_server.log(), "the server says that it could not tell the other one")
        assert not other.taken
    finally:
        trusted.close()
        other.close()


@pytest.mark.parametrize("hook,words", [
    ({"name": "x", "url": "http://hooks.example.com/"}, "only for this machine"),
    ({"name": "x", "url": "https://hooks.example.com/", "secretFile": "s", "events": ["run.exploded"]}, "run.requested"),
    ({"name": "x", "url": "https://hooks.example.com/"}, "secretFile"),
    ({"name": "X y", "url": "https://hooks.example.com/", "secretFile": "s"}, "name"),
    ({"name": "x", "url": "https://hooks.example.com/", "secretFile": "s", "colour": "red"}, "colour"),
])
def test_a_bad_configuration_is_named(tmp_path, hook, words):
    path = tmp_path / "server.yaml"
    path.write_text(json.dumps({"hooks": [hook]}))
    done = harness.run([harness.ODDJOBD, "check-config", str(path)])
    assert done.code != 0 and words in done.err and "hooks" in done.err, done
