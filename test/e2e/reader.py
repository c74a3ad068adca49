"""Somebody who follows a page of docs/ command by command, on a real control plane."""

import os
import re

import cluster as kubernetes
import harness
from harness import ROOT, run
from installed import Image, Kubelet

SECTION = re.compile(r"(?m)^## (.+)$")


def commands():
    """[(section, command)] of the page's console blocks."""
    parts = SECTION.split((ROOT / "docs" / "install.md").read_text())
    for title, body in zip(parts[1::2], parts[2::2]):
        for block in re.findall(r"(?s)```console\n(.*?)```", body):
            for line in block.splitlines():
                assert line.startswith("$ "), f"{title}: {line!r} is no command"
                yield title, line.removeprefix("$ ")


class Reader:
    """Somebody in the folder of a clone, with helm, kubectl and oddjob on the PATH."""

    def __init__(self, cluster, folder, image=None):
        self.cluster, self.folder, self.image = cluster, folder, image
        self.kubelet, self.starts = None, 0
        bin_folder, own_bin = folder / "bin", folder / ".local" / "bin"
        bin_folder.mkdir(parents=True)
        own_bin.mkdir(parents=True)
        (bin_folder / "helm").write_text(f'#!/bin/sh\nexec "{ROOT / "script" / "helm"}" "$@"\n')
        (bin_folder / "helm").chmod(0o755)
        (bin_folder / "oddjob").symlink_to(harness.BIN / "oddjob")
        (bin_folder / "kubectl").symlink_to(cluster.kubectl_program)
        for name in ("deploy", "docs", "script"):
            (folder / name).symlink_to(ROOT / name)
        self.environment = dict(os.environ, PATH=f"{bin_folder}:{own_bin}:{os.environ['PATH']}", KUBECONFIG=cluster.kubeconfig,
                                HOME=str(folder), NO_COLOR="1", **self.keep_caches())
        for name in ("ODDJOB_SERVER", "ODDJOB_TOKEN", "ODDJOB_CONFIG"):
            self.environment.pop(name, None)

    @staticmethod
    def keep_caches():
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        return {"XDG_CACHE_HOME": cache}

    def shell(self, command, seconds=600):
        done = run(["bash", "-c", f"cd '{self.folder}' && {command}"], self.environment, seconds)
        assert done.code == 0, f"$ {command}\n{done}"
        return done.out

    def be_the_node(self):
        if self.kubelet:
            self.kubelet.stop()
        self.starts += 1
        self.kubelet = Kubelet(self.cluster, "oddjob", "oddjob", self.image, self.folder / f"kubelet-{self.starts}").start()
        # What the endpoints of a pod on a node would say.
        self.cluster.apply(
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
             "metadata": {"name": "oddjob-on-this-machine", "labels": {"kubernetes.io/service-name": "oddjob"}},
             "ports": [{"name": "https", "port": self.kubelet.port, "protocol": "TCP"}],
             "endpoints": [{"addresses": [kubernetes.machine_address()], "conditions": {"ready": True}}]},
            namespace="oddjob")

    def follow(self, command):
        if command == "script/image":
            self.image = Image(self.folder / "build" / "image")
        elif command.startswith("skopeo copy "):
            assert self.folder.joinpath(command.split()[2].removeprefix("oci:"), "index.json").exists()
        elif " rollout status " in command:
            self.be_the_node()
        elif " port-forward " in command:
            assert self.kubelet, "nothing to forward to"
        else:
            if self.kubelet:
                command = command.replace("localhost:8443", f"localhost:{self.kubelet.port}")
            return self.shell(command)
        return ""

    def stop(self):
        if self.kubelet:
            self.kubelet.stop()
