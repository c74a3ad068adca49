"""A real registry, images made with umoci, and what unpacking them leaves.

docker-registry, skopeo and umoci are Debian's.
"""

import base64
import crypt
import io
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tarfile

import harness

PROBE = str(harness.BIN / "image_probe")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Registry:
    """Debian's docker-registry on loopback; `auth` is what its configuration says under that key."""

    def __init__(self, folder, auth=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        config = {"version": 0.1, "log": {"level": "warn"},
                  "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}},
                  "http": {"addr": self.host, "secret": "of-this-test"}}
        if auth:
            config["auth"] = auth
        path = self.folder / "config.yml"
        path.write_text(json.dumps(config))
        self.process = harness.Process(["docker-registry", "serve", str(path)], self.folder / "registry.log")
        harness.eventually(self.listens, "the registry listens", 30)

    def listens(self):
        assert self.process.alive(), self.process.log.read_text()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def push(self, layout, tag, name, *options, creds=None):
        login = ["--dest-creds", creds] if creds else []
        call("skopeo", "--insecure-policy", "copy", "--quiet", *login, "--dest-tls-verify=false", *options,
             f"oci:{layout}:{tag}", f"docker://{self.host}/{name}")

    def stop(self):
        self.process.kill()


def htpasswd(folder, user, password):
    path = pathlib.Path(folder) / "htpasswd"
    path.write_text(f"{user}:{crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=2 ** 5))}\n")
    return {"htpasswd": {"realm": "test", "path": str(path)}}


def call(*argv, **kwargs):
    done = subprocess.run(argv, capture_output=True, timeout=900, **kwargs)
    assert done.returncode == 0, f"{argv}: {done.stderr.decode(errors='replace')[-3000:]}"
    return done.stdout


class Entry:
    """One entry of a layer to be: what tarfile cannot guess."""

    def __init__(self, path, kind="file", mode=None, content=b"x", link=None):
        self.path, self.kind, self.content, self.link = path, kind, content, link
        self.mode = mode if mode is not None else 0o755 if kind == "directory" else 0o644

    def add(self, tar):
        info = tarfile.TarInfo(self.path)
        info.mode = self.mode
        info.type = {"file": tarfile.REGTYPE, "directory": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE,
                     "hardlink": tarfile.LNKTYPE}[self.kind]
        if self.link:
            info.linkname = self.link
        if self.kind == "file":
            info.size = len(self.content)
        tar.addfile(info, io.BytesIO(self.content) if self.kind == "file" else None)


def layer(path, entries, form=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w", format=form) as tar:
        for entry in entries:
            entry.add(tar)
    return str(path)


def image(layout, tag, layers):
    """Adds an image of these tar files to a layout (made when missing)."""
    if not pathlib.Path(layout).exists():
        call("umoci", "init", "--layout", str(layout))
    call("umoci", "new", "--image", f"{layout}:{tag}")
    for path in layers:
        call("umoci", "raw", "add-layer", "--image", f"{layout}:{tag}", str(path))
    call("umoci", "config", "--image", f"{layout}:{tag}", "--config.workingdir", "/app", "--config.env",
         "PATH=/usr/local/bin:/usr/bin:/bin", "--architecture", "amd64", "--os", "linux")


def unpacked(layout, tag, folder):
    """{path: (kind, mode or link)} of what umoci unpacks, as bytes paths."""
    bundle = pathlib.Path(folder)
    call("umoci", "unpack", "--rootless", "--image", f"{layout}:{tag}", str(bundle))
    root = os.fsencode(bundle / "rootfs")
    out = {}
    for where, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(where, name)
            info = os.lstat(path)
            shown = path[len(root):]
            if os.path.islink(path):
                out[shown] = ("symlink", os.readlink(path))
            elif os.path.isdir(path):
                out[shown] = ("directory", info.st_mode & 0o7777)
            else:
                out[shown] = ("file", info.st_mode & 0o7777)
    shutil.rmtree(bundle, ignore_errors=True)
    return out


def probe(reference, folder, *options, check=True, environment=None):
    done = harness.run([PROBE, reference, "--directory", str(folder), *options], environment, seconds=900)
    if check:
        assert done.code == 0, done
    return done


def indexed(reference, folder, *options):
    """The same of our index, and what the probe says."""
    lines = probe(reference, folder, "--walk", *options).raw.decode().splitlines()
    out = {}
    for line in lines[:-1]:
        entry = json.loads(line)
        path = base64.b64decode(entry["path"])
        link = base64.b64decode(entry["link"]) if "link" in entry else None
        out[path] = (entry["kind"], link if entry["kind"] == "symlink" else entry["mode"])
    return out, json.loads(lines[-1])


def differences(ours, theirs):
    names = sorted(set(ours) | set(theirs))
    return [(n, ours.get(n), theirs.get(n)) for n in names if ours.get(n) != theirs.get(n)][:20]
