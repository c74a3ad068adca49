"""The OpenID provider of the tests, its keys, and a browser that follows its forms."""

import base64
import html.parser
import http.cookiejar
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from jwcrypto import jwk, jws

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "kubernetes"))
sys.path.insert(0, str(HERE.parent / "testing"))
import pki  # noqa: E402
import provider_install  # noqa: E402
from processes import Process, eventually  # noqa: E402


def new_key(kid, kty="RSA"):
    if kty == "RSA":
        return jwk.JWK.generate(kty="RSA", size=2048, kid=kid, use="sig", alg="RS256")
    return jwk.JWK.generate(kty="EC", crv="P-256", kid=kid, use="sig", alg="ES256")


def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


def sign(claims, key, **header):
    """A compact JWS; header fields that are None are left out."""
    fields = {"alg": key.get("alg"), "kid": key.get("kid"), "typ": "JWT", **header}
    token = jws.JWS(json.dumps(claims))
    token.allowed_algs = [fields["alg"]]
    token.add_signature(key, None, json.dumps({k: v for k, v in fields.items() if v is not None}), None)
    return token.serialize(compact=True)


class Provider:
    """oidc-provider over TLS with an authority of its own; keys and accounts are the test's."""

    CLIENT = {"client_id": "oddjob-cli", "application_type": "native", "token_endpoint_auth_method": "none",
              "redirect_uris": ["http://127.0.0.1/callback"], "response_types": ["code"],
              "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"]}

    # Of a provider that gives native clients a secret, as Google does.
    WITH_SECRET = {**CLIENT, "client_id": "oddjob-with-secret", "client_secret": "every copy+of:it knows/this",
                   "token_endpoint_auth_method": "client_secret_basic"}

    def __init__(self, folder, accounts):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.authority = pki.Authority(self.folder / "pki", "oddjob test identity")
        self.key, self.cert = self.authority.sign("provider", "provider", names=["IP:127.0.0.1"])
        self.accounts, self.keys, self.port, self.process = accounts, [new_key("first")], 0, None
        self.id_token_seconds = 3600

    @property
    def issuer(self):
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self):
        return str(self.authority.certificate)

    def start(self):
        # The issuer's name has its port in it, so the port is known first.
        if not self.port:
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                self.port = s.getsockname()[1]
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        config = self.folder / "provider.json"
        config.write_text(json.dumps({
            "port": self.port, "issuer": self.issuer, "cert": str(self.cert), "key": str(self.key),
            "ready": str(ready), "clients": [self.CLIENT, self.WITH_SECRET], "accounts": self.accounts,
            "jwks": {"keys": [k.export(as_dict=True) for k in self.keys]}, "idTokenSeconds": self.id_token_seconds}))
        environment = dict(os.environ, ODDJOB_TEST_OIDC=str(provider_install.build()))
        self.process = Process([shutil.which("node"), str(HERE / "provider.mjs"), str(config)],
                               self.folder / "provider.log", environment)
        eventually(lambda: ready.exists() or not self.process.alive(), "the OpenID provider listens", 60)
        assert self.process.alive(), self.process.log.read_text()[-3000:]
        return self

    def stop(self):
        if self.process:
            self.process.kill()

    def claims(self, **changes):
        """What a good token of its says; a change to None leaves the claim out."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "oddjob-cli", "sub": "ann", "iat": now, "exp": now + 600,
                  **self.accounts["ann"], **changes}
        return {k: v for k, v in claims.items() if v is not None}


class Form(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.action, self.fields = None, {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = attrs.get("action")
        if tag == "input" and attrs.get("name"):
            self.fields[attrs["name"]] = attrs.get("value", "")


class Redirected(Exception):
    def __init__(self, url):
        self.url = url


class Browser:
    """Follows redirects and fills in the provider's forms, until it is sent to a loopback address."""

    def __init__(self, ca):
        context = ssl.create_default_context(cafile=ca)
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(self.jar), StopAtLoopback())

    def get(self, url, data=None):
        encoded = urllib.parse.urlencode(data).encode() if data is not None else None
        with self.opener.open(url, data=encoded, timeout=30) as answer:
            return answer.url, answer.read().decode()

    def walk(self, url, user, code=None):
        """Logs in as `user` and consents. The text of the last page."""
        try:
            where, text = self.get(url)
            for _ in range(10):
                form = Form(text)
                if form.action is None:
                    return text
                fields = dict(form.fields)
                if "login" in fields:
                    fields.update(login=user, password="anything")
                if "user_code" in fields and code:
                    fields["user_code"] = code
                where, text = self.get(urllib.parse.urljoin(where, form.action), fields)
        except Redirected as there:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(there.url, timeout=30) as answer:
                return answer.read().decode()
        raise AssertionError(f"no end of forms: {re.sub('<[^>]+>', ' ', text)[:500]}")


class StopAtLoopback(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if newurl.startswith("http://127.0.0.1:"):
            raise Redirected(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
