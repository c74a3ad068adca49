"""Where faults are made: a namespace of its own in a real cluster that may be broken, and servers in it."""

import contextlib
import json
import subprocess

import harness
from harness import eventually
from invariants import Witness, check

OPEN = {"oddjob.dev/allowed-teams": "payments"}


class Place:
    """A namespace with the workload `deploy/w`, whose commands leave marks in `witness`."""

    def __init__(self, cluster, folder, namespace, kubeconfig):
        self.cluster, self.folder, self.namespace, self.kubeconfig = cluster, folder, namespace, kubeconfig
        self.witness = Witness(folder / "witness")
        self._servers, self._children = [], []
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        eventually(lambda: cluster.kubectl("-n", namespace, "get", "serviceaccount", "default").code == 0,
                   "the namespace has its service account", 180)  # its controller may just have lost the API server
        cluster.apply(self.witness.workload("w", OPEN), namespace=namespace)

    def server(self, kubeconfig=None, change=None, environment=None):
        """A server that is ready; change(server) comes before its start."""
        folder = self.folder / f"server-{len(self._servers)}"
        folder.mkdir()
        server = harness.Server(folder, kubeconfig or self.kubeconfig)
        self._servers.append(server)
        if change:
            change(server)
        server.start(environment)
        eventually(lambda: server.api().get("/readyz")[0] == 200, "the server is ready", 120)
        return server

    def command(self, script, mark="ran"):
        return self.witness.command(mark, script)

    def attach(self, server, script, mark="ran", args=()):
        """`oddjob run` in the foreground, as a user has it before them."""
        child = server.popen("ann", "run", "-n", self.namespace, "deploy/w", *args, "--", *self.command(script, mark),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._children.append(child)
        return child

    def detach(self, server, script, mark="ran", args=(), workload="w"):
        done = server.oddjob("ann", "run", "-n", self.namespace, f"deploy/{workload}", "--detach", "-o", "json", *args, "--",
                             *self.command(script, mark))
        assert done.code == 0, done
        return json.loads(done.out)["id"]

    def record(self, server, run):
        status, record, _ = server.api().get(f"/api/v1/runs/{run}")
        assert status == 200, record
        return record

    def newest(self, server):
        runs = lambda: server.api().get(f"/api/v1/runs?namespace={self.namespace}")[1]["items"]
        return eventually(runs, "there is a run")[0]["id"]

    def speaking(self, server, run, size=1):
        """Waits until so much of its log has come."""
        eventually(lambda: self.record(server, run)["logBytes"] >= size, f"run {run} has {size} bytes of log", 120)

    def started(self, mark="ran"):
        eventually(lambda: self.witness.starts(mark) > 0, f"the command {mark} has started", 120)

    def check(self, server, run, mark="ran", starts=(1,), **wanted):
        return check(server, self.cluster, run, starts=(self.witness, mark, starts), **wanted)

    def leave(self):
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.communicate()
        for server in self._servers:
            if server.process and server.process.alive():
                server.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.cluster.kubectl("delete", "namespace", self.namespace, "--wait=false", "--ignore-not-found", seconds=20)

