"""deploy/admission on a real API server: nobody but OddJob makes, starts or changes its Jobs.

Everybody here has all permissions (system:masters), so that what is refused is
refused by the policy.
"""

import copy
import json
import uuid

import pytest
import yaml

from harness import ROOT, eventually

ODDJOB = ("system:serviceaccount:oddjob:oddjob", "system:serviceaccounts")
KUEUE = ("system:serviceaccount:kueue-system:kueue-controller-manager", "system:serviceaccounts")
ANN = ("ann", "payments")
GLASS = ("olga", "oddjob:break-glass")
RUN = "aaaaaaaaaabbbbbbbbbb"
WORDS = ("only OddJob", "only the Job controller")


@pytest.fixture(scope="module")
def guarded(real_cluster):
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
    return cluster.kubectl(*as_(who), "-n", "default", "create", "-f", "-", *more, stdin=yaml.safe_dump(thing))


def patch(cluster, who, kind, name, change, *more):
    return cluster.kubectl(*as_(who), "-n", "default", "patch", kind, name, "--type=merge", "-p", json.dumps(change), *more)


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
    guarded.kubectl("-n", "default", "delete", "job", name, "--wait=false")


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
    assert guarded.get("job", name)["spec"]["suspend"] is True
    for who in (GLASS, ODDJOB):
        done = patch(guarded, who, "job", name, change, "--dry-run=server")
        assert done.code == 0, done
    done = guarded.kubectl(*as_(ANN), "-n", "default", "delete", "job", name)
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
    guarded.kubectl("-n", "default", "delete", "job", name, "--wait=false")


def test_the_controllers_go_on_with_their_work(guarded):
    """Pods are made, status is written, finalizers come and go, the finished Job is removed by its ttl."""
    made = job()
    made["spec"]["ttlSecondsAfterFinished"] = 5
    name = made["metadata"]["name"]
    assert create(guarded, ODDJOB, made).code == 0
    assert patch(guarded, ODDJOB, "job", name, {"spec": {"suspend": False}}).code == 0
    ended = lambda: any(c["type"] == "Complete" and c["status"] == "True"
                        for c in guarded.get("job", name).get("status", {}).get("conditions", []))
    eventually(ended, "the Job is complete", 120)
    eventually(lambda: guarded.kubectl("-n", "default", "get", "job", name).code != 0, "its ttl removes it", 120)
    eventually(lambda: not guarded.get("pods", "-l", f"job-name={name}")["items"], "and its pod", 120)


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
    guarded.kubectl("-n", "default", "delete", "pod", name, "--grace-period=0", "--force")
