"""People and pipelines by OpenID Connect, against a real provider (test/oidc): logging in,
staying logged in, and every token that must not do.
"""

import concurrent.futures
import hashlib
import hmac
import json
import os
import pathlib
import re
import stat
import subprocess
import sys
import time

import pytest

import harness
from harness import ODDJOB, eventually

sys.path.insert(0, str(harness.ROOT / "test" / "oidc"))
import provider as oidc  # noqa: E402

ACCOUNTS = {
    "ann": {"email": "ann@example.com", "email_verified": True, "groups": ["payments"]},
    "zoe": {"email": "zoe@example.com", "email_verified": True, "groups": ["sales"]},
    "kim": {"email": "kim@example.com", "email_verified": False, "groups": ["payments"]},
}
RUN = ["run", "deploy/payments", "--", "echo", "hello"]


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    running = oidc.Provider(tmp_path_factory.mktemp("provider"), ACCOUNTS).start()
    yield running
    running.stop()


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


class Person:
    """Somebody at a machine of their own: a home folder, and a browser that is a script."""

    def __init__(self, folder, server, provider, browser=True):
        self.home, self.server, self.provider = pathlib.Path(folder), server, provider
        self.home.mkdir(parents=True, exist_ok=True)
        self.opened = self.home / "opened"
        self.environment = {k: v for k, v in os.environ.items()
                            if not k.startswith("ODDJOB_") and k not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER",
                                                                         "XDG_STATE_HOME", "XDG_CONFIG_HOME")}
        self.environment.update(HOME=str(self.home), ODDJOB_SERVER=server.url, NO_COLOR="1")
        if browser:
            script = self.home / "browser"
            script.write_text(f'#!/bin/sh\nprintf %s "$1" > {self.opened}.new && mv {self.opened}.new {self.opened}\n')
            script.chmod(0o755)
            self.environment["BROWSER"] = str(script)

    def oddjob(self, *args, extra=None, seconds=120):
        return harness.run([ODDJOB, *args], dict(self.environment, **(extra or {})), seconds)

    def start(self, *args):
        return subprocess.Popen([ODDJOB, *args], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)

    def log_in(self, user="ann"):
        """`oddjob login` with a browser on this machine; what it printed."""
        self.opened.unlink(missing_ok=True)
        child = self.start("login")
        eventually(lambda: self.opened.exists() or child.poll() is not None, "the browser is opened", 60)
        page = oidc.Browser(self.provider.ca).walk(self.opened.read_text(), user) if self.opened.exists() else ""
        out, err = child.communicate(timeout=60)
        return harness.Done(child.returncode, out, err + page, b"")

    @property
    def session(self):
        (file,) = (self.home / ".local/state/oddjob/sessions").glob("*.json")
        return file

    def change_session(self, **changes):
        held = json.loads(self.session.read_text())
        self.session.write_text(json.dumps({**held, **changes}))
        return held


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
    child = person.start("login")
    text = ""
    while "filled in" not in text:
        line = child.stderr.readline()
        assert line, text
        text += line
    child.stderr.readline()
    url = child.stderr.readline().strip()
    code = re.search(r"enter the code  (\S+)", text).group(1)
    assert code.replace("-", "") in url.replace("-", ""), (code, url)
    oidc.Browser(provider.ca).walk(url, "ann")
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0 and "as ann@example.com" in out, (out, err)
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


def hs256(claims, secret, kid):
    text = oidc.b64({"alg": "HS256", "kid": kid, "typ": "JWT"}) + "." + oidc.b64(claims)
    return text + "." + oidc.b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())


