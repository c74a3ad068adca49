"""The container image: made without an engine, and started as a kubelet would start it.

The files are those of the image's layer; the configuration, the mounts, the user and
the arguments are those that the chart renders. bubblewrap is the container runtime.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import tarfile
import time

import pytest
import yaml

import harness
from harness import ROOT, eventually, run

OPEN = {"oddjob.dev/allowed-teams": "payments"}


class Image:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        done = run([str(ROOT / "script" / "image"), "--bin", str(harness.BIN), "--out", str(folder)], seconds=300)
        assert done.code == 0, done
        print(done.out)
        index = json.loads((self.folder / "oci" / "index.json").read_text())
        self.digest = index["manifests"][0]["digest"]
        self.manifest = json.loads(self.blob(self.digest))
        self.config = json.loads(self.blob(self.manifest["config"]["digest"]))
        self.layer = gzip.decompress(self.blob(self.manifest["layers"][0]["digest"]))

    def blob(self, digest):
        data = (self.folder / "oci" / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()
        assert "sha256:" + hashlib.sha256(data).hexdigest() == digest
        return data

    def members(self):
        with tarfile.open(fileobj=io.BytesIO(self.layer)) as archive:
            return archive.getmembers()

    def unpack(self, folder):
        with tarfile.open(fileobj=io.BytesIO(self.layer)) as archive:
            archive.extractall(folder)
        for name in ("proc", "dev"):  # a container runtime makes these
            (folder / name).mkdir()
        return folder


class Container:
    """One container of a rendered pod: its files, its mounts, its user, nothing of this machine."""

    def __init__(self, image, pod, volumes, folder):
        (self.spec,) = pod["containers"]
        self.user = pod["securityContext"]["runAsUser"]
        assert self.spec["securityContext"]["readOnlyRootFilesystem"]
        self.root = image.unpack(folder)
        self.writable = ["/tmp"]
        for mount in self.spec["volumeMounts"]:
            place = self.root / mount["mountPath"].strip("/")
            place.mkdir(parents=True, exist_ok=True)
            content = volumes(next(v for v in pod["volumes"] if v["name"] == mount["name"]))
            for name, data in content.items():
                (place / name).write_bytes(data)
                (place / name).chmod(0o440)
            if not mount.get("readOnly"):
                self.writable.append(mount["mountPath"])
                # bubblewrap shows who runs this as the pod's user; a kubelet changes the group (fsGroup).
                os.chown(place, os.getuid(), os.getgid())

    def argv(self, command, environment):
        argv = ["bwrap", "--die-with-parent", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
                "--uid", str(self.user), "--gid", str(self.user), "--ro-bind", str(self.root), "/",
                "--proc", "/proc", "--dev", "/dev", "--clearenv"]
        for path in self.writable:
            argv += ["--bind", str(self.root / path.strip("/")), path]
        for name, value in environment.items():
            argv += ["--setenv", name, value]
        return argv + ["--", *command]

    def run(self, *command):
        return run(self.argv(command, {}), seconds=60)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return Image(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def bare(image, tmp_path_factory):
    """The image by itself, with no pod around it."""
    pod = {"securityContext": {"runAsUser": 65532}, "containers": [
        {"securityContext": {"readOnlyRootFilesystem": True}, "volumeMounts": []}]}
    return Container(image, pod, lambda volume: {}, tmp_path_factory.mktemp("bare") / "root")


def test_the_programs_start_with_the_images_own_libraries(bare):
    for name in ("oddjobd", "oddjob"):
        done = bare.run(f"/usr/bin/{name}", "--version")
        assert done.code == 0 and "0.1.0" in done.out, done


def test_there_is_nothing_to_break_in_with(image, bare):
    names = {m.name for m in image.members()}
    for name in ("bin/sh", "usr/bin/sh", "usr/bin/apt", "usr/bin/env", "usr/bin/perl", "usr/bin/curl"):
        assert name not in names
    assert {n for n in names if n.startswith("usr/bin/")} == {"usr/bin/oddjob", "usr/bin/oddjobd"}
    assert bare.run("/bin/sh", "-c", "true").code != 0
    for member in image.members():
        assert not member.mode & 0o6000, f"{member.name} is set-uid"
        assert member.name == "tmp" or member.issym() or not member.mode & 0o002, f"{member.name} is writable for all"


def test_it_runs_as_nobody_in_particular(image):
    config = image.config["config"]
    assert config["User"] == "65532:65532" and config["Entrypoint"] == ["/usr/bin/oddjobd"]
    data = next(m for m in image.members() if m.name == "var/lib/oddjob")
    assert (data.uid, data.mode & 0o777) == (65532, 0o700)


def test_the_layer_is_what_the_configuration_says(image):
    assert image.config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(image.layer).hexdigest()]
    with tarfile.open(image.folder / "oddjob.tar") as archive:
        assert {"oci-layout", "index.json"} <= {m.name for m in archive.getmembers()}


def test_the_same_programs_give_the_same_image(image, tmp_path):
    assert Image(tmp_path / "again").digest == image.digest


def test_the_sbom_names_every_package_and_what_scanners_find_is_the_same(image):
    sbom = json.loads((image.folder / "sbom.spdx.json").read_text())
    assert sbom["spdxVersion"] == "SPDX-2.3" and sbom["dataLicense"] == "CC0-1.0"
    listed = {p["name"]: p for p in sbom["packages"] if p["SPDXID"].startswith("SPDXRef-deb-")}
    status = {m.name.rsplit("/", 1)[1] for m in image.members() if m.name.startswith("var/lib/dpkg/status.d/")}
    assert set(listed) == status and {"libc6", "libssl3", "libcurl4", "ca-certificates"} <= status
    for package in listed.values():
        (reference,) = package["externalRefs"]
        assert reference["referenceLocator"].startswith(f"pkg:deb/debian/{package['name']}@")
        assert f"usr/share/doc/{package['name']}/copyright" in {m.name for m in image.members()}
    ids = [e["SPDXID"] for e in sbom["packages"] + sbom["files"]]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", i) for i in ids)
    contained = {r["relatedSpdxElement"] for r in sbom["relationships"] if r["relationshipType"] == "CONTAINS"}
    assert contained == set(ids) - {"SPDXRef-oddjob"}
    assert sbom["packages"][0]["checksums"][0]["checksumValue"] == image.digest.removeprefix("sha256:")


def test_a_missing_program_is_said(tmp_path):
    done = run([str(ROOT / "script" / "image"), "--bin", str(tmp_path), "--out", str(tmp_path / "out")])
    assert done.code == 1 and f"{tmp_path}/oddjobd is missing" in done.err, done


# ---- the image, the chart and a cluster together ---------------------------------------------------------

def certificate(folder, *names):
    folder.mkdir(exist_ok=True)
    done = run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", f"/CN={names[0]}", "-addext", "subjectAltName=" + ",".join(names[1:]),
                "-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")])
    assert done.code == 0, done
    return folder / "tls.crt", folder / "tls.key"


class Installed:
    """What `helm install` and a kubelet make of the chart and the image."""

    def __init__(self, cluster, image, folder):
        self.cluster, self.folder = cluster, folder
        helm = str(ROOT / "script" / "helm")
        environment = dict(os.environ, KUBECONFIG=cluster.kubeconfig)
        cluster.kubectl("create", "namespace", "installed")
        crt, key = certificate(folder / "tls", "oddjob", "IP:127.0.0.1", "DNS:oddjob.installed.svc")
        self.ca = str(crt)
        done = cluster.kubectl("-n", "installed", "create", "secret", "tls", "oddjob-tls", f"--cert={crt}", f"--key={key}")
        assert done.code == 0, done
        tokens = yaml.safe_dump({"tokens": [{"tokenSha256": hashlib.sha256(b"ann-has-a-long-token").hexdigest(), "user": "ann",
                                             "teams": ["payments"]}]})
        cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "oddjob-tokens"},
                       "stringData": {"tokens.yaml": tokens}}, namespace="installed")
        # No node has this label, so that the one kubelet of this pod is the one below.
        done = run([helm, "install", "installed", str(ROOT / "deploy/helm/oddjob"), "--namespace", "installed",
                    "--set", "image.repository=registry.example.com/oddjob", "--set", "auth.staticTokensSecret=oddjob-tokens",
                    "--set", "nodeSelector.none=none"], environment, 1800)
        assert done.code == 0, done
        deployment = cluster.get("deployment", "installed-oddjob", namespace="installed")
        pod = deployment["spec"]["template"]["spec"]
        self.account = pod["serviceAccountName"]
        self.container = Container(image, pod, self.volume, folder / "root")
        self.process = None

    def volume(self, volume):
        decode = lambda data: {k: base64.b64decode(v) for k, v in data.items()}
        if "configMap" in volume:
            return {k: v.encode() for k, v in
                    self.cluster.get("configmap", volume["configMap"]["name"], namespace="installed")["data"].items()}
        if "secret" in volume:
            return decode(self.cluster.get("secret", volume["secret"]["secretName"], namespace="installed")["data"])
        return {}

    def service_account(self):
        """What a kubelet puts into every pod."""
        place = self.container.root / "var/run/secrets/kubernetes.io/serviceaccount"
        place.mkdir(parents=True, exist_ok=True)
        token = self.cluster.kubectl("-n", "installed", "create", "token", self.account, "--duration=1h")
        assert token.code == 0, token
        (place / "token").write_text(token.out.strip())
        (place / "namespace").write_text("installed")
        config = yaml.safe_load(pathlib.Path(self.cluster.kubeconfig).read_text())["clusters"][0]["cluster"]
        authority = config.get("certificate-authority-data")
        (place / "ca.crt").write_bytes(base64.b64decode(authority) if authority else
                                       pathlib.Path(config["certificate-authority"]).read_bytes())
        host, port = re.fullmatch(r"https://(.+):(\d+)/?", config["server"]).groups()
        return {"KUBERNETES_SERVICE_HOST": host.strip("[]"), "KUBERNETES_SERVICE_PORT": port}

    def start(self):
        environment = self.service_account()
        environment["ODDJOBD_LISTEN_PORT"] = "0"  # this machine's ports are not the pod's alone
        command = [*self.container.spec["command"], *self.container.spec["args"], "--ready-file", "/tmp/ready"]
        began = time.monotonic()
        self.process = harness.Process(self.container.argv(command, environment), self.folder / "server.log",
                                       dict(os.environ))
        ready = self.container.root / "tmp/ready"
        eventually(lambda: ready.exists() or not self.process.alive(), "the server listens", 60)
        assert self.process.alive(), self.process.log.read_text()
        self.port = int(ready.read_text().strip().rsplit(":", 1)[1])
        self.url = f"https://127.0.0.1:{self.port}"
        self.took = time.monotonic() - began

    def get(self, path):
        return harness.Api(self.url, None).get(path)[0]

    def oddjob(self, *args):
        environment = dict(os.environ, ODDJOB_SERVER=self.url, ODDJOB_TOKEN="ann-has-a-long-token", ODDJOB_CA_FILE=self.ca,
                           ODDJOB_CONFIG=str(self.folder / "none.yaml"), NO_COLOR="1")
        return run([harness.ODDJOB, *args], environment, 120)


def test_image_and_chart_serve_a_cluster(cluster, image, tmp_path):
    installed = Installed(cluster, image, tmp_path)
    try:
        installed.start()
        print(f"listening {installed.took:.2f} s after the start")
        assert installed.get("/healthz") == 200
        eventually(lambda: installed.get("/readyz") == 200, "the server is ready in its pod", 60)
        done = installed.oddjob("run", "deploy/payments", "--", "sh", "-c", "echo from the image; exit 3")
        assert (done.code, done.out) == (3, "from the image\n"), done
        assert (installed.container.root / "var/lib/oddjob/oddjob.db").exists()
        log = installed.process.log.read_text()
        assert "forbidden" not in log and "warning" not in log, log
        assert all(json.loads(line) for line in log.splitlines())
    finally:
        if installed.process:
            # bubblewrap passes no signals on; the server ends with it.
            installed.process.kill()
        run([str(ROOT / "script" / "helm"), "uninstall", "installed", "--namespace", "installed"],
            dict(os.environ, KUBECONFIG=cluster.kubeconfig))
        cluster.kubectl("delete", "namespace", "installed", "--wait=false")
        shutil.rmtree(tmp_path / "root", ignore_errors=True)
