#!/usr/bin/python3
"""How long the index of an image takes, beside what people would do otherwise, in one run on this machine.

    script/build && cmake --build build/release --target image_probe image_index_bench
    bench/images.py                  an image of about 1 GB; --megabytes 200 for a quick look
    bench/images.py --only complete  completions over 1,000,000 paths, and through the shell

The image is made of this machine's /usr, pushed to a docker-registry on loopback. Peers: `crane export | tar t`
(crane from $ODDJOB_CRANE, the PATH, or built by Go), `skopeo copy` and `tar t` of each layer, and inflating the
layers alone from disk, as many at once as we do. Taken in turn.
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

OWN, CRANE = "oddjob", "v0.22.1"


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


def crane():
    """The program, if this machine has it or can build it: a Go module, built once, as script/helm builds Helm."""
    found = os.environ.get("ODDJOB_CRANE") or shutil.which("crane")
    go = shutil.which("go") or "/usr/local/go/bin/go"
    if found or not os.path.exists(go):
        return found
    folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "oddjob" / "crane" / CRANE
    if not (folder / "crane").exists():
        print(f"building crane {CRANE}, once", file=sys.stderr)
        subprocess.run([go, "install", f"github.com/google/go-containerregistry/cmd/crane@{CRANE}"], check=True, cwd="/",
                       env=dict(os.environ, GOBIN=str(folder), GOTOOLCHAIN="local", GOWORK="off"), timeout=900)
    return str(folder / "crane")


class Cost:
    """What one command took: seconds on the clock, of the processors, MiB of its largest process."""

    def __init__(self, argv, folder):
        # GNU time is small itself; a child of this program would begin with this program's peak.
        with tempfile.NamedTemporaryFile("r") as said:
            done = subprocess.run(["/usr/bin/time", "-o", said.name, "-f", "%U %S %M", *argv], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder, timeout=1800)
            if done.returncode != 0:
                raise SystemExit(f"{argv[-1]}: {done.stderr.decode(errors='replace')[-2000:]}")
            user, system, kibibytes = said.read().split()
        self.cpu, self.mebibytes = float(user) + float(system), int(kibibytes) >> 10


def timed(run):
    began = time.perf_counter()
    cost = run()
    cost.wall = time.perf_counter() - began
    return cost


def shell(command, folder):
    return Cost(["bash", "-c", "set -o pipefail; " + command], folder)


def bench_index(folder, megabytes, runs):
    total, count = make_image(folder, megabytes)
    r = peers.Registry(folder / "registry")
    try:
        r.push(folder / "layout", "1", "bench/usr:1")
        name = f"{r.host}/bench/usr:1"
        manifest = json.loads(peers.call("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"))
        layers = [str(folder / "layout/blobs/sha256" / layer["digest"].removeprefix("sha256:")) for layer in manifest["layers"]]
        compressed = sum(layer["size"] for layer in manifest["layers"])
        inflate = pathlib.Path(peers.PROBE).with_name("image_index_bench")
        ways = {OWN: lambda: Cost([peers.PROBE, name, "--directory", str(folder / "index")], folder)}
        ways["inflating alone (igzip)"] = lambda: shell(f"printf '%s\n' {' '.join(layers)} | xargs -P 4 -n 1 {inflate} inflate", folder)
        ways["inflating alone (gzip)"] = lambda: shell(f"printf '%s\n' {' '.join(layers)} | xargs -P 4 -n 1 gzip -dc", folder)
        if program := crane():
            ways["crane export | tar t"] = lambda: shell(f"{program} export --insecure {name} - | tar t", folder)
        ways["skopeo copy, tar t"] = lambda: shell(
            f"rm -rf copy && skopeo --insecure-policy copy --quiet --src-tls-verify=false docker://{name} dir:copy && "
            f"cd copy && for f in {' '.join(os.path.basename(path) for path in layers)}; do tar tzf $f; done", folder)
        # All that is read is in memory after the first round, which does not count.
        costs = {way: [] for way in ways}
        for i in range(runs + 1):
            for way, run in ways.items():
                shutil.rmtree(folder / "index", ignore_errors=True)
                cost = timed(run)
                if i > 0:
                    costs[way].append(cost)
        shutil.rmtree(folder / "index", ignore_errors=True)
        said = json.loads(peers.probe(name, folder / "index").raw.decode().splitlines()[-1])
        print(f"\nIndex of an image: {total >> 20} MiB, {said['paths']} paths, {compressed >> 20} MiB in {len(layers)} gzip layers, "
              f"from a registry on this machine\n({runs} rounds, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; "
              "medians; ratios are those of one round)")
        for way, taken in costs.items():
            ratio = statistics.median(own.wall / other.wall for own, other in zip(costs[OWN], taken))
            share = statistics.median(own.cpu / other.cpu for own, other in zip(costs[OWN], taken))
            print(f"  {way:<26} {statistics.median(c.wall for c in taken):6.2f} s   cpu {statistics.median(c.cpu for c in taken):6.2f} s"
                  f"   oddjob is {ratio:.2f} of it (cpu {share:.2f})   peak {max(c.mebibytes for c in taken)} MiB")
        print(f"  goals: at most 0.4 of crane, 1.5 of inflating alone; {said['indexBytes'] / said['paths']:.1f} bytes a path")
    finally:
        r.stop()


def make_many(folder):
    """A layout of 1,000,000 files in packages."""
    with tarfile.open(folder / "many.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for i in range(1_000_000):
            peers.Entry(f"srv/{i // 20000}/node_modules/pkg-{i // 100}/lib/file-{i}.js", content=b"").add(tar)
    peers.image(folder / "layout", "1", [folder / "many.tar"])
    (folder / "many.tar").unlink()
    return folder / "layout"


def bench_complete(folder):
    home = folder / "layouts" / "registry.example.com" / "bench" / "many"
    home.parent.mkdir(parents=True)
    make_many(folder).rename(home)
    lines = peers.probe("registry.example.com/bench/many:1", folder / "index", "--layouts", str(folder / "layouts"),
                        "--time-completions", "20000").raw.decode().splitlines()
    said = json.loads(lines[-1])
    c = said["completions"]
    print(f"\nCompletions over {said['paths']:,} paths ({c['count']} of them)")
    print(f"  in the server   p50 {c['p50us']:.0f} us   p99 {c['p99us']:.0f} us (goal: 1000)   max {c['maxus']:.0f} us")
    print(f"  index           made in {said['seconds']:.1f} s, peak {said['peakKiB'] >> 10} MiB; names with numbers in them cost next "
          "to nothing, see bench/image_index.py")


def bench_shell(folder, runs):
    import test_completion
    import test_image_pull
    registry = peers.Registry(folder / "registry")
    registry.push(make_many(folder), "1", "bench/many:1")
    dev = test_completion.Dev(folder)
    try:
        test_image_pull.apply(dev, test_image_pull.deployment("many", f"{registry.host}/bench/many:1"))
        dev.oddjob("image", "files", "deploy/many", seconds=300)
        word = "/srv/7/node_modules/pkg-1402/l"
        words = ["__complete", "--shell", "bash", "--", "run", "deploy/many", "--", "node", word]
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            done = dev.oddjob(*words)
            times.append((time.perf_counter() - began) * 1000)
            assert "pkg-1402/lib/" in done.out, done
        script = dev.oddjob("completion", "bash").out
        loop = folder / "loop.sh"
        loop.write_text(script + """
COMP_LINE='oddjob run deploy/many -- node %s'; COMP_WORDS=(oddjob run deploy/many -- node %s); COMP_CWORD=5
compopt() { :; }
for i in $(seq %d); do s=$EPOCHREALTIME; _oddjob; e=$EPOCHREALTIME; echo $(( ${e/./} - ${s/./} )); [ ${#COMPREPLY[@]} = 1 ] || exit 1; done
""" % (word, word, runs))
        whole = sorted(int(x) / 1000 for x in subprocess.run(["bash", str(loop)], env=dev.environment(), timeout=600,
                                                             capture_output=True, check=True).stdout.split())
        times.sort()
        at = lambda values, q: values[int(q * (len(values) - 1))]
        print(f"\nA completion in an image of 1,000,000 files, from key to answer ({runs} times, load {os.getloadavg()[0]:.1f})")
        print(f"  oddjob __complete        p50 {at(times, .5):5.1f} ms   p99 {at(times, .99):5.1f} ms")
        print(f"  bash's whole function    p50 {at(whole, .5):5.1f} ms   p99 {at(whole, .99):5.1f} ms (goal: 30)")
    finally:
        dev.process.stop()
        registry.stop()


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
