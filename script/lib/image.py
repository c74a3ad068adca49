"""The container image of OddJob: a root file system of Debian's own files, as an OCI image layout.

script/image runs this. Everything that goes in is found from the programs themselves
(the dynamic loader's list of libraries), and each file is traced to its Debian package,
for the SBOM, for scanners (var/lib/dpkg/status.d) and for the packages' licences. So are
the archives that the programs were linked with, of which the linker left a list beside them.

Formats: OCI image layout and image specification 1.0; SPDX 2.3 (JSON).
"""

import argparse
import datetime
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("oddjobd", "oddjob")
USER = 65532  # `nonroot`, as other minimal images have it
CERTIFICATES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
MARKERS = ("<!-- image: made by script/image --document -->", "<!-- /image -->")


def output(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(argv)} failed: {done.stderr.strip()}")
    return done.stdout


def timestamp():
    """Of the commit, so that the same tree gives the same image."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given or output("git", "-C", str(ROOT), "log", "-1", "--format=%ct"))


def version_of(program):
    """("0.1.0", "a1b2c3d") of `oddjobd 0.1.0 (a1b2c3d)`."""
    said = output(str(program), "--version")
    found = re.search(r"(\d+\.\d+\.\d+\S*) \((\S+)\)", said)
    if not found:
        sys.exit(f"error: {program} --version said {said!r}, which has no version in it")
    return found.groups()


# ---- what goes in -------------------------------------------------------------------------------------------

def libraries(programs):
    """{path in the image: path on this machine} of the loader and all libraries."""
    found = {}
    for program in programs:
        for line in output("ldd", str(program)).splitlines():
            if "not found" in line:
                sys.exit(f"error: a library of {program.name} is missing here: {line.strip()}")
            path = re.search(r"(/\S+) \(0x", line)
            if path:
                name = path.group(1)
                # /lib and /lib64 are links to /usr/lib and /usr/lib64 in the image, as on Debian.
                found["/usr" + name if not name.startswith("/usr/") else name] = pathlib.Path(name).resolve()
    return found


def owners(paths):
    """{path: Debian package} of those that belong to one."""
    # dpkg's list may still say /lib for what is in /usr/lib.
    asked = {name: path for path in paths for name in (str(path), str(path).removeprefix("/usr"))}
    done = subprocess.run(["dpkg-query", "-S", *asked], capture_output=True, text=True, timeout=300)
    found = {}
    for line in done.stdout.splitlines():  # libc6:amd64, libc6:i386: /lib/...
        packages, _, name = line.partition(": ")
        if name in asked:
            found[asked[name]] = packages.split(",")[0]
    return found


def archives(program):
    """Archives of others that were linked into it, as the linker wrote them down (`oddjobd.d`, a rule of make)."""
    rule = program.with_name(program.name + ".d")
    if not rule.exists():
        sys.exit(f"error: {rule} is missing; the build writes it beside {program.name}, and without it nobody could say "
                 "what was linked into the program")
    words = rule.read_text().replace("\\\n", " ").split()
    # Ours are named from the build's folder on.
    return {pathlib.Path(w.removesuffix(":")).resolve() for w in words
            if w.startswith("/") and w.removesuffix(":").endswith(".a")}


FIELDS = ("Package", "Version", "source:Package", "source:Version", "Architecture", "Homepage", "Maintainer")


class Package:
    def __init__(self, fields, status):
        (self.name, self.version, self.source, self.source_version, self.architecture, self.homepage,
         self.maintainer) = fields
        self.status = status  # as dpkg keeps it: what scanners of images read

        self.licence = pathlib.Path("/usr/share/doc", self.name, "copyright")

    def purl(self):
        version = self.version.replace(":", "%3A").replace("+", "%2B")
        return f"pkg:deb/debian/{self.name}@{version}?arch={self.architecture}&distro=debian-12"


def built_from_source(archive):
    """The Debian source package of what script/lib/libraries.sh built."""
    said = archive.with_name("package")
    if not said.exists():
        sys.exit(f"error: {archive} belongs to no Debian package, so nobody could say what is in the image")
    fields = dict(line.split(": ", 1) for line in said.read_text().splitlines())
    name, version = fields["Package"], fields["Version"]
    homepage, maintainer = fields.get("Homepage", ""), fields.get("Maintainer", "NOASSERTION")
    architecture = output("dpkg", "--print-architecture").strip()
    status = (f"Package: {name}\nStatus: install ok installed\nMaintainer: {maintainer}\nArchitecture: {architecture}\n"
              f"Source: {name}\nVersion: {version}\nDescription: linked into OddJob's programs\n")
    package = Package((name, version, name, version, "source", homepage, maintainer), status)
    package.licence = archive.with_name("copyright")
    return package


def linked_in(programs):
    """{program's name: packages that are linked into it}, the C++ runtime among them."""
    found = {program.name: archives(program) for program in programs}
    owner = owners(set().union(*found.values()))
    debian = {p.name: p for p in packages_named({name.partition(":")[0] for name in owner.values()})}
    made = {}
    for archive in set().union(*found.values()):
        package = debian[owner[archive].partition(":")[0]] if archive in owner else built_from_source(archive)
        made[archive] = debian.setdefault(package.name, package)
    return {name: sorted({made[a].name: made[a] for a in paths}.values(), key=lambda p: p.name)
            for name, paths in found.items()}


def packages_named(names):
    names = sorted(names)
    shown = output("dpkg-query", "-W", "-f", "\t".join(f"${{{f}}}" for f in FIELDS) + "\n", *names).splitlines()
    stanzas = output("dpkg-query", "-s", *names).strip().split("\n\n")
    status = {re.match(r"Package: (\S+)", s).group(1): s + "\n" for s in stanzas}
    found = [line.split("\t") for line in shown]
    return [Package(fields, status[fields[0]]) for fields in sorted(found)]


class Tree:
    """Files of the image, by path, in memory: they are few."""

    def __init__(self):
        self.entries = {}

    def folder(self, path, mode=0o755, owner=0):
        self.entries[path.strip("/")] = (tarfile.DIRTYPE, mode, owner, b"")

    def file(self, path, data, mode=0o644):
        parent = pathlib.PurePosixPath(path).parent
        while str(parent) not in ("/", "."):
            self.entries.setdefault(str(parent).strip("/"), (tarfile.DIRTYPE, 0o755, 0, b""))
            parent = parent.parent
        self.entries[path.strip("/")] = (tarfile.REGTYPE, mode, 0, data if isinstance(data, bytes) else data.encode())

    def link(self, path, target):
        self.entries[path.strip("/")] = (tarfile.SYMTYPE, 0o777, 0, target.encode())

    def tar(self, when):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted(self.entries):
                kind, mode, owner, data = self.entries[path]
                info = tarfile.TarInfo(path + ("/" if kind == tarfile.DIRTYPE else ""))
                info.type, info.mode, info.uid, info.gid, info.mtime = kind, mode, owner, owner, when
                if kind == tarfile.SYMTYPE:
                    info.linkname = data.decode()
                    archive.addfile(info)
                else:
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
        return buffer.getvalue()


def stripped(program):
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder, program.name)
        output("strip", "-o", str(copy), str(program))
        return copy.read_bytes()


