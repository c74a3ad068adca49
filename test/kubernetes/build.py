"""Builds the programs of a real Kubernetes from their Go modules, once.

    python3 test/kubernetes/build.py        builds what is missing and prints the folder

The version is the one variable below; ODDJOB_TEST_KUBERNETES_VERSION overrides it.
What was built lies in ${XDG_CACHE_HOME:-~/.cache}/oddjob/kubernetes/<version>/ and is
used from then on. A program that lies in the folder $KUBEBUILDER_ASSETS is taken from
there instead, and decides the version of those that are still to build.

Two modules, since version selection goes wrong when they are one: components/ holds
Kubernetes and the runtime that its kubelet starts processes with; etcd/ holds etcd.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

VERSION = "v1.36.3"

HERE = pathlib.Path(__file__).resolve().parent
KUBERNETES = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"]
GO_MINUTES = 45
LOOKUP_SECONDS = 300


class BuildError(Exception):
    """Says what is missing and what to do."""


@dataclasses.dataclass
class Binaries:
    version: str
    paths: dict

    def __getitem__(self, name):
        return str(self.paths[name])


def version():
    chosen = os.environ.get("ODDJOB_TEST_KUBERNETES_VERSION")
    given = assets() / "kube-apiserver" if assets() else None
    if not chosen and given and given.exists():
        said = subprocess.run([given, "--version"], capture_output=True, text=True, timeout=60).stdout
        found = re.search(r"v\d+\.\d+\.\d+", said)
        if not found:
            raise BuildError(f"{given} --version said {said!r}, which has no version in it")
        chosen = found.group(0)
    chosen = chosen or VERSION
    if not re.fullmatch(r"v1\.\d+\.\d+", chosen):
        raise BuildError(f"{chosen!r} is not a version of Kubernetes as in {VERSION}")
    return chosen


def assets():
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    return pathlib.Path(folder) if folder else None


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base, "oddjob", "kubernetes")


class Go:
    """The go command, which has to be new enough for this version of Kubernetes."""

    def __init__(self, say):
        self.say = say
        self.program = shutil.which("go") or "/usr/local/go/bin/go"
        # What the machine has: a toolchain fetched behind one's back would be another gigabyte.
        self.environment = dict(os.environ, GOTOOLCHAIN="local", GOWORK="off",
                                GOFLAGS="-buildvcs=false", GOOS="linux")
        if not os.access(self.program, os.X_OK):
            raise BuildError(self.missing("there is no Go on this machine"))
        self.version = self.run("env", "GOVERSION", cwd="/").strip()

    @staticmethod
    def missing(why):
        return (f"{why}, and the real Kubernetes of the tests is built with it. Install Go from go.dev/dl (found as "
                "`go` or in /usr/local/go; Debian's is too old), or set KUBEBUILDER_ASSETS to a folder with the "
                "programs, or ODDJOB_TEST_KUBECONFIG to a cluster, or run script/test --quick")

    def demand(self, wanted):
        number = lambda text: tuple(int(n) for n in re.findall(r"\d+", text)[:2])
        if number(self.version) < number(wanted):
            raise BuildError(self.missing(f"Go {wanted} or newer is needed, {self.program} is {self.version}"))

    def run(self, *args, cwd, seconds=LOOKUP_SECONDS):
        done = subprocess.run([self.program, *args], cwd=cwd, env=self.environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=seconds)
        if done.returncode != 0:
            raise BuildError(f"`go {' '.join(args)}` failed in {cwd}:\n{(done.stderr or done.stdout)[-4000:]}")
        return done.stdout

    def build(self, module, package, target, ldflags="-s -w", tags=""):
        started = time.monotonic()
        self.say(f"building {target.name}")
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as folder:
            made = pathlib.Path(folder, target.name)
            self.run("build", "-trimpath", "-tags", tags, "-ldflags", ldflags, "-o", str(made), package, cwd=module,
                     seconds=GO_MINUTES * 60)
            made.rename(target)
        self.say(f"{target.name} is built ({time.monotonic() - started:.0f} s)")

    def module_file(self, path, at):
        """What `go mod edit -json` says of a published module's go.mod."""
        with tempfile.TemporaryDirectory() as folder:
            found = json.loads(self.run("mod", "download", "-json", f"{path}@{at}", cwd=folder))
            return json.loads(self.run("mod", "edit", "-json", found["GoMod"], cwd=folder))


