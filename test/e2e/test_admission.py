"""deploy/admission on a real API server: nobody but OddJob makes, starts or changes its Jobs.

Everybody here has all permissions (system:masters), so that what is refused is
refused by the policy.
"""

import copy
import json
import uuid

import pytest
import yaml

import harness
from harness import FINAL, ROOT, eventually

ODDJOB = ("system:serviceaccount:oddjob:oddjob", "system:serviceaccounts")
KUEUE = ("system:serviceaccount:kueue-system:kueue-controller-manager", "system:serviceaccounts")
ANN = ("ann", "payments")
GLASS = ("olga", "oddjob:break-glass")
RUN = "aaaaaaaaaabbbbbbbbbb"
NAMESPACE = "oddjob-admission"
WORDS = ("only OddJob", "only the Job controller")


@pytest.fixture(scope="module")
def guarded(real_cluster):
    real_cluster.kubectl("create", "namespace", NAMESPACE)
    eventually(lambda: real_cluster.kubectl("-n", NAMESPACE, "get", "serviceaccount", "default").code == 0,
               "the namespace is ready")
    done = real_cluster.kubectl("apply", "-f", str(ROOT / "deploy" / "admission" / "managed-jobs.yaml"))
    assert done.code == 0, done
    try:
        # A policy holds some seconds after it is there.
        eventually(lambda: "only OddJob" in create(real_cluster, ANN, job("probe"), "--dry-run=server").err,
                   "the policy holds", 60)
        for name in ("oddjob-managed-jobs", "oddjob-managed-pods"):
            policy = eventually(lambda: (p := real_cluster.get("validatingadmissionpolicy", name)).get("status") and p,
                                "the policy is checked")
            assert policy["status"].get("typeChecking", {}).get("expressionWarnings", []) == []
        yield real_cluster
    finally:
        real_cluster.kubectl("delete", "-f", str(ROOT / "deploy" / "admission" / "managed-jobs.yaml"))
        real_cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def job(name=None, **metadata):
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "example.org/app:1", "command": ["true"]}]}
    labels = {"app.kubernetes.io/managed-by": "oddjob", "oddjob.dev/run-id": RUN}
    made = {"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": name or f"oj-{uuid.uuid4().hex[:8]}", "labels": dict(labels),
                         "annotations": {"oddjob.dev/digest": "sha256:d", "oddjob.dev/requester": "ann"}},
            "spec": {"suspend": True, "backoffLimit": 0, "ttlSecondsAfterFinished": 1,
                     "template": {"metadata": {"labels": dict(labels)}, "spec": pod}}}
    made["metadata"].update(metadata)
    return made


def as_(who):
    user, group = who
    return [f"--as={user}", f"--as-group={group}", "--as-group=system:masters", "--as-group=system:authenticated"]


def create(cluster, who, thing, *more):
    return cluster.kubectl(*as_(who), "-n", NAMESPACE, "create", "-f", "-", *more, stdin=yaml.safe_dump(thing))


def patch(cluster, who, kind, name, change, *more):
    return cluster.kubectl(*as_(who), "-n", NAMESPACE, "patch", kind, name, "--type=merge", "-p", json.dumps(change), *more)


def refused(done):
    assert done.code != 0 and any(w in done.err for w in WORDS), done


def imitation(kind):
    made = job()
    if kind != "run id":
        del made["metadata"]["labels"]["oddjob.dev/run-id"]
    if kind != "managed-by":
        del made["metadata"]["labels"]["app.kubernetes.io/managed-by"]
    if kind != "annotation":
        made["metadata"]["annotations"] = {}
    if kind != "pod label":
        made["spec"]["template"]["metadata"]["labels"] = {}
    return made


@pytest.mark.parametrize("kind", ["run id", "managed-by", "annotation", "pod label"])
def test_nobody_imitates_one(guarded, kind):
    for who in (ANN, KUEUE, ("kubernetes-admin", "x")):
        refused(create(guarded, who, imitation(kind), "--dry-run=server"))
    for who in (ODDJOB, GLASS):
        done = create(guarded, who, imitation(kind), "--dry-run=server")
        assert done.code == 0, done


def test_other_jobs_are_nobodys_business(guarded):
    plain = imitation("none")
    assert create(guarded, ANN, plain).code == 0
    name = plain["metadata"]["name"]
    assert patch(guarded, ANN, "job", name, {"spec": {"suspend": False}}).code == 0
    # But they do not become OddJob's.
    refused(patch(guarded, ANN, "job", name, {"metadata": {"labels": {"oddjob.dev/run-id": RUN}}}))
    refused(patch(guarded, ANN, "job", name, {"metadata": {"annotations": {"oddjob.dev/digest": "sha256:d"}}}))
    guarded.kubectl("-n", NAMESPACE, "delete", "job", name, "--wait=false")


