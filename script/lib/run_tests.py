"""Runs every test program and the end-to-end tests, and counts each test.

Unit and contract tests are GoogleTest programs in build/<preset>/bin; end-to-end
tests are pytest files in test/e2e. The contract runs a second time, on a real
Kubernetes (test/kubernetes), as `real/contract_test`; so do some end-to-end tests, as
`real/e2e`, with others that are for it alone. What needs the real one mostly waits for
it, so that goes on beside everything else. Each program has a time limit; a program
that dies counts as one failed test more. The last line is `N passed, N failed`.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM_SECONDS = 900
E2E_SECONDS = 3600
NO_TESTS_SELECTED = 5  # pytest's exit code
E2E_RESULT = re.compile(r"::.* (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")

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


printing = threading.Lock()


def say(text):
    """Lines that stay together, whoever else is speaking."""
    with printing:
        print(text, flush=True)


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
    report = f"    {label}: {count} ({time.monotonic() - started:.1f} s)"
    if count.failed:
        report += f"\n---- output of {label} (exit {code}) ----\n{output.decode(errors='replace')[-20000:]}\n----"
    say(report)
    return count


def run_real_contract(preset):
    """What any API server must do, on a real one: ours, or the one that
    $ODDJOB_TEST_KUBECONFIG names. Also says whether there was one."""
    program = ROOT / "build" / preset / "bin" / "contract_test"
    try:
        with tempfile.TemporaryDirectory(prefix="oddjob-k8s-", ignore_cleanup_errors=True) as folder:
            real = cluster.from_environment(folder)
            try:
                if real.breakable:
                    real.age()
                say(f"    real: {real.kubectl('version').out.splitlines()[-1]} at {real.server}")
                return True, run_program(program, "real/contract_test",
                                         dict(os.environ, ODDJOB_TEST_KUBECONFIG=real.kubeconfig))
            finally:
                real.stop()
    except (build.BuildError, AssertionError, OSError, subprocess.SubprocessError) as error:
        say(f"    real/contract_test: no real Kubernetes to run on: {error}")
        count = Count()
        count.failed = 1
        return False, count


def run_e2e(preset, only, clusters):
    """The end-to-end tests on `clusters`, which is "dev" or "real". A line for each test as it ends;
    what else pytest has to say when all have, where one failed."""
    files = sorted((ROOT / "test" / "e2e").glob("test_*.py"))
    files = [f for f in files if not only or only in f.name]
    count, label = Count(), "e2e" if clusters == "dev" else f"{clusters}/e2e"
    if not files:
        return count
    started, rest = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="oddjob-e2e-") as folder:
        report = pathlib.Path(folder, "report.xml")
        environment = dict(os.environ, ODDJOB_TEST_CLUSTERS=clusters, ODDJOB_BIN=str(ROOT / "build" / preset / "bin"))
        with subprocess.Popen(
                ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-v", "--tb=short",
                 f"--junitxml={report}", *map(str, files)],
                cwd=ROOT / "test" / "e2e", env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace") as pytest:
            # An interrupt lets the clusters be taken down.
            limits = [threading.Timer(E2E_SECONDS, pytest.send_signal, [signal.SIGINT]),
                      threading.Timer(E2E_SECONDS + 120, pytest.kill)]
            for limit in limits:
                limit.start()
            for line in pytest.stdout:
                if E2E_RESULT.search(line):
                    say(f"    {clusters}: {line.strip()}")
                else:
                    rest.append(line)
            code = pytest.wait()
            for limit in limits:
                limit.cancel()
        if report.exists():
            for test in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
                if test.find("failure") is not None or test.find("error") is not None:
                    count.failed += 1
                elif test.find("skipped") is not None:
                    count.skipped += 1
                else:
                    count.passed += 1
        if code not in (0, NO_TESTS_SELECTED) and count.failed == 0:
            count.failed += 1
    seconds = time.monotonic() - started
    if seconds > E2E_SECONDS:
        rest.append(f"the end-to-end tests had not ended after {E2E_SECONDS} s\n")
    if count.failed:
        say(f"---- output of {label} (exit {code}) ----\n{''.join(rest)}----")
    say(f"    {label}: {count} ({seconds:.1f} s)")
    return count


def on_real(options, total):
    """All that needs a real Kubernetes. Says what of it was left out."""
    if options.quick:
        return "left out: the tests on a real Kubernetes (--quick)"
    if (ROOT / "build" / options.preset / "bin" / "contract_test").exists() and options.only in "real/contract_test":
        there, count = run_real_contract(options.preset)
        total.add(count)
        if not there:
            return "left out: the tests on a real Kubernetes (there was none)"
    total.add(run_e2e(options.preset, options.only, "real"))
    return ""


def on_this_machine(options, total):
    """Everything else."""
    # The dev cluster, even where another cluster is named.
    environment = {k: v for k, v in os.environ.items() if k != "ODDJOB_TEST_KUBECONFIG"}
    for preset in [options.preset, *options.sanitized]:
        programs = sorted((ROOT / "build" / preset / "bin").glob("*_test"))
        programs = [p for p in programs if not options.only or options.only in p.name]
        say(f"==> {len(programs)} test programs of build/{preset}")
        for program in programs:
            total.add(run_program(program, f"{preset}/{program.name}", environment))
    say("==> end-to-end tests")
    total.add(run_e2e(options.preset, options.only, "dev"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="dev")
    parser.add_argument("--sanitized", action="append", default=[])
    parser.add_argument("--only", default="")
    parser.add_argument("--quick", action="store_true", help="nothing that needs a real Kubernetes")
    options = parser.parse_args()
    total, real, ended = Count(), Count(), []
    if not options.quick:
        say("==> beside it, as \"real\": all that needs a real Kubernetes")
    # The real cluster's part has the main thread, where an interrupt arrives: it has a cluster to stop.
    beside = threading.Thread(target=lambda: ended.append(on_this_machine(options, total)), daemon=True)
    beside.start()
    left_out = on_real(options, real)
    beside.join()
    total.add(real)
    if not ended:  # by an error that the thread has printed
        total.failed += 1
    if left_out:
        say(left_out)
    if total.passed + total.failed == 0:
        say("no test was run")
        total.failed = 1
    say(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
