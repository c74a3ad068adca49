"""The API server dies in each state of a run, forgets what is watched, or has no time for us.

Every test ends with what always holds (invariants.py): the command ran at most once,
its log is whole, its end is true, and the audit was first.
"""

import contextlib
import json
import socket
import threading
import time

import pytest

from apiproxy import ApiProxy
from harness import eventually
from invariants import ended

LINES = "".join(f"{i}\n" for i in range(1, 501))
SCRIPT = "seq 1 500; gate end; echo last; exit 3"
LOG = LINES + "last\n"

STATES = {  # the request at which it dies, and whether it has done what was asked
    "before the Job is made": ("POST", "/jobs", "asked"),
    "the Job is made, the answer is lost": ("POST", "/jobs", "answered"),
    "before the Job is released": ("PATCH", "/jobs/", "asked"),
    "the Job is released, the answer is lost": ("PATCH", "/jobs/", "answered"),
    "when the log is opened": ("GET", "/log?", "asked"),
    "when the log begins": ("GET", "/log?", "answered"),
}


@pytest.mark.parametrize("state", STATES)
def test_the_api_server_dies_and_comes_back(place, state):
    method, part, when = STATES[state]
    with ApiProxy(place.cluster) as proxy:
        server = place.server(proxy.kubeconfig(place.kubeconfig))
        trap = proxy.trap(method, part, place.cluster.apiserver.kill, when)
        child = place.attach(server, SCRIPT)
        trap.wait()
        place.cluster.apiserver.start()
        place.witness.open("end")
        out, err = child.communicate(timeout=240)
        assert (child.returncode, out.decode()) == (3, LOG), err
        place.check(server, place.newest(server), state="failed", exit_code=3, log=LOG)


def test_the_command_ends_while_the_api_server_is_away(place):
    server = place.server()
    child = place.attach(server, "seq 1 500; gate end; echo last; touch /witness/over; exit 3")
    place.started()
    run = place.newest(server)
    place.speaking(server, run, len(LINES))
    place.cluster.apiserver.kill()
    place.witness.open("end")
    eventually((place.witness.folder / "over").exists, "the command has ended")
    place.cluster.apiserver.start()
    out, err = child.communicate(timeout=240)
    assert (child.returncode, out.decode()) == (3, LOG), err
    place.check(server, run, state="failed", exit_code=3, log=LOG)


def test_the_api_server_is_away_for_longer_than_a_log_may_be_silent(place):
    """It dies when the rest of the log is asked for, the command having ended, and is away for 35 s."""
    with ApiProxy(place.cluster) as proxy:
        server = place.server(proxy.kubeconfig(place.kubeconfig))
        gone = []
        trap = proxy.trap("GET", "/log?", lambda: (place.cluster.apiserver.kill(), gone.append(time.monotonic())), nth=2)
        child = place.attach(server, SCRIPT)
        run = place.newest(server)
        place.speaking(server, run, len(LINES))
        place.witness.open("end")
        trap.wait()
        eventually(lambda: time.monotonic() - gone[0] > 35, "it was away for so long", 60)
        place.cluster.apiserver.start()
        out, err = child.communicate(timeout=240)
        assert (child.returncode, out.decode()) == (3, LOG), err
        place.check(server, run, state="failed", exit_code=3, log=LOG)


@pytest.mark.parametrize("when", ["asked", "answered"])
def test_the_api_server_dies_while_a_run_is_cancelled(place, when):
    with ApiProxy(place.cluster) as proxy:
        server = place.server(proxy.kubeconfig(place.kubeconfig))
        run = place.detach(server, SCRIPT)
        place.speaking(server, run, len(LINES))
        trap = proxy.trap("DELETE", "/jobs/", place.cluster.apiserver.kill, when)
        assert server.oddjob("ann", "cancel", run).code == 0
        trap.wait()
        place.cluster.apiserver.start()
        # 137 where the node saw the command killed, nothing where it had no time to say so.
        code = ended(server, run).get("exitCode")
        assert code in (None, 137)
        place.check(server, run, state="cancelled", reason="Cancelled", exit_code=code, log=LINES)


def test_no_api_server_no_run(place):
    server = place.server()
    place.cluster.apiserver.kill()
    done = server.oddjob("ann", "run", "-n", place.namespace, "deploy/w", "--", *place.command("true"),
                         extra={"ODDJOB_SUBMIT_DEADLINE": "5s"})
    assert done.code == 125 and place.cluster.server.removeprefix("https://") in done.err, done
    place.cluster.apiserver.start()
    assert place.cluster.get("jobs", namespace=place.namespace)["items"] == []
    assert place.witness.starts("ran") == 0
    child = place.attach(server, "exit 3")
    assert child.wait(240) == 3
    place.check(server, place.newest(server), state="failed", exit_code=3)


def test_the_server_and_the_api_server_die_together(place):
    """A power cut of both: the run goes on in its node and is taken up again."""
    server = place.server()
    run = place.detach(server, SCRIPT)
    place.speaking(server, run, len(LINES))
    server.process.kill()
    place.cluster.apiserver.kill()
    place.cluster.etcd.kill()
    place.witness.open("end")
    server.start()  # first, so that it finds nobody
    place.cluster.etcd.start()
    place.cluster.apiserver.start()
    place.check(server, run, state="failed", exit_code=3, log=LOG)