def assemble(bin_folder):
    """(tree, packages, linked, programs): the root file system and where it comes from."""
    tree = Tree()
    for name in ("bin", "sbin", "lib", "lib64"):
        tree.folder(f"usr/{name}")
        tree.link(name, f"usr/{name}")
    programs = {}
    for name in PROGRAMS:
        programs[name] = stripped(bin_folder / name)
        tree.file(f"usr/bin/{name}", programs[name], 0o755)
    needed = libraries([bin_folder / name for name in PROGRAMS])
    owner = owners(needed.values())
    for inside, outside in needed.items():
        if outside not in owner:
            sys.exit(f"error: {outside} belongs to no Debian package, so nobody could say what is in the image")
        tree.file(inside, outside.read_bytes(), 0o755)
    packages = packages_named({*owner.values(), "ca-certificates", "base-files"})
    tree.file(str(CERTIFICATES), CERTIFICATES.read_bytes())
    tree.file("usr/lib/os-release", pathlib.Path("/usr/lib/os-release").read_bytes())
    tree.link("etc/os-release", "../usr/lib/os-release")
    tree.file("etc/passwd", f"root:x:0:0:root:/:/usr/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/var/lib/oddjob:/usr/sbin/nologin\n")
    tree.file("etc/group", f"root:x:0:\nnonroot:x:{USER}:\n")
    tree.file("etc/nsswitch.conf", "hosts: files dns\n")
    tree.folder("tmp", 0o1777)
    for name in ("etc", "var", "var/lib", "run"):
        tree.folder(name)
    tree.folder("var/lib/oddjob", 0o700, USER)
    linked = linked_in([bin_folder / name for name in PROGRAMS])
    for package in [*packages, *(p for each in linked.values() for p in each)]:
        tree.file(f"var/lib/dpkg/status.d/{package.name}", package.status)
        if package.licence.exists():
            tree.file(f"usr/share/doc/{package.name}/copyright", package.licence.read_bytes())
    tree.file("usr/share/doc/oddjob/copyright", (ROOT / "LICENSE").read_bytes())
    return tree, packages, linked, programs


