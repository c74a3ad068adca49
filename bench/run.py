#!/usr/bin/python3
"""The figures OddJob promises, each beside its peer, in one run on this machine.

    script/build && bench/run.py            all of them
    bench/run.py --only create              one of: startup, create, memory

Whole-process wall times, taken in turn (A B A B ...), after warm-up; medians
and the ratio pair by pair. Memory is VmRSS of /proc/PID/status.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
os.environ.setdefault("ODDJOB_BIN", str(ROOT / "build" / "release" / "bin"))
sys.path.insert(0, str(ROOT / "test" / "e2e"))
import harness  # noqa: E402


def wall(argv, environment=None):
    started = time.perf_counter()
    done = subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=60)
    if done.returncode != 0:
        raise SystemExit(f"{argv[0]} failed: {done.stderr.decode()}")
    return (time.perf_counter() - started) * 1000


def spread(values):
    return f"{min(values):8.1f} {statistics.median(values):8.1f} {max(values):8.1f}"


def pairs(title, a_name, a, b_name, b, runs, goal):
    for warm in range(2):
        a(-1 - warm), b(-1 - warm)
    a_times, b_times = [], []
    for i in range(runs):
        a_times.append(a(i))
        b_times.append(b(i))
    ratios = [x / y for x, y in zip(a_times, b_times)]
    print(f"\n{title} ({runs} pairs)           min   median      max")
    print(f"  {a_name:<34} ms {spread(a_times)}")
    print(f"  {b_name:<34} ms {spread(b_times)}")
    print(f"  ratio, median {statistics.median(ratios):.3f} (goal: at most {goal})")


def rss(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"no VmRSS of {pid}")


def settled_rss(pid):
    """The figure once it has not moved by 1 % for two seconds (30 s at most)."""
    last = rss(pid)
    for _ in range(15):
        time.sleep(2)
        now = rss(pid)
        if abs(now - last) < 0.01 * last:
            break
        last = now
    return rss(pid)


def bench_startup(runs):
    times = [wall([harness.ODDJOB, "--version"]) for _ in range(runs + 2)][2:]
    print(f"\noddjob --version                                min   median      max")
    print(f"  {'wall':<34} ms {spread(times)}   (goal: 10 ms)")


def bench_create(folder, runs):
    cluster = harness.DevCluster(folder)
    cluster.apply(harness.workload("payments", harness.OPEN))
    server = harness.Server(folder, cluster.kubeconfig).start()
    environment = dict(os.environ, ODDJOB_SERVER=server.url, ODDJOB_TOKEN=harness.token_of("ann"), ODDJOB_CONFIG="/nonexistent")
    kubectl = dict(os.environ, KUBECONFIG=cluster.kubeconfig)
    stamp = time.time_ns()
    try:
        pairs("one detached run against one bare Job, the same API server",
              "oddjob run --detach", lambda i: wall(
                  [harness.ODDJOB, "run", "deploy/payments", "--detach", "--quiet", "--", "true"], environment),
              "kubectl create job", lambda i: wall(
                  ["kubectl", "create", "job", f"bench-{stamp}-{i + 10}", "--image=example.org/x:1", "--", "true"], kubectl),
              runs, 0.15)
    finally:
        server.stop()
        cluster.stop()


def deployments(first, count):
    items = [harness.workload(f"w-{i}", harness.OPEN if i % 20 == 0 else None, replicas=0)
             for i in range(first, first + count)]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def bench_memory(folder, count):
    cluster = harness.DevCluster(folder)
    try:
        server = harness.Server(folder, cluster.kubeconfig, "idle").start()
        server.oddjob("ann", "whoami")
        idle = settled_rss(server.process.child.pid)
        server.stop()
        for first in range(0, count, 1000):
            done = cluster.kubectl("create", "-f", "-", stdin=deployments(first, min(1000, count - first)), seconds=600)
            if done.code != 0:
                raise SystemExit(done.err[-2000:])
        server = harness.Server(folder, cluster.kubeconfig, "many").start()
        harness.eventually(lambda: server.api(None).get("/readyz")[0] == 200, "the server has all in view", 120)
        many = settled_rss(server.process.child.pid)
        server.stop()
    finally:
        cluster.stop()
    print("\nresident memory of oddjobd                      MB")
    print(f"  {'idle':<34} {idle:10.1f}   (goal: 25)")
    print(f"  {f'{count} Deployments, 5 % opted in':<34} {many:10.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["startup", "create", "memory"])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--deployments", type=int, default=10000)
    options = parser.parse_args()
    wanted = lambda name: options.only in (None, name)
    if wanted("startup"):
        bench_startup(options.runs)
    for name, bench in (("create", lambda f: bench_create(f, options.runs)),
                        ("memory", lambda f: bench_memory(f, options.deployments))):
        if wanted(name):
            with tempfile.TemporaryDirectory(prefix="oddjob-bench-") as folder:
                bench(pathlib.Path(folder))


if __name__ == "__main__":
    main()
