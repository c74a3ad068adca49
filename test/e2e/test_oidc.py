"""People and pipelines by OpenID Connect, against a real provider (test/oidc): logging in,
staying logged in, and every token that must not do.
"""

import concurrent.futures
import hashlib
import json
import re
import stat
import subprocess

import pytest

import harness
from harness import eventually
from people import PIPELINE, Person, forged, oidc

RUN = ["run", "deploy/payments", "--", "echo", "hello"]


@pytest.fixture(scope="module")
def place(provider, tmp_path_factory):
    """A cluster and a server that trusts the provider for people, and for one pipeline."""
    cluster = harness.DevCluster(tmp_path_factory.mktemp("cluster"))
    cluster.apply(harness.workload("payments", {"oddjob.dev/allowed-teams": "payments,deployers"}))
    done = cluster.kubectl("wait", "--for=condition=available", "deploy/payments", "--timeout=120s", seconds=150)
    assert done.code == 0, done
    server = harness.Server(tmp_path_factory.mktemp("server"), cluster.kubeconfig)
    server.config["auth"]["oidc"] = [
        {"issuer": provider.issuer, "audiences": ["oddjob-cli"], "clientId": "oddjob-cli", "usernameClaim": "email",
         "groupsClaim": "groups", "caFile": provider.ca},
        {"issuer": provider.issuer, "audiences": ["oddjob-ci"], "caFile": provider.ca,
         "workloads": [{"claims": {"repository": "acme/payments", "ref": "refs/heads/main"},
                        "username": "ci:${repository}", "teams": ["deployers"]}]}]
    server.config["auth"]["teams"] = {"leads": {"users": ["ann@example.com"]}}
    server.start()
    yield server
    server.stop()
    cluster.stop()


@pytest.fixture
def person(place, provider, tmp_path):
    return Person(tmp_path / "home", place, provider)


def test_login_in_a_browser_run_and_logout(person, place, provider):
    done = person.log_in()
    assert done.code == 0, done
    assert "as ann@example.com" in done.out and "Logged in" in done.err
    me = person.oddjob("whoami")
    assert "ann@example.com" in me.out and "payments" in me.out and "leads" in me.out and "Expires" in me.out, me
    ran = person.oddjob(*RUN)
    assert ran.code == 0 and ran.out == "hello\n", ran
    shown = json.loads(person.oddjob("ls", "-o", "json").out)["items"][0]
    assert shown["requester"] == "ann@example.com", shown

    held = json.loads(person.session.read_text())
    assert stat.S_IMODE(person.session.stat().st_mode) == 0o600
    assert stat.S_IMODE(person.session.parent.stat().st_mode) == 0o700
    for secret in (held["idToken"], held["refreshToken"]):
        for text in (done.out, done.err, me.out, me.err, place.log(), person.opened.read_text()):
            assert secret not in text
    query = person.opened.read_text()
    assert "code_challenge_method=S256" in query and "nonce=" in query and "state=" in query

    out = person.oddjob("logout")
    assert out.code == 0 and "Logged out" in out.out and not out.err, out
    after = person.oddjob("whoami")
    assert after.code == 125 and "oddjob login" in after.err, after
    # Taken back at the provider too: nobody goes on with a copy of it.
    (person.home / ".local/state/oddjob/sessions" / "x").touch()
    person.home.joinpath(".local/state/oddjob/sessions", out_name(held["server"])).write_text(
        json.dumps({**held, "expires": "2020-01-01T00:00:00Z"}))
    person.session.chmod(0o600)
    again = person.oddjob("whoami")
    assert again.code == 125 and "oddjob login" in again.err and "invalid_grant" in again.err, again


def out_name(server):
    return hashlib.sha256(server.encode()).hexdigest()[:32] + ".json"


def test_login_by_a_code_on_another_device(place, provider, tmp_path):
    person = Person(tmp_path / "home", place, provider, browser=False)
    done = person.log_in_by_code("ann")
    assert done.code == 0 and "as ann@example.com" in done.out, done
    assert person.oddjob(*RUN).code == 0


def test_a_session_is_renewed_before_it_expires_once_by_many(person):
    assert person.log_in().code == 0
    held = person.change_session(expires="2020-01-01T00:00:00Z")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        all_of = list(pool.map(lambda _: person.oddjob("whoami"), range(4)))
    assert [d.code for d in all_of] == [0] * 4, [str(d) for d in all_of]
    renewed = json.loads(person.session.read_text())
    assert renewed["idToken"] != held["idToken"] and renewed["refreshToken"] != held["refreshToken"]
    assert stat.S_IMODE(person.session.stat().st_mode) == 0o600


def test_an_expired_session_says_one_thing(person):
    assert person.log_in().code == 0
    person.change_session(expires="2020-01-01T00:00:00Z", refreshToken="")
    done = person.oddjob("whoami")
    assert done.code == 125 and "expired" in done.err and "run `oddjob login`" in done.err, done
    person.change_session(refreshToken="a token that the provider never gave")
    done = person.oddjob("whoami")
    assert done.code == 125 and "expired" in done.err and "run `oddjob login`" in done.err, done
    assert "never gave" not in done.err
    person.session.chmod(0o644)
    done = person.oddjob("whoami")
    assert done.code == 125 and "read or changed by others" in done.err, done


