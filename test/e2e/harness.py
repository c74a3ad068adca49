"""Starts the real programs and talks to them as their users do.

Everything runs on loopback, in temporary folders, on free ports; every wait has
a deadline; every process is ended by its id.
"""

import contextlib
import json
import os
import pathlib
import sqlite3
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "testing"))
from processes import Done, Kubectl, Process, eventually, run  # noqa: E402,F401

BIN = pathlib.Path(os.environ.get("ODDJOB_BIN", ROOT / "build" / "dev" / "bin"))
ODDJOB = str(BIN / "oddjob")
ODDJOBD = str(BIN / "oddjobd")
# On a cluster that is not of this machine, an image that has a POSIX shell there.
IMAGE = os.environ.get("ODDJOB_TEST_IMAGE", "example.org/app:1")
FINAL = {"succeeded", "failed", "timed_out", "cancelled", "lost", "denied", "expired"}


class DevCluster(Kubectl):
    """`oddjobd dev --cluster-only`: the Kubernetes API alone."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        ready = self.folder / "ready"
        self.process = Process([ODDJOBD, "dev", "--cluster-only", "--directory", str(self.folder / "cluster"),
                                "--ready-file", str(ready)], self.folder / "cluster.log")
        eventually(lambda: ready.exists() or not self.process.alive(), "the dev cluster is ready", 30)
        assert self.process.alive(), self.process.log.read_text()
        self.kubeconfig = str(self.folder / "cluster" / "kubeconfig")

    def stop(self):
        self.process.stop()


TOKENS = {
    "ann": {"user": "ann", "teams": ["payments"]},
    "bob": {"user": "bob"},
    "root": {"user": "root", "admin": True},
    "eve": {"user": "eve", "auditor": True},
}


def token_of(name):
    """At least as long as the server demands."""
    return f"{name}-token-of-these-tests"


class Server:
    """`oddjobd serve` against a cluster, with a database and static tokens of its own."""

    def __init__(self, folder, kubeconfig, name="server"):
        self.folder = pathlib.Path(folder)
        self.name = name
        self.database = self.folder / "oddjob.db"
        self.port = 0
        tokens = self.folder / "tokens.yaml"
        tokens.write_text(yaml.safe_dump({"tokens": [dict(token=token_of(n), **s) for n, s in TOKENS.items()]}))
        tokens.chmod(0o600)
        self.config = {
            "listen": {"address": "127.0.0.1", "port": 0},
            "database": {"url": f"sqlite:{self.database}"},
            "kubernetes": {"kubeconfig": str(kubeconfig)},
            "auth": {"staticTokensFile": str(tokens)},
            # The images that most tests name are on nobody's registry.
            "images": {"ahead": False},
        }
        self.process, self.prefix = None, []  # what goes before the program, such as `unshare`

    def start(self, environment=None, wait=True):
        path = self.folder / "server.yaml"
        path.write_text(yaml.safe_dump(self.config))
        ready = self.folder / "server.ready"
        ready.unlink(missing_ok=True)
        self.process = Process([*self.prefix, ODDJOBD, "serve", "--config", str(path), "--ready-file", str(ready)],
                               self.folder / f"{self.name}.log", dict(os.environ, **(environment or {})))
        if wait:
            eventually(lambda: ready.exists() or not self.process.alive(), "the server is ready", 30)
            assert self.process.alive(), self.process.log.read_text()[-4000:]
            self.url = ready.read_text().strip()
            # The same port after a restart, so that clients find it again.
            self.config["listen"]["port"] = int(self.url.rsplit(":", 1)[1])
        return self

    def log(self):
        return self.process.log.read_text()

    def oddjob(self, user, *args, seconds=120, extra=None):
        environment = dict(os.environ, ODDJOB_SERVER=self.url, ODDJOB_TOKEN=token_of(user),
                           ODDJOB_CONFIG=str(self.folder / "no-such-config.yaml"), NO_COLOR="1")
        environment.update(extra or {})
        return run([ODDJOB, *args], environment, seconds)

    def popen(self, user, *args, **kwargs):
        environment = dict(os.environ, ODDJOB_SERVER=self.url, ODDJOB_TOKEN=token_of(user),
                           ODDJOB_CONFIG=str(self.folder / "no-such-config.yaml"), NO_COLOR="1")
        return subprocess.Popen([ODDJOB, *args], env=environment, **kwargs)

    def api(self, user="root"):
        return Api(self.url, token_of(user) if user else None)

    def stop(self):
        return self.process.stop()


class Api:
    """The REST API, each answer held to the OpenAPI document."""

    document = None

    def __init__(self, url, token):
        self.url, self.token = url, token
        if Api.document is None:
            Api.document = json.loads((ROOT / "src" / "api" / "openapi.json").read_text())

    def call(self, method, path, body=None, headers=None, raw=None, seconds=30):
        request = urllib.request.Request(self.url + path, method=method)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        context = ssl._create_unverified_context() if self.url.startswith("https") else None
        try:
            with urllib.request.urlopen(request, data=data, timeout=seconds, context=context) as answer:
                status, got, content = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, got, content = error.code, error.headers, error.read()
        parsed = self.check(method, path, status, got.get("Content-Type", ""), content)
        return status, parsed, got

    def get(self, path, **kwargs):
        return self.call("GET", path, **kwargs)

    def post(self, path, body=None, **kwargs):
        return self.call("POST", path, body=body, **kwargs)

    def check(self, method, path, status, content_type, content):
        media = content_type.split(";")[0].strip()
        parsed = json.loads(content) if media.endswith("json") and content else content
        operation = self.operation(method, path)
        if operation is None:
            return parsed
        responses = operation["responses"]
        answer = responses.get(str(status)) or responses.get(f"{status // 100}XX") or responses.get("default")
        assert answer, f"{method} {path}: status {status} is not in the OpenAPI document"
        answer = self.resolve(answer)
        if "content" not in answer:
            return parsed
        assert media in answer["content"], f"{method} {path}: {status} has {media}, not {list(answer['content'])}"
        schema = answer["content"][media].get("schema")
        if schema and media.endswith("json"):
            resolver = jsonschema.RefResolver("", self.document)
            jsonschema.Draft202012Validator(schema, resolver=resolver).validate(parsed)
        return parsed

    def resolve(self, node):
        while "$ref" in node:
            target = self.document
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            node = target
        return node

    def operation(self, method, path):
        steps = path.split("?")[0].strip("/").split("/")
        for pattern, item in self.document["paths"].items():
            wanted = pattern.strip("/").split("/")
            if len(wanted) == len(steps) and all(w.startswith("{") or w == s for w, s in zip(wanted, steps)):
                return item.get(method.lower())
        return None


CRD = ROOT / "deploy" / "crds" / "oddjob.dev_jobtemplates.yaml"


def install_templates(cluster):
    """The custom resource JobTemplate, established."""
    done = cluster.kubectl("apply", "-f", str(CRD))
    assert done.code == 0, done
    done = cluster.kubectl("wait", "--for=condition=Established", "crd/jobtemplates.oddjob.dev", "--timeout=60s")
    assert done.code == 0, done


def template(name, deployment, command, parameters=(), **spec):
    return {"apiVersion": "oddjob.dev/v1alpha1", "kind": "JobTemplate", "metadata": {"name": name},
            "spec": {"workloadRef": {"kind": "Deployment", "name": deployment}, "command": command,
                     "parameters": list(parameters), **spec}}


def workload(name, annotations=None, command=("sleep", "1000"), kind="Deployment", replicas=1, **container):
    labels = {"app": name}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {
            "containers": [dict({"name": "main", "image": IMAGE, "command": list(command)}, **container)],
            "terminationGracePeriodSeconds": 1}},
    }
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "annotations": annotations or {}},
            "spec": spec}


OPEN = {"oddjob.dev/allowed-teams": "payments", "oddjob.dev/allow-env": "*"}


def read_database(path, statement, *args):
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(statement, args).fetchall()
