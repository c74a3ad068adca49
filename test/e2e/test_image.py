"""The container image: made without an engine, and started as a kubelet would start it.

The files are those of the image's layer; the configuration, the mounts, the user and
the arguments are those that the chart renders. bubblewrap is the container runtime.
"""

import hashlib
import json
import os
import re
import tarfile

import pytest
import yaml

import harness
from harness import ROOT, eventually, run
from installed import Container, Image, Kubelet


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
    assert set(listed) == status and {"libc6", "libssl3", "ca-certificates"} <= status
    # Linked in or not, libcurl is named, and by Debian's version.
    (curl,) = status & {"curl", "libcurl4"}
    assert re.fullmatch(r"\d+\.\d+\.\d+-\d\S*", listed[curl]["versionInfo"]), listed[curl]
    linked = {r["relatedSpdxElement"] for r in sbom["relationships"]
              if r["relationshipType"] == "STATIC_LINK" and r["spdxElementId"] == "SPDXRef-program-oddjobd"}
    assert (listed[curl]["SPDXID"] in linked) == (curl == "curl") and linked <= {p["SPDXID"] for p in listed.values()}
    for package in listed.values():
        (reference,) = package["externalRefs"]
        assert reference["referenceLocator"].startswith(f"pkg:deb/debian/{package['name']}@")
        assert f"usr/share/doc/{package['name']}/copyright" in {m.name for m in image.members()}
    ids = [p["SPDXID"] for p in sbom["packages"]]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", i) for i in ids)
    contained = {r["relatedSpdxElement"] for r in sbom["relationships"] if r["relationshipType"] == "CONTAINS"}
    assert contained == set(ids) - {"SPDXRef-oddjob"}
    assert sbom["packages"][0]["checksums"][0]["checksumValue"] == image.digest.removeprefix("sha256:")


def test_a_missing_program_is_said(tmp_path):
    done = run([str(ROOT / "script" / "image"), "--bin", str(tmp_path), "--out", str(tmp_path / "out")])
    assert done.code == 1 and f"{tmp_path}/oddjobd is missing" in done.err, done


# ---- the image, the chart and a cluster together ---------------------------------------------------------

def test_image_and_chart_serve_a_cluster(cluster, image, tmp_path):
    """With static tokens; test_install.py goes the way of docs/install.md."""
    helm, place, token = str(ROOT / "script" / "helm"), ["--namespace", "installed"], "ann-has-a-long-token"
    environment = dict(os.environ, KUBECONFIG=cluster.kubeconfig)
    crt, key = str(tmp_path / "tls.crt"), str(tmp_path / "tls.key")
    done = run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", "/CN=oddjob", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", crt])
    assert done.code == 0, done
    tokens = {"tokens": [{"tokenSha256": hashlib.sha256(token.encode()).hexdigest(), "user": "ann", "teams": ["payments"]}]}
    assert cluster.kubectl("create", "namespace", "installed").code == 0
    cluster.kubectl("label", "namespace", "installed", "pod-security.kubernetes.io/enforce=restricted")
    kubelet = None
    try:
        done = cluster.kubectl(*place, "create", "secret", "tls", "oddjob-tls", f"--cert={crt}", f"--key={key}")
        assert done.code == 0, done
        cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "oddjob-tokens"},
                       "stringData": {"tokens.yaml": yaml.safe_dump(tokens)}}, namespace="installed")
        # No node has this label, so that the one kubelet of this pod is ours.
        done = run([helm, "install", "installed", str(ROOT / "deploy/helm/oddjob"), *place, "--set", "nodeSelector.none=none",
                    "--set", "image.repository=registry.example.com/oddjob,auth.staticTokensSecret=oddjob-tokens,config.images.ahead=false"],
                   environment, 1800)
        assert done.code == 0, done
        eventually(lambda: cluster.get("pods", namespace="installed")["items"],
                   "Pod Security `restricted` lets the pod be made (where the cluster has it)", 60)
        kubelet = Kubelet(cluster, "installed", "installed-oddjob", image, tmp_path / "kubelet").start()
        print(f"listening {kubelet.took:.2f} s after the start")
        assert kubelet.get("/healthz") == 200
        mine = dict(os.environ, ODDJOB_SERVER=f"https://127.0.0.1:{kubelet.port}", ODDJOB_TOKEN=token, ODDJOB_CA_FILE=crt,
                    ODDJOB_CONFIG=str(tmp_path / "none.yaml"), NO_COLOR="1")
        done = run([harness.ODDJOB, "run", "deploy/payments", "--", "sh", "-c", "echo from the image; exit 3"], mine, 120)
        assert (done.code, done.out) == (3, "from the image\n"), done
        assert (kubelet.container.root / "var/lib/oddjob/oddjob.db").exists()
        log = kubelet.log()
        assert "forbidden" not in log and "warning" not in log, log
        assert all(json.loads(line) for line in log.splitlines())
    finally:
        if kubelet:
            kubelet.stop()
        run([helm, "uninstall", "installed", *place], environment)
        cluster.kubectl("delete", "namespace", "installed", "--wait=false")
