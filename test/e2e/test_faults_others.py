"""What others do to a run's Job, pod, namespace, node and token while it runs, on a real cluster."""

import json
import pathlib

import yaml

from harness import eventually
from invariants import ended

LINES = "".join(f"{i}\n" for i in range(1, 501))
SCRIPT = "seq 1 500; gate end; echo last; exit 3"


def running(place, server):
    run = place.detach(server, SCRIPT)
    place.speaking(server, run, len(LINES))
    return run


def delete(place, *what, namespaced=True):
    done = place.cluster.kubectl(*(["-n", place.namespace] if namespaced else []), "delete", "--wait=false", *what)
    assert done.code == 0, done


def test_the_job_is_deleted(place):
    server = place.server()
    run = running(place, server)
    delete(place, "job", place.record(server, run)["jobName"])
    record = place.check(server, run, state="lost", reason="JobDeleted", log=LINES)
    assert "deleted" in record["message"], record


def test_the_pod_is_deleted(place):
    server = place.server()
    run = running(place, server)
    delete(place, "pod", "-l", f"oddjob.dev/run-id={run}")
    record = ended(server, run)
    assert record["resultReason"] == "PodDeleted", record
    # The command is killed after its grace; the kubelet may or may not get to say with which code.
    place.check(server, run, state=record["state"], reason="PodDeleted", exit_code=record.get("exitCode"), log=LINES)
    assert record["state"] == ("lost" if record.get("exitCode") is None else "failed"), record


def test_the_pod_is_deleted_by_force(place):
    server = place.server()
    run = running(place, server)
    delete(place, "pod", "-l", f"oddjob.dev/run-id={run}", "--force", "--grace-period=0")
    record = ended(server, run)
    assert record["resultReason"] == "PodDeleted", record
    place.check(server, run, state=record["state"], exit_code=record.get("exitCode"), log=LINES, complete=record["logComplete"])


def test_the_namespace_is_deleted(place):
    server = place.server()
    run = running(place, server)
    delete(place, "namespace", place.namespace, namespaced=False)
    record = ended(server, run)
    assert record["state"] in ("lost", "failed") and record["resultReason"] in ("JobDeleted", "PodDeleted"), record
    place.check(server, run, state=record["state"], exit_code=record.get("exitCode"), log=LINES)
    gone = lambda: place.cluster.kubectl("get", "namespace", place.namespace).code != 0
    eventually(gone, "the namespace is gone", 120, 0.2)
    done = server.oddjob("ann", "run", "-n", place.namespace, "deploy/w", "--", "true")
    assert done.code == 125 and place.namespace in done.err, done


def test_the_node_is_gone(place):
    """Its kubelet and all its pods die, and the node is taken out of the cluster."""
    server = place.server()
    run = running(place, server)
    place.cluster.node.kill()
    delete(place, "node", "localhost", namespaced=False)
    record = ended(server, run, 300)
    assert record["state"] in ("lost", "failed") and record.get("exitCode") is None, record
    assert record["resultReason"] in ("PodDeleted", "JobDeleted", "ResultUnknown", "DeletionByPodGC", "PodFailurePolicy"), record
    place.check(server, run, state=record["state"], reason=record["resultReason"], log=LINES, complete=record["logComplete"])
    place.cluster.node.start()
    again = place.detach(server, "exit 4", mark="again")
    place.check(server, again, mark="again", state="failed", exit_code=4)


def test_the_node_restarts(place):
    """A power cut of the machine: its pods are dead, and the kubelet says so when it is back."""
    server = place.server()
    run = running(place, server)
    place.cluster.node.kill()
    place.cluster.node.start()
    record = ended(server, run, 300)
    assert record["state"] in ("lost", "failed") and record.get("exitCode") != 0, record
    place.check(server, run, state=record["state"], reason=record["resultReason"], exit_code=record.get("exitCode"),
                complete=record["logComplete"])


def test_the_token_is_replaced_and_the_old_one_revoked(place):
    cluster, account = place.cluster, yaml.safe_load(pathlib.Path(place.kubeconfig).read_text())
    token = place.folder / "token"

    def issue(name):
        cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}, namespace="oddjob")
        done = cluster.kubectl("-n", "oddjob", "create", "token", "oddjob", "--bound-object-kind=Secret",
                               f"--bound-object-name={name}")
        assert done.code == 0, done
        fresh = token.with_suffix(".new")
        fresh.touch(0o600)
        fresh.write_text(done.out.strip())
        fresh.rename(token)
        return done.out.strip()

    old = issue("oddjob-token-1")
    account["users"][0]["user"] = {"tokenFile": str(token)}
    kubeconfig = place.folder / "rotating.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(account))
    server = place.server(str(kubeconfig))
    run = running(place, server)
    issue("oddjob-token-2")
    assert cluster.kubectl("-n", "oddjob", "delete", "secret", "oddjob-token-1").code == 0
    account["users"][0]["user"] = {"token": old}
    revoked = place.folder / "old.kubeconfig"
    revoked.write_text(yaml.safe_dump(account))
    eventually(lambda: "Unauthorized" in (d := cluster.kubectl("get", "jobs", kubeconfig=revoked)).err + d.out
               or "must be logged in" in d.err, "the old token is refused", 120, 0.2)
    place.witness.open("end")
    place.check(server, run, state="failed", exit_code=3, log=LINES + "last\n")
    again = place.detach(server, "exit 4", mark="again")
    place.check(server, again, mark="again", state="failed", exit_code=4)
    assert cluster.kubectl("-n", "oddjob", "delete", "secret", "oddjob-token-2").code == 0


def test_all_permissions_are_taken_away_for_a_while(place):
    """The server says so where it is asked, and goes on when they are back."""
    cluster = place.cluster
    server = place.server()
    run = running(place, server)
    delete(place, "clusterrolebinding", "oddjob", namespaced=False)
    try:
        def told():
            done = server.oddjob("ann", "run", "-n", place.namespace, "deploy/w", "--", *place.command("true", "refused"),
                                 extra={"ODDJOB_SUBMIT_DEADLINE": "5s"})
            return done.code == 125 and "forbidden" in done.err and done
        assert "system:serviceaccount:oddjob:oddjob" in eventually(told, "the run is refused").err
    finally:
        cluster.restore_rbac()
    place.witness.open("end")
    place.check(server, run, state="failed", exit_code=3, log=LINES + "last\n")
    assert place.witness.starts("refused") == 0
    assert json.loads(server.oddjob("root", "audit", "verify", "-o", "json").out)["ok"]
