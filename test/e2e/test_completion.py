"""Tab in real shells, in a terminal, against a real server and the sample workloads."""

import os
import pathlib
import pty
import re
import select
import signal
import time

import pytest
import yaml

import harness
from harness import ODDJOB, Process, eventually, run


class Dev:
    """`oddjobd dev`: with the sample workloads, whose images are layouts that it makes."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        ready = self.folder / "ready"
        self.process = Process([harness.ODDJOBD, "dev", "--directory", str(self.folder / "state"), "--ready-file",
                                str(ready)], self.folder / "dev.log")
        eventually(lambda: ready.exists() or not self.process.alive(), "dev is ready", 90)
        assert self.process.alive(), self.process.log.read_text()[-4000:]
        self.config = str(self.folder / "state" / "oddjob.yaml")
        self.kubeconfig = str(self.folder / "state" / "kubeconfig")

    def environment(self, **more):
        path = f"{harness.BIN}:{os.environ['PATH']}"
        return dict(os.environ, ODDJOB_CONFIG=self.config, KUBECONFIG=self.kubeconfig, PATH=path, NO_COLOR="1", **more)

    def oddjob(self, *args, seconds=60):
        return run([ODDJOB, *args], self.environment(), seconds)

    def complete(self, *words, shell="zsh"):
        return self.oddjob("__complete", "--shell", shell, "--", *words).out.splitlines()


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    dev = Dev(tmp_path_factory.mktemp("dev"))
    listed = dev.oddjob("image", "files", "deploy/payments", seconds=90)
    assert listed.code == 0, listed
    yield dev
    dev.process.stop()


CSI = re.compile(rb"\x1b(\[[0-9;?]*[ -/]*[@-~]|[\]P][^\x07\x1b]*(\x07|\x1b\\)|[()][0-9A-B]|[=>78DEHM])")


class Terminal:
    """A shell on a pseudo-terminal: types, and sees what a person sees, roughly."""

    def __init__(self, argv, environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, environment)
        self.seen = b""

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def read(self, seconds=0.1):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                chunk = os.read(self.fd, 65536)
            except OSError:
                return
            # Some shells ask what the terminal is and wait for an answer.
            if b"\x1b[c" in chunk or b"\x1b[0c" in chunk:
                os.write(self.fd, b"\x1b[?62;c")
            self.seen += chunk

    def text(self):
        return CSI.sub(b"", self.seen).replace(b"\r", b"").replace(b"\b", b"").decode(errors="replace")

    def until(self, what, seconds=60):
        deadline = time.monotonic() + seconds
        pattern = re.compile(what)
        while not pattern.search(self.text()):
            assert time.monotonic() < deadline, f"not seen: {what}\n{self.text()[-3000:]}"
            self.read()
        return self.text()

    def clear(self):
        for _ in range(5):
            self.read(0.05)
        self.seen = b""

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def shell(name, dev, folder):
    home = pathlib.Path(folder)
    environment = dev.environment(HOME=str(home), TERM="xterm", PS1="> ", XDG_CONFIG_HOME=str(home / ".config"))
    environment.pop("PROMPT_COMMAND", None)
    script = dev.oddjob("completion", name).out
    if name == "bash":
        rc = home / "rc"
        rc.write_text(f"bind 'set show-all-if-ambiguous on'; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'\nPS1='> '\n{script}\n")
        argv = ["bash", "--norc", "--noprofile", "--rcfile", str(rc), "-i"]
        argv = ["bash", "--noprofile", "--rcfile", str(rc), "-i"]
    elif name == "zsh":
        (home / ".zshrc").write_text(f"autoload -U compinit; compinit -u -D\nPS1='> '\nunsetopt beep\n{script}\n")
        environment["ZDOTDIR"] = str(home)
        argv = ["zsh", "-i"]
    else:
        there = home / ".config" / "fish" / "completions"
        there.mkdir(parents=True)
        (there / "oddjob.fish").write_text(script)
        (home / ".config" / "fish" / "config.fish").write_text(
            "function fish_prompt; echo '> '; end\nset -g fish_greeting\nset -g fish_autosuggestion_enabled 0\n")
        argv = ["fish", "-i"]
    terminal = Terminal(argv, environment)
    terminal.until(r"> ", 60)
    terminal.clear()
    return terminal


SHELLS = ["bash", "zsh", "fish"]


@pytest.mark.parametrize("name", SHELLS)
def test_tab_finds_the_script_and_the_command_runs(name, dev, tmp_path):
    t = shell(name, dev, tmp_path)
    try:
        t.type("oddjob run deploy/p\t")
        t.until(r"oddjob run deploy/payments")
        t.type("-- payments-ad\t")
        t.until(r"-- +payments-admin ")
        t.type("scr\t")
        t.until(r"payments-admin +scripts/")  # zsh writes a space twice
        t.type("rec\t")
        t.until(r"scripts/reconcile\.sh")
        t.type("\r")
        t.until(r"payments-admin: scripts/reconcile\.sh", 90)
    finally:
        t.close()


@pytest.mark.parametrize("name", SHELLS)
def test_tab_shows_what_there_is_and_keeps_silent_about_the_rest(name, dev, tmp_path):
    t = shell(name, dev, tmp_path)
    try:
        t.type("oddjob run deploy/payments -- sh scripts/backf\t\t")
        seen = t.until(r"backfill-refunds\.sh")
        assert "backfill.sh" in seen
        t.type("\x15")
        t.clear()
        # Nothing is known: nothing appears, no error, and the line is still there to go on with.
        t.type("oddjob --context nobody run deploy/payments -- sh scr\t")
        t.type("X")
        seen = t.until(r"scrX")
        assert "rror" not in seen and "oddjob:" not in seen, seen
    finally:
        t.close()


def test_what_is_offered_depends_on_place_and_person(dev):
    assert dev.complete("run", "") == ["deploy/ledger", "deploy/payments", "template/backfill"]
    assert dev.complete("--context", "bob", "run", "") == ["deploy/reports"]
    assert dev.complete("run", "deploy/payments", "--", "sh", "scr") == ["scripts/"]
    assert dev.complete("run", "deploy/payments", "--", "sh", "'scr") == ["scripts/"]
    assert "sh" in dev.complete("run", "deploy/payments", "--", "s")
    assert dev.complete("run", "deploy/payments", "--", "env", "A=b", "payments") == ["payments-admin"]
    assert dev.complete("run", "deploy/payments", "--", "cat", "config/l") == ["config/limits.conf"]
    assert dev.complete("run", "deploy/payments", "--", "cat", "--file=config/l") == ["--file=config/limits.conf"]
    assert dev.complete("run", "deploy/payments", "--", "cat", "/etc/pass") == ["/etc/passwd"]
    assert dev.complete("run", "deploy/payments", "--sidecars", "n") == ["native"]
    assert dev.complete("run", "deploy/payments", "--sidecars=n") == ["--sidecars=native"]
    for words in (("run", "deploy/payments", "--", "sh", "-"), ("run", "deploy/payments", "--", "sh", "-c", "scr"),
                  ("run", "deploy/legacy", "--", "s"), ("--context", "bob", "run", "deploy/payments", "--", "s"),
                  ("run", "no/such/thing", "--", "s"), ("run", "--", "s"), ("run", "deploy/payments", "--", "cat", "nope")):
        assert dev.complete(*words) == [], words


def test_a_completion_ends_in_time_when_nobody_answers(dev, tmp_path):
    import socket
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        environment = dev.environment(ODDJOB_SERVER=f"http://127.0.0.1:{silent.getsockname()[1]}", ODDJOB_TOKEN="x" * 32)
        began = time.monotonic()
        done = run([ODDJOB, "__complete", "--shell", "bash", "--", "run", "deploy/payments", "--", "s"], environment)
        assert (done.code, done.out, done.err) == (0, "", ""), done
        assert time.monotonic() - began < 10  # 0.3 s and what a busy machine adds


def test_image_commands_show_the_same(dev):
    files = dev.oddjob("image", "files", "deploy/payments", "scripts")
    assert files.out.splitlines() == ["backfill-refunds.sh", "backfill.sh", "migrate.sh", "reconcile.sh"], files
    wide = dev.oddjob("image", "files", "deploy/payments", "/", "-o", "wide")
    assert re.search(r"lrwxrwxrwx +0:0 +\d+ +bin -> usr/bin", wide.out), wide
    found = dev.oddjob("image", "files", "deploy/payments", "--search", "bkfl")
    assert "/app/scripts/backfill.sh" in found.out.splitlines(), found
    listed = dev.oddjob("image", "ls")
    assert re.search(r"deploy/payments +app +ready +\d+", listed.out), listed
    assert "legacy" not in listed.out and "reports" not in listed.out
    status = dev.oddjob("image", "status", "deploy/payments")
    assert status.code == 0 and re.search(r"Index: +\d+ paths", status.out) and "@sha256:" in status.out, status
    missing = dev.oddjob("image", "files", "deploy/payments", "nope")
    assert missing.code == 125 and "nope" in missing.err, missing
    refused = dev.oddjob("--context", "bob", "image", "files", "deploy/payments")
    assert refused.code == 125 and "bob may not run anything" in refused.err, refused


def api_of(dev, who):
    contexts = {c["name"]: c for c in yaml.safe_load(pathlib.Path(dev.config).read_text())["contexts"]}
    return harness.Api(contexts[who]["server"], contexts[who]["token"])


def test_the_api_tags_its_answers_and_refuses_who_may_not_run(dev):
    ann, bob = api_of(dev, "ann"), api_of(dev, "bob")
    path = "/api/v1/files?workload=deploy/payments&word=sh&prefix=scr"
    status, body, headers = ann.get(path)
    assert status == 200 and [i["text"] for i in body["items"]] == ["scripts/"] and body["workingDir"] == "/app"
    assert ann.get(path, headers={"If-None-Match": headers["ETag"]})[0] == 304
    assert ann.get(path + "x", headers={"If-None-Match": headers["ETag"]})[0] == 200  # another answer
    status, body, _ = bob.get(path)
    assert status == 403 and body["code"] == "policy.not_allowed"
    assert bob.get("/api/v1/images?workload=deploy/payments")[0] == 403
    assert ann.get("/api/v1/files?workload=deploy/nothing")[0] == 404
    assert ann.get("/api/v1/files?workload=deploy/payments&mode=sing")[0] == 400
    assert ann.get("/api/v1/files")[0] == 400
    assert "oddjob_image_indexes" in ann.get("/metrics")[1].decode()


def test_listing_is_audited_where_the_workload_asks_for_it(dev):
    ann, admin = api_of(dev, "ann"), api_of(dev, "admin")
    listed = lambda: admin.get("/api/v1/audit?type=files.listed&order=newest")[1]["items"]
    assert listed() == []
    set_to = lambda value: run(["kubectl", "annotate", "--overwrite", "deploy/payments", f"oddjob.dev/audit-files{value}"],
                               dev.environment())
    assert set_to("=true").code == 0
    try:
        path = "/api/v1/files?workload=deploy/payments&word=sh&prefix=scr"
        eventually(lambda: ann.get(path)[0] == 200 and listed(), "a listing is on record", 30)
        record = listed()[0]
        assert record["actor"] == "ann" and record["detail"]["workload"] == "deploy/payments", record
        assert record["detail"]["prefix"] == "scr"
    finally:
        set_to("-")
