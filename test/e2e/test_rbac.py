"""The server under a service account that holds exactly the RBAC in deploy/rbac.

With all of it a run passes from end to end. Without any single permission there
is one message that names it; what the message needs is listed here, once for
each permission of the file, so that a rule nobody uses has no place in it.
"""

import json
import pathlib

import pytest
import yaml

import harness
from harness import eventually, workload
from rbac import RBAC, Account, documents, permissions

OPEN = {"oddjob.dev/allowed-teams": "payments"}
GUARDED = OPEN | {"oddjob.dev/approval": "required", "oddjob.dev/approver-users": "bob"}
NAMESPACE = "rbac"
FULL = "rbac-full"  # a namespace that has no room for a pod


class World:
    """A server under the account, workloads of every kind, and what tells of a missing permission."""

    def __init__(self, account, server, folder):
        self.account, self.cluster, self.server, self.folder = account, account.cluster, server, pathlib.Path(folder)

    def oddjob(self, *args, seconds=120):
        return self.server.oddjob("ann", *args, seconds=seconds)

    def run(self, *args, seconds=120):
        return self.oddjob("run", "-n", NAMESPACE, *args, seconds=seconds)

    def start(self, workload, command, namespace=NAMESPACE):
        done = self.oddjob("run", "-n", namespace, workload, "--detach", "-o", "json", "--", *command)
        assert done.code == 0, done
        return json.loads(done.out)["id"]

    def record(self, run):
        status, body, _ = self.server.api().get(f"/api/v1/runs/{run}")
        assert status == 200, body
        return body

    def when(self, run, **wanted):
        def reached():
            record = self.record(run)
            return record if all(record.get(k) == v for k, v in wanted.items()) else None
        return eventually(reached, f"run {run} has {wanted}", 90)

    def progress(self, run, words):
        return eventually(lambda: words in (p := self.record(run).get("progress", "")) and p,
                          f"the progress of run {run} has {words!r}", 180)

    def own_server(self, namespaces=()):
        self.folder.mkdir(exist_ok=True)
        server = harness.Server(self.folder, self.account.kubeconfig)
        if namespaces:
            server.config["kubernetes"]["namespaces"] = list(namespaces)
        return server


