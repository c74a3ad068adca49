"""What a container runtime and a kubelet do with the image and with a rendered pod.

Used by the tests of the image and of the installation. bubblewrap is the runtime.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import signal
import tarfile
import time

import yaml

import harness
from harness import ROOT, eventually, run


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
        """volumes: what is in a volume, {name: bytes}, or the folder on the node that it is."""
        (self.spec,) = pod["containers"]
        self.user = pod["securityContext"]["runAsUser"]
        assert self.spec["securityContext"]["readOnlyRootFilesystem"]
        self.volumes = {v["name"]: v for v in pod.get("volumes", [])}
        self.root = image.unpack(folder)
        self.writable = {"/tmp": self.root / "tmp"}
        self.mount(volumes)
        for mount in self.spec["volumeMounts"]:
            if not mount.get("readOnly"):
                content = volumes(self.volumes[mount["name"]])
                place = content if isinstance(content, pathlib.Path) else self.place(mount)
                self.writable[mount["mountPath"]] = place
                # bubblewrap shows who runs this as the pod's user; a kubelet changes the group (fsGroup).
                os.chown(place, os.getuid(), os.getgid())

    def place(self, mount):
        return self.root / mount["mountPath"].strip("/")

    def mount(self, volumes):
        for mount in self.spec["volumeMounts"]:
            self.place(mount).mkdir(parents=True, exist_ok=True)
            content = volumes(self.volumes[mount["name"]])
            for name, data in content.items() if isinstance(content, dict) else ():
                new = self.place(mount) / ("..new-" + name)
                new.write_bytes(data)
                new.chmod(0o440)
                new.rename(self.place(mount) / name)

    def argv(self, command, environment):
        argv = ["bwrap", "--die-with-parent", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1",
                "--uid", str(self.user), "--gid", str(self.user), "--ro-bind", str(self.root), "/",
                "--proc", "/proc", "--dev", "/dev", "--clearenv"]
        for path, place in self.writable.items():
            argv += ["--bind", str(place), path]
        for name, value in environment.items():
            argv += ["--setenv", name, value]
        return argv + ["--", *command]

    def run(self, *command):
        return run(self.argv(command, {}), seconds=60)


class Kubelet:
    """Runs the one pod of a Deployment of a cluster from the image: its mounts, its account, its arguments."""

    def __init__(self, cluster, namespace, deployment, image, folder, claims=None):
        """claims: the folder of the volumes that outlive a pod; without it they are the pod's."""
        self.cluster, self.namespace, self.folder, self.claims = cluster, namespace, pathlib.Path(folder), claims
        self.folder.mkdir(parents=True, exist_ok=True)
        pod = cluster.get("deployment", deployment, namespace=namespace)["spec"]["template"]["spec"]
        self.account = pod["serviceAccountName"]
        self.container = Container(image, pod, self.volume, self.folder / "root")
        self.process = None

    def volume(self, volume):
        if "configMap" in volume:
            data = self.cluster.get("configmap", volume["configMap"]["name"], namespace=self.namespace)["data"]
            return {k: v.encode() for k, v in data.items()}
        if "secret" in volume:
            data = self.cluster.get("secret", volume["secret"]["secretName"], namespace=self.namespace)["data"]
            return {k: base64.b64decode(v) for k, v in data.items()}
        if "persistentVolumeClaim" in volume and self.claims:
            place = self.claims / volume["persistentVolumeClaim"]["claimName"]
            place.mkdir(parents=True, exist_ok=True)
            return place
        return {}

    def service_account(self):
        """What every pod gets; the environment that leads to the API server."""
        place = self.container.root / "var/run/secrets/kubernetes.io/serviceaccount"
        place.mkdir(parents=True, exist_ok=True)
        token = self.cluster.kubectl("-n", self.namespace, "create", "token", self.account, "--duration=1h")
        assert token.code == 0, token
        (place / "token").write_text(token.out.strip())
        (place / "namespace").write_text(self.namespace)
        config = yaml.safe_load(pathlib.Path(self.cluster.kubeconfig).read_text())["clusters"][0]["cluster"]
        authority = config.get("certificate-authority-data")
        (place / "ca.crt").write_bytes(base64.b64decode(authority) if authority else
                                       pathlib.Path(config["certificate-authority"]).read_bytes())
        host, port = re.fullmatch(r"https://(.+):(\d+)/?", config["server"]).groups()
        return {"KUBERNETES_SERVICE_HOST": host.strip("[]"), "KUBERNETES_SERVICE_PORT": port}

    def start(self, port=0):
        environment = self.service_account()
        environment["ODDJOBD_LISTEN_PORT"] = str(port)  # this machine's ports are not the pod's alone
        command = [*self.container.spec["command"], *self.container.spec["args"], "--ready-file", "/tmp/ready"]
        began = time.monotonic()
        self.process = harness.Process(self.container.argv(command, environment), self.folder / "server.log",
                                       dict(os.environ))
        ready = self.container.root / "tmp/ready"
        eventually(lambda: ready.exists() or not self.process.alive(), "the server listens", 60)
        assert self.process.alive(), self.log()
        self.took = time.monotonic() - began
        self.port = int(ready.read_text().strip().rsplit(":", 1)[1])
        eventually(lambda: self.get("/readyz") == 200, "the server is ready in its pod", 60)
        return self

    def get(self, path):
        """The status; a kubelet's probes do not check the certificate."""
        return harness.Api(f"https://127.0.0.1:{self.port}", None).get(path)[0]

    def log(self):
        return self.process.log.read_text()

    def refresh(self):
        """What is mounted follows its ConfigMap or Secret, as on a node after a while."""
        self.container.mount(self.volume)

    def terminate(self, seconds=60):
        """SIGTERM to the program, and time; how the server ended."""
        # bubblewrap passes no signals on: the program is its child.
        children = pathlib.Path(f"/proc/{self.process.child.pid}/task/{self.process.child.pid}/children").read_text()
        (program,) = children.split()
        os.kill(int(program), signal.SIGTERM)
        eventually(lambda: not self.process.alive(), "the server ends", seconds)
        return self.process.child.returncode

    def stop(self):
        if self.process:
            self.process.kill()  # what it runs dies with it
