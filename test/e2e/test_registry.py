"""The index against a real registry: path for path what umoci unpacks."""

import http.server
import json
import os
import pathlib
import threading
import urllib.parse

import pytest

from registry import Entry, Registry, call, differences, htpasswd, image, indexed, layer, probe, unpacked

F, D, L, H = "file", "directory", "symlink", "hardlink"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    r = Registry(tmp_path_factory.mktemp("registry"))
    yield r
    r.stop()


LONG = "d/" + "/".join(["deep-" + "x" * 60] * 5) + "/file-with-a-long-name-" + "y" * 80
CASES = {
    "plain": [[Entry("app", D), Entry("app/a.js"), Entry("app/b", mode=0o4755), Entry("etc/no-entry-of-its-own")]],
    "whiteouts": [
        [Entry("app", D), Entry("app/keep"), Entry("app/gone"), Entry("lib", D), Entry("lib/sub", D), Entry("lib/sub/x")],
        [Entry("app/.wh.gone", content=b""), Entry("lib/.wh.sub", content=b""), Entry("app/new")],
        [Entry("app/gone", mode=0o600)]],
    "opaque": [
        [Entry("app", D), Entry("app/old"), Entry("app/sub", D), Entry("app/sub/old"), Entry("other")],
        [Entry("app", D, mode=0o700), Entry("app/.wh..wh..opq", content=b""), Entry("app/new")]],
    "links": [
        [Entry("usr", D), Entry("usr/bin", D), Entry("usr/bin/node", mode=0o755), Entry("bin", L, link="usr/bin"),
         Entry("usr/bin/nodejs", H, link="usr/bin/node"), Entry("loop", L, link="loop"), Entry("broken", L, link="/nowhere"),
         Entry("up", L, link="../../../etc")],
        [Entry("usr/bin/sh", mode=0o755), Entry("usr/bin/nodejs", L, link="node")]],
    "replaced": [
        [Entry("a", D), Entry("a/x"), Entry("b"), Entry("c", L, link="a")],
        [Entry("a"), Entry("b", D), Entry("b/y"), Entry("c", D), Entry("c/z")]],
    "twice": [[Entry("a", mode=0o600), Entry("d", D), Entry("d/x"), Entry("a", mode=0o755), Entry("d", D, mode=0o711)]],
    "names": [[Entry("app", D), Entry("app/with space"), Entry("app/ümläut"), Entry("app/-dash"), Entry("app/new\nline"),
               Entry(LONG), Entry("app/.wh", content=b"no whiteout")]],
}


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_the_index_is_what_unpacking_leaves(registry, tmp_path, name, compression):
    layers = [layer(tmp_path / f"{i}.tar", entries) for i, entries in enumerate(CASES[name])]
    image(tmp_path / "layout", "1", layers)
    registry.push(tmp_path / "layout", "1", f"cases/{name}:{compression}", "--dest-compress-format", compression,
                  "--dest-force-compress-format" if compression == "none" else "--format=oci")
    ours, _ = indexed(f"{registry.host}/cases/{name}:{compression}", tmp_path / "index")
    assert differences(ours, unpacked(tmp_path / "layout", "1", tmp_path / "bundle")) == []


def test_gnu_names_and_docker_manifests_too(registry, tmp_path):
    import tarfile
    image(tmp_path / "layout", "1", [layer(tmp_path / "0.tar", CASES["names"][0], tarfile.GNU_FORMAT)])
    registry.push(tmp_path / "layout", "1", "cases/docker:1", "--format=v2s2")
    ours, _ = indexed(f"{registry.host}/cases/docker:1", tmp_path / "index")
    assert differences(ours, unpacked(tmp_path / "layout", "1", tmp_path / "bundle")) == []


def test_the_platform_decides_which_of_an_index(registry, tmp_path):
    import urllib.request
    entries = []
    for architecture in ("amd64", "arm64"):
        layout = tmp_path / architecture
        image(layout, "1", [layer(tmp_path / f"{architecture}.tar", [Entry(f"for-{architecture}")])])
        registry.push(layout, "1", f"multi/app:{architecture}", "--format=oci")
        raw = call("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{registry.host}/multi/app:{architecture}")
        import hashlib
        entries.append({"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": len(raw),
                        "digest": "sha256:" + hashlib.sha256(raw).hexdigest(),
                        "platform": {"os": "linux", "architecture": architecture}})
    index = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                        "manifests": entries}).encode()
    request = urllib.request.Request(f"http://{registry.host}/v2/multi/app/manifests/both", data=index, method="PUT")
    request.add_header("Content-Type", "application/vnd.oci.image.index.v1+json")
    assert urllib.request.urlopen(request, timeout=30).status == 201
    for architecture in ("amd64", "arm64"):
        ours, said = indexed(f"{registry.host}/multi/app:both", tmp_path / "index", "--platform", f"linux/{architecture}")
        assert list(ours) == [f"/for-{architecture}".encode()]
        assert said["digest"] in [e["digest"] for e in entries]
    none = probe(f"{registry.host}/multi/app:both", tmp_path / "index", "--platform", "linux/s390x", check=False)
    assert none.code == 1 and "image.no_platform" in none.err and "linux/arm64" in none.err, none