@pytest.mark.parametrize("change", [
    {"spec": {"suspend": False}},
    {"spec": {"activeDeadlineSeconds": 999999}},
    {"spec": {"parallelism": 5}},
    {"spec": {"template": {"metadata": {"annotations": {"x": "y"}}}}},
    {"metadata": {"labels": {"oddjob.dev/run-id": None}}},
    {"metadata": {"labels": {"oddjob.dev/run-id": None, "app.kubernetes.io/managed-by": None},
                  "annotations": {"oddjob.dev/digest": None, "oddjob.dev/requester": None}}},
    {"metadata": {"labels": {"extra": "label"}}},
    {"metadata": {"annotations": {"oddjob.dev/requester": "somebody-else"}}},
    {"metadata": {"annotations": {"extra": "annotation"}}},
], ids=lambda c: json.dumps(c)[:60])
def test_nobody_starts_or_changes_one(guarded, change):
    made = job()
    name = made["metadata"]["name"]
    assert create(guarded, ODDJOB, made).code == 0
    for who in (ANN, KUEUE):
        refused(patch(guarded, who, "job", name, change))
    assert guarded.get("job", name, namespace=NAMESPACE)["spec"]["suspend"] is True
    for who in (GLASS, ODDJOB):
        done = patch(guarded, who, "job", name, change, "--dry-run=server")
        assert done.code == 0, done
    done = guarded.kubectl(*as_(ANN), "-n", NAMESPACE, "delete", "job", name)
    assert done.code == 0, "whoever has the permission may stop one"


def test_a_queue_starts_its_own_jobs_and_no_others(guarded):
    made = job()
    made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "batch"
    name = made["metadata"]["name"]
    assert create(guarded, ODDJOB, made).code == 0
    start = {"spec": {"suspend": False}}
    refused(patch(guarded, ANN, "job", name, start))
    refused(patch(guarded, KUEUE, "job", name, {"metadata": {"labels": {"oddjob.dev/run-id": "x"}}}))
    done = patch(guarded, KUEUE, "job", name, start)
    assert done.code == 0, done
    guarded.kubectl("-n", NAMESPACE, "delete", "job", name, "--wait=false")


def test_the_controllers_go_on_with_their_work(guarded):
    """Pods are made, status is written, finalizers come and go, the finished Job is removed by its ttl."""
    made = job()
    made["spec"]["ttlSecondsAfterFinished"] = 5
    name = made["metadata"]["name"]
    assert create(guarded, ODDJOB, made).code == 0
    assert patch(guarded, ODDJOB, "job", name, {"spec": {"suspend": False}}).code == 0
    ended = lambda: any(c["type"] == "Complete" and c["status"] == "True"
                        for c in guarded.get("job", name, namespace=NAMESPACE).get("status", {}).get("conditions", []))
    eventually(ended, "the Job is complete", 120)
    eventually(lambda: guarded.kubectl("-n", NAMESPACE, "get", "job", name).code != 0, "its ttl removes it", 120)
    eventually(lambda: not guarded.get("pods", "-l", f"job-name={name}", namespace=NAMESPACE)["items"], "and its pod", 120)


def test_pods_are_not_imitated_either(guarded):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p-{uuid.uuid4().hex[:8]}", "labels": {}},
           "spec": {"restartPolicy": "Never", "containers": [
               {"name": "main", "image": "example.org/app:1", "command": ["sleep", "600"]}]}}
    name = pod["metadata"]["name"]
    assert create(guarded, ANN, pod).code == 0
    refused(patch(guarded, ANN, "pod", name, {"metadata": {"labels": {"oddjob.dev/run-id": RUN}}}))
    fake = copy.deepcopy(pod)
    fake["metadata"].update(name=f"p-{uuid.uuid4().hex[:8]}", labels={"oddjob.dev/run-id": RUN})
    refused(create(guarded, ANN, fake))
    guarded.kubectl("-n", NAMESPACE, "delete", "pod", name, "--grace-period=0", "--force")


def test_oddjob_itself_works_under_it(guarded, tmp_path):
    """With its own service account and permissions, approvals included; and kubectl does not get around them."""
    guarded.kubectl("create", "namespace", "oddjob")
    guarded.kubectl("-n", "oddjob", "create", "serviceaccount", "oddjob")
    done = guarded.kubectl("apply", "-f", str(ROOT / "deploy" / "rbac" / "cluster.yaml"))
    assert done.code == 0, done
    guarded.apply(harness.workload("ledger", {"oddjob.dev/allowed-teams": "payments", "oddjob.dev/approval": "required",
                                              "oddjob.dev/approver-users": "bob"}, replicas=0), namespace=NAMESPACE)
    server = harness.Server(tmp_path, guarded.service_account_kubeconfig("oddjob", "oddjob")).start()
    try:
        def asked():
            status, body, _ = server.api("ann").post("/api/v1/runs", {
                "namespace": NAMESPACE, "workload": "deploy/ledger", "command": ["sh", "-c", "exit 3"]})
            return body if status == 201 else None
        run = eventually(asked, "the run is accepted", 60)
        path = f"/api/v1/runs/{run['id']}"
        eventually(lambda: server.api("ann").get(path)[1].get("jobUid"), "its Job is made and recorded")
        refused(patch(guarded, ANN, "job", run["jobName"], {"spec": {"suspend": False}}))
        status, body, _ = server.api("bob").post(path + "/approve", {"digest": run["digest"]})
        assert status == 200, body
        ended = eventually(lambda: (now := server.api("ann").get(path)[1])["state"] in FINAL and now, "it ends", 120)
        assert (ended["state"], ended["exitCode"]) == ("failed", 3), ended
        told = [e["type"] for e in server.api("eve").get(f"/api/v1/audit?run={run['id']}")[1]["items"]]
        assert "run.tampered" not in told, told
    finally:
        server.stop()