# ---- how it is written --------------------------------------------------------------------------------------

def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def iso(when):
    return datetime.datetime.fromtimestamp(when, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_layout(folder, tree, when, version, commit):
    """An OCI image layout with one image of one layer; returns its digest."""
    shutil.rmtree(folder, ignore_errors=True)
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(data, media_type):
        name = digest(data)
        (blobs / name.removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": media_type, "digest": name, "size": len(data)}

    raw = tree.tar(when)
    layer = blob(gzip.compress(raw, 6, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip")
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = blob(json.dumps({
        "created": iso(when), "architecture": architecture, "os": "linux",
        "config": {"User": f"{USER}:{USER}", "WorkingDir": "/var/lib/oddjob",
                   "Env": ["PATH=/usr/bin", f"SSL_CERT_FILE={CERTIFICATES}"],
                   "Entrypoint": ["/usr/bin/oddjobd"], "Cmd": ["serve"], "ExposedPorts": {"8443/tcp": {}},
                   "Labels": {"org.opencontainers.image.title": "oddjob", "org.opencontainers.image.version": version,
                              "org.opencontainers.image.revision": commit,
                              "org.opencontainers.image.licenses": "Apache-2.0"}},
        "rootfs": {"type": "layers", "diff_ids": [digest(raw)]},
        "history": [{"created": iso(when), "created_by": "script/image"}]}, sort_keys=True).encode(),
        "application/vnd.oci.image.config.v1+json")
    manifest = blob(json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
        "layers": [layer]}, sort_keys=True).encode(), "application/vnd.oci.image.manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": version,
                               "io.containerd.image.name": f"oddjob:{version}"}
    (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}, sort_keys=True))
    return manifest["digest"], layer["size"], len(raw)


def write_archive(path, folder, when):
    with tarfile.open(path, "w") as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            info = archive.gettarinfo(file, str(file.relative_to(folder)))
            info.mtime, info.uid, info.gid, info.uname, info.gname = when, 0, 0, "", ""
            info.mode = stat.S_IMODE(0o644)
            with file.open("rb") as data:
                archive.addfile(info, data)


