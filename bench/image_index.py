#!/usr/bin/python3
"""The figures of the image index, in one run on this machine.

    cmake --preset release && cmake --build build/release --target image_index_bench
    bench/image_index.py                     a layer of about 1 GB made for it, an index of 1,000,000 paths
    bench/image_index.py --layer FILE        a layer of one's own (tar, gzip or zstd)
    bench/image_index.py --tree FOLDER...    bytes a path of real folders, instead of this machine's /usr

Reading a layer and making its index is compared with inflating it alone, by the
same decompressor, in turns (A B A B ...); times are the processor's.
"""

import argparse
import io
import pathlib
import random
import statistics
import subprocess
import tarfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "bench"


def make_layer(path, megabytes, files):
    """A gzip layer: text, machine code and noise in files of every size."""
    rng = random.Random(1)
    text = (ROOT / "README.md").read_bytes() + b"".join(sorted(p.read_bytes() for p in (ROOT / "src").glob("*/*.cpp")))
    noise = rng.randbytes(4 << 20)
    mean = megabytes * (1 << 20) // files
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)

    class Sink:
        def write(self, data):
            out.write(packer.compress(data))

    with open(path, "wb") as out:
        with tarfile.open(fileobj=Sink(), mode="w|", format=tarfile.GNU_FORMAT) as tar:
            for i in range(files):
                info = tarfile.TarInfo(f"opt/app-{i % 97}/lib/module-{i % 1009}/part-{i}.bin")
                info.size = min(int(rng.expovariate(1 / mean)) + 1, 64 << 20)
                start = rng.randrange(len(text) // 2)
                piece = text[start:start + 40_000] + noise[rng.randrange(1 << 20):][:30_000]
                content = (piece * (info.size // len(piece) + 1))[:info.size]
                tar.addfile(info, io.BytesIO(content))
        out.write(packer.flush())


def run(program, *argv):
    done = subprocess.run([program, *map(str, argv)], capture_output=True, text=True, timeout=900,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise SystemExit(f"{program} failed: {done.stderr}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="release")
    parser.add_argument("--layer", type=pathlib.Path)
    parser.add_argument("--tree", action="append", nargs="+", metavar="FOLDER",
                        help="folders of one index; may be given several times")
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--files", type=int, default=30_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--paths", type=int, default=1_000_000)
    options = parser.parse_args()
    program = str(ROOT / "build" / options.preset / "bin" / "image_index_bench")
    WORK.mkdir(parents=True, exist_ok=True)

    layer = options.layer
    if layer is None:
        layer = WORK / f"layer-{options.megabytes}-{options.files}.tar.gz"
        if not layer.exists():
            make_layer(layer, options.megabytes, options.files)
    inflating, indexing = [], []
    for _ in range(options.runs):
        inflating.append(float(run(program, "inflate", layer).split()[0]))
        milliseconds, peak, paths, size = run(program, "index", layer).split()
        indexing.append(float(milliseconds))
    ratio = statistics.median(b / a for a, b in zip(inflating, indexing))
    print(f"{layer.name}: {layer.stat().st_size >> 20} MiB compressed, {paths} paths")
    print(f"  inflating alone             {statistics.median(inflating):8.0f} ms")
    print(f"  inflating and indexing      {statistics.median(indexing):8.0f} ms, {ratio:.2f} of it (goal: at most 1.5)")
    print(f"  peak memory                 {int(peak) / 1024:8.1f} MiB")
    print(f"  index                       {int(size) / int(paths):8.2f} bytes a path (goal: at most 8)")

    for folders in options.tree or [["/usr"]]:
        print(f"{' '.join(folders)}: " + run(program, "tree", *folders, WORK / "tree.index"), end="")
    index = WORK / f"paths-{options.paths}.index"
    print(run(program, "synthetic", options.paths, index), end="")
    print(run(program, "complete", index), end="")
    print("(goals: p99 of a completion at most 1000 us, at most 8 bytes a path)")


if __name__ == "__main__":
    main()