def kubernetes_module(go, wanted, folder):
    """The module components/ at the wanted version: as it is in the tree, or made anew
    from what that version of Kubernetes asks for."""
    if wanted == VERSION:
        go.demand(re.search(r"^go (\S+)", (HERE / "components" / "go.mod").read_text(), re.M).group(1))
        return HERE / "components"
    go.say(f"looking up the modules of Kubernetes {wanted}")
    published = go.module_file("k8s.io/kubernetes", wanted)
    go.demand(published["Go"])
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HERE / "components", folder, ignore=shutil.ignore_patterns("go.mod", "go.sum"))
    staging = "v0." + wanted.removeprefix("v1.")
    # Kubernetes takes these from folders of its own tree; outside of it they are modules.
    replaced = [r["Old"]["Path"] for r in published["Replace"] if r["New"]["Path"].startswith("./")]
    (folder / "go.mod").write_text(f"module oddjob.dev/test/kubernetes/components\n\ngo {published['Go']}\n\n" +
                                   "".join(f"replace {path} => {path} {staging}\n" for path in replaced))
    go.run("get", "-tool", *[f"k8s.io/kubernetes/cmd/{name}@{wanted}" for name in [*KUBERNETES, "kubectl"]], cwd=folder)
    go.run("mod", "tidy", cwd=folder)
    return folder


def etcd_module(go, wanted, folder):
    if wanted == VERSION:
        return HERE / "etcd"
    published = go.module_file("k8s.io/kubernetes", wanted)
    at = next(r["Version"] for r in published["Require"] if r["Path"] == "go.etcd.io/etcd/client/v3")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text(f"module oddjob.dev/test/kubernetes/etcd\n\ngo {published['Go']}\n")
    go.run("get", "-tool", f"go.etcd.io/etcd/server/v3@{at}", cwd=folder)
    return folder


@contextlib.contextmanager
def locked(folder, say):
    """One build at a time; the others wait for it and find its result."""
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for the build that is under way")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def runtime_name():
    """The runtime is ours and changes: its name has the digest of its source."""
    digest = hashlib.sha256()
    for path in sorted((HERE / "components" / "processruntime").glob("*.go")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return f"processruntime-{digest.hexdigest()[:12]}"


def binaries(say=lambda line: print(f"    {line}", flush=True)):
    """Paths of all programs, building what is missing. Errors: BuildError."""
    wanted = version()
    folder = cache() / wanted
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"etcd": folder / "etcd", "processruntime": folder / runtime_name()}
    paths.update({name: folder / name for name in KUBERNETES})
    paths["kubectl"] = pathlib.Path(shutil.which("kubectl") or folder / "kubectl")
    if assets():
        paths.update({name: assets() / name for name in paths if (assets() / name).exists()})
    missing = [name for name in paths if not paths[name].exists()]
    if missing:
        with locked(folder, say):
            missing = [name for name in paths if not paths[name].exists()]
            if missing:
                build(say, wanted, folder, paths, missing)
    return Binaries(wanted, paths)


def build(say, wanted, folder, paths, missing):
    started = time.monotonic()
    go = Go(say)
    say(f"Kubernetes {wanted}: to build with {go.version}: {', '.join(missing)}; ten minutes on two cores, once")
    if "etcd" in missing:
        go.build(etcd_module(go, wanted, folder / "source-etcd"), "go.etcd.io/etcd/server/v3", paths["etcd"])
    if set(missing) - {"etcd"}:
        module = kubernetes_module(go, wanted, folder / "source")
        _, minor, _ = wanted.split(".")
        stamp = "k8s.io/component-base/version."
        ldflags = f"-s -w -X {stamp}gitVersion={wanted} -X {stamp}gitMajor=1 -X {stamp}gitMinor={minor}"
        for name in missing:
            if name in KUBERNETES or name == "kubectl":
                go.build(module, f"k8s.io/kubernetes/cmd/{name}", paths[name], ldflags)
        if "processruntime" in missing:
            for old in folder.glob("processruntime-*"):
                old.unlink()
            go.build(module, "./processruntime", paths["processruntime"])
    say(f"Kubernetes {wanted} is built ({(time.monotonic() - started) / 60:.1f} min); it is kept in {folder}")


def main():
    try:
        made = binaries(lambda line: print(f"    [kubernetes] {line}", file=sys.stderr, flush=True))
    except (BuildError, subprocess.TimeoutExpired) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, path in made.paths.items():
        print(f"{name}: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
