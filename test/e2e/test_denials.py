"""Namespaces with rules of their own, on a real API server: Pod Security, ResourceQuota, LimitRange.
What they deny reaches the user's terminal, in a dry run before anything exists, else before the command starts."""

import json

import pytest

import harness
import rbac
from harness import eventually, workload

OPEN = {"oddjob.dev/allowed-teams": "payments"}

QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"},
         "spec": {"hard": {"requests.cpu": "1", "limits.memory": "1Gi"}}}
NO_JOBS = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-jobs"},
           "spec": {"hard": {"count/jobs.batch": "0"}}}
LIMITS = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"}, "spec": {"limits": [
    {"type": "Container", "max": {"memory": "256Mi"}, "defaultRequest": {"memory": "32Mi"}}]}}
SAFE = {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "runAsUser": 65534,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}


def resources(cpu, memory):
    amounts = {"cpu": cpu, "memory": memory}
    return {"requests": dict(amounts), "limits": dict(amounts)}


@pytest.fixture(scope="module")
def server(real_cluster, tmp_path_factory):
    """A server that may try pods in a dry run (deploy/rbac/pod-dry-run.yaml)."""
    kubeconfig = rbac.install(real_cluster, tmp_path_factory.mktemp("account"), "pod-dry-run.yaml")
    server = harness.Server(tmp_path_factory.mktemp("server"), kubeconfig).start()
    yield server
    server.stop()
    rbac.remove(real_cluster, "pod-dry-run.yaml")


@pytest.fixture
def namespace(real_cluster, request):
    """Makes one with these labels and objects in it."""
    made = []

    def make(labels, *objects):
        name = f"denials-{abs(hash(request.node.name)) % 100000}-{len(made)}"
        real_cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        made.append(name)
        eventually(lambda: real_cluster.kubectl("-n", name, "get", "serviceaccount", "default").code == 0, "its service account")
        real_cluster.apply(*objects, namespace=name)
        if any(o["kind"] == "ResourceQuota" for o in objects):
            # Until the controller has counted, the API server says that it does not know yet.
            eventually(lambda: all("used" in q.get("status", {}) for q in real_cluster.get("quota", namespace=name)["items"]),
                       "the quota is counted")
        if LIMITS in objects:
            # Admission reads it from a cache of its own.
            large = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "large"}, "spec": {"containers": [
                {"name": "c", "image": "example.org/x:1", "resources": resources("1m", "1Gi")}]}})
            eventually(lambda: "maximum memory" in real_cluster.kubectl(
                "-n", name, "create", "--dry-run=server", "-f", "-", stdin=large).err, "the limits are in force")
        return name
    yield make
    for name in made:
        real_cluster.kubectl("delete", "namespace", name, "--wait=false")


def dry_run(server, namespace, workload):
    return server.oddjob("ann", "run", "-n", namespace, f"deploy/{workload}", "--dry-run", "--", "true")


def nothing_exists(cluster, namespace):
    for kind in ("jobs", "pods"):
        assert cluster.get(kind, namespace=namespace)["items"] == [], kind


# ---- what a dry run says: the rule's objects, the workload's container, the words ---------------------------

POD_RULES = {
    "pod security": ({"pod-security.kubernetes.io/enforce": "restricted"}, [], {},
                     ["violates PodSecurity", "restricted", "allowPrivilegeEscalation"]),
    "quota": ({}, [QUOTA], {"resources": resources("2", "64Mi")}, ["exceeded quota: small", "requests.cpu"]),
    "quota without requests": ({}, [QUOTA], {}, ["must specify", "requests.cpu"]),
    "limit range": ({}, [LIMITS], {"resources": resources("100m", "1Gi")}, ["maximum memory usage", "256Mi"]),
}


@pytest.mark.parametrize("rule", POD_RULES)
def test_a_dry_run_says_what_would_be_denied_and_nothing_exists(real_cluster, server, namespace, rule):
    labels, objects, container, words = POD_RULES[rule]
    name = namespace(labels, *objects, workload("w", OPEN, replicas=0, **container))
    done = dry_run(server, name, "w")
    assert done.code != 0, done
    for word in words:
        assert word in done.err, f"{word!r} is not in: {done.err}"
    nothing_exists(real_cluster, name)


def test_a_quota_of_jobs_refuses_the_run_itself(real_cluster, server, namespace):
    name = namespace({}, NO_JOBS, workload("w", OPEN, replicas=0))
    done = dry_run(server, name, "w")
    assert done.code == 125 and "exceeded quota: no-jobs" in done.err, done
    done = server.oddjob("ann", "run", "-n", name, "deploy/w", "--", "true")
    assert done.code == 125 and "exceeded quota: no-jobs" in done.err, done
    nothing_exists(real_cluster, name)
    newest = json.loads(server.oddjob("ann", "ls", "--mine", "-o", "json").out)["items"][0]
    assert (newest["state"], newest["resultReason"]) == ("failed", "CreateRefused"), newest


# ---- what a run says ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("rule", POD_RULES)
def test_a_run_says_why_its_pod_is_not_made(real_cluster, server, namespace, rule):
    labels, objects, container, words = POD_RULES[rule]
    name = namespace(labels, *objects, workload("w", OPEN, replicas=0, **container))
    done = server.oddjob("ann", "run", "-n", name, "deploy/w", "--detach", "-o", "json", "--", "true")
    if done.code == 0:  # the Job is allowed, its pod is not
        run = json.loads(done.out)["id"]
        api = server.api()
        text = eventually(lambda: words[0] in (p := api.get(f"/api/v1/runs/{run}")[1].get("progress", "")) and p,
                          f"the waiting user sees {words[0]!r}")
        assert server.oddjob("ann", "cancel", run).code == 0
    else:
        text = done.err
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"
    assert real_cluster.get("pods", namespace=name)["items"] == []


# ---- what keeps to the rules runs ---------------------------------------------------------------------------

def test_a_workload_that_keeps_to_restricted_runs_there(server, namespace):
    name = namespace({"pod-security.kubernetes.io/enforce": "restricted"},
                     workload("w", OPEN, replicas=0, securityContext=SAFE))
    assert dry_run(server, name, "w").code == 0
    done = server.oddjob("ann", "run", "-n", name, "deploy/w", "--", "sh", "-c", "id -u; exit 3")
    assert (done.code, done.out) == (3, "65534\n"), done


def test_within_quota_and_limits_it_runs(server, namespace):
    name = namespace({}, QUOTA, LIMITS, workload("w", OPEN, replicas=0, resources=resources("100m", "64Mi")))
    done = server.oddjob("ann", "run", "-n", name, "deploy/w", "--", "echo", "within")
    assert (done.code, done.out) == (0, "within\n"), done
