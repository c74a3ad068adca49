"""Installs the OpenID provider of the tests from its lock file, once.

    python3 test/oidc/provider_install.py        installs it if it is missing and prints the folder

What was installed lies in ${XDG_CACHE_HOME:-~/.cache}/oddjob/oidc/<hash of the lock>/ and
is used from then on. No script of a package is run. script/bootstrap calls this.
"""

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
FILES = ["package.json", "package-lock.json", ".npmrc"]
MINUTES = 10


class BuildError(Exception):
    """Says what is missing and what to do."""


def folder():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in FILES)).hexdigest()[:16]
    return pathlib.Path(base, "oddjob", "oidc", digest)


def build():
    """The folder with node_modules."""
    target = folder()
    if (target / "node_modules").is_dir():
        return target
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        raise BuildError("Node.js and npm are missing, and the OpenID provider of the tests needs them: script/bootstrap")
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (target / "node_modules").is_dir():
            return target
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".installing-") as made:
            for name in FILES:
                shutil.copy(HERE / name, made)
            done = subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=made,
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=MINUTES * 60)
            if done.returncode != 0:
                raise BuildError(f"`npm ci` failed:\n{(done.stderr or done.stdout)[-3000:]}")
            os.chmod(made, 0o755)
            shutil.copytree(made, target, symlinks=True)
    return target


if __name__ == "__main__":
    print(build())
