"""OddJob in a company's cluster, as its platform engineer has installed it: people by the company's OpenID provider and
by their kubeconfig, pipelines by their own tokens; and each of them with one fact that is false."""

import os
import time

import pytest

import cluster as kubernetes
import people
from company import API, Company, Replica
from harness import eventually
from postgresql import Postgres

RUN = ["run", "deploy/payments", "--", "sh", "-c", "echo out; exit 7"]


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    if os.environ.get("ODDJOB_TEST_KUBECONFIG"):
        pytest.skip("a cluster of our own: its API server's front proxy is put in question here")
    company = Company(tmp_path_factory.mktemp("company"), tmp_path_factory.mktemp("k8s"))
    try:
        yield company.start()
    finally:
        company.stop()


def ran(company, done, requester, method):
    """The command's own log and exit code, one Job of the cluster, and who it was, in the audit."""
    assert (done.code, done.out) == (7, "out\n"), done
    records = company.audit()
    asked = [r for r in records if r["type"] == "run.requested"][-1]
    assert (asked["actor"], asked["detail"]["identifiedBy"]) == (requester, method), asked
    ended = [r for r in records if r["type"] == "run.finished" and r["run"] == asked["run"]]
    assert [r["detail"]["exitCode"] for r in ended] == [7], ended
    assert asked["detail"]["job"] in [j["metadata"]["name"] for j in company.jobs().values()]


@pytest.mark.parametrize("browser", [True, False], ids=["browser", "device"])
def test_a_person_logs_in_and_runs(company, tmp_path, browser):
    person = company.person(tmp_path / "home", browser=browser)
    done = person.oddjob(*RUN)
    assert done.code == 125 and "oddjob login" in done.err, done
    done = person.log_in("ann") if browser else person.log_in_by_code("ann")
    assert done.code == 0 and "as ann@example.com" in done.out, done
    ran(company, person.oddjob(*RUN), "ann@example.com", "oidc")


def test_a_person_with_nothing_but_a_kubeconfig_runs(company):
    kubeconfig = company.cluster.user_kubeconfig("ann", ["payments"])
    ran(company, company.kubectl_oddjob(kubeconfig, *RUN), "ann", "front_proxy")


def test_a_pipeline_runs_by_its_own_token(company, tmp_path):
    token = people.oidc.sign(company.provider.claims(**people.PIPELINE), company.provider.keys[0])
    ran(company, company.with_token(tmp_path, token, *RUN), "ci:acme/payments", "oidc")


# ---- the release changes ---------------------------------------------------------------------------------

def test_a_changed_team_is_taken_up_by_the_pod_that_runs(company, tmp_path):
    token = people.oidc.sign(company.provider.claims(), company.provider.keys[0])
    pod, server = company.deployment()["template"], company.reader.kubelet
    assert "leads" not in company.with_token(tmp_path, token, "whoami").out
    company.helm("upgrade", "config.auth.teams.leads.users={ann@example.com}")
    assert company.deployment()["template"] == pod
    server.refresh()
    eventually(lambda: "leads" in company.with_token(tmp_path, token, "whoami").out, "ann is of the leads", 60, 0.5)
    assert server.process.alive() and "new: auth.teams" in company.log()
    company.helm("upgrade")
    server.refresh()
    eventually(lambda: "leads" not in company.with_token(tmp_path, token, "whoami").out, "ann is not any more", 60, 0.5)


def test_a_run_goes_on_while_a_new_image_is_rolled_out(company):
    kubeconfig = company.cluster.user_kubeconfig("ann", ["payments"])
    follower = company.follow(kubeconfig, "run", "deploy/payments", "--",
                              *company.witness.command("image", "echo one; gate image; echo two; exit 5"))
    try:
        assert follower.stdout.readline() == "one\n"
        company.helm("upgrade", "image.tag=next")
        assert company.deployment()["template"]["spec"]["containers"][0]["image"] == "registry.example.com/oddjob:next"
        company.reader.be_the_node()   # the server before it ends by SIGTERM, and says 0
        company.witness.open("image")
        out, err = follower.communicate(timeout=120)
        assert (follower.returncode, out) == (5, "two\n"), err
    finally:
        follower.kill()
    assert company.witness.starts("image") == 1
    assert "whole" in company.kubectl_oddjob(company.auditor, "audit", "verify").out


