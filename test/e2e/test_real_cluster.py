"""The real Kubernetes of these tests does to OddJob's surroundings what its manual says."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

import harness
from harness import eventually

PROGRAM = str(harness.ROOT / "test" / "kubernetes" / "cluster.py")


def pod(name, *command):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": "busybox:1.36", "command": list(command)}]}}


def phase(cluster, name):
    return cluster.get("pod", name)["status"].get("phase")


def processes(text):
    """Ids of processes whose command line has this text."""
    found = set()
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                found.add(int(entry.parent.name))
        except OSError:
            pass
    return found


def test_whoever_comes_holds_what_is_bound_and_no_more(real_cluster):
    if not real_cluster.breakable:
        pytest.skip("users are made on a cluster of our own only")
    users = {"certificate": real_cluster.user_kubeconfig("ann", ["payments"]),
             "account": real_cluster.service_account_kubeconfig("default", "default"),
             "token": real_cluster.write_kubeconfig("bob", {"token": real_cluster.token("bob")})}
    names = {}
    for how, kubeconfig in users.items():
        refused = real_cluster.kubectl("get", "secrets", kubeconfig=kubeconfig)
        assert refused.code != 0 and "forbidden" in refused.err, refused
        names[how] = refused.err.split('User "')[1].split('"')[0]
    assert names == {"certificate": "ann", "account": "system:serviceaccount:default:default", "token": "bob"}


def test_programs_that_die_come_back_with_what_they_knew(own_real_cluster):
    c = own_real_cluster
    c.apply(pod("stays", "sh", "-c", "echo up; sleep 987654"))
    eventually(lambda: phase(c, "stays") == "Running", "the pod runs", 60, 0.3)
    c.apiserver.kill()
    assert c.kubectl("get", "pods", "--request-timeout=5s").code != 0
    c.apiserver.start()
    c.etcd.kill()
    c.etcd.start()
    eventually(lambda: c.kubectl("get", "pod", "stays").code == 0, "the API server has found etcd again", 60, 0.3)
    c.controller_manager.restart()
    c.scheduler.restart()
    assert phase(c, "stays") == "Running"

    # Versions from before are too old, once the cluster has aged.
    before = c.get("configmap", "kube-root-ca.crt")["metadata"]["resourceVersion"]
    c.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}})
    c.age()
    path = "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=5&resourceVersion="
    watched = c.kubectl("get", "--raw", path + before)
    assert '"code":410' in watched.out + watched.err or "too old resource version" in watched.err, watched

    # The node goes with all that runs on it, and what ran is told once it is back.
    assert processes("sleep 987654")
    c.node.kill()
    eventually(lambda: not processes("sleep 987654"), "the node's processes are gone", 30)
    c.node.start()
    eventually(lambda: phase(c, "stays") in ("Failed", "Succeeded"), "the pod's end is told", 120, 0.5)


def test_the_cluster_ends_with_the_program_that_started_it(real_cluster, tmp_path):
    if not real_cluster.breakable:
        pytest.skip("no cluster of our own is started")
    told = tmp_path / "told"
    child = subprocess.Popen([sys.executable, PROGRAM, "--", "sh", "-c", f"echo $KUBECONFIG > {told}; exec sleep 300"],
                             stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        eventually(lambda: told.exists() and told.read_text().strip() or child.poll() is not None, "it runs", 240, 0.2)
        folder = str(pathlib.Path(told.read_text().strip()).parent)
        assert len(processes(folder)) >= 5
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        os.killpg(child.pid, signal.SIGKILL)   # the command it ran
    eventually(lambda: not processes(folder), "nothing of the cluster is left", 30, 0.2)
    subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)