@pytest.fixture(scope="module")
def account(cluster, tmp_path_factory):
    account = Account(cluster, tmp_path_factory.mktemp("account"))
    account.restore()
    for namespace in (NAMESPACE, FULL):
        done = cluster.kubectl("create", "namespace", namespace)
        assert done.code == 0, done
    cron = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "w", "annotations": OPEN}, "spec": {
        "schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [
            {"name": "main", "image": "example.org/app:1", "command": ["true"]}]}}}}}}
    daemon = workload("w", OPEN, kind="DaemonSet")
    del daemon["spec"]["replicas"]
    stateful = workload("w", OPEN, kind="StatefulSet", replicas=0)
    stateful["spec"]["serviceName"] = "w"
    mounting = workload("mounts", OPEN, replicas=0, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    mounting["spec"]["template"]["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    cluster.apply(workload("w", OPEN, replicas=0), workload("guarded", GUARDED, replicas=0), daemon, stateful, cron, mounting, claim, namespace=NAMESPACE)
    harness.install_templates(cluster)
    cluster.apply(template(), namespace=NAMESPACE)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    cluster.apply(workload("w", OPEN, replicas=0), quota, namespace=FULL)
    yield account
    cluster.kubectl("delete", "namespace", NAMESPACE, FULL, "--wait=false")


@pytest.fixture(scope="module")
def shared(account, tmp_path_factory):
    server = harness.Server(tmp_path_factory.mktemp("server"), account.kubeconfig).start()
    status = lambda: server.api().get("/readyz")[0]
    eventually(lambda: status() == 200, "the server is ready under the account")
    yield server
    server.stop()


@pytest.fixture
def world(account, shared, tmp_path):
    yield World(account, shared, tmp_path)
    account.restore()


def template(description="Says hello."):
    return harness.template("hello", "w", ["echo", "${who}"], [{"name": "who", "type": "string", "default": "world"}],
                            description=description)


# ---- what tells of a missing permission: by permission, where to look for the words ------------------------

def from_a_run_of(kind):
    return lambda world: world.run(f"{kind}/w", "--", "true").err


def from_an_end(world):
    """The message that the run ends with, which its user gets."""
    done = world.run("deploy/w", "--", "true")
    assert done.code == 125, done
    return done.err


def from_an_end_in_time(world):
    """The same, as soon as what runs before this one have read of the namespace is too old: after two seconds."""
    done = eventually(lambda: (ended := world.run("deploy/w", "--", "true")).code != 0 and ended, "a run reads it anew", 30)
    assert done.code == 125, done
    return done.err


def from_a_cancellation(world):
    """The progress of a run that cannot be cancelled; given back, it ends."""
    run = world.start("deploy/w", ["sleep", "1000"])
    world.when(run, state="running")  # nothing has missed the permission yet
    status, _, _ = world.server.api().post(f"/api/v1/runs/{run}/cancel")
    assert status in (200, 202)
    text = world.progress(run, "forbidden")
    world.account.restore()
    world.when(run, state="cancelled")
    return text


def from_a_run_that_stands_still(world):
    """Nothing approved starts before its Job was looked at; given back, the run goes on."""
    run = world.start("deploy/guarded", ["sh", "-c", "exit 3"])
    approved = world.server.oddjob("bob", "approve", run, "--yes")
    assert approved.code == 0, approved
    text = world.progress(run, "forbidden")
    world.account.restore()
    assert world.when(run, state="failed")["exitCode"] == 3
    return text


def from_a_log_that_cannot_be_read(world):
    run = world.start("deploy/w", ["sh", "-c", "echo the log comes late; exit 3"])
    text = eventually(lambda: "cannot be read" in (log := world.server.log()) and log, "the server's log tells", 60)
    world.account.restore()
    record = world.when(run, state="failed")
    assert record["exitCode"] == 3 and record["logComplete"], record
    assert world.oddjob("logs", run).out == "the log comes late\n"
    return text


def from_a_run_that_waits(world):
    run = world.start("deploy/w", ["true"], namespace=FULL)
    text = world.progress(run, "forbidden")
    world.account.restore()
    world.progress(run, "exceeded quota")
    assert world.oddjob("cancel", run).code == 0
    return text


def from_a_dry_run(world):
    done = world.run("deploy/mounts", "--dry-run", "--", "true")
    assert done.code == 0, done
    return done.err + done.out


def from_a_new_server(world):
    """Not ready, and why; the log says the same."""
    server = world.own_server().start()
    try:
        def refused():
            status, problem, _ = server.api().get("/readyz")
            return status == 503 and "forbidden" in problem["detail"] and problem["detail"]
        text = eventually(refused, "it is not ready and says why", 60)
        eventually(lambda: text.partition(": ")[2] in server.log(), "the log says the same", 60)
        return text
    finally:
        server.stop()


def from_the_log_of_a_new_server(world):
    server = world.own_server().start()
    try:
        return eventually(lambda: "forbidden" in (log := server.log()) and log, "the log says why", 60)
    finally:
        server.stop()


def from_the_list_of_a_new_server(world):
    """What a list lacks, it says itself; the log says the same."""
    server = world.own_server().start()
    try:
        def warned():
            done = server.oddjob("ann", "workloads", "-n", NAMESPACE)
            return done.code == 0 and "forbidden" in done.err and done.err
        text = eventually(warned, "the list says why it is not whole", 60)
        assert "forbidden" in server.log()
        return text
    finally:
        server.stop()


def from_a_template(world):
    return world.run("template/hello").err


def from_the_status_of_a_template(world):
    """It runs all the same; the log of a server that has something to write tells."""
    world.cluster.apply(template(description="Says hello, says generation two."), namespace=NAMESPACE)
    world.cluster.apply(dict(template(), spec=dict(template()["spec"], timeout="5m")), namespace=NAMESPACE)
    text = from_the_log_of_a_new_server(world)
    assert world.run("template/hello").out == "world\n"
    return text


def from_a_callers_token(world):
    api = harness.Api(world.server.url, world.account.token())
    status, problem, _ = api.get("/api/v1/whoami")
    assert status == 503, problem
    return problem["detail"]


WHERE = {
    **{(g, r, "get"): from_a_run_of(k) for g, r, k in (("apps", "deployments", "deploy"), ("apps", "statefulsets", "sts"),
                                                       ("apps", "daemonsets", "ds"), ("batch", "cronjobs", "cronjob"))},
    **{(g, r, v): from_the_list_of_a_new_server for v in ("list", "watch") for g, r in (
        ("apps", "deployments"), ("apps", "statefulsets"), ("apps", "daemonsets"), ("batch", "cronjobs"))},
    **{(g, r, v): from_a_new_server for v in ("list", "watch") for g, r in (("batch", "jobs"), ("", "pods"))},
    ("batch", "jobs", "get"): from_a_run_that_stands_still,
    ("batch", "jobs", "create"): from_an_end,
    ("batch", "jobs", "patch"): from_an_end,
    ("batch", "jobs", "delete"): from_a_cancellation,
    ("", "pods/log", "get"): from_a_log_that_cannot_be_read,
    ("", "events", "list"): from_a_run_that_waits,
    ("", "services", "list"): from_an_end_in_time,
    ("policy", "poddisruptionbudgets", "list"): from_an_end_in_time,
    ("", "persistentvolumeclaims", "list"): from_a_dry_run,
    ("oddjob.dev", "jobtemplates", "get"): from_a_template,
    ("oddjob.dev", "jobtemplates", "list"): from_the_log_of_a_new_server,
    ("oddjob.dev", "jobtemplates", "watch"): from_the_log_of_a_new_server,
    ("oddjob.dev", "jobtemplates/status", "patch"): from_the_status_of_a_template,
    ("authentication.k8s.io", "tokenreviews", "create"): from_a_callers_token,
}


@pytest.mark.parametrize("permission", permissions("cluster.yaml"), ids=lambda p: "-".join(x for x in p if x))
def test_without_one_permission_a_message_names_it(world, permission):
    group, resource, verb = permission
    world.account.take_away(permission)
    text = WHERE[permission](world)
    assert f'cannot {verb} resource "{resource}" in API group "{group}"' in text, text
    assert "system:serviceaccount:oddjob:oddjob" in text, text


def test_with_all_of_it_runs_pass_from_end_to_end(world):
    for kind in ("deploy", "sts", "ds", "cronjob"):
        done = world.run(f"{kind}/w", "--", "sh", "-c", "echo out; exit 3")
        assert (done.code, done.out) == (3, "out\n"), done
    assert "w" in world.oddjob("workloads", "-n", NAMESPACE).out
    status, me, _ = harness.Api(world.server.url, world.account.token()).get("/api/v1/whoami")
    assert (status, me["user"]) == (200, "system:serviceaccount:oddjob:oddjob"), me


def test_the_dry_run_of_the_pod_is_optional(world):
    done = world.run("deploy/w", "--dry-run", "--", "true")
    assert done.code == 0 and 'could not be tried: pods' in done.err + done.out, done
    assert 'cannot create resource "pods"' in done.err + done.out, done
    optional = documents("pod-dry-run.yaml")
    world.account.apply(optional)
    try:
        eventually(lambda: world.account.may(("", "pods", "create")), "the permission is there")
        done = world.run("deploy/w", "--dry-run", "--", "true")
        assert done.code == 0 and "could not be tried" not in done.err + done.out, done
    finally:
        world.cluster.kubectl("delete", "-f", "-", stdin=yaml.safe_dump_all(d for d in optional))


def test_in_chosen_namespaces_with_roles_of_these_namespaces(world):
    cluster = world.cluster
    for name in ("clusterrolebinding", "clusterrole"):
        assert cluster.kubectl("delete", name, "oddjob").code == 0
    world.account.apply(documents("namespaced.yaml"))
    cluster.apply(*documents("namespace.yaml"), namespace=NAMESPACE)
    eventually(lambda: world.account.may(("batch", "jobs", "create"), NAMESPACE), "the role is in force")
    assert not world.account.may(("batch", "jobs", "create"), "default")
    server = world.own_server([NAMESPACE]).start()
    try:
        world.server = server
        eventually(lambda: server.api().get("/readyz")[0] == 200, "ready with roles of one namespace")
        done = world.run("deploy/w", "--", "sh", "-c", "echo out; exit 4")
        assert (done.code, done.out) == (4, "out\n"), done
        done = world.oddjob("run", "-n", "default", "deploy/payments", "--", "true")
        assert done.code == 125 and "does not serve namespace default" in done.err, done
        assert "forbidden" not in server.log(), server.log()
    finally:
        server.stop()
        done = cluster.kubectl("-n", NAMESPACE, "delete", "role/oddjob", "rolebinding/oddjob")
        assert done.code == 0, done


# ---- the files themselves -------------------------------------------------------------------------------

def test_the_role_of_a_namespace_is_that_of_the_cluster():
    assert permissions("namespace.yaml") + permissions("namespaced.yaml") == permissions("cluster.yaml")


def test_nothing_is_allowed_by_wildcard_or_reads_secrets():
    for name in sorted(p.name for p in RBAC.glob("*.yaml")):
        for group, resource, verb in permissions(name):
            assert "*" not in (group, resource, verb), (name, resource)
            # One optional file is there for nothing else.
            if name == "pull-secrets.yaml" and (resource, verb) == ("secrets", "get"):
                continue
            assert resource not in ("secrets", "configmaps", "nodes"), (name, resource)


def test_each_rule_says_why():
    for path in RBAC.glob("*.yaml"):
        lines = path.read_text().splitlines()
        for i, line in enumerate(lines):
            if line == "rules:":
                assert lines[i + 1].lstrip().startswith("#"), f"{path.name}:{i + 2} begins without a reason"
