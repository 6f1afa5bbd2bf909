"""Compare `pneumoctl predict FOLDER` with the fastest of four bare loops, and one job with two.

`python -m tests.bench.bench_folder [FOLDER] [-n 3] [--size 224]`; without a folder, drawings. A bare loop imports
onnxruntime and Pillow and computes the scores alone: one process of two threads or two processes of one, single
pictures or batches of 16. All take turns in each round, ratios are taken round by round, and processor time stands
beside wall time: on a busy machine only the processor time means something. One job runs its network on all cores, so
two jobs are compared with one on one core, too. Goals: .85 x the rate of the fastest bare loop; two jobs 1.7 x as fast
as one on one core.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.bench_startup import ROOT, environment

GOAL_RATE, GOAL_JOBS = 0.85, 1.7
BARE = """
import glob, json, sys
from multiprocessing import get_context
import numpy
from PIL import Image

def scores(bundle, files, threads, batch):
    import onnxruntime
    side = json.load(open(bundle + "/bundle.json"))["input"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(bundle + "/model.onnx", options, providers=["CPUExecutionProvider"])
    found = []
    for first in range(0, len(files), batch):
        pictures = [
            Image.open(file).convert("L").resize((side["width"], side["height"]), Image.Resampling.BILINEAR)
            for file in files[first : first + batch]
        ]
        pixels = numpy.stack([numpy.asarray(picture, dtype=numpy.float32) for picture in pictures])[:, :, :, None]
        found += session.run(["logit"], {"pixels": pixels})[0].tolist()
    return found

bundle, folder, processes, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
files = sorted(glob.glob(folder + "/*"))
parts = [(bundle, files[first::processes], 2 // processes, batch) for first in range(processes)]
if processes == 1:
    print(scores(*parts[0]))
else:
    with get_context("fork").Pool(processes) as pool:
        print(pool.starmap(scores, parts))
"""


def used(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall and processor seconds of a whole process and its children. Exit 6 is no failure: pictures were refused."""
    before, started = _processors(), time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if done.returncode not in (0, 6):
        raise SystemExit(f"exit {done.returncode}: {' '.join(command)}")
    return time.perf_counter() - started, _processors() - before


def _processors() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def main() -> None:
    """Measure all in turn and print seconds and ratios."""
    sys.path.insert(0, str(ROOT))
    from model import bundle, phantom

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="pictures (default: 1,000 drawings)")
    parser.add_argument("--size", type=int, default=224, help="side of the drawings in pixels")
    parser.add_argument("-n", type=int, default=3, help="rounds")
    parser.add_argument("--model", type=Path, default=bundle.pretrained(), help="model bundle")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "drawings"
        if options.folder is None:
            folder.mkdir()
            for number in range(1000):
                phantom.draw(number % 50, options.size, number % 2 == 0).save(folder / f"{number:04d}.jpeg", quality=90)
        here = environment(str(Path(scratch) / "bytecode"))
        predict = [sys.executable, "-m", "pneumoctl", "predict", str(folder), "--json", "--model", str(options.model)]
        core = str(min(os.sched_getaffinity(0)))
        commands = {"predict --jobs 1 on one core": ["taskset", "-c", core, *predict, "--jobs", "1"]}
        commands |= {f"predict --jobs {jobs}": [*predict, "--jobs", str(jobs)] for jobs in (1, 2)}
        for processes, batch in ((1, 1), (1, 16), (2, 1), (2, 16)):
            words = [str(options.model), str(folder), str(processes), str(batch)]
            commands[f"bare, {processes} process(es), batches of {batch}"] = [sys.executable, "-c", BARE, *words]
        rounds = [{name: used(command, here) for name, command in commands.items()} for _ in range(options.n + 1)][1:]
        print(f"{sum(1 for _ in folder.iterdir())} pictures, {options.n} rounds, {len(os.sched_getaffinity(0))} cores")
    report(rounds)


def report(rounds: list[dict[str, tuple[float, float]]]) -> None:
    """Print medians and the ratios of each goal, by wall time and by processor time."""
    for name in rounds[0]:
        wall, processors = (statistics.median(one[name][at] for one in rounds) for at in (0, 1))
        print(f"{name:34} {wall:6.2f} s wall  {processors:6.2f} s of processors")
    bare = [name for name in rounds[0] if name.startswith("bare")]
    for at, kind in enumerate(("wall", "processors")):
        rates = [min(one[name][at] for name in bare) / one["predict --jobs 2"][at] for one in rounds]
        print(f"{kind}: {statistics.median(rates):.2f} x the rate of the fastest bare loop (goal {GOAL_RATE})")
    for name, goal in (
        ("predict --jobs 1 on one core", f" (goal {GOAL_JOBS}, on an idle machine)"),
        ("predict --jobs 1", ""),
    ):
        jobs = statistics.median(one[name][0] / one["predict --jobs 2"][0] for one in rounds)
        print(f"wall: two jobs are {jobs:.2f} x as fast as {name}{goal}")


if __name__ == "__main__":
    main()
