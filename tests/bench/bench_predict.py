"""Compare a cold `pneumoctl predict X.png` with a minimal script that computes the same score.

`python -m tests.bench.bench_predict [-n 20] [--model DIR]`. The bare script imports onnxruntime and Pillow, loads the
same network and runs it once. The two take turns, so that whatever else the machine does falls on both; the ratio
is taken pair by pair. Goals: median <= 1.0 s, ratio <= 1.3.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from tests.bench.bench_startup import ROOT, environment, seconds

GOAL_S, GOAL_RATIO = 1.0, 1.3

BARE = """
import json, sys
import numpy, onnxruntime
from PIL import Image
side = json.load(open(sys.argv[1] + "/bundle.json"))["input"]
session = onnxruntime.InferenceSession(sys.argv[1] + "/model.onnx", providers=["CPUExecutionProvider"])
picture = Image.open(sys.argv[2]).convert("L").resize((side["width"], side["height"]), Image.Resampling.BILINEAR)
pixels = numpy.asarray(picture, dtype=numpy.float32)[None, :, :, None]
print(session.run(["logit"], {"pixels": pixels})[0])
"""


def main() -> None:
    """Draw a picture, warm the disk cache, measure in turn, print medians and ratio."""
    sys.path.insert(0, str(ROOT))
    from model import bundle, phantom

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=20, help="pairs of runs")
    parser.add_argument("--model", type=Path, default=bundle.pretrained(), help="model bundle")
    parser.add_argument("--size", type=int, default=1024, help="side of the picture in pixels")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "X.png"
        picture.write_bytes(phantom.png(7, options.size, opacity=True))
        ours = [sys.executable, "-m", "pneumoctl", "predict", str(picture), "--model", str(options.model)]
        bare = [sys.executable, "-c", BARE, str(options.model), str(picture)]
        here = environment(folder)
        for command in (ours, bare) * 2:
            seconds(command, here)
        pairs = [(seconds(ours, here), seconds(bare, here)) for _ in range(options.n)]
    report(pairs)


def report(pairs: list[tuple[float, float]]) -> None:
    """Print n, medians and the pairwise ratio."""
    ours, bare = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratios = sorted(first / second for first, second in pairs)
    ratio = statistics.median(ratios)
    print(f"pneumoctl predict X.png  n={len(pairs)}  median {ours:.3f} s")
    print(f"bare onnxruntime script  n={len(pairs)}  median {bare:.3f} s")
    print(f"ratio, pair by pair      median {ratio:.2f}  (from {ratios[0]:.2f} to {ratios[-1]:.2f})")
    met = ours <= GOAL_S and ratio <= GOAL_RATIO
    print(f"goals: <= {GOAL_S} s and <= {GOAL_RATIO} x: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()