def test_a_token_with_one_false_fact_is_refused(place, provider):
    key, now = provider.keys[0], int(time.time())
    stranger, small = oidc.new_key("first"), oidc.jwk.JWK.generate(kty="EC", crv="P-256", kid="first", alg="ES256")
    good = oidc.sign(provider.claims(), key)
    assert status_of(place, good)[:2] == (200, "ann@example.com")
    claims = provider.claims()
    public_pem, public_jwk = key.export_to_pem(), json.dumps(key.export_public(as_dict=True)).encode()
    head, body, signature = good.split(".")
    swapped = ".".join([head, oidc.b64(provider.claims(email="root@example.com")), signature])
    table = {
        "audience": (oidc.sign(provider.claims(aud="another-client"), key), "auth.token_audience"),
        "no audience": (oidc.sign(provider.claims(aud=None), key), "auth.token_audience"),
        "two audiences, no azp": (oidc.sign(provider.claims(aud=["oddjob-cli", "x"]), key), "auth.token_party"),
        "azp": (oidc.sign(provider.claims(azp="another-client"), key), "auth.token_party"),
        "issuer, signed by the right key": (oidc.sign(provider.claims(iss="https://elsewhere.example.com"), key),
                                            "auth.unknown_token"),
        "issuer, a slash more": (oidc.sign(provider.claims(iss=provider.issuer + "/"), key), "auth.unknown_token"),
        "expiry": (oidc.sign(provider.claims(exp=now - 120), key), "auth.token_expired"),
        "no expiry": (oidc.sign(provider.claims(exp=None), key), "auth.token_malformed"),
        "not before": (oidc.sign(provider.claims(nbf=now + 600), key), "auth.token_not_yet"),
        "issued in the future": (oidc.sign(provider.claims(iat=now + 600), key), "auth.token_not_yet"),
        "e-mail not verified": (oidc.sign(provider.claims(email_verified=False), key), "auth.token_email"),
        "e-mail not said to be verified": (oidc.sign(provider.claims(email_verified=None), key), "auth.token_email"),
        "signature of somebody else": (oidc.sign(claims, stranger), "auth.token_signature"),
        "payload exchanged": (swapped, "auth.token_signature"),
        "signature left out": (head + "." + body + ".", "auth.token_signature"),
        "another key type under its id": (oidc.sign(claims, small), "auth.token_key"),
        "unknown key id": (oidc.sign(claims, key, kid="nobody's"), "auth.token_key"),
        "alg none": (oidc.b64({"alg": "none"}) + "." + oidc.b64(claims) + ".", "auth.token_algorithm"),
        "alg none, its signature kept": (oidc.b64({"alg": "none", "kid": "first"}) + "." + body + "." + signature,
                                         "auth.token_algorithm"),
        "HS256 with the public key": (hs256(claims, public_pem, "first"), "auth.token_algorithm"),
        "HS256 with the public key set": (hs256(claims, public_jwk, "first"), "auth.token_algorithm"),
        "crit": (oidc.sign(claims, key, crit=["b64"], b64=True), "auth.token_algorithm"),
        "a logout token": (oidc.sign(claims, key, typ="logout+jwt"), "auth.token_type"),
        "a pipeline's claims, a person's audience": (oidc.sign(provider.claims(
            email=None, repository="acme/payments", ref="refs/heads/main"), key), "auth.token_username"),
    }
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
    facts = dict(aud="oddjob-ci", sub="repo:acme/payments:ref:refs/heads/main", repository="acme/payments",
                 ref="refs/heads/main", email=None, email_verified=None, groups=None)
    token = oidc.sign(provider.claims(**facts), key)
    file = tmp_path / "token"
    file.write_text(token)
    done = place.oddjob("ann", *RUN, extra={"ODDJOB_TOKEN": "", "ODDJOB_TOKEN_FILE": str(file)})
    assert done.code == 0 and done.out == "hello\n", done
    assert status_of(place, token)[1] == "ci:acme/payments"
    for change in (dict(ref="refs/heads/mine"), dict(repository="acme/payments2"), dict(repository="mallory/payments"),
                   dict(ref=None)):
        assert status_of(place, oidc.sign(provider.claims(**{**facts, **change}), key))[:2] == (401, "auth.token_claim")


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
