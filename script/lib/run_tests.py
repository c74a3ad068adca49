"""Runs every test program and the end-to-end tests, and counts each test.

Unit and contract tests are GoogleTest programs in build/<preset>/bin; end-to-end
tests are pytest files in test/e2e. The contract runs a second time, on a real
Kubernetes (test/kubernetes), as `real/contract_test`; so do some end-to-end tests, as
`real/e2e`, with others that are for it alone. Each program has a time limit; a
program that dies counts as one failed test more. The last line is `N passed, N failed`.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM_SECONDS = 900
E2E_SECONDS = 3600

sys.path.insert(0, str(ROOT / "test" / "kubernetes"))
import build  # noqa: E402
import cluster  # noqa: E402


class Count:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        text = f"{self.passed} passed, {self.failed} failed"
        return text + (f", {self.skipped} skipped" if self.skipped else "")


def run_program(program, label, environment=None):
    """One GoogleTest program; its output is shown only where something failed."""
    count = Count()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="oddjob-test-") as folder:
        report = pathlib.Path(folder, "report.json")
        try:
            done = subprocess.run(
                [program, f"--gtest_output=json:{report}", "--gtest_brief=1"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                timeout=PROGRAM_SECONDS, cwd=ROOT, env=environment)
            code, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as late:
            code, output = f"no end after {PROGRAM_SECONDS} s", late.stdout or b""
        if report.exists():
            for suite in json.loads(report.read_text()).get("testsuites", []):
                for test in suite["testsuite"]:
                    if test.get("failures"):
                        count.failed += 1
                    elif test.get("result") == "SKIPPED":
                        count.skipped += 1
                    elif test.get("status") == "RUN":
                        count.passed += 1
        if code != 0 and count.failed == 0:
            count.failed += 1
    print(f"    {label}: {count} ({time.monotonic() - started:.1f} s)", flush=True)
    if count.failed:
        print(f"---- output of {label} (exit {code}) ----")
        print(output.decode(errors="replace")[-20000:])
        print("----", flush=True)
    return count


def run_real(preset):
    """What any API server must do, on a real one: ours, or the one that
    $ODDJOB_TEST_KUBECONFIG names. Also says whether there was one."""
    program = ROOT / "build" / preset / "bin" / "contract_test"
    print("==> a real Kubernetes", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="oddjob-k8s-", ignore_cleanup_errors=True) as folder:
            real = cluster.from_environment(folder)
            try:
                if real.breakable:
                    real.age()
                print(f"    {real.kubectl('version').out.splitlines()[-1]} at {real.server}", flush=True)
                return True, run_program(program, "real/contract_test",
                                         dict(os.environ, ODDJOB_TEST_KUBECONFIG=real.kubeconfig))
            finally:
                real.stop()
    except (build.BuildError, AssertionError, OSError, subprocess.SubprocessError) as error:
        print(f"    real/contract_test: no real Kubernetes to run on: {error}", flush=True)
        count = Count()
        count.failed = 1
        return False, count


def run_e2e(preset, only, without_real):
    files = sorted((ROOT / "test" / "e2e").glob("test_*.py"))
    files = [f for f in files if not only or only in f.name]
    count = Count()
    if not files:
        return count
    with tempfile.TemporaryDirectory(prefix="oddjob-e2e-") as folder:
        report = pathlib.Path(folder, "report.xml")
        environment = dict(os.environ, ODDJOB_BIN=str(ROOT / "build" / preset / "bin"))
        if without_real:
            environment["ODDJOB_TEST_WITHOUT_REAL"] = "1"
        try:
            code = subprocess.run(
                ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-v", "--tb=short",
                 f"--junitxml={report}", *map(str, files)],
                cwd=ROOT / "test" / "e2e", env=environment, stdin=subprocess.DEVNULL,
                timeout=E2E_SECONDS).returncode
        except subprocess.TimeoutExpired:
            print(f"the end-to-end tests had not ended after {E2E_SECONDS} s")
            code = -1
        if report.exists():
            dev, real = Count(), Count()
            for test in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
                on_real = any(p.get("value") == "real" for p in test.iter("property") if p.get("name") == "cluster")
                where = real if on_real else dev
                if test.find("failure") is not None or test.find("error") is not None:
                    where.failed += 1
                elif test.find("skipped") is not None:
                    where.skipped += 1
                else:
                    where.passed += 1
            print(f"    e2e: {dev}\n    real/e2e: {real}", flush=True)
            count.add(dev)
            count.add(real)
        if code != 0 and count.failed == 0:
            count.failed += 1
    return count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="dev")
    parser.add_argument("--sanitized", action="append", default=[])
    parser.add_argument("--only", default="")
    parser.add_argument("--quick", action="store_true", help="nothing that needs a real Kubernetes")
    options = parser.parse_args()
    total = Count()
    for preset in [options.preset, *options.sanitized]:
        programs = sorted((ROOT / "build" / preset / "bin").glob("*_test"))
        programs = [p for p in programs if not options.only or options.only in p.name]
        print(f"==> {len(programs)} test programs of build/{preset}", flush=True)
        for program in programs:
            # The dev cluster, even where another cluster is named.
            total.add(run_program(program, f"{preset}/{program.name}",
                                  {k: v for k, v in os.environ.items() if k != "ODDJOB_TEST_KUBECONFIG"}))
    without_real = options.quick
    if not options.quick and (ROOT / "build" / options.preset / "bin" / "contract_test").exists() and \
            options.only in "real/contract_test":
        there, count = run_real(options.preset)
        total.add(count)
        without_real = not there
    print("==> end-to-end tests", flush=True)
    total.add(run_e2e(options.preset, options.only, without_real))
    if without_real:
        print(f"left out: the tests on a real Kubernetes ({'--quick' if options.quick else 'there was none'})")
    if total.passed + total.failed == 0:
        print("no test was run")
        total.failed = 1
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
