"""What every test that starts programs needs: bounded waits, processes that are
ended by their id, commands whose output is kept, and kubectl on some cluster."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import time

import yaml


def eventually(condition, what, seconds=60.0, step=0.05):
    """The first true value of condition(); fails with `what` when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(step)


@dataclasses.dataclass
class Done:
    code: int
    out: str
    err: str
    raw: bytes

    def __str__(self):
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Process:
    """A child that is ended, by its id, when the `with` is left."""

    def __init__(self, argv, log, environment=None):
        self.log = pathlib.Path(log)
        self.file = self.log.open("ab")
        self.child = subprocess.Popen(argv, stdout=self.file, stderr=self.file, stdin=subprocess.DEVNULL,
                                      env=environment)

    def alive(self):
        return self.child.poll() is None

    def kill(self):
        if self.alive():
            self.child.send_signal(signal.SIGKILL)
        self.child.wait()
        self.file.close()

    def stop(self, seconds=20):
        if self.alive():
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"no end {seconds} s after SIGTERM; log: {self.log.read_text()[-2000:]}")
        self.file.close()
        return self.child.returncode


def run(argv, environment=None, seconds=120, stdin=None):
    done = subprocess.run(argv, env=environment, capture_output=True, timeout=seconds,
                          input=stdin if stdin is not None else b"")
    return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"),
                done.stdout)


class Kubectl:
    """kubectl with the kubeconfig of whoever inherits this."""

    kubeconfig = None
    kubectl_program = "kubectl"

    def kubectl(self, *args, stdin=None, seconds=60, kubeconfig=None):
        environment = dict(os.environ, KUBECONFIG=str(kubeconfig or self.kubeconfig))
        return run([self.kubectl_program, *args], environment, seconds, stdin.encode() if stdin else None)

    def apply(self, *objects, namespace="default"):
        text = "\n---\n".join(yaml.safe_dump(o) for o in objects)
        done = self.kubectl("-n", namespace, "apply", "-f", "-", stdin=text)
        assert done.code == 0, done

    def get(self, *args, namespace="default"):
        done = self.kubectl("-n", namespace, "get", *args, "-o", "json")
        assert done.code == 0, done
        return json.loads(done.out)
