"""`kubectl oddjob` on a real control plane: callers who bring nothing but a kubeconfig, by way of
the API server's aggregation layer, and those who only say that they come that way."""

import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess

import pytest

import cluster as kubernetes
import harness
import people
import pki
import rbac
from harness import ODDJOB, OPEN, ROOT, eventually, run, template, workload

GROUP = "run.oddjob.dev"
ROOT_PATH = f"/apis/{GROUP}/v1alpha1"
SPACE = "front-proxy"   # where the runs are
REQUEST_SECONDS = 15    # after which the API server cuts a request, unless it is known to last


class Aggregated:
    """A server behind the API server of a real cluster, and people with a kubeconfig each."""

    def __init__(self, cluster, folder):
        self.cluster, self.folder = cluster, folder
        self.address = kubernetes.machine_address()
        account = rbac.install(cluster, folder)
        self.authority = pki.Authority(folder / "serving", "oddjob test serving")
        key, certificate = self.authority.sign("server", "oddjob", names=["DNS:oddjob.oddjob.svc",
                                                                         f"IP:{self.address}"])
        self.server = harness.Server(folder, account)
        self.server.config["listen"].update(address=self.address, tlsCertFile=str(certificate), tlsKeyFile=str(key))
        self.server.config["auth"]["frontProxy"] = True
        self.manifests = self._rendered()
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name in ("kubectl-oddjob", "kubectl_complete-oddjob"):
            (self.bin / name).symlink_to(ODDJOB)
        (self.bin / "kubectl").symlink_to(cluster.kubectl_program)
        self.users = {"ann": cluster.user_kubeconfig("ann", ["payments"]),
                      "bob": cluster.write_kubeconfig("bob", {"token": cluster.token("bob")})}

    def start(self):
        harness.install_templates(self.cluster)
        self.server.start()
        port = self.server.config["listen"]["port"]
        done = self.cluster.kubectl("apply", "-f", "-", stdin=self.manifests)
        assert done.code == 0, done
        # The pod of the chart's Service is a process of this machine.
        self.cluster.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "oddjob"},
             "spec": {"ports": [{"name": "https", "port": 443, "targetPort": port}]}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
             "metadata": {"name": "oddjob-1", "labels": {"kubernetes.io/service-name": "oddjob"}},
             "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
             "endpoints": [{"addresses": [self.address], "conditions": {"ready": True}}]}, namespace="oddjob")
        self.cluster.kubectl("create", "namespace", SPACE)
        eventually(lambda: self.cluster.kubectl("-n", SPACE, "get", "serviceaccount", "default").code == 0,
                   "the namespace is ready")
        self.cluster.apply(workload("payments", OPEN), workload("legacy"),
                           workload("ledger", dict(OPEN, **{"oddjob.dev/approval": "required",
                                                            "oddjob.dev/approver-users": "bob"})), namespace=SPACE)
        for name in ("payments", "ledger"):
            done = self.cluster.kubectl("-n", SPACE, "wait", "--for=condition=available", f"deploy/{name}",
                                        "--timeout=120s", seconds=150)
            assert done.code == 0, done
        self.available("True")
        self.ready()
        return self

    def ready(self):
        eventually(lambda: self.server.api(None).get("/readyz")[0] == 200, "the server is ready", 60)
        eventually(lambda: self.oddjob("ann", "whoami").code == 0, "ann is let through", 60, 0.2)

    def available(self, wanted):
        def conditions():
            service = self.cluster.get("apiservice", f"v1alpha1.{GROUP}")
            return [c["status"] for c in service.get("status", {}).get("conditions", []) if c["type"] == "Available"]
        eventually(lambda: conditions() == [wanted], f"the APIService is available: {wanted}", 120, 0.2)

    def stop(self):
        if self.server.process:
            self.server.stop()

    def _rendered(self):
        """What the chart makes of it, in the namespace that the server's account is of."""
        done = run([str(ROOT / "script" / "helm"), "template", "oddjob", str(ROOT / "deploy" / "helm" / "oddjob"),
                    "--namespace", "oddjob", "--set", "image.repository=x", "--set", "apiService.enabled=true",
                    "--set-file", f"apiService.caBundle={self.authority.certificate}",
                    "--show-only", "templates/apiservice.yaml"], seconds=1800)
        assert done.code == 0, done
        return done.out

    # ---- who comes -----------------------------------------------------------

    def environment(self, user, **more):
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ODDJOB_")}
        return dict(inherited, PATH=f"{self.bin}:{os.environ['PATH']}", KUBECONFIG=self.users[user], NO_COLOR="1",
                    ODDJOB_CONFIG=str(self.folder / "none.yaml"), **more)

    def oddjob(self, user, *args, seconds=120):
        return run(["kubectl", "oddjob", *args], self.environment(user), seconds)

    def popen(self, user, *args):
        return subprocess.Popen(["kubectl", "oddjob", *args], env=self.environment(user), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def runs(self, **fields):
        listed = json.loads(self.oddjob("ann", "ls", "-n", SPACE, "-o", "json").out)["items"]
        return [r for r in listed if all(r.get(k) == v for k, v in fields.items())]

    def straight(self, path, certificate=None, **headers):
        return people.straight(self.address, self.server.config["listen"]["port"], path, certificate, **headers)


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """A cluster of its own: an aggregated API that is down, as here at the end, is felt in all of it."""
    if os.environ.get("ODDJOB_TEST_KUBECONFIG"):
        pytest.skip("the API server's front proxy is configured on a cluster of our own only")
    folder = tmp_path_factory.mktemp("aggregated")
    arguments = {"kube-apiserver": [f"--request-timeout={REQUEST_SECONDS}s"]}
    with kubernetes.Cluster(tmp_path_factory.mktemp("k8s"), arguments=arguments) as cluster:
        there = Aggregated(cluster, folder)
        try:
            yield there.start()
        finally:
            there.stop()


# ---- who brings nothing but a kubeconfig ---------------------------------------------------------------

@pytest.mark.parametrize("user,how,teams", [
    ("ann", "a client certificate", ["payments", "system:authenticated"]),
    ("bob", "a bearer token", ["system:authenticated"])], ids=["certificate", "token"])
def test_the_caller_arrives_with_name_and_groups(there, user, how, teams):
    done = there.oddjob(user, "whoami", "-o", "json")
    assert done.code == 0, done
    assert json.loads(done.out) == {"user": user, "teams": teams, "method": "front_proxy", "admin": False,
                                    "auditor": False}


def test_a_run_its_log_and_its_exit_code(there):
    done = there.oddjob("ann", "run", "-n", SPACE, "deploy/payments", "--", "sh", "-c", "echo out; exit 7")
    assert (done.code, done.out) == (7, "out\n"), done
    (made,) = there.runs(state="failed")
    assert made["requester"] == "ann" and made["exitCode"] == 7
    # The same person by a token of their own, reviewed by the same API server, sees the same run.
    token = there.cluster.token("ann")
    done = run([ODDJOB, "show", made["id"], "-o", "json"],
               dict(os.environ, ODDJOB_SERVER=there.server.url, ODDJOB_TOKEN=token,
                    ODDJOB_CONFIG="/nonexistent", ODDJOB_CA_FILE=str(there.authority.certificate)))
    assert done.code == 0 and json.loads(done.out)["requester"] == "ann", done
    log = there.oddjob("ann", "logs", made["id"])
    assert (log.code, log.out) == (0, "out\n"), log
    refused = there.oddjob("bob", "run", "-n", SPACE, "deploy/payments", "--", "true")
    assert refused.code == 125 and "bob" in refused.err, refused
    refused = there.oddjob("ann", "run", "-n", SPACE, "deploy/legacy", "--", "true")
    assert refused.code == 125 and "allowed-teams" in refused.err, refused


def test_the_log_comes_as_it_is_written_for_as_long_as_it_takes(there):
    pause = REQUEST_SECONDS + 5   # the API server has cut ordinary requests by then
    child = there.popen("ann", "run", "-n", SPACE, "deploy/payments", "--", "sh", "-c",
                        f"echo one; sleep {pause}; echo two; sleep 1000")
    try:
        assert child.stdout.readline() == b"one\n"   # the command goes on: nothing has held it back
        assert child.stdout.readline() == b"two\n"
        # Ctrl-C without a terminal detaches; a second one follows and cancels.
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
        assert child.returncode == 130 and b"lost the server" not in err, err
        (one,) = there.runs(state="running")
        follower = there.popen("ann", "logs", "-f", one["id"])
        assert follower.stdout.readline() == b"one\n"
        done = there.oddjob("ann", "cancel", one["id"])
        assert done.code == 0, done
        follower.communicate(timeout=120)
        eventually(lambda: there.runs(id=one["id"], state="cancelled"), "the run is cancelled")
    finally:
        child.kill()
        child.communicate()


def test_every_other_command_goes_that_way_too(there):
    done = there.oddjob("ann", "run", "-n", SPACE, "--detach", "-o", "name", "deploy/ledger", "--", "echo", "paid")
    assert done.code == 0, done
    waiting = done.out.strip().removeprefix("run/")
    assert "echo paid" in there.oddjob("bob", "pending", "-n", SPACE).out
    own = there.oddjob("ann", "approve", waiting, "--yes")
    assert own.code == 125 and "approv" in own.err, own
    done = there.oddjob("bob", "approve", waiting, "--yes")
    assert done.code == 0, done
    done = there.oddjob("ann", "logs", "-f", waiting)
    assert (done.code, done.out) == (0, "paid\n"), done
    done = there.oddjob("ann", "run", "-n", SPACE, "--detach", "-o", "name", "deploy/ledger", "--", "true")
    done = there.oddjob("bob", "deny", done.out.strip(), "--reason", "not today")
    assert done.code == 0, done
    assert "deploy/payments" in there.oddjob("ann", "workloads", "-n", SPACE).out
    for command in (["image", "ls", "-n", SPACE], ["audit", "list", "--run", waiting], ["templates", "-n", SPACE],
                    ["show", waiting], ["ls", "--all-namespaces"], ["version"]):
        done = there.oddjob("ann", *command)
        assert done.code == 0 or "CustomResourceDefinition" in done.err or "jobtemplates" in done.err, (command, done)
    story = there.oddjob("ann", "audit", "list", "--run", waiting).out
    assert "the API server's front proxy" in story, story


def test_a_template_is_read_in_its_namespace(there):
    there.cluster.apply(template("hello", "payments", ["echo", "hello ${name}"],
                                 [{"name": "name", "type": "string", "default": "you"}]), namespace=SPACE)
    eventually(lambda: "hello" in there.oddjob("ann", "templates", "-n", SPACE).out, "the template is listed", 60, 0.3)
    done = there.oddjob("ann", "template", "show", "-n", SPACE, "hello")
    assert done.code == 0 and "name" in done.out, done
    done = there.oddjob("ann", "run", "-n", SPACE, "template/hello", "--param", "name=me")
    assert (done.code, done.out) == (0, "hello me\n"), done


def test_kubectl_completes_what_the_plugin_takes(there):
    def completions(*words):
        done = run(["kubectl", "__complete", "oddjob", *words], there.environment("ann"))
        assert done.code == 0, done
        *answers, directive = done.out.split()
        return answers, directive

    assert completions("ru") == (["run"], ":36")
    assert completions("run", "-n", SPACE, "deploy/pay") == (["deploy/payments"], ":36")
    assert "deploy/legacy" not in completions("run", "-n", SPACE, "")[0]
    assert completions("ls", "--state", "succ") == (["succeeded"], ":36")
    assert completions("ls", "-o", "") == (["json", "yaml", "name", "wide"], ":36")
    assert completions("--kubeconfig", "")[1] == ":0"   # names of files are the shell's to complete


def test_kubernetes_itself_is_not_disturbed(there):
    cluster = there.cluster
    done = cluster.kubectl("api-resources", f"--api-group={GROUP}", "-o", "name")
    assert done.code == 0 and "runs.run.oddjob.dev" in done.out.split() and not done.err, done
    done = cluster.kubectl("api-resources", "--verbs=list,watch", "-o", "name")
    assert done.code == 0 and GROUP not in done.out and not done.err, done
    for path in ("/openapi/v2", "/openapi/v3", f"/apis/{GROUP}"):
        assert cluster.kubectl("get", "--raw", path).code == 0, path
    # What is in a namespace is found by discovery before it goes.
    assert cluster.kubectl("create", "namespace", f"{SPACE}-empty").code == 0
    done = cluster.kubectl("delete", "namespace", f"{SPACE}-empty", "--timeout=60s", seconds=90)
    assert done.code == 0, done


# ---- who says so only ----------------------------------------------------------------------------------

def test_the_api_server_lets_nobody_choose_their_own_name(there):
    context = ssl.create_default_context(cafile=there.cluster.ca)
    connection = http.client.HTTPSConnection(there.cluster.server.removeprefix("https://"), timeout=30, context=context)
    with contextlib.closing(connection):
        connection.request("GET", f"{ROOT_PATH}/whoami", headers={
            "Authorization": f"Bearer {there.cluster.token('bob')}", "X-Remote-User": "ann",
            "X-Remote-Group": "payments"})
        answer = connection.getresponse()
        who = json.loads(answer.read())
    assert (answer.status, who["user"], who["teams"]) == (200, "bob", ["system:authenticated"]), who


FORGED = {"X_Remote_User": "ann", "X_Remote_Group": "payments"}


def test_only_the_front_proxy_is_believed(there):
    folder, proxy = there.folder, there.cluster.front_proxy
    right = proxy.sign("right", kubernetes.FRONT_PROXY)
    status, who = there.straight(f"{ROOT_PATH}/whoami", right, **FORGED)
    assert (status, who["user"], who["teams"]) == (200, "ann", ["payments"]), who

    stranger = pki.Authority(folder / "stranger", "oddjob test front proxy")   # the same name, another key
    token = {"Authorization": f"Bearer {there.cluster.token('bob')}"}
    cases = {
        "another CA": (stranger.sign("other", kubernetes.FRONT_PROXY), FORGED, "auth.front_proxy_untrusted"),
        "the CA of ordinary client certificates": (there.cluster.authority.sign("client", kubernetes.FRONT_PROXY),
                                                   FORGED, "auth.front_proxy_untrusted"),
        "expired": (proxy.sign("late", kubernetes.FRONT_PROXY, days="-1"), FORGED, "auth.front_proxy_untrusted"),
        "a name that is not allowed": (proxy.sign("misnamed", "somebody"), FORGED, "auth.front_proxy_name"),
        "no certificate": (None, FORGED, "auth.front_proxy_none"),
        "no certificate, but a good token": (None, dict(FORGED, **token), "auth.front_proxy_none"),
        "no certificate and no headers, but a good token": (None, token, "auth.front_proxy_none"),
        "nobody named": (right, {}, "auth.front_proxy_user"),
    }
    for what, (certificate, headers, code) in cases.items():
        status, problem = there.straight(f"{ROOT_PATH}/whoami", certificate, **headers)
        assert (status, problem["code"]) == (401, code), (what, problem)
    for path in ("runs", "version", "openapi.json"):   # also what needs no identity elsewhere
        status, problem = there.straight(f"{ROOT_PATH}/{path}", None, **FORGED, **token)
        assert (status, problem["code"]) == (401, "auth.front_proxy_none"), (path, problem)

    # Beside the aggregated API, neither the certificate nor the headers mean anything.
    status, problem = there.straight("/api/v1/whoami", right, **FORGED)
    assert (status, problem["code"]) == (401, "auth.missing"), problem
    status, who = there.straight("/api/v1/whoami", right, **FORGED, **token)
    assert (status, who["user"], who["method"]) == (200, "bob", "token_review"), who


def test_without_the_role_the_api_server_says_what_is_missing(there):
    binding = there.cluster.get("clusterrolebinding", "oddjob-user")
    assert there.cluster.kubectl("delete", "clusterrolebinding", "oddjob-user").code == 0
    try:
        refused = eventually(lambda: (d := there.oddjob("ann", "ls")).code != 0 and d, "ann is refused", 60, 0.2)
        assert refused.code == 125 and "runs.run.oddjob.dev is forbidden" in refused.err, refused
        assert 'User "ann" cannot list resource "runs"' in refused.err and "oddjob-user" in refused.err, refused
    finally:
        there.cluster.apply({k: v for k, v in binding.items() if k != "status"} | {
            "metadata": {"name": "oddjob-user"}})
        eventually(lambda: there.oddjob("ann", "ls").code == 0, "ann is let through again", 60, 0.2)


def test_without_the_reader_role_nobody_is_believed_and_the_log_says_why(there, tmp_path):
    there.cluster.kubectl("-n", "kube-system", "delete", "rolebinding", "oddjob-front-proxy")
    other = harness.Server(tmp_path, there.server.config["kubernetes"]["kubeconfig"])
    other.config["listen"].update(there.server.config["listen"], port=0)
    other.config["auth"]["frontProxy"] = True
    try:
        other.start()
        eventually(lambda: "extension-apiserver-authentication-reader" in other.log(), "the log says it", 60)
        right = there.cluster.front_proxy.sign("again", kubernetes.FRONT_PROXY)
        context = ssl._create_unverified_context()
        context.load_cert_chain(str(right[1]), str(right[0]))
        connection = http.client.HTTPSConnection(there.address, other.config["listen"]["port"], timeout=60, context=context)
        with contextlib.closing(connection):
            connection.request("GET", f"{ROOT_PATH}/whoami", headers={"X-Remote-User": "ann"})
            answer = connection.getresponse()
            problem = json.loads(answer.read())
        assert (answer.status, problem["code"]) == (503, "auth.front_proxy_unknown"), problem
        assert "configmaps" in problem["detail"], problem
    finally:
        other.stop()
        done = there.cluster.kubectl("apply", "-f", "-", stdin=there.manifests)
        assert done.code == 0, done


def test_a_server_that_is_down_and_one_that_was_never_there(there, cluster):
    there.server.stop()
    try:
        there.available("False")
        done = there.oddjob("ann", "whoami")
        assert done.code == 125 and "does not reach OddJob" in done.err, done
    finally:
        there.server.start()
        there.available("True")
        there.ready()
    # A cluster without OddJob, here the dev cluster.
    environment = dict(there.environment("ann"), KUBECONFIG=cluster.kubeconfig)
    done = run(["kubectl", "oddjob", "whoami"], environment)
    assert done.code == 125 and "does not serve OddJob" in done.err and "apiService.enabled" in done.err, done
