"""The layer reader and the merge, against what other tools write and against the
file system: tars of GNU tar, bsdtar and Python are compared with the tree they
were made of; merged layers with a plain model of what unpacking does."""

import gzip
import io
import os
import pathlib
import random
import shutil
import stat
import subprocess
import tarfile

import pytest

TOOL = pathlib.Path(os.environ["ODDJOB_BIN"], "layer_tool")
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFCHR: "char",
         stat.S_IFBLK: "block", stat.S_IFIFO: "fifo"}


def run(*argv, **options):
    return subprocess.run([str(a) for a in argv], check=True, capture_output=True, stdin=subprocess.DEVNULL,
                          timeout=300, **options)


def shown(*argv):
    """{path: (kind, mode, uid, gid, size, link)} as layer_tool sees it."""
    out = {}
    for line in run(TOOL, *argv).stdout.decode().splitlines():
        kind, mode, uid, gid, size, path, link = line.split("\t")
        out[bytes.fromhex(path)] = (kind, int(mode, 8), int(uid), int(gid), int(size), bytes.fromhex(link))
    return out


def on_disk(root):
    out = {}
    root = os.fsencode(root)
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            s = os.lstat(path)
            kind = KINDS[stat.S_IFMT(s.st_mode)]
            link = os.readlink(path) if kind == "symlink" else b""
            size = s.st_size if kind == "file" else 0
            out[os.path.relpath(path, root)] = (kind, stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid, size, link)
    return out


def make_tree(root, long_names):
    """A bit of everything that a file system can hold."""
    root.mkdir()
    (root / "bin").mkdir(mode=0o755)
    (root / "bin/tool").write_bytes(b"#!/bin/sh\n")
    (root / "bin/tool").chmod(0o4755)
    os.link(root / "bin/tool", root / "bin/again")
    os.symlink("tool", root / "bin/link")
    os.symlink("/no/such", root / "dead")
    os.symlink("bin", root / "folder-link")
    os.mkfifo(root / "fifo")
    (root / "empty").mkdir(mode=0o700)
    (root / "a b'\"\\c").write_bytes(b"")
    (root / "deep/er/and/deeper").mkdir(parents=True)
    (root / "deep/er/and/deeper/file").write_bytes(b"x" * 1000)
    for i in range(200):
        (root / "deep" / f"file-{i:03}").write_bytes(b"y" * (i * 37))
    with open(root / "sparse", "wb") as f:
        for k in range(40):
            f.seek(k * 65536)
            f.write(b"data")
        f.truncate(5_000_000)
    if long_names:
        open(os.fsencode(root) + b"/not-utf8-\xff\xfe", "wb").close()
        open(os.fsencode(root) + b"/control-\x1b[31m\n", "wb").close()
        (root / "größe").write_bytes(b"1")
        (root / ("n" * 150)).write_bytes(b"12")
        far = root.joinpath(*["directory-with-a-long-name" + str(i) for i in range(12)])
        far.mkdir(parents=True)
        (far / ("m" * 200)).write_bytes(b"123")
        os.symlink("t" * 180, root / "long-link")
        os.link(far / ("m" * 200), root / "hard-link-to-a-long-name")


def python_tar(root, out, fmt):
    with tarfile.open(out, "w", format=fmt, encoding="utf-8", errors="surrogateescape") as t:
        t.add(root, arcname=".")