# ---- and with one fact that is false ---------------------------------------------------------------------

NO_ISSUER = "': unless that is the cluster itself, `auth.oidc` has no such issuer"
# Of people's tokens (people.forged): what somebody reads who brings such a one.
FALSE = {
    "audience": "made for 'another-client', not for this server",
    "no audience": "made for nobody",
    "azp": "given to 'another-client'",
    "issuer, signed by the right key": "'https://elsewhere.example.com" + NO_ISSUER,
    "issuer, a slash more": "/" + NO_ISSUER,
    "expiry": "expired at 20",
    "no expiry": "does not say when it expires",
    "e-mail not verified": "is verified",
    "signature of somebody else": "signature is not its issuer's",
    "payload exchanged": "signature is not its issuer's",
    "signature left out": "signature is not its issuer's",
    "alg none": "signed by 'none', which is not accepted",
    "alg none, its signature kept": "signed by 'none', which is not accepted",
    "HS256 with the public key": "signed by 'HS256', which is not accepted",
    "HS256 with the public key set": "signed by 'HS256', which is not accepted",
    "a pipeline's claims, a person's audience": "'email' is missing",
}
# Of a pipeline's.
FALSE_OF_PIPELINES = {
    "audience": (dict(aud="another"), "made for 'another', not for this server"),
    "issuer": (dict(iss="https://ci.example.com"), "'https://ci.example.com" + NO_ISSUER),
    "expiry": (dict(exp=int(time.time()) - 120), "expired at 20"),
    "branch": (dict(ref="refs/heads/mine"), "none of the workloads"),
    "repository": (dict(repository="mallory/payments"), "none of the workloads"),
    "a claim left out": (dict(ref=None), "none of the workloads"),
}


def refused(done, words):
    assert done.code == 125 and not done.out and words in done.err, done


def test_a_persons_token_with_one_false_fact_runs_nothing(company, tmp_path):
    tokens = people.forged(company.provider)
    with company.nothing_happens():
        for what, words in FALSE.items():
            done = company.with_token(tmp_path, tokens[what][0], *RUN)
            assert tokens[what][0] not in done.err, what
            refused(done, words)
    log = company.log()
    assert not any(token in log for token, _ in tokens.values())


def test_a_pipelines_token_with_one_false_fact_runs_nothing(company, tmp_path):
    with company.nothing_happens():
        for change, words in FALSE_OF_PIPELINES.values():
            token = people.oidc.sign(company.provider.claims(**{**people.PIPELINE, **change}), company.provider.keys[0])
            refused(company.with_token(tmp_path, token, *RUN), words)
        stranger = people.oidc.sign(company.provider.claims(**people.PIPELINE), people.oidc.new_key("first"))
        refused(company.with_token(tmp_path, stranger, *RUN), "signature is not its issuer's")


def test_who_is_in_another_group_runs_nothing_whichever_way(company, tmp_path):
    person = company.person(tmp_path / "home")
    assert person.log_in("zoe").code == 0
    with company.nothing_happens():
        refused(person.oddjob(*RUN), "zoe@example.com may not run anything on deploy/payments; it allows teams payments")
        kubeconfig = company.cluster.user_kubeconfig("zoe", ["sales"])
        refused(company.kubectl_oddjob(kubeconfig, *RUN), "zoe may not run anything on deploy/payments")
    assert [r["actor"] for r in company.audit()[-2:]] == ["zoe@example.com", "zoe"]


FORGED = {"X_Remote_User": "ann", "X_Remote_Group": "payments"}


def post_run(company, port, path, certificate=None, **headers):
    body = {"namespace": "default", "workload": "deploy/payments", "command": ["true"]}
    return people.straight("127.0.0.1", port, path, certificate, "POST", body, Content_Type="application/json", **headers)


