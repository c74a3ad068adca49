#!/usr/bin/python3
"""How long the index of an image takes, beside what people would do otherwise, in one run on this machine.

    script/build && cmake --build build/release --target image_probe
    bench/images.py                  an image of about 1 GB; --megabytes 200 for a quick look
    bench/images.py --only complete  completions over 1,000,000 paths, and through the shell

The image is made of this machine's /usr, pushed to a docker-registry on loopback. Peers, if they are there:
`crane export | tar t`, `skopeo copy` and `tar t` of each layer, and inflating alone (`gzip -dc`, and zlib-free
igzip if it is installed). Taken in turn; medians.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
os.environ.setdefault("ODDJOB_BIN", str(ROOT / "build" / "release" / "bin"))
sys.path.insert(0, str(ROOT / "test" / "e2e"))
import registry as peers  # noqa: E402


def make_image(folder, megabytes, layers=5):
    """About so many MB of /usr, in several layers."""
    files, total = [], 0
    for where, folders, names in os.walk("/usr"):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(where, name)
            if os.path.isfile(path) and not os.path.islink(path):
                size = os.path.getsize(path)
                if size > 20 << 20 or total > megabytes << 20:
                    continue
                total += size
                files.append(path)
    tars = []
    for i in range(layers):
        tars.append(folder / f"{i}.tar")
        with tarfile.open(tars[-1], "w", format=tarfile.GNU_FORMAT) as tar:
            for path in files[i * len(files) // layers:(i + 1) * len(files) // layers]:
                tar.add(path, recursive=False)
    peers.image(folder / "layout", "1", tars)
    for t in tars:
        t.unlink()
    return total, len(files)


def shell(command, folder):
    began = time.perf_counter()
    done = subprocess.run(["bash", "-c", "set -o pipefail; " + command], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, cwd=folder, timeout=1800)
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.stderr.decode()[-2000:]}")
    return time.perf_counter() - began


def bench_index(folder, megabytes, runs):
    total, count = make_image(folder, megabytes)
    r = peers.Registry(folder / "registry")
    try:
        r.push(folder / "layout", "1", "bench/usr:1")
        name = f"{r.host}/bench/usr:1"
        r.push(folder / "layout", "1", "bench/usr:1")
        blobs = sorted((folder / "layout" / "blobs" / "sha256").iterdir(), key=lambda p: -p.stat().st_size)[:5]
        ways = {}
        ways["inflating alone (gzip -dc)"] = lambda: shell(" && ".join(f"gzip -dc {b}" for b in blobs), folder)
        if shutil.which("crane"):
            ways["crane export | tar t"] = lambda: shell(f"crane export --insecure {name} - | tar t", folder)
        ways["skopeo copy, tar t"] = lambda: shell(
            f"rm -rf copy && skopeo --insecure-policy copy --quiet --src-tls-verify=false docker://{name} dir:copy && "
            "for f in copy/*; do [ $(stat -c %s $f) -gt 100000 ] && tar tzf $f; done; true", folder)
        said = {}

        def ours():
            shutil.rmtree(folder / "index", ignore_errors=True)
            began = time.perf_counter()
            said.update(json.loads(peers.probe(name, folder / "index").raw.decode().splitlines()[-1]))
            return time.perf_counter() - began

        times = {way: [] for way in ways}
        own = []
        ours()  # the registry's files are in the page cache from now on
        for _ in range(runs):
            own.append(ours())
            for way, run in ways.items():
                times[way].append(run())
        print(f"\nIndex of an image: {total >> 20} MiB, {count} files, {said['compressedBytes'] >> 20} MiB compressed, 5 layers"
              f" ({runs} rounds, {os.cpu_count()} processors)")
        mine = statistics.median(own)
        print(f"  {'oddjob':<30} {mine:7.2f} s   cpu {said['cpuSeconds']:.2f} s, peak {said['peakKiB'] >> 10} MiB, "
              f"{said['indexBytes'] / said['paths']:.1f} bytes a path")
        for way, values in times.items():
            print(f"  {way:<30} {statistics.median(values):7.2f} s   ratio {mine / statistics.median(values):.2f}")
    finally:
        r.stop()


def bench_complete(folder):
    with tarfile.open(folder / "many.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for i in range(1_000_000):
            peers.Entry(f"srv/{i // 20000}/node_modules/pkg-{i // 100}/lib/file-{i}.js", content=b"").add(tar)
    peers.image(folder / "layout", "1", [folder / "many.tar"])
    home = folder / "layouts" / "registry.example.com" / "bench" / "many"
    home.parent.mkdir(parents=True)
    (folder / "layout").rename(home)
    lines = peers.probe("registry.example.com/bench/many:1", folder / "index", "--layouts", str(folder / "layouts"),
                        "--time-completions", "20000").raw.decode().splitlines()
    said = json.loads(lines[-1])
    c = said["completions"]
    print(f"\nCompletions over {said['paths']:,} paths ({c['count']} of them)")
    print(f"  in the server   p50 {c['p50us']:.0f} us   p99 {c['p99us']:.0f} us (goal: 1000)   max {c['maxus']:.0f} us")
    print(f"  index           {said['indexBytes'] / said['paths']:.2f} bytes a path (goal: 8), made in {said['seconds']:.1f} s, "
          f"peak {said['peakKiB'] >> 10} MiB")


def bench_shell(folder, runs):
    import test_completion
    dev = test_completion.Dev(folder)
    try:
        dev.oddjob("image", "files", "deploy/payments", seconds=120)
        words = ["__complete", "--shell", "bash", "--", "run", "deploy/payments", "--", "sh", "scripts/"]
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            done = dev.oddjob(*words)
            times.append((time.perf_counter() - began) * 1000)
            assert "scripts/backfill.sh" in done.out, done
        script = dev.oddjob("completion", "bash").out
        loop = folder / "loop.sh"
        loop.write_text(script + """
COMP_LINE='oddjob run deploy/payments -- sh scripts/'; COMP_WORDS=(oddjob run deploy/payments -- sh scripts/); COMP_CWORD=5
compopt() { :; }
for i in $(seq %d); do s=$EPOCHREALTIME; _oddjob; e=$EPOCHREALTIME; echo $(( ${e/./} - ${s/./} )); done
""" % runs)
        whole = sorted(int(x) / 1000 for x in subprocess.run(["bash", str(loop)], env=dev.environment(), timeout=600,
                                                             capture_output=True, check=True).stdout.split())
        times.sort()
        at = lambda values, q: values[int(q * (len(values) - 1))]
        print(f"\nA completion, from key to answer ({runs} times)")
        print(f"  oddjob __complete        p50 {at(times, .5):5.1f} ms   p99 {at(times, .99):5.1f} ms")
        print(f"  bash's whole function    p50 {at(whole, .5):5.1f} ms   p99 {at(whole, .99):5.1f} ms (goal: 30)")
    finally:
        dev.process.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=["index", "complete", "shell"])
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    for name, run in {"index": lambda f: bench_index(f, options.megabytes, options.runs), "complete": bench_complete,
                      "shell": lambda f: bench_shell(f, 100)}.items():
        if options.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="oddjob-bench-") as folder:
                run(pathlib.Path(folder))


if __name__ == "__main__":
    main()
