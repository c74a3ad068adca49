"""`oddjob login` where more is asked of it than the usual: a native client with a secret, more
parameters for the provider's page, tokens in a keyring. Against a real provider and a real keyring.
"""

import json
import os
import shutil
import subprocess
import tempfile
import urllib.parse

import pytest

import harness
from people import Person

HELPER = "docker-credential-pass"


@pytest.fixture(scope="module")
def place(provider, cluster, tmp_path_factory):
    """A server whose people log in by a client with a secret."""
    server = harness.Server(tmp_path_factory.mktemp("server"), cluster.kubeconfig)
    client = provider.WITH_SECRET
    server.config["auth"]["oidc"] = [
        {"issuer": provider.issuer, "audiences": [client["client_id"]], "clientId": client["client_id"],
         "clientSecret": client["client_secret"], "usernameClaim": "email", "groupsClaim": "groups",
         "caFile": provider.ca, "loginParameters": {"access_type": "offline", "hd": "example.com"}}]
    server.start()
    yield server
    server.stop()


@pytest.fixture
def person(place, provider, tmp_path):
    return Person(tmp_path / "home", place, provider)


def test_a_client_with_a_secret_logs_in_stays_and_logs_out(person):
    done = person.log_in()
    assert done.code == 0 and "as ann@example.com" in done.out, done
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(person.opened.read_text()).query)
    assert asked["access_type"] == ["offline"] and asked["hd"] == ["example.com"], asked
    assert all(len(values) == 1 for values in asked.values()), asked
    assert "client_secret" not in asked
    held = person.change_session(expires="2020-01-01T00:00:00Z")
    assert person.oddjob("whoami").code == 0
    assert json.loads(person.session.read_text())["idToken"] != held["idToken"], "renewed, by the secret too"
    held = json.loads(person.session.read_text())
    out = person.oddjob("logout")
    assert out.code == 0 and not out.err, out
    assert not list((person.home / ".local/state/oddjob/sessions").glob("*.json"))


def test_a_client_with_a_secret_on_a_machine_without_a_browser(place, provider, tmp_path):
    done = Person(tmp_path / "home", place, provider, browser=False).log_in_by_code()
    assert done.code == 0 and "as ann@example.com" in done.out, done


def test_without_the_secret_the_provider_refuses_and_one_message_says_so(place, provider, cluster, tmp_path):
    server = harness.Server(tmp_path, cluster.kubeconfig)
    entry = dict(place.config["auth"]["oidc"][0])
    del entry["clientSecret"]
    server.config["auth"]["oidc"] = [entry]
    server.start()
    try:
        done = Person(tmp_path / "home", server, provider).log_in()
        assert done.code == 125 and "invalid_client" in done.err and "oddjob login" in done.err, done
    finally:
        server.stop()


@pytest.fixture
def keyring(person):
    """A password store of the person's own, with a key of its own. GnuPG's sockets need a short path."""
    assert shutil.which(HELPER), f"{HELPER} is not installed; script/bootstrap does it"
    home = tempfile.mkdtemp(prefix="oj-gpg-")
    environment = dict(GNUPGHOME=home, PASSWORD_STORE_DIR=str(person.home / "store"))
    person.environment.update(environment)

    def run(*argv):
        return subprocess.run(argv, check=True, capture_output=True, timeout=120, stdin=subprocess.DEVNULL,
                              env=dict(os.environ, **environment))

    run("gpg", "--batch", "--passphrase", "", "--quick-gen-key", "ann@example.com", "default", "default", "never")
    run("pass", "init", "ann@example.com")
    yield person
    run("gpgconf", "--kill", "all")
    shutil.rmtree(home, ignore_errors=True)


def stored(person):
    return [p for p in (person.home / "store").rglob("*.gpg")]


def test_tokens_in_a_keyring(keyring):
    person = keyring
    done = person.log_in("ann", "--credential-helper", "pass")
    assert done.code == 0, done
    held = json.loads(person.session.read_text())
    assert held["credentialHelper"] == "pass" and "idToken" not in held and "refreshToken" not in held, held
    assert len(stored(person)) == 1
    me = person.oddjob("whoami")
    assert me.code == 0 and "ann@example.com" in me.out, me
    before = stored(person)[0].read_bytes()
    person.change_session(expires="2020-01-01T00:00:00Z")
    assert person.oddjob("whoami").code == 0
    assert stored(person)[0].read_bytes() != before, "the renewed tokens are in the keyring"
    assert "idToken" not in person.session.read_text()
    out = person.oddjob("logout")
    assert out.code == 0 and not out.err and not stored(person), out

    assert person.log_in("ann", "--credential-helper", "pass").code == 0
    shutil.rmtree(stored(person)[0].parent)
    lost = person.oddjob("whoami")
    assert lost.code == 125 and "no session with" in lost.err and "oddjob login" in lost.err, lost
    # The next login goes without: a file has the tokens again.
    assert person.log_in().code == 0 and not stored(person)
    assert json.loads(person.session.read_text())["idToken"]


def test_a_keyring_that_is_not_there_is_said_before_anybody_logs_in(person):
    done = person.oddjob("login", "--credential-helper", "../x")
    assert done.code == 125 and "credential helper" in done.err and not person.opened.exists(), done
    done = person.oddjob("login", "--credential-helper", "nobodys")
    assert done.code == 125 and "docker-credential-nobodys cannot be started" in done.err, done
    assert "PATH" in done.err and not person.opened.exists(), done