def write_sbom(path, packages, linked, programs, version, image_digest, when):
    def spdx(name):
        return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)

    described = {"name": "oddjob", "SPDXID": "SPDXRef-oddjob", "versionInfo": version, "supplier": "NOASSERTION",
                 "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "Apache-2.0",
                 "licenseDeclared": "Apache-2.0", "copyrightText": "NOASSERTION", "primaryPackagePurpose": "CONTAINER",
                 "checksums": [{"algorithm": "SHA256", "checksumValue": image_digest.removeprefix("sha256:")}]}
    listed = [{"name": p.name, "SPDXID": spdx(f"deb-{p.name}"), "versionInfo": p.version,
               "supplier": f"Organization: {p.maintainer}", "sourceInfo": f"built from {p.source} {p.source_version}",
               "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "NOASSERTION",
               "licenseDeclared": "NOASSERTION", "copyrightText": f"see /usr/share/doc/{p.name}/copyright in the image",
               **({"homepage": p.homepage} if p.homepage else {}),
               "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                                 "referenceLocator": p.purl()}]}
              for p in [*packages, *{p.name: p for each in linked.values() for p in each}.values()]]
    ours = [{"name": name, "SPDXID": spdx(f"program-{name}"), "versionInfo": version, "supplier": "NOASSERTION",
             "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "Apache-2.0",
             "licenseDeclared": "Apache-2.0", "copyrightText": "NOASSERTION", "packageFileName": f"usr/bin/{name}",
             "primaryPackagePurpose": "APPLICATION",
             "checksums": [{"algorithm": "SHA256", "checksumValue": hashlib.sha256(data).hexdigest()}]}
            for name, data in programs.items()]
    related = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-oddjob"}]
    related += [{"spdxElementId": "SPDXRef-oddjob", "relationshipType": "CONTAINS", "relatedSpdxElement": x["SPDXID"]}
                for x in ours + listed]
    related += [{"spdxElementId": spdx(f"program-{name}"), "relationshipType": "STATIC_LINK",
                 "relatedSpdxElement": spdx(f"deb-{p.name}")} for name, each in linked.items() for p in each]
    document = {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
                "name": f"oddjob-{version}", "documentNamespace": f"https://oddjob.dev/spdx/oddjob-{version}-{image_digest[7:23]}",
                "creationInfo": {"created": iso(when), "creators": ["Tool: oddjob-script-image"]},
                "packages": [described, *ours, *listed], "relationships": related}
    path.write_text(json.dumps(document, indent=1) + "\n")


# ---- what is said of it -------------------------------------------------------------------------------------

def megabytes(size):
    return f"{size / 1e6:.1f} MB"


def start_times(root, times=9):
    """Seconds from the start of `oddjobd --version` in the image's own files to its end, sorted."""
    loader = next((root / "usr" / "lib64").glob("ld-linux*"))
    taken = []
    for _ in range(times):
        began = time.monotonic()
        subprocess.run([loader, "--library-path", root / "usr/lib/x86_64-linux-gnu", root / "usr/bin/oddjobd", "--version"],
                       check=True, capture_output=True, timeout=60)
        taken.append(time.monotonic() - began)
    return sorted(taken)


def renew(document, text):
    old = document.read_text()
    begin, end = old.index(MARKERS[0]), old.index(MARKERS[1])
    document.write_text(old[:begin + len(MARKERS[0])] + "\n" + text + old[end:])


def report(tree, packages, linked, programs, sizes):
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(tree.tar(0))) as archive:
            archive.extractall(folder, filter="tar") if hasattr(tarfile, "tar_filter") else archive.extractall(folder)
        taken = start_times(pathlib.Path(folder))
    compressed, raw = sizes
    rows = "".join(f"| {p.name} | {p.version} | its files |\n" for p in packages)
    inside = {p.name: p for each in linked.values() for p in each}
    for name, p in sorted(inside.items()):
        into = " and ".join(f"`{program}`" for program, each in linked.items() if p in each)
        rows += f"| {name} | {p.version} | linked into {into} |\n"
    return (f"Compressed {megabytes(compressed)}, unpacked {megabytes(raw)}: `oddjobd` {megabytes(len(programs['oddjobd']))}, "
            f"`oddjob` {megabytes(len(programs['oddjob']))}, the rest is {len(packages)} Debian packages; "
            f"{len(inside)} more are linked into the programs. "
            f"`oddjobd --version`, from start to end: {taken[0] * 1e3:.0f} / {taken[len(taken) // 2] * 1e3:.0f} / "
            f"{taken[-1] * 1e3:.0f} ms (minimum, median, maximum of {len(taken)}).\n\n"
            f"| package | version | what of it |\n|---|---|---|\n{rows}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--document", action="store_true")
    options = parser.parse_args()
    for name in PROGRAMS:
        if not (options.bin / name).exists():
            sys.exit(f"error: {options.bin / name} is missing; build it (script/build), or name another folder with --bin")
    options.out.mkdir(parents=True, exist_ok=True)
    when = timestamp()
    version, commit = version_of(options.bin / "oddjobd")
    tree, packages, linked, programs = assemble(options.bin)
    image_digest, compressed, raw = write_layout(options.out / "oci", tree, when, version, commit)
    write_archive(options.out / "oddjob.tar", options.out / "oci", when)
    write_sbom(options.out / "sbom.spdx.json", packages, linked, programs, version, image_digest, when)
    print(f"    oddjob:{version} {image_digest}")
    print(f"    {megabytes(compressed)} compressed, {megabytes(raw)} unpacked, {len(packages)} Debian packages")
    print(f"    {options.out}/oci, oddjob.tar, sbom.spdx.json")
    if options.document:
        renew(ROOT / "docs" / "install.md", report(tree, packages, linked, programs, (compressed, raw)))
        print("    docs/install.md has the new figures")


if __name__ == "__main__":
    main()