def test_a_distribution_of_a_hundred_thousand_files(registry, tmp_path):
    """Names, links and modes of this machine's /usr; the contents are cut short so that it takes seconds."""
    import tarfile
    count = 0
    with tarfile.open(tmp_path / "usr.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for where, folders, files in os.walk("/usr"):
            folders.sort()
            if count >= 110_000:
                break
            for name in ["."] + sorted(files):
                path = where if name == "." else os.path.join(where, name)
                info = tar.gettarinfo(path)
                if info is None or not (info.isfile() or info.isdir() or info.issym() or info.islnk()):
                    continue
                info.uid = info.gid = 0
                if info.isdir():
                    info.mode |= 0o700
                if info.islnk():
                    info.type = tarfile.REGTYPE
                if info.isfile():
                    with open(path, "rb") as file:
                        content = file.read(32)
                    info.size = len(content)
                    import io
                    tar.addfile(info, io.BytesIO(content))
                else:
                    tar.addfile(info)
                count += 1
            for name in folders:
                path = os.path.join(where, name)
                if os.path.islink(path):
                    tar.addfile(tar.gettarinfo(path))
                    count += 1
        top_up = 0
        while count < 101_000:  # a machine with little installed
            Entry(f"usr/filled/{top_up // 1000}/{top_up}").add(tar)
            count, top_up = count + 1, top_up + 1
    changes = layer(tmp_path / "changes.tar", [Entry("usr/.wh.include", content=b""), Entry("app", D), Entry("app/x")])
    image(tmp_path / "layout", "1", [tmp_path / "usr.tar", changes])
    os.unlink(tmp_path / "usr.tar")
    registry.push(tmp_path / "layout", "1", "big/usr:1")
    ours, said = indexed(f"{registry.host}/big/usr:1", tmp_path / "index")
    theirs = unpacked(tmp_path / "layout", "1", tmp_path / "bundle")
    assert len(theirs) > 80_000
    assert differences(ours, theirs) == []
    assert said["indexBytes"] / said["paths"] < 16, said


def test_a_registry_with_passwords(tmp_path):
    import base64
    r = Registry(tmp_path / "registry", htpasswd(tmp_path, "ann", "s3cret"))
    try:
        image(tmp_path / "layout", "1", [layer(tmp_path / "0.tar", CASES["plain"][0])])
        r.push(tmp_path / "layout", "1", "private/app:1", creds="ann:s3cret")
        refused = probe(f"{r.host}/private/app:1", tmp_path / "index", check=False)
        assert refused.code == 1 and "image.unauthorized" in refused.err, refused
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"auths": {r.host: {"auth": base64.b64encode(b"ann:wrong").decode()}}}))
        wrong = probe(f"{r.host}/private/app:1", tmp_path / "index", "--docker-config", str(config), check=False)
        assert wrong.code == 1 and "image.unauthorized" in wrong.err and "wrong" not in wrong.err, wrong
        config.write_text(json.dumps({"auths": {r.host: {"auth": base64.b64encode(b"ann:s3cret").decode()}}}))
        probe(f"{r.host}/private/app:1", tmp_path / "index", "--docker-config", str(config))
        # The same by a credential helper.
        helper = tmp_path / "docker-credential-test"
        helper.write_text("#!/bin/sh\nread server\n[ \"$1\" = get ] && [ \"$server\" = " + r.host +
                          " ] || { echo credentials not found in native keychain; exit 1; }\n"
                          "echo '{\"Username\":\"ann\",\"Secret\":\"s3cret\"}'\n")
        helper.chmod(0o755)
        config.write_text(json.dumps({"credHelpers": {r.host: "test"}}))
        environment = dict(os.environ, PATH=f"{tmp_path}:{os.environ['PATH']}")
        probe(f"{r.host}/private/app:1", tmp_path / "index2", "--docker-config", str(config), environment=environment)
    finally:
        r.stop()


class TokenServer(http.server.BaseHTTPRequestHandler):
    """Signs what docker-registry's token authentication takes."""

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        self.server.asked.append((query, self.headers.get("Authorization")))
        body = json.dumps({"token": self.server.sign(query), "expires_in": 300}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def test_a_registry_with_tokens(tmp_path):
    import base64
    import subprocess
    import time
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    call("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=token", "-keyout",
         str(key), "-out", str(cert))
    der = base64.b64encode(call("openssl", "x509", "-in", str(cert), "-outform", "DER")).decode()

    def url64(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    def sign(query):
        scope = query.get("scope", [""])[0].split(":")
        access = [{"type": scope[0], "name": scope[1], "actions": scope[2].split(",")}] if len(scope) == 3 else []
        now = int(time.time())
        head = url64(json.dumps({"typ": "JWT", "alg": "RS256", "x5c": [der]}).encode())
        body = url64(json.dumps({"iss": "tests", "sub": "", "aud": "registry", "exp": now + 300, "nbf": now - 30,
                                 "iat": now - 30, "jti": "x", "access": access}).encode())
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(key)], input=head + b"." + body,
                                   capture_output=True, check=True).stdout
        return (head + b"." + body + b"." + url64(signature)).decode()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenServer)
    server.asked, server.sign = [], sign
    threading.Thread(target=server.serve_forever, daemon=True).start()
    r = Registry(tmp_path / "registry", {"token": {"realm": f"http://127.0.0.1:{server.server_port}/token",
                                                   "service": "registry", "issuer": "tests",
                                                   "rootcertbundle": str(cert)}})
    try:
        image(tmp_path / "layout", "1", [layer(tmp_path / "0.tar", CASES["plain"][0])])
        r.push(tmp_path / "layout", "1", "private/app:1")
        server.asked.clear()
        ours, _ = indexed(f"{r.host}/private/app:1", tmp_path / "index")
        assert b"/app/a.js" in ours
        assert len(server.asked) == 1 and server.asked[0][0]["scope"] == ["repository:private/app:pull"], server.asked
    finally:
        r.stop()
        server.shutdown()
