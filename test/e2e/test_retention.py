"""Retention: logs that are not to be kept any more go, are said to be gone, and nothing else goes."""

import re
import signal
import sqlite3

import yaml

from harness import eventually


def metric(server, name):
    text = server.api(None).call("GET", "/metrics")[1].decode()
    found = re.search(rf"^{name} (\S+)$", text, re.M)
    return float(found.group(1)) if found else None


def reload(server, config):
    server.config["retention"] = config
    (server.folder / "server.yaml").write_text(yaml.safe_dump(server.config))
    server.process.child.send_signal(signal.SIGHUP)


def run(server, script, *more):
    done = server.oddjob("ann", "run", *more, "-o", "name", "deploy/payments", "--", "sh", "-c", script)
    return re.search(r"run/([0-9a-z]{20})", done.out + done.err).group(1)


def test_dropped_logs_are_said_to_be_dropped_and_by_what(own_server):
    server = own_server.start()
    eventually(lambda: server.api(None).get("/readyz")[0] == 200, "it is ready", 60)
    old = run(server, "head -c 60000 /dev/urandom", "--detach")
    eventually(lambda: server.api("ann").get(f"/api/v1/runs/{old}")[1]["state"] == "succeeded", "it ends", 60)
    young = run(server, "echo young", "--detach")
    eventually(lambda: server.api("ann").get(f"/api/v1/runs/{young}")[1]["state"] == "succeeded", "it ends", 60)

    # Too much together: the oldest goes.
    reload(server, {"logMaxBytes": 20000})
    eventually(lambda: server.api("ann").get(f"/api/v1/runs/{old}/log")[0] == 410, "the log is dropped", 60)
    status, problem, _ = server.api("ann").get(f"/api/v1/runs/{old}/log")
    assert problem["code"] == "store.log_dropped", problem
    assert re.search(r"60000 bytes.*retention\.logMaxBytes dropped it at 20\d\d-", problem["detail"]), problem
    said = server.oddjob("ann", "logs", old)
    assert said.code == 125 and "retention.logMaxBytes" in said.err and said.out == "", said
    said = server.oddjob("ann", "logs", "-f", old)
    assert said.code == 125 and "retention.logMaxBytes" in said.err, said
    assert server.oddjob("ann", "logs", young).out == "young\n"
    shown = server.oddjob("ann", "show", old)
    assert re.search(r"60000 bytes, dropped at 20\S+ by retention\.logMaxBytes", shown.out), shown
    shown = server.oddjob("ann", "show", young)
    assert "bytes, complete" in shown.out and "dropped" not in shown.out, shown
    assert metric(server, "oddjob_logs_dropped_by_size_total") == 1
    assert metric(server, "oddjob_log_archive_bytes") < 20000
    told = server.oddjob("root", "audit", "list", "--run", old)
    assert "dropped its log of 60000 bytes, by retention.logMaxBytes" in told.out, told
    left = lambda: sqlite3.connect(server.database).execute("select count(*) from log_chunks where run_id = ?", [old]).fetchone()
    eventually(lambda: left() == (0,), "its bytes are gone", 60)

    # Too old: but what runs keeps all of its log.
    live = run(server, "echo begun; while [ ! -e /tmp/never ]; do sleep 0.2; done", "--detach")
    eventually(lambda: b"begun" in server.api("ann").call("GET", f"/api/v1/runs/{live}/log")[1], "it speaks", 60)
    reload(server, {"logMaxAge": "1ms"})
    eventually(lambda: server.api("ann").get(f"/api/v1/runs/{young}/log")[0] == 410, "the log is dropped", 60)
    assert "retention.logMaxAge" in server.oddjob("ann", "logs", young).err
    assert server.api("ann").call("GET", f"/api/v1/runs/{live}/log")[1] == b"begun\n"
    assert server.oddjob("ann", "cancel", live).code == 0
    assert server.oddjob("root", "audit", "verify").code == 0
    assert server.process.stop() == 0, server.log()