WRITERS = {
    "gnu": lambda root, out: run("tar", "--format=gnu", "-C", root, "-cf", out, "."),
    "gnu-sparse": lambda root, out: run("tar", "--format=gnu", "-S", "-C", root, "-cf", out, "."),
    "pax": lambda root, out: run("tar", "--format=posix", "-C", root, "-cf", out, "."),
    "pax-sparse-0.0": lambda root, out: run("tar", "--format=posix", "-S", "--sparse-version=0.0", "-C", root, "-cf", out, "."),
    "pax-sparse-0.1": lambda root, out: run("tar", "--format=posix", "-S", "--sparse-version=0.1", "-C", root, "-cf", out, "."),
    "pax-sparse-1.0": lambda root, out: run("tar", "--format=posix", "-S", "--sparse-version=1.0", "-C", root, "-cf", out, "."),
    "bsdtar-pax": lambda root, out: run("bsdtar", "--format=pax", "-C", root, "-cf", out, "."),
    "bsdtar-gnu": lambda root, out: run("bsdtar", "--format=gnutar", "-C", root, "-cf", out, "."),
    "python-gnu": lambda root, out: python_tar(root, out, tarfile.GNU_FORMAT),
    "python-pax": lambda root, out: python_tar(root, out, tarfile.PAX_FORMAT),
}
SHORT_WRITERS = {
    "ustar": lambda root, out: run("tar", "--format=ustar", "-C", root, "-cf", out, "."),
    "v7": lambda root, out: run("tar", "--format=v7", "--exclude=./fifo", "-C", root, "-cf", out, "."),
    "bsdtar-ustar": lambda root, out: run("bsdtar", "--format=ustar", "-C", root, "-cf", out, "."),
    "python-ustar": lambda root, out: python_tar(root, out, tarfile.USTAR_FORMAT),
}


@pytest.mark.parametrize("writer", [*WRITERS, *SHORT_WRITERS])
def test_a_tree_is_read_from_every_writer(tmp_path, writer):
    make_tree(tmp_path / "tree", long_names=writer in WRITERS)
    blob = tmp_path / "layer.tar"
    {**WRITERS, **SHORT_WRITERS}[writer](tmp_path / "tree", blob)
    expected = on_disk(tmp_path / "tree")
    if writer == "v7":
        del expected[b"fifo"]
    assert shown("merge", blob) == expected


@pytest.mark.parametrize("compress", [
    ["gzip", "-6"], ["gzip", "-1", "--rsyncable"], ["bsdtar", "-cf", "-", "--gzip", "@-"], ["zstd", "-1"],
    ["zstd", "-19", "--long=24", "-T2"],
], ids=" ".join)
def test_a_layer_is_read_however_it_is_compressed(tmp_path, compress):
    make_tree(tmp_path / "tree", long_names=True)
    run("tar", "-C", tmp_path / "tree", "-cf", tmp_path / "layer.tar", ".")
    with open(tmp_path / "layer.tar", "rb") as plain, open(tmp_path / "blob", "wb") as blob:
        subprocess.run([*compress] if compress[0] == "bsdtar" else [*compress, "-c"], stdin=plain, stdout=blob,
                       stderr=subprocess.DEVNULL, check=True, timeout=120)
    assert shown("merge", tmp_path / "blob") == on_disk(tmp_path / "tree")


def test_gzip_members_as_one_stream(tmp_path):
    make_tree(tmp_path / "tree", long_names=True)
    run("tar", "-C", tmp_path / "tree", "-cf", tmp_path / "layer.tar", ".")
    plain = (tmp_path / "layer.tar").read_bytes()
    step = 70_001
    (tmp_path / "blob").write_bytes(b"".join(gzip.compress(plain[i:i + step]) for i in range(0, len(plain), step)))
    assert shown("merge", tmp_path / "blob") == on_disk(tmp_path / "tree")


def test_a_real_tree_of_many_files(tmp_path):
    root = pathlib.Path("/usr/include")
    run("tar", "-C", root, "--zstd", "-cf", tmp_path / "blob", ".")
    expected = on_disk(root)
    assert len(expected) > 1000
    assert shown("merge", tmp_path / "blob") == expected


class Node:
    def __init__(self, kind, link="", size=0):
        self.kind, self.link, self.size = kind, link, size
        self.children = {}
        self.layer = 0


