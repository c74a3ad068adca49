"""An unmodified kubectl against the dev cluster, as against a real one."""

import json

from harness import workload


def job(name, *command):
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "example.org/x:1", "command": list(command)}]}}}}


def test_apply_get_describe_logs_wait_delete(cluster):
    cluster.apply(job("hello", "sh", "-c", "echo hello; sleep 1; echo bye"), workload("web"))
    logs = cluster.kubectl("logs", "-f", "job/hello", "--pod-running-timeout=20s")
    assert (logs.code, logs.out) == (0, "hello\nbye\n"), logs
    assert cluster.kubectl("wait", "--for=condition=complete", "job/hello", "--timeout=20s").code == 0
    table = cluster.kubectl("get", "deploy,pods,jobs", "-A").out
    assert "deployment.apps/web" in table and "job.batch/hello" in table and "NAMESPACE" in table, table
    text = cluster.kubectl("describe", "job", "hello").out
    for words in ("Pods Statuses:", "SuccessfulCreate", "Completed", "1 Succeeded"):
        assert words in text, text
    assert cluster.kubectl("delete", "job/hello", "deploy/web", "--timeout=30s").code == 0
    assert "not found" in cluster.kubectl("get", "job", "hello").err


def test_scale_label_annotate_patch(cluster):
    cluster.apply(workload("verbs"))
    assert cluster.kubectl("scale", "deploy/verbs", "--replicas=2").code == 0
    assert cluster.kubectl("rollout", "status", "deploy/verbs", "--timeout=30s").code == 0
    assert cluster.kubectl("label", "deploy/verbs", "tier=back").code == 0
    assert cluster.kubectl("annotate", "deploy/verbs", "note=hi").code == 0
    done = cluster.kubectl("patch", "deploy/verbs", "-p",
                           '{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[{"name":"A","value":"1"}]}]}}}}')
    assert done.code == 0, done
    got = cluster.get("deploy/verbs")
    assert got["spec"]["replicas"] == 2 and got["metadata"]["labels"]["tier"] == "back"
    assert got["spec"]["template"]["spec"]["containers"][0]["command"], "a strategic merge keeps the other fields"
    assert cluster.kubectl("get", "deploy", "-l", "tier=back", "-o", "name").out == "deployment.apps/verbs\n"
    assert cluster.kubectl("delete", "deploy/verbs").code == 0


def test_a_wrong_manifest_is_refused_as_a_real_server_would(cluster):
    bad = job("bad", "true")
    bad["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    done = cluster.kubectl("create", "-f", "-", stdin=json.dumps(bad))
    assert done.code == 1 and "is invalid" in done.err and "restartPolicy" in done.err, done


def test_who_am_i_and_what_is_there(cluster):
    assert "Username" in cluster.kubectl("auth", "whoami").out
    assert "jobs" in cluster.kubectl("api-resources").out
    assert cluster.kubectl("version").code == 0
