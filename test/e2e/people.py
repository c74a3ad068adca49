"""Who comes with what: people with a browser that is a script, and tokens that nobody should take."""

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import re
import ssl
import subprocess
import sys
import time

import harness
from harness import ODDJOB, eventually

sys.path.insert(0, str(harness.ROOT / "test" / "oidc"))
import provider as oidc  # noqa: E402

ACCOUNTS = {
    "ann": {"email": "ann@example.com", "email_verified": True, "groups": ["payments"]},
    "zoe": {"email": "zoe@example.com", "email_verified": True, "groups": ["sales"]},
    "kim": {"email": "kim@example.com", "email_verified": False, "groups": ["payments"]},
}
# What a pipeline's token says of it.
PIPELINE = dict(aud="oddjob-ci", sub="repo:acme/payments:ref:refs/heads/main", repository="acme/payments",
                ref="refs/heads/main", email=None, email_verified=None, groups=None)


class Person:
    """Somebody at a machine of their own: a home folder, and a browser that is a script."""

    def __init__(self, folder, server, provider, browser=True, environment=None):
        self.home, self.server, self.provider = pathlib.Path(folder), server, provider
        self.home.mkdir(parents=True, exist_ok=True)
        self.opened = self.home / "opened"
        self.environment = {k: v for k, v in os.environ.items()
                            if not k.startswith("ODDJOB_") and k not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER",
                                                                         "XDG_STATE_HOME", "XDG_CONFIG_HOME")}
        self.environment.update(HOME=str(self.home), ODDJOB_SERVER=server.url, NO_COLOR="1", **(environment or {}))
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

    def log_in(self, user="ann", *flags):
        """`oddjob login` with a browser on this machine; what it printed."""
        self.opened.unlink(missing_ok=True)
        child = self.start("login", *flags)
        eventually(lambda: self.opened.exists() or child.poll() is not None, "the browser is opened", 60)
        page = oidc.Browser(self.provider.ca).walk(self.opened.read_text(), user) if self.opened.exists() else ""
        out, err = child.communicate(timeout=60)
        return harness.Done(child.returncode, out, err + page, b"")

    def log_in_by_code(self, user="ann"):
        """`oddjob login` on a machine without a browser; the code goes in elsewhere."""
        child = self.start("login")
        text = ""
        while "filled in" not in text:
            line = child.stderr.readline()
            assert line, text
            text += line
        child.stderr.readline()
        url = child.stderr.readline().strip()
        code = re.search(r"enter the code  (\S+)", text).group(1)
        assert code.replace("-", "") in url.replace("-", ""), (code, url)
        oidc.Browser(self.provider.ca).walk(url, user)
        out, err = child.communicate(timeout=60)
        return harness.Done(child.returncode, out, text + err, b"")

    @property
    def session(self):
        (file,) = (self.home / ".local/state/oddjob/sessions").glob("*.json")
        return file

    def change_session(self, **changes):
        held = json.loads(self.session.read_text())
        self.session.write_text(json.dumps({**held, **changes}))
        return held


def hs256(claims, secret, kid):
    text = oidc.b64({"alg": "HS256", "kid": kid, "typ": "JWT"}) + "." + oidc.b64(claims)
    return text + "." + oidc.b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())


def forged(provider):
    """{what is false: (token, the code of the refusal)}; everything else in each token is true."""
    key, now = provider.keys[0], int(time.time())
    stranger, small = oidc.new_key("first"), oidc.jwk.JWK.generate(kty="EC", crv="P-256", kid="first", alg="ES256")
    claims = provider.claims()
    good = oidc.sign(claims, key)
    public_pem, public_jwk = key.export_to_pem(), json.dumps(key.export_public(as_dict=True)).encode()
    head, body, signature = good.split(".")
    swapped = ".".join([head, oidc.b64(provider.claims(email="root@example.com")), signature])
    return {
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


def straight(address, port, path, certificate=None, method="GET", body=None, **headers):
    """Status and body of what a server says to somebody who comes past the API server, with the client certificate
    (key, chain) and the headers given, `_` for `-`."""
    context = ssl._create_unverified_context()
    if certificate:
        key, chain = certificate
        context.load_cert_chain(str(chain), str(key))
    connection = http.client.HTTPSConnection(address, port, timeout=30, context=context)
    with contextlib.closing(connection):
        connection.request(method, path, json.dumps(body) if body else None,
                           {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