def test_etcd_is_compacted_under_a_watch(place):
    with ApiProxy(place.cluster) as proxy:
        server = place.server(proxy.kubeconfig(place.kubeconfig))
        run = place.detach(server, SCRIPT)
        place.speaking(server, run, len(LINES))
        proxy.hold()
        for i in range(3):  # what the watches do not see
            place.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"i": str(i)}},
                                namespace=place.namespace)
        place.witness.open("end")
        name = place.record(server, run)["jobName"]
        ended = lambda: place.cluster.get("job", name, namespace=place.namespace)["status"].get("failed") == 1
        eventually(ended, "the Job has ended", 120)
        place.cluster.age()
        proxy.pass_on()
        place.check(server, run, state="failed", exit_code=3, log=LOG)


def test_the_api_server_has_no_time_for_us(place):
    """429, as API Priority and Fairness answers. What is open already goes on."""
    with ApiProxy(place.cluster) as proxy:
        server = place.server(proxy.kubeconfig(place.kubeconfig))
        run = place.detach(server, SCRIPT, mark="first")
        place.speaking(server, run, len(LINES))
        proxy.busy = True
        done = server.oddjob("ann", "run", "-n", place.namespace, "deploy/w", "--", *place.command("true", "refused"),
                             extra={"ODDJOB_SUBMIT_DEADLINE": "5s"}, seconds=120)
        assert done.code == 125 and "too many requests" in done.err.lower(), done
        place.witness.open("end")
        before = proxy.refused
        waiting = place.attach(server, "exit 4", mark="second")  # it asks until it is let in
        eventually(lambda: proxy.refused > before + 1 and waiting.poll() is None, "it asks again and again")
        proxy.busy = False
        out, err = waiting.communicate(timeout=240)
        assert waiting.returncode == 4, err
        place.check(server, run, mark="first", state="failed", exit_code=3, log=LOG)
        place.check(server, place.newest(server), mark="second", state="failed", exit_code=4)
        assert place.witness.starts("refused") == 0
        story = json.loads(server.oddjob("root", "audit", "list", "-o", "json").out)["items"]
        assert sum(e["type"] == "run.requested" for e in story) == 2, "what was never let in is no run"


@contextlib.contextmanager
def one_seat(place):
    """OddJob's account has a priority level of one seat and no queue. A ConfigMap made in this account keeps the
    seat while an admission webhook does not answer: what is given back begins that, and the context's end ends it."""
    cluster, name = place.cluster, place.namespace
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        level = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": {"name": name},
                 "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 0, "lendablePercent": 0,
                                                         "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}}}
        schema = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": name}, "spec": {
            "priorityLevelConfiguration": {"name": name}, "matchingPrecedence": 2, "rules": [{
                "subjects": [{"kind": "ServiceAccount", "serviceAccount": {"name": "oddjob", "namespace": "oddjob"}}],
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}]}]}}
        webhook = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
                   "metadata": {"name": name}, "webhooks": [{
                       "name": "silent.example.org", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 30,
                       "clientConfig": {"url": f"https://127.0.0.1:{silent.getsockname()[1]}/"},
                       "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
                       "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]}]}
        allowed = [{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "maps"},
                    "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "get"]}]},
                   {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "maps"},
                    "subjects": [{"kind": "ServiceAccount", "name": "oddjob", "namespace": "oddjob"}],
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "maps"}}]
        cluster.apply(*allowed, webhook, level, schema, namespace=name)
        rejected = f'apiserver_flowcontrol_rejected_requests_total{{flow_schema="{name}"'

        def refusals():
            metrics = cluster.kubectl("get", "--raw", "/metrics").out
            return sum(float(line.rsplit(" ", 1)[1]) for line in metrics.splitlines() if line.startswith(rejected))

        def keep():
            while not over.is_set():
                cluster.kubectl("-n", name, "create", "configmap", f"kept-{time.time_ns()}", kubeconfig=place.kubeconfig)

        over, keeper, kept = threading.Event(), threading.Thread(target=keep), []

        def begin():
            keeper.start()
            silent.settimeout(90)
            kept.append(silent.accept()[0])
        try:
            yield begin, refusals
        finally:
            over.set()
            cluster.kubectl("delete", "flowschema,prioritylevelconfiguration,validatingwebhookconfiguration", name)
            for connection in kept:
                connection.close()
    if keeper.is_alive():
        keeper.join(90)


def test_priority_and_fairness_has_no_seat_for_us(place):
    server = place.server()
    run = place.detach(server, SCRIPT, mark="first")
    place.speaking(server, run, len(LINES))
    with one_seat(place) as (keep_it, refusals):
        keep_it()
        before = refusals()
        waiting = place.attach(server, "exit 4", mark="second")
        eventually(lambda: refusals() > before + 1, "the API server refuses us more than once")
        assert waiting.poll() is None and place.witness.starts("second") == 0
        place.witness.open("end")
    out, err = waiting.communicate(timeout=240)
    assert waiting.returncode == 4, err
    place.check(server, run, mark="first", state="failed", exit_code=3, log=LOG)
    place.check(server, place.newest(server), mark="second", state="failed", exit_code=4)
