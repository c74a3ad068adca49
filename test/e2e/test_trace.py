"""W3C Trace Context: a run is found by the trace of whoever asked for it."""

import http.server
import json
import re
import threading

import pytest

from harness import eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def ready(server):
    eventually(lambda: server.api(None).get("/readyz")[0] == 200, "the server has the cluster in view", 60)
    return server


@pytest.fixture
def traced(own_server):
    own_server.config["log"] = {"format": "json"}
    return ready(own_server.start())


def lines(server):
    found = []
    for line in server.log().splitlines():
        found.append(json.loads(line))
    return found


def requested(server, run_id):
    status, page, _ = server.api().get(f"/api/v1/audit?run={run_id}")
    assert status == 200, page
    return next(e for e in page["items"] if e["type"] == "run.requested")["detail"]


def test_the_trace_of_the_caller_is_recorded_and_logged(traced):
    body = {"namespace": "default", "workload": "deploy/payments", "command": ["true"]}
    status, run, _ = traced.api("ann").post("/api/v1/runs", body, headers={"traceparent": PARENT})
    assert status == 201, run
    recorded = requested(traced, run["id"])["traceparent"]
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", recorded) and recorded != PARENT, recorded
    asked = eventually(lambda: [x for x in lines(traced) if x.get("run") == run["id"] and x.get("trace") == TRACE], "the run's line")
    assert "asked for by ann" in asked[0]["message"]
    assert [x for x in lines(traced) if x.get("trace") == TRACE and x["message"].startswith("POST /api/v1/runs 201")]
    eventually(lambda: [x for x in lines(traced) if x.get("run") == run["id"] and "succeeded" in x["message"]], "its end", 60)


@pytest.mark.parametrize("bad", ["00-" + "0" * 32 + "-00f067aa0ba902b7-01", PARENT.upper(), PARENT + "-x", "nonsense"])
def test_what_is_no_traceparent_is_as_if_it_were_not_there(server, bad):
    ready(server)
    body = {"namespace": "default", "workload": "deploy/payments", "command": ["true"]}
    status, run, _ = server.api("ann").post("/api/v1/runs", body, headers={"traceparent": bad})
    assert status == 201, run
    recorded = requested(server, run["id"])["traceparent"]
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", recorded) and TRACE not in recorded.lower(), recorded


def test_the_command_line_takes_the_trace_of_its_environment(server):
    done = server.oddjob("ann", "run", "--detach", "-o", "name", "deploy/payments", "--", "env", extra={"TRACEPARENT": PARENT})
    assert done.code == 0, done
    run_id = done.out.strip().removeprefix("run/")
    assert TRACE in requested(server, run_id)["traceparent"]
    waited = server.oddjob("ann", "logs", "-f", run_id)
    assert waited.code == 0 and "TRACEPARENT" not in waited.out, waited
    other = server.oddjob("ann", "run", "--detach", "-o", "name", "deploy/payments", "--", "true")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", requested(server, other.out.strip().removeprefix("run/"))["traceparent"])


def test_it_is_passed_on_to_webhooks(own_server, tmp_path):
    heard = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((json.loads(body)["type"], self.headers.get("traceparent", "")))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    try:
        secret = tmp_path / "secret"
        secret.write_text("a secret of sufficient length\n")
        own_server.config["hooks"] = [{"name": "x", "url": f"http://127.0.0.1:{receiver.server_address[1]}/",
                                       "secretFile": str(secret)}]
        own_server.start()
        done = own_server.oddjob("ann", "run", "deploy/payments", "--", "true", extra={"TRACEPARENT": PARENT})
        assert done.code == 0, done
        told = eventually(lambda: [t for kind, t in heard if kind == "run.requested"], "the webhook is told", 60)
        assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", told[0]), heard
    finally:
        receiver.shutdown()