def test_whoever_only_says_to_be_the_front_proxy_runs_nothing(company, tmp_path):
    stranger = kubernetes.pki.Authority(tmp_path / "stranger", "oddjob test front proxy")  # the same name, another key
    proxy = company.cluster.front_proxy
    table = {
        "no certificate": (None, "auth.front_proxy_none"),
        "another authority": (stranger.sign("other", kubernetes.FRONT_PROXY), "auth.front_proxy_untrusted"),
        "the authority of people's certificates": (company.cluster.authority.sign("client", kubernetes.FRONT_PROXY),
                                                   "auth.front_proxy_untrusted"),
        "another name": (proxy.sign("misnamed", "somebody"), "auth.front_proxy_name"),
        "expired": (proxy.sign("late", kubernetes.FRONT_PROXY, days="-1"), "auth.front_proxy_untrusted"),
    }
    with company.nothing_happens():
        for what, (certificate, code) in table.items():
            status, problem = post_run(company, company.port, f"{API}/runs", certificate, **FORGED)
            assert (status, problem["code"]) == (401, code), (what, problem)
        # Beside the aggregated API nobody is believed, not even the front proxy.
        status, problem = post_run(company, company.port, "/api/v1/runs", proxy.sign("right", kubernetes.FRONT_PROXY), **FORGED)
        assert (status, problem["code"]) == (401, "auth.missing"), problem
        # The API server says itself who bob is.
        bob = {"Authorization": f"Bearer {company.cluster.token('bob')}"}
        port = int(company.cluster.server.rsplit(":", 1)[1])
        status, problem = post_run(company, port, f"{API}/runs", **FORGED, **bob)
        assert (status, problem["code"]) == (403, "policy.not_allowed") and "bob may not run" in problem["detail"], problem
    assert company.audit()[-1]["actor"] == "bob"


def test_an_api_server_with_another_front_proxy_authority_is_not_believed(company, tmp_path):
    """What somebody with a kubeconfig reads while the API server's own certificate is of another authority than it says."""
    key, certificate = kubernetes.pki.Authority(tmp_path, "oddjob test front proxy").sign("other", kubernetes.FRONT_PROXY)
    server, argv = company.cluster.apiserver, company.cluster.apiserver.argv
    kubeconfig = company.cluster.user_kubeconfig("ann", ["payments"])

    def restarted(argv):
        server.kill()  # a goodbye takes it a minute, and is of no interest here
        server.argv = argv
        server.start()

    with company.nothing_happens():
        try:
            restarted([*argv, "--proxy-client-cert-file", str(certificate), "--proxy-client-key-file", str(key)])
            done = eventually(lambda: "certificate" in (d := company.kubectl_oddjob(kubeconfig, *RUN)).err and d,
                              "OddJob is asked", 60, 0.2)
            refused(done, "the client certificate is not the API server's front proxy's")
            assert "kube-system/extension-apiserver-authentication" in done.err, done
        finally:
            restarted(argv)
        eventually(lambda: company.kubectl_oddjob(kubeconfig, "whoami").code == 0, "the right one is believed", 60, 0.2)


# ---- three replicas, at the end: their runs and their audit are in another store ---------------------------

def test_a_run_outlives_each_of_three_replicas(company):
    postgres, pods = Postgres(), []
    kubeconfig = company.cluster.user_kubeconfig("ann", ["payments"])
    follower = None
    try:
        pods = company.three_replicas(postgres)
        assert company.deployment()["replicas"] == 3
        assert company.cluster.get("pdb", "oddjob", namespace="oddjob")["spec"]["maxUnavailable"] == 1
        follower = company.follow(kubeconfig, "run", "deploy/payments", "--",
                                  *company.witness.command("replicas", "echo one; gate replicas; echo two; exit 4"))
        assert follower.stdout.readline() == "one\n"
        for pod, ends in zip(pods, (Replica.is_lost, Replica.is_deleted, Replica.is_lost)):
            ends(pod)
        company.witness.open("replicas")
        out, err = follower.communicate(timeout=120)
        assert (follower.returncode, out) == (4, "two\n"), err
        assert company.witness.starts("replicas") == 1
        (asked,) = [r for r in company.audit() if r["type"] == "run.requested"]
        assert company.kubectl_oddjob(kubeconfig, "logs", asked["run"]).out == "one\ntwo\n"
        assert "whole" in company.kubectl_oddjob(company.auditor, "audit", "verify").out
    finally:
        if follower:
            follower.kill()
        for pod in pods:
            pod.stop()
        postgres.stop()
