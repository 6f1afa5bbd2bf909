"""Measure how long `pneumoctl --help` takes as a whole process: the median is to stay below 150 ms.

`python -m tests.bench.bench_startup [-n 40]`; runs what is installed beside this Python, or the checkout.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
GOAL_MS = 150


def environment(folder: str) -> dict[str, str]:
    """This environment with compiled bytecode kept in `folder`, as every installed package has its own."""
    rest = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**rest, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": folder}


def seconds(command: list[str], environment: dict[str, str]) -> float:
    """Wall time of one whole process, which must succeed."""
    started = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Warm up, measure in turn with an empty Python for comparison, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=40, help="runs of each")
    count = parser.parse_args().n
    script = Path(sys.executable).parent / "pneumoctl"
    help_command = [str(script), "--help"] if script.exists() else [sys.executable, "-m", "pneumoctl", "--help"]
    empty = [sys.executable, "-c", "pass"]
    with tempfile.TemporaryDirectory() as folder:
        here = environment(folder)
        for command in (help_command, empty) * 2:
            seconds(command, here)
        pairs = [(seconds(help_command, here), seconds(empty, here)) for _ in range(count)]
    shown, bare = (statistics.median(times) * 1000 for times in zip(*pairs, strict=True))
    quickest, slowest = (limit(pair[0] for pair in pairs) * 1000 for limit in (min, max))
    print(f"pneumoctl --help   n={count}  median {shown:.0f} ms  (min {quickest:.0f}, max {slowest:.0f})")
    print(f"python -c pass     n={count}  median {bare:.0f} ms")
    print(f"goal: median < {GOAL_MS} ms: {'met' if shown < GOAL_MS else 'MISSED'}")


if __name__ == "__main__":
    main()
