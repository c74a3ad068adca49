"""What script/lib/libraries.sh asks apt for, and what it says where there is no source. apt is one of our own."""

import os
import stat

import pytest

from harness import ROOT, run

SCRIPT = str(ROOT / "script" / "lib" / "libraries.sh")
SOURCES = """\
Types: deb
# a comment
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
types: deb deb-src
URIs: http://mirror.test/other
Suites: bookworm
Components: main
"""
LIST = """\
# deb http://mirror.test/commented bookworm main
deb [signed-by=/k.gpg arch=amd64] http://mirror.test/debian bookworm main contrib
 deb-src http://mirror.test/debian bookworm main
deb cdrom:[Debian 12]/ bookworm main
"""


@pytest.fixture
def machine(tmp_path):
    """A folder with apt's configuration, and programs that stand for apt's."""
    parts, programs = tmp_path / "etc" / "sources.list.d", tmp_path / "programs"
    parts.mkdir(parents=True), programs.mkdir()
    (tmp_path / "etc" / "sources.list").write_text(LIST)
    (parts / "debian.sources").write_text(SOURCES)
    (parts / "old.list").write_text("deb http://mirror.test/old bookworm main\n")
    (parts / "off.list.disabled").write_text("deb http://mirror.test/off bookworm main\n")

    def program(name, text):
        path = programs / name
        path.write_text("#!/bin/bash\n" + text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    program("apt-config", f"echo \"list='{tmp_path}/etc/sources.list'\"; echo \"parts='{parts}/'\"\n")
    # `apt-get -qq -c FILE update`: what it was given is kept for the test to look at.
    program("apt-get", f"cp -r \"$(dirname \"$3\")\" {tmp_path}/seen 2>/dev/null; . {tmp_path}/apt\n")
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def build(apt):
        (tmp_path / "apt").write_text(apt)
        return run([SCRIPT], environment, seconds=120)

    return tmp_path, build, environment


def test_the_machines_sources_are_asked_for_source_packages_and_stay_as_they_are(machine):
    folder, build, _ = machine
    build("exit 100\n")
    asked = {p.name: p.read_text() for p in (folder / "seen" / "sources.d").iterdir()}
    assert asked["sources.list"] == "deb-src [signed-by=/k.gpg arch=amd64] http://mirror.test/debian bookworm main contrib\n"
    assert asked["old.list"] == "deb-src http://mirror.test/old bookworm main\n"
    assert asked["debian.sources"] == SOURCES.replace("Types: deb\n", "Types: deb-src\n").replace(
        "types: deb deb-src\n", "Types: deb-src\n")
    assert "off.list.disabled" not in asked
    assert (folder / "etc" / "sources.list").read_text() == LIST
    assert (folder / "etc" / "sources.list.d" / "debian.sources").read_text() == SOURCES
    configuration = (folder / "seen" / "apt.conf").read_text()
    assert "Unauthenticated" not in configuration and "Insecure" not in configuration


@pytest.mark.parametrize("apt, reason", [
    ("echo 'E: Could not resolve mirror.test'; exit 100\n", "cannot be reached (E: Could not resolve mirror.test)"),
    ("[[ $* == *update* ]] && exit 0; echo 'E: Unable to find a source package'; exit 100\n",
     "no source of curl in this machine's package sources: E: Unable to find a source package"),
], ids=["no network", "no sources"])
def test_without_a_source_it_says_why_and_the_build_goes_on(machine, apt, reason):
    folder, build, environment = machine
    done = build(apt)
    assert done.code == 0 and reason in done.out, done
    assert "built with this machine's shared libraries" in done.out
    assert [p.name for p in (folder / "cache" / "oddjob" / "libraries").iterdir()] == [".lock"]
    for source in ("curl", "fmtlib", "libarchive", "spdlog", "prometheus-cpp"):
        where = run([SCRIPT, "--where", source], environment)
        assert (where.code, where.out) == (0, ""), where
