"""Somebody who follows a page of docs/ step by step, on a real control plane."""

import os
import re

import cluster as kubernetes
import harness
from harness import ROOT, run
from installed import Image, Kubelet


def steps(page):
    """[(section, kind, content)] of everything in the page's fences: each command of a console block, and each file,
    whose block is of YAML and begins with its name. No other fence is allowed, so that none is left out."""
    found = []
    for section in re.split(r"(?m)^## ", (ROOT / "docs" / page).read_text()):
        title = section.split("\n", 1)[0]
        for language, block in re.findall(r"(?sm)^```(.*?)\n(.*?)^```$", section):
            if language == "yaml":
                found.append((title, "file", block))
                continue
            assert language == "console", f"{title}: {block!r} would not be tried"
            for line in block.splitlines():
                assert line.startswith("$ "), f"{title}: {line!r} is no command"
                found.append((title, "command", line.removeprefix("$ ")))
    return found


class Reader:
    """Somebody in the folder of a clone, with helm and kubectl on the PATH."""

    ENDPOINT = "oddjob-on-this-machine"

    def __init__(self, cluster, folder, image=None, stands_for=None):
        """stands_for: what a page says, and what there is here instead of it."""
        self.cluster, self.folder, self.image, self.stands_for = cluster, folder, image, stands_for or {}
        self.kubelet, self.starts = None, 0
        bin_folder = folder / "bin"
        bin_folder.mkdir(parents=True)
        (bin_folder / "helm").write_text(f'#!/bin/sh\nexec "{ROOT / "script" / "helm"}" "$@"\n')
        (bin_folder / "helm").chmod(0o755)
        (bin_folder / "kubectl").symlink_to(cluster.kubectl_program)
        for name in ("deploy", "docs", "script"):
            (folder / name).symlink_to(ROOT / name)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("ODDJOB_")}
        self.environment.update(PATH=f"{bin_folder}:{folder}/.local/bin:{os.environ['PATH']}", KUBECONFIG=cluster.kubeconfig,
                                HOME=str(folder), NO_COLOR="1", **self.keep_caches())

    @staticmethod
    def keep_caches():
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        return {"XDG_CACHE_HOME": cache}

    def shell(self, command, seconds=600):
        done = run(["bash", "-c", f"cd '{self.folder}' && {command}"], self.environment, seconds)
        assert done.code == 0, f"$ {command}\n{done}"
        return done.out

    def be_the_node(self):
        """The one pod of the Deployment, as it is now; the one before it has ended."""
        port = 0
        if self.kubelet:
            port = self.kubelet.port
            assert self.kubelet.terminate() == 0, self.kubelet.log()[-4000:]
        self.starts += 1
        self.kubelet = Kubelet(self.cluster, "oddjob", "oddjob", self.image, self.folder / f"kubelet-{self.starts}",
                               claims=self.folder / "claims")
        self.kubelet.start(port)
        self.endpoint(self.ENDPOINT, self.kubelet.port)

    def endpoint(self, name, port):
        """What the endpoints of a pod on a node would say."""
        self.cluster.apply(
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
             "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "oddjob"}},
             "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
             "endpoints": [{"addresses": [kubernetes.machine_address()], "conditions": {"ready": True}}]},
            namespace="oddjob")

    def no_endpoint(self, name):
        done = self.cluster.kubectl("-n", "oddjob", "delete", "endpointslice", name)
        assert done.code == 0, done

    def end(self):
        """The pod ends for good."""
        assert self.kubelet.terminate() == 0, self.kubelet.log()[-4000:]
        self.kubelet = None

    def follow(self, kind, content):
        for said, here in self.stands_for.items():
            content = content.replace(said, here)
        if kind == "file":
            name = re.match(r"# (\S+\.yaml)\n", content)
            assert name, f"a file without a name: {content!r}"
            (self.folder / name[1]).write_text(content)
        elif content == "script/image":
            self.image = Image(self.folder / "build" / "image")
            built = self.folder / "build" / "container" / "bin"
            built.mkdir(parents=True)
            (built / "oddjob").symlink_to(harness.ODDJOB)
        elif content.startswith("skopeo copy "):
            assert self.folder.joinpath(content.split()[2].removeprefix("oci:"), "index.json").exists()
        elif content.startswith("kubectl -n oddjob rollout status "):
            self.be_the_node()
        elif content.startswith("helm uninstall "):
            self.shell(content)
            self.end()
        elif " port-forward " in content:
            assert self.kubelet, "nothing to forward to"
        else:
            if self.kubelet:
                content = content.replace("localhost:8443", f"localhost:{self.kubelet.port}")
            return self.shell(content)
        return ""

    def stop(self):
        if self.kubelet:
            self.kubelet.stop()
