"""What is tried with kubectl on the dev cluster and on a real one, in this order (test_kubectl_agreement.py).

A step is a row of the table in docs/dev-cluster.md. `until` is a kubectl command that must succeed first, so
that both clusters have come to rest. `differs` says how the dev cluster's answer differs, where it may.
"""

import dataclasses
import json

import yaml

NAMESPACE = "agreement"


@dataclasses.dataclass
class Step:
    verb: str
    flags: str
    argv: list
    stdin: str = None
    until: list = dataclasses.field(default_factory=list)
    differs: str = ""
    ordered: bool = True  # False: lines may come in any order


def container(*command, **more):
    return {"name": "main", "image": "example.org/app:1", "command": list(command), **more}


def job(name, *command, **spec):
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {
        "backoffLimit": 0, **spec, "template": {"spec": {"restartPolicy": "Never", "containers": [container(*command)]}}}}


WEB = {"apiVersion": "apps/v1", "kind": "Deployment",
       "metadata": {"name": "web", "labels": {"app": "web", "tier": "front"}, "annotations": {"note": "hello"}},
       "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {
           "metadata": {"labels": {"app": "web"}},
           "spec": {"terminationGracePeriodSeconds": 1, "containers": [container(
               "sleep", "1000", env=[{"name": "A", "value": "1"}], resources={"requests": {"cpu": "10m", "memory": "8Mi"}})]}}}}
SETTINGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"A": "1", "file.txt": "two\nlines\n"}}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "type": "Opaque", "stringData": {"password": "s3cret"}}
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {
    "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}}
BUDGET = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"}, "spec": {
    "minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}}
CRON = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"}, "spec": {
    "schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [container("true")]}}}}}}


def text(*objects):
    return yaml.safe_dump_all(objects)


DONE = ["wait", "--for=condition=complete", "job/hello", "--timeout=60s"]
FAILED = ["wait", "--for=condition=failed", "job/bad", "--timeout=60s"]
AVAILABLE = ["rollout", "status", "deploy/web", "--timeout=60s"]
PATCH = {"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "B", "value": "2"}]}]}}}}
JSON_PATCH = [{"op": "add", "path": "/metadata/labels/json", "value": "patched"}]

STEPS = [
    Step("apply", "-f -", ["apply", "-f", "-"], stdin=text(WEB, SETTINGS, SECRET, SERVICE, BUDGET, CRON)),
    Step("apply", "-f - again", ["apply", "-f", "-"], stdin=text(WEB, SETTINGS, SERVICE)),
    Step("apply", "--server-side", ["apply", "--server-side", "-f", "-"],
         stdin=text(dict(SETTINGS, metadata={"name": "server-side"}))),
    Step("apply", "--server-side, a conflict", ["apply", "--server-side", "--field-manager=other", "-f", "-"],
         stdin=text(dict(SETTINGS, metadata={"name": "server-side"}, data={"A": "2"}))),
    Step("apply", "--dry-run=server", ["apply", "--dry-run=server", "-f", "-"], stdin=text(job("dry", "true"))),
    Step("apply", "an unknown field", ["apply", "-f", "-"], stdin=text(dict(SETTINGS, dada={"A": "1"})), differs="refused by both, in other words"),
    Step("create", "-f -", ["create", "-f", "-"], stdin=text(job("hello", "sh", "-c", "echo hello; echo bye"))),
    Step("create", "-f -, it exists", ["create", "-f", "-"], stdin=text(job("hello", "true"))),
    Step("create", "-f -, an invalid Job", ["create", "-f", "-"], stdin=text(
        {**job("wrong", "true"), "spec": {"template": {"spec": {"restartPolicy": "Always", "containers": [container("true")]}}}})),
    Step("create", "-f -", ["create", "-f", "-"], stdin=text(job("bad", "sh", "-c", "echo oh; exit 3"))),
    Step("create", "job --image", ["create", "job", "made", "--image=example.org/app:1", "--", "true"]),
    Step("create", "job --from=cronjob", ["create", "job", "by-hand", "--from=cronjob/nightly"]),
    Step("create", "configmap --from-literal", ["create", "configmap", "made", "--from-literal=k=v"]),
    Step("create", "secret generic", ["create", "secret", "generic", "made", "--from-literal=k=v"]),
    Step("create", "serviceaccount", ["create", "serviceaccount", "robot"]),
    Step("create", "role, rolebinding", ["create", "role", "reader", "--verb=get,list", "--resource=pods,jobs.batch"]),
    Step("create", "role, rolebinding", ["create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={NAMESPACE}:robot"]),
    Step("wait", "--for=condition=complete", DONE),
    Step("wait", "--for=condition=failed", ["wait", "--for=condition=failed", "job/bad", "--timeout=60s"]),
    Step("wait", "--for=jsonpath", ["wait", "--for=jsonpath={.status.succeeded}=1", "job/hello", "--timeout=60s"]),
    Step("wait", "it is not there", ["wait", "--for=condition=complete", "job/nobody", "--timeout=1s"]),
    Step("rollout", "status", AVAILABLE, until=AVAILABLE),
    Step("get", "deploy,sts,ds,job,cronjob", ["get", "deploy,sts,ds,job,cronjob"],
         until=["wait", "--for=condition=complete", "job/made", "job/by-hand", "--timeout=60s"]),
    Step("get", "pods", ["get", "pods"], until=AVAILABLE, ordered=False),
    Step("get", "pods -o wide", ["get", "pods", "-o", "wide"], ordered=False),
    Step("get", "rs", ["get", "rs"]),
    Step("get", "all", ["get", "all"], ordered=False),
    Step("get", "svc, cm, secret, sa, pdb, role", ["get", "svc,secret,sa,pdb,role,rolebinding"]),
    Step("get", "--show-labels", ["get", "deploy,job", "--show-labels"]),
    Step("get", "-l", ["get", "deploy", "-l", "tier in (front),app!=x", "-o", "name"]),
    Step("get", "--field-selector", ["get", "pods", "--field-selector=status.phase=Failed"]),
    Step("get", "--field-selector, an unknown field", ["get", "pods", "--field-selector=spec.colour=red"]),
    Step("get", "-o name", ["get", "deploy,job,cronjob", "-o", "name"]),
    Step("get", "-o jsonpath", ["get", "job", "hello", "-o", "jsonpath={.status.succeeded} {.spec.template.spec.containers[*].image}"]),
    Step("get", "-o custom-columns", ["get", "job", "-o", "custom-columns=N:.metadata.name,S:.status.succeeded"]),
    Step("get", "-o go-template", ["get", "job", "-o", "go-template={{range .items}}{{.metadata.name}} {{end}}"]),
    Step("get", "--sort-by", ["get", "deploy,job", "--sort-by=.metadata.name", "-o", "name"]),
    Step("get", "deploy -o yaml", ["get", "deploy", "web", "-o", "yaml"], until=AVAILABLE),
    Step("get", "job -o json", ["get", "job", "bad", "-o", "json"]),
    Step("get", "configmap -o yaml --show-managed-fields", ["get", "configmap", "settings", "-o", "yaml", "--show-managed-fields"], differs="the dev cluster keeps managed fields of server-side apply only"),
    Step("get", "svc -o yaml", ["get", "svc", "web", "-o", "yaml"]),
    Step("get", "it is not there", ["get", "job", "nobody"]),
    Step("get", "no such kind", ["get", "unicorns"]),
    Step("get", "nothing there", ["get", "ingress"]),
    Step("get", "--chunk-size", ["get", "job", "--chunk-size=1", "-o", "name"]),
    Step("get", "--raw", ["get", "--raw", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/nobody"]),
    Step("describe", "job", ["describe", "job", "hello"]),
    Step("describe", "job, failed", ["describe", "job", "bad"]),
    Step("describe", "deploy", ["describe", "deploy", "web"]),
    Step("describe", "pod", ["describe", "pod", "-l", "job-name=bad"]),
    Step("describe", "cronjob, cm, pdb", ["describe", "cronjob/nightly", "cm/settings", "pdb/web"], differs="no controller looks at CronJobs, so there is no event of one"),
    Step("describe", "secret", ["describe", "secret", "login"]),
    Step("logs", "job/NAME", ["logs", "job/hello"]),
    Step("logs", "-f", ["logs", "-f", "job/hello"]),
    Step("logs", "--tail", ["logs", "--tail=1", "job/hello"]),
    Step("logs", "--timestamps", ["logs", "--timestamps", "job/hello"]),
    Step("logs", "-l --prefix", ["logs", "-l", "job-name=bad", "--prefix"]),
    Step("logs", "-c, no such container", ["logs", "job/hello", "-c", "nobody"]),
    Step("events", "--for", ["events", "--for", "job/hello"]),
    Step("scale", "--replicas", ["scale", "deploy/web", "--replicas=2"]),
    Step("scale", "--current-replicas", ["scale", "deploy/web", "--current-replicas=7", "--replicas=2"]),
    Step("label", "", ["label", "deploy/web", "tier=back"]),
    Step("label", "--overwrite", ["label", "deploy/web", "tier=back", "--overwrite"]),
    Step("label", "KEY-", ["label", "deploy/web", "tier-"]),
    Step("annotate", "", ["annotate", "deploy/web", "note=changed", "--overwrite"]),
    Step("patch", "strategic", ["patch", "deploy", "web", "-p", json.dumps(PATCH)]),
    Step("patch", "--type=merge", ["patch", "deploy", "web", "--type=merge", "-p", '{"metadata":{"labels":{"merge":"patched"}}}']),
    Step("patch", "--type=json", ["patch", "deploy", "web", "--type=json", "-p", json.dumps(JSON_PATCH)]),
    Step("patch", "--type=json, a path that is not there",
         ["patch", "deploy", "web", "--type=json", "-p", '[{"op":"remove","path":"/spec/nobody"}]'], differs="refused by both; the dev cluster says which path"),
    Step("patch", "an immutable field", ["patch", "job", "hello", "--type=merge", "-p", '{"spec":{"completions":2}}']),
    Step("patch", "--subresource=status",
         ["patch", "deploy", "web", "--subresource=status", "--type=merge", "-p", '{"status":{"observedGeneration":1}}']),
    Step("set", "image", ["set", "image", "deploy/web", "main=example.org/app:2"]),
    Step("set", "env", ["set", "env", "deploy/web", "C=3"]),
    Step("set", "resources", ["set", "resources", "deploy/web", "--limits=memory=64Mi"]),
    Step("rollout", "history", ["rollout", "history", "deploy/web"], until=AVAILABLE),
    Step("rollout", "undo", ["rollout", "undo", "deploy/web"]),
    Step("rollout", "restart", ["rollout", "restart", "deploy/web"]),
    Step("rollout", "pause, resume", ["rollout", "pause", "deploy/web"]),
    Step("rollout", "pause, resume", ["rollout", "resume", "deploy/web"]),
    Step("diff", "-f -", ["diff", "-f", "-"], stdin=text(dict(SETTINGS, data={"A": "9", "file.txt": "two\nlines\n"}))),
    Step("replace", "-f -", ["replace", "-f", "-"], stdin=text(dict(SETTINGS, data={"A": "9"}))),
    Step("replace", "-f -, an old resourceVersion", ["replace", "-f", "-"], stdin=text(
        dict(SETTINGS, metadata={"name": "settings", "resourceVersion": "1"}))),
    Step("explain", "", ["explain", "job.spec.backoffLimit"], differs="types, without descriptions"),
    Step("api-resources", "--api-group", ["api-resources", "--api-group=batch", "--no-headers"]),
    Step("api-versions", "", ["api-versions"], ordered=False, differs="those of the kinds above only"),
    Step("auth", "whoami", ["auth", "whoami", "-o", "jsonpath={.kind} {.status.userInfo.groups}"]),
    Step("auth", "can-i", ["auth", "can-i", "delete", "jobs"]),
    Step("auth", "can-i --as", ["auth", "can-i", "get", "pods", f"--as=system:serviceaccount:{NAMESPACE}:robot"]),
    Step("auth", "can-i --as", ["auth", "can-i", "delete", "pods", f"--as=system:serviceaccount:{NAMESPACE}:robot"]),
    Step("auth", "can-i --list", ["auth", "can-i", "--list", f"--as=system:serviceaccount:{NAMESPACE}:robot"], ordered=False, differs="without the URLs that are open to everybody"),
    Step("get", "--as, forbidden", ["get", "secrets", f"--as=system:serviceaccount:{NAMESPACE}:robot"]),
    Step("create", "token", ["create", "token", "nobody"]),
    Step("version", "-o json", ["version", "-o", "jsonpath={.serverVersion.major}"]),
    Step("cluster-info", "", ["cluster-info"]),
    Step("exec", "", ["exec", "deploy/web", "--", "true"], differs="not there"),
    Step("top", "pods", ["top", "pods"]),
    Step("delete", "--dry-run=server", ["delete", "job/bad", "--dry-run=server"]),
    Step("delete", "--cascade=orphan", ["delete", "job/bad", "--cascade=orphan"]),
    Step("delete", "--cascade=foreground", ["delete", "job/hello", "--cascade=foreground", "--timeout=60s"]),
    Step("delete", "-l", ["delete", "pods", "-l", "job-name=bad", "--now"], ordered=False),
    Step("delete", "it is not there", ["delete", "job/nobody"]),
    Step("delete", "--ignore-not-found", ["delete", "job/nobody", "--ignore-not-found"]),
    Step("delete", "deploy,svc,pdb", ["delete", "deploy/web", "svc/web", "pdb/web", "cronjob/nightly", "--timeout=60s"]),
]
