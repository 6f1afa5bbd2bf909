"""Compare `pneumoctl up` and `teardown` on aws with plain terraform on the same files and variables, in the lab.

`python -m tests.bench.bench_terraform [--rounds N]`; needs what the lab needs. The two take turns, so that whatever
else the machine does falls on both. `up` ends when the hosts have booted and their keys are pinned; the part of it that
plain terraform does too ends with the apply. The goal: at most 10 % more than plain terraform.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.machine.lab import Lab
from tests.lab.machine.requirements import missing

GOAL = 1.10
APPLIED = '"event": "done"'


@dataclass
class Times:
    """Seconds of each round."""

    up: list[float] = field(default_factory=list)
    provisioned: list[float] = field(default_factory=list)
    apply: list[float] = field(default_factory=list)
    teardown: list[float] = field(default_factory=list)
    destroy: list[float] = field(default_factory=list)


def timed(lab: Lab, argv: list[str], cwd: Path | None = None, meanwhile: Callable[[], None] = lambda: None) -> float:
    """Wall time of a command, which must succeed."""
    output_file = lab.paths.home / "said"
    started = time.perf_counter()
    with output_file.open("w") as output:
        child = lab.start(argv, stdout=output, stderr=subprocess.STDOUT, cwd=cwd or lab.paths.home)
        while child.poll() is None:
            meanwhile()
            time.sleep(0.01)
    if child.returncode:
        raise RuntimeError(f"{' '.join(argv)} ended with {child.returncode}:\n{output_file.read_text()}")
    return time.perf_counter() - started


def ours(lab: Lab, times: Times, copy: Path) -> None:
    """Up and down again with pneumoctl; `copy` gets the configuration and the variables."""
    stack_dir = lab.paths.home / ".local/state/pneumoctl/default"
    journal, started, seen = stack_dir / "journal.jsonl", time.perf_counter(), []

    def look() -> None:
        if not seen and journal.exists() and APPLIED in journal.read_text():
            seen.append(time.perf_counter() - started)

    times.up.append(timed(lab, ["pneumoctl", "up", "-y"], meanwhile=look))
    times.provisioned.append(seen[0])
    shutil.rmtree(copy, ignore_errors=True)
    hidden = shutil.ignore_patterns(".terraform", ".pneumoctl", "*.tfstate*", ".*.swp")
    shutil.copytree(stack_dir / "terraform", copy, ignore=hidden)
    times.teardown.append(timed(lab, ["pneumoctl", "teardown", "-y"]))


def plain(lab: Lab, times: Times, copy: Path) -> None:
    """The same with terraform alone."""
    init = timed(lab, ["terraform", "init", "-input=false"], copy)
    times.apply.append(init + timed(lab, ["terraform", "apply", "-input=false", "-auto-approve"], copy))
    times.destroy.append(timed(lab, ["terraform", "destroy", "-input=false", "-auto-approve"], copy))


def row(what: str, ours: list[float], theirs: list[float]) -> str:
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    ratio, mine, others = map(statistics.median, (ratios, ours, theirs))
    each = " ".join(f"{ratio:.2f}" for ratio in ratios)
    return f"{what:<42} {mine:6.1f} s  plain {others:6.1f} s  ratio {ratio:.2f}  (each {each})"


def main() -> int:
    """Measure in turn, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", default="bench", help="the lab's; it is taken down in the end")
    arguments = parser.parse_args()
    wanting = missing()
    if wanting:
        print("no lab on this machine:", *wanting, sep="\n  ", file=sys.stderr)
        return 1
    lab, times = Lab(arguments.name), Times()
    lab.down()
    try:
        lab.up()
        for number in range(arguments.rounds):
            ours(lab, times, lab.paths.home / "plain")
            plain(lab, times, lab.paths.home / "plain")
            last = {name: round(values[-1], 1) for name, values in vars(times).items()}
            print(f"round {number + 1}: {json.dumps(last)} load {os.getloadavg()[0]:.1f}", flush=True)
    finally:
        lab.down()
    rows = {
        "up -y until all is applied": (times.provisioned, times.apply),
        "up -y, hosts booted and pinned": (times.up, times.apply),
        "teardown -y, proof included": (times.teardown, times.destroy),
    }
    for what, (mine, theirs) in rows.items():
        print(row(what, mine, theirs))
    judged = (rows["up -y until all is applied"], rows["teardown -y, proof included"])
    worst = max(statistics.median(a / b for a, b in zip(*pair, strict=True)) for pair in judged)
    print(f"goal: ratio <= {GOAL:.2f}: {'met' if worst <= GOAL else 'MISSED'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