def test_a_session_is_for_its_own_server_and_tokens_go_first(person, place):
    assert person.log_in().code == 0
    other = place.url.replace("127.0.0.1", "localhost")
    done = person.oddjob("whoami", "--server", other)
    assert done.code == 125 and "oddjob login" in done.err, done
    bob = person.oddjob("whoami", "-o", "json", extra={"ODDJOB_TOKEN": harness.token_of("bob")})
    assert json.loads(bob.out)["user"] == "bob", bob


def test_an_answer_to_another_login_is_not_taken(person, provider):
    child = person.start("login", "--timeout", "30s")
    eventually(lambda: person.opened.exists(), "the browser is opened", 60)
    port = re.search(r"redirect_uri=http%3A%2F%2F127.0.0.1%3A(\d+)", person.opened.read_text()).group(1)
    for path in ("/callback?code=stolen&state=guessed", "/callback?code=stolen", "/", "/callback?error=access_denied"):
        done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{port}{path}"],
                              capture_output=True, text=True, timeout=30)
        assert done.stdout == "404", (path, done)
    assert child.poll() is None
    oidc.Browser(provider.ca).walk(person.opened.read_text(), "ann")
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0 and "ann@example.com" in out, err


def test_who_may_not_run_may_not_by_login_either(person):
    assert person.log_in("zoe").code == 0
    done = person.oddjob(*RUN)
    assert done.code == 125 and "payments" in done.err, done
    done = person.log_in("kim")
    assert done.code == 125 and "verified" in done.err, done


def status_of(server, token):
    status, body, _ = server.api(None).get("/api/v1/whoami", headers={"Authorization": f"Bearer {token}"})
    return status, body.get("user") or body.get("code"), body


def test_a_token_with_one_false_fact_is_refused(place, provider):
    assert status_of(place, oidc.sign(provider.claims(), provider.keys[0]))[:2] == (200, "ann@example.com")
    table = forged(provider)
    for what, (token, code) in table.items():
        status, got, body = status_of(place, token)
        if code == "auth.token_key":  # asked too often just now is an answer too, never yes
            assert (status, got) in ((401, code), (503, "auth.keys_unavailable")), (what, body)
        else:
            assert (status, got) == (401, code), (what, body)
        assert token not in json.dumps(body), what
    log = place.log()
    assert not any(token in log for token, _ in table.values())


def test_a_group_decides(place, provider):
    key = provider.keys[0]
    run = {"namespace": "default", "workload": "deploy/payments", "command": ["true"]}
    for groups, wanted in ((["payments"], 201), (["sales"], 403), ([], 403), (["leads"], 403)):
        token = oidc.sign(provider.claims(groups=groups), key)
        status, body, _ = place.api(None).post("/api/v1/runs", run, headers={"Authorization": f"Bearer {token}"})
        assert status == wanted, (groups, body)


def test_a_pipeline_runs_without_a_stored_secret(place, provider, tmp_path):
    key = provider.keys[0]
    token = oidc.sign(provider.claims(**PIPELINE), key)
    file = tmp_path / "token"
    file.write_text(token)
    done = place.oddjob("ann", *RUN, extra={"ODDJOB_TOKEN": "", "ODDJOB_TOKEN_FILE": str(file)})
    assert done.code == 0 and done.out == "hello\n", done
    assert status_of(place, token)[1] == "ci:acme/payments"
    for change in (dict(ref="refs/heads/mine"), dict(repository="acme/payments2"), dict(repository="mallory/payments"),
                   dict(ref=None)):
        assert status_of(place, oidc.sign(provider.claims(**{**PIPELINE, **change}), key))[:2] == (401, "auth.token_claim")


def test_keys_are_rotated_and_the_provider_goes_away(place, provider):
    old = provider.keys[0]
    provider.stop()
    assert status_of(place, oidc.sign(provider.claims(), old))[0] == 200, "known keys hold while it is down"
    provider.keys = [oidc.new_key("second", "EC")]
    token = oidc.sign(provider.claims(), provider.keys[0])
    status, code, _ = status_of(place, token)
    assert (status, code) == (503, "auth.keys_unavailable")
    provider.start()
    try:
        eventually(lambda: status_of(place, token)[0] == 200, "the new key is known", 60)
        assert status_of(place, oidc.sign(provider.claims(), old))[1] in ("auth.token_key", "auth.keys_unavailable")
    finally:
        provider.stop()
        provider.keys = [old]
        provider.start()


def test_a_provider_with_another_authority_is_not_believed(place, provider, tmp_path):
    other = oidc.pki.Authority(tmp_path / "other", "somebody else")
    server = harness.Server(tmp_path, place.config["kubernetes"]["kubeconfig"])
    server.config["auth"]["oidc"] = [{**place.config["auth"]["oidc"][0], "caFile": str(other.certificate)}]
    server.start()
    try:
        status, code, body = status_of(server, oidc.sign(provider.claims(), provider.keys[0]))
        assert (status, code) == (503, "auth.keys_unavailable"), body
        done = Person(tmp_path / "home", server, provider).oddjob("login")
        assert done.code == 125 and "certificate" in done.err, done
    finally:
        server.stop()