class Model:
    """Unpacks layers into a tree in memory, as plainly as can be."""

    def __init__(self):
        self.root = Node("dir")
        self.layer = 0

    def resolve(self, path):
        """The real names from the root that `path` stands for, links followed; some may not exist."""
        rest, real, hops = path.split("/") if path else [], [], 0
        while rest:
            name = rest.pop(0)
            if name in ("", "."):
                continue
            if name == "..":
                real = real[:-1]
                continue
            node = self.get([*real, name])
            if node is not None and node.kind == "symlink":
                hops += 1
                if hops > 255:
                    raise RecursionError(path)
                if node.link.startswith("/"):
                    real = []
                rest = node.link.split("/") + rest
            else:
                real.append(name)
        return real

    def get(self, names):
        node = self.root
        for name in names:
            if node.kind != "dir" or name not in node.children:
                return None
            node = node.children[name]
        return node

    def directory(self, names):
        node = self.root
        node.layer = self.layer
        for name in names:
            if name not in node.children or node.children[name].kind != "dir":
                node.children[name] = Node("dir")
            node = node.children[name]
            node.layer = self.layer
        return node

    def hide(self, holder, name):
        node = holder.children.get(name)
        if node is None:
            return
        if node.layer != self.layer:
            del holder.children[name]
            return
        for child in list(node.children):
            self.hide(node, child)

    def apply(self, members):
        self.layer += 1
        for name, kind, link, size in members:
            above, _, last = name.rpartition("/")
            names = self.resolve(above)
            if last == ".wh..wh..opq":
                holder = self.get(names)
                for child in list(holder.children) if holder else []:
                    self.hide(holder, child)
            elif last.startswith(".wh."):
                holder = self.get(names)
                if holder is not None:
                    self.hide(holder, last[4:])
            else:
                if kind == "hardlink":
                    target_above, _, target_last = link.rpartition("/")
                    target = self.get([*self.resolve(target_above), target_last])
                    if target is None or target.kind == "dir":
                        continue
                    fresh = Node(target.kind, target.link, target.size)
                else:
                    fresh = Node(kind, link, size)
                holder = self.directory(names)
                old = holder.children.get(last)
                if old is not None and old.kind == "dir" and kind == "dir":
                    old.layer = self.layer
                    continue
                fresh.layer = self.layer
                holder.children[last] = fresh

    def paths(self, node=None, above=""):
        for name, child in (node or self.root).children.items():
            yield above + name, (child.kind, child.size if child.kind == "file" else 0, child.link)
            yield from self.paths(child, above + name + "/") if child.children else ()


TYPES = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE}


def write_layer(path, members):
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as t:
        for name, kind, link, size in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = TYPES[kind], link, size
            t.addfile(info, io.BytesIO(b"z" * size))


def random_layer(rng):
    def path():
        return "/".join(rng.choice("abcd") for _ in range(rng.randint(1, 4)))
    members = []
    for _ in range(rng.randint(1, 25)):
        what = rng.random()
        if what < 0.40:
            members.append((path(), "file", "", rng.randint(0, 9)))
        elif what < 0.55:
            members.append((path(), "dir", "", 0))
        elif what < 0.68:
            target = rng.choice(["", "/", "../", "../../", "./"]) + path()
            members.append((path(), "symlink", target, 0))
        elif what < 0.78:
            members.append((path(), "hardlink", path(), 0))
        elif what < 0.92:
            above, _, last = path().rpartition("/")
            members.append(((above + "/" if above else "") + ".wh." + last, "file", "", 0))
        else:
            members.append((path() + "/.wh..wh..opq", "file", "", 0))
    return members


@pytest.mark.parametrize("seed", range(20))
def test_merged_layers_are_what_unpacking_leaves(tmp_path, seed):
    rng = random.Random(seed)
    compared = refused = 0
    for round_ in range(10):
        layers = [random_layer(rng) for _ in range(rng.randint(1, 4))]
        files = []
        for i, members in enumerate(layers):
            files.append(tmp_path / f"{round_}-{i}.tar")
            write_layer(files[-1], members)
        model = Model()
        try:
            for members in layers:
                model.apply(members)
        except RecursionError:
            done = subprocess.run([TOOL, "merge", *files], capture_output=True, timeout=60)
            assert done.returncode == 1 and b"image.link_cycle" in done.stderr, layers
            refused += 1
            continue
        got = {path.decode(): (e[0], e[4], e[5].decode()) for path, e in shown("merge", *files).items()}
        assert got == dict(model.paths()), layers
        compared += 1
    assert compared > 0 and compared + refused == 10


def test_what_is_refused_is_named(tmp_path):
    write_layer(tmp_path / "bad.tar", [("a/../../etc/passwd", "file", "", 0)])
    done = subprocess.run([TOOL, "layer", tmp_path / "bad.tar"], capture_output=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("layer.unsafe_path: ")


def test_tools_are_there():
    for name in ("bsdtar", "tar", "zstd"):
        assert shutil.which(name), f"{name} is missing: script/bootstrap installs it"
