"""A short run of every fuzz target in test/fuzz, over its corpus and beyond.

The targets take clang and are built here, apart from everything else; a second
run finds them built. A finding is written to build/fuzz/findings.
"""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FUZZ = ROOT / "test" / "fuzz"
BUILD = ROOT / "build" / "fuzz"
SECONDS = int(os.environ.get("ODDJOB_FUZZ_SECONDS", "8"))
TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in FUZZ.glob("fuzz_*.cpp"))


@pytest.fixture(scope="session")
def programs():
    for argv in (["cmake", "--preset", "fuzz"], ["cmake", "--build", str(BUILD)]):
        done = subprocess.run(argv, cwd=FUZZ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=1800)
        assert done.returncode == 0, done.stdout.decode(errors="replace")[-8000:]
    return BUILD / "bin"


@pytest.mark.parametrize("target", TARGETS)
def test_target(programs, target, tmp_path):
    corpus = FUZZ / "corpus" / target
    assert any(corpus.iterdir()), f"{corpus} holds no example"
    findings = BUILD / "findings"
    findings.mkdir(exist_ok=True)
    # What is new goes to the first folder, so the tree stays as it is.
    done = subprocess.run(
        [str(programs / f"fuzz_{target}"), str(tmp_path), str(corpus), f"-max_total_time={SECONDS}", "-timeout=60",
         "-rss_limit_mb=2048", "-max_len=65536", f"-artifact_prefix={findings}/{target}-"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS + 300)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-8000:]
