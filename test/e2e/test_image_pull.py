"""Images that have to be pulled first: from a registry that wants to know who asks, and one that takes its time."""

import base64
import hashlib
import http.server
import io
import json
import os
import re
import tarfile
import threading

import pytest

from harness import ODDJOB, eventually, run
from registry import Entry, Registry, htpasswd, image, layer
from test_completion import Dev, Terminal


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    dev = Dev(tmp_path_factory.mktemp("dev"))
    yield dev
    dev.process.stop()


def apply(dev, *objects):
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    done = run(["kubectl", "apply", "-f", "-"], dev.environment(), 60, listed.encode())
    assert done.code == 0, done


def deployment(name, image_name, **pod):
    """Opted in and without pods: only its image is of interest."""
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "annotations": {"oddjob.dev/allowed-users": "*"}},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels},
                                  "spec": {**pod, "containers": [{"name": "app", "image": image_name}]}}}}


def secret(name, kind, key, content):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": f"kubernetes.io/{kind}",
            "data": {key: base64.b64encode(json.dumps(content).encode()).decode()}}


def completes(dev, name, typed, whole):
    # A busy machine may be slower than a completion waits.
    eventually(lambda: dev.complete("run", f"deploy/{name}", "--", "cat", typed) == [whole], f"{whole} is completed", 60)


def test_the_secrets_of_the_pod_and_of_its_service_account_are_shown_to_the_registry(dev, tmp_path):
    registry = Registry(tmp_path / "registry", htpasswd(tmp_path, "ann", "s3cret"))
    try:
        image(tmp_path / "layout", "1", [layer(tmp_path / "0.tar", [Entry("app/hello.sh", mode=0o755)])])
        for name in ("pod", "account", "nobody"):
            registry.push(tmp_path / "layout", "1", f"private/{name}:1", creds="ann:s3cret")
        entry = {registry.host: {"auth": base64.b64encode(b"ann:s3cret").decode()}}
        apply(dev, secret("pull", "dockerconfigjson", ".dockerconfigjson", {"auths": entry}),
              secret("pull-old", "dockercfg", ".dockercfg", entry),
              {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller"}, "imagePullSecrets": [{"name": "pull-old"}]})
        apply(dev, deployment("by-pod", f"{registry.host}/private/pod:1", imagePullSecrets=[{"name": "pull"}]),
              deployment("by-account", f"{registry.host}/private/account:1", serviceAccountName="puller"),
              deployment("by-nobody", f"{registry.host}/private/nobody:1"))
        for name in ("by-pod", "by-account"):
            listed = dev.oddjob("image", "files", f"deploy/{name}", seconds=120)
            assert listed.out.split() == ["hello.sh"], listed
        refused = dev.oddjob("image", "files", "deploy/by-nobody", seconds=120)
        assert refused.code == 125 and "no credentials fit this registry: imagePullSecrets" in refused.err, refused
        assert "s3cret" not in dev.process.log.read_text()
    finally:
        registry.stop()


def test_what_is_deployed_is_indexed_before_anybody_asks(dev, tmp_path):
    registry = Registry(tmp_path / "registry")
    try:
        for tag in ("1", "2"):
            image(tmp_path / "layout", tag, [layer(tmp_path / f"{tag}.tar", [Entry(f"app/of-{tag}.sh")])])
            registry.push(tmp_path / "layout", tag, f"team/ahead:{tag}")
            apply(dev, deployment("ahead", f"{registry.host}/team/ahead:{tag}"))
            # Listing images asks for none.
            eventually(lambda: re.search(rf"deploy/ahead +app +ready +\d+ .*ahead:{tag}", dev.oddjob("image", "ls").out),
                       "what is deployed is indexed", 120)
            completes(dev, "ahead", "of", f"of-{tag}.sh")
    finally:
        registry.stop()


class SlowRegistry:
    """One image of one layer, of which half comes at once and the rest when `go_on` is set."""

    def __init__(self):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            Entry("app/big", content=os.urandom(600_000)).add(tar)
            Entry("app/last.sh").add(tar)
        self.layer, self.go_on = buffer.getvalue(), threading.Event()
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"WorkingDir": "/app"},
                             "rootfs": {"type": "layers", "diff_ids": [self.digest(self.layer)]}}).encode()
        oci = "application/vnd.oci.image."
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": oci + "manifest.v1+json",
            "config": {"mediaType": oci + "config.v1+json", "digest": self.digest(config), "size": len(config)},
            "layers": [{"mediaType": oci + "layer.v1.tar", "digest": self.digest(self.layer), "size": len(self.layer)}]}).encode()
        self.blobs = {self.digest(self.layer): self.layer, self.digest(config): config}
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                kind, name = self.path.split("/")[-2:]
                body = registry.manifest if kind == "manifests" else registry.blobs[name]
                self.send_response(200)
                self.send_header("Content-Type", oci + "manifest.v1+json" if kind == "manifests" else "application/octet-stream")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                half = len(body) // 2 if body is registry.layer else len(body)
                self.wfile.write(body[:half])
                self.wfile.flush()
                if half < len(body):
                    registry.go_on.wait(300)
                    self.wfile.write(body[half:])

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def digest(data):
        return "sha256:" + hashlib.sha256(data).hexdigest()

    def stop(self):
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()


def test_a_first_index_shows_how_far_it_is_and_completes_nothing_until_then(dev):
    registry = SlowRegistry()
    terminal = None
    try:
        apply(dev, deployment("slow", f"{registry.host}/slow/app:1"))
        terminal = Terminal([ODDJOB, "image", "files", "deploy/slow"], dev.environment(TERM="xterm"))
        seen = terminal.until(r"indexing the image \[#+-+\] \d\d% of 59\d KiB, 0 of 1 layers", 120)
        assert "last.sh" not in seen
        status = dev.oddjob("image", "status", "deploy/slow")
        assert re.search(r"Progress: +indexing the image \[#+-+\] \d\d% of", status.out), status
        assert re.search(r"deploy/slow +app +indexing \d\d%", dev.oddjob("image", "ls").out)
        assert dev.complete("run", "deploy/slow", "--", "cat", "l") == []
        registry.go_on.set()
        terminal.until(r"last\.sh", 120)
        completes(dev, "slow", "l", "last.sh")
    finally:
        if terminal:
            terminal.close()
        registry.stop()
