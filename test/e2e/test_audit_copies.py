"""Copies of the audit outside the database, and checkpoints that prove more than the chain alone can."""

import contextlib
import json
import socket
import sqlite3
import ssl
import subprocess
import threading

import pytest

import harness
from harness import eventually


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for argv in (["genpkey", "-algorithm", "ed25519", "-out", "audit.key"],
                 ["pkey", "-pubout", "-in", "audit.key", "-out", "audit.pub"],
                 ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "tls.key",
                  "-out", "tls.crt", "-days", "2", "-subj", "/CN=collector", "-addext", "subjectAltName=IP:127.0.0.1"]):
        subprocess.run(["openssl", *argv], cwd=folder, check=True, capture_output=True)
    return folder


class Collector:
    """Speaks syslog over TLS (RFC 5425) and keeps the messages."""

    def __init__(self, folder):
        self.messages = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, args=(context,), daemon=True)
        self._thread.start()

    def _serve(self, context):
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._socket.accept()
                with contextlib.suppress(OSError, ValueError), context.wrap_socket(caller, server_side=True) as stream:
                    reader, length = stream.makefile("rb"), b""
                    while digit := reader.read(1):
                        if digit != b" ":
                            length += digit
                            continue
                        self.messages.append(reader.read(int(length)).decode())
                        length = b""

    def close(self):
        self._socket.close()


def run(server, code=0):
    done = server.oddjob("ann", "run", "deploy/payments", "--", "sh", "-c", f"exit {code}")
    assert done.code == code, done


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_copies_are_whole_and_a_checkpoint_tells_a_rewritten_chain(own_server, key, tmp_path):
    collector, copy = Collector(key), tmp_path / "audit.jsonl"
    own_server.config["audit"] = {
        "file": str(copy), "syslog": f"tls://127.0.0.1:{collector.port}", "syslogCaFile": str(key / "tls.crt"),
        "checkpointKeyFile": str(key / "audit.key"), "checkpointName": "shop.example.org"}
    own_server.start()
    run(own_server)
    run(own_server, 3)
    stored = lambda: own_server.api().get("/api/v1/audit?limit=500")[1]["items"]
    eventually(lambda: records(copy) == stored() if copy.exists() else False, "the file has every record")
    eventually(lambda: [json.loads(m.split("\ufeff", 1)[1]) for m in collector.messages
                        if " audit.checkpoint - " not in m] == stored(), "the collector has every record")
    public = ["--public-key", str(key / "audit.pub")]
    checked = own_server.oddjob("eve", "audit", "checkpoint")
    assert checked.code == 0 and checked.out.startswith("shop.example.org\n"), checked
    kept = tmp_path / "kept.txt"
    kept.write_text(checked.out)
    for where in ([], [str(copy)], [str(copy), "--checkpoint", str(copy) + ".checkpoint", *public],
                  ["--checkpoint", str(kept), *public]):
        done = own_server.oddjob("eve", "audit", "verify", *where)
        assert done.code == 0 and "The audit is whole" in done.out, (where, done)
        assert ("has its hash" in done.out) == ("--checkpoint" in where), done
    assert own_server.oddjob("ann", "audit", "checkpoint").code == 125, "not an auditor"

    # A restart goes on where the copies end.
    own_server.process.kill()
    own_server.start()
    run(own_server)
    eventually(lambda: records(copy) == stored(), "the file goes on")
    eventually(lambda: stored()[-1]["hash"] in "".join(collector.messages[-3:]), "the collector goes on")

    # Somebody with the database makes a new chain, whole in itself.
    own_server.stop()
    with contextlib.closing(sqlite3.connect(own_server.database)) as db, db:
        for (name,) in db.execute("select name from sqlite_master where type='trigger'").fetchall():
            db.execute(f"drop trigger {name}")
        db.execute("delete from audit where seq > 1")
        db.execute("update audit_head set seq = 1, hash = (select hash from audit where seq = 1)")
    own_server.start()
    verdict = own_server.oddjob("eve", "audit", "verify")
    assert verdict.code == 0, "the chain alone does not tell"
    verdict = own_server.oddjob("eve", "audit", "verify", "--checkpoint", str(kept), *public)
    assert verdict.code == 1 and "BROKEN" in verdict.err and "which the checkpoint of" in verdict.err, verdict
    # And the copy is not gone on with.
    eventually(lambda: 'is not the database\'s' in own_server.log(), "the server says so")
    metrics = own_server.api(None).get("/metrics")[1]
    assert b"oddjob_audit_file_failing 1" in metrics, metrics[-2000:]
    collector.close()


def test_a_collector_with_a_certificate_of_somebody_else_gets_nothing(own_server, key):
    collector = Collector(key)
    own_server.config["audit"] = {"syslog": f"tls://127.0.0.1:{collector.port}"}
    own_server.start()
    run(own_server)
    eventually(lambda: "the audit's copy (syslog)" in own_server.log(), "the server says that it is not taken")
    assert "certificate" in own_server.log() and collector.messages == []
    collector.close()


def test_without_a_key_there_are_no_checkpoints(server, tmp_path):
    done = server.oddjob("eve", "audit", "checkpoint")
    assert done.code == 125 and "signs no checkpoints" in done.err and "audit.checkpointKeyFile" in done.err, done
    done = server.oddjob("eve", "audit", "verify", "--checkpoint", str(tmp_path / "x"))
    assert done.code == 125 and "go together" in done.err, done
