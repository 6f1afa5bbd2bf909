"""Measure the overhead of a training host: `model.host_run` compared with `python -m model.train`.

`python -m tests.bench.bench_train [-n 2] [-- FLAGS OF model.train]`; drawn pictures, a bucket behind HTTP on this
machine, the stand-in for a GPU. The goal is at most 5 % more time, from the process's start to its end.
"""

import argparse
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from model import phantom
from model.training.devices import STAND_IN
from tests.model.test_host_run import KEYS, pushed

ROOT = Path(__file__).parents[2]
GOAL = 0.05
FLAGS = ("--height", "128", "--width", "128", "--batch", "16", "--epochs", "4", "--validation-share", "0.25")


def took(command: list[str], more: dict[str, str]) -> tuple[float, float]:
    """Wall and processor seconds of one whole process, which must succeed."""
    cpu, wall = _used(), time.perf_counter()
    subprocess.run(command, cwd=ROOT, env={**os.environ, **more}, check=True, capture_output=True)
    return time.perf_counter() - wall, _used() - cpu


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ordered(
    host_root: Path, endpoint: str, data: Path, flags: list[str], number: int
) -> tuple[list[str], dict[str, str]]:
    """The command and environment of a run with `model.host_run`."""
    import boto3

    s3, name = boto3.client("s3", endpoint_url=endpoint, **KEYS), f"bench-{number}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": KEYS["region_name"]})
    facts: dict[str, Any] = {"run": f"20261123-000000-{number:04x}", "bucket": name, "region": KEYS["region_name"]}
    rest = {"arguments": flags, "resume": False, "gpu": True, "stall_s": 600, "spot": False}
    host = host_root / f"host-{number}"
    host.mkdir()
    (host / "order.json").write_text(json.dumps({**facts, "data": pushed(s3, name, data), **rest}))
    keys = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab", "AWS_ENDPOINT_URL": endpoint, STAND_IN: "1"}
    where = {"STATE_DIRECTORY": f"{host}/runs:{host}/data", "RUNTIME_DIRECTORY": str(host)}
    return [sys.executable, "-m", "model.host_run", str(host / "order.json")], {**keys, **where}


def main() -> None:
    """Measure both in turn, after one warm-up run."""
    from moto.server import ThreadedMotoServer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=2, help="runs of each")
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("flags", nargs="*", default=list(FLAGS), help="flags of model.train")
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        phantom.tree(scratch / "drawings", patients=options.patients, seed=1, size=160)
        pairs = []
        for number in range(options.n):
            bare = [
                sys.executable,
                "-m",
                "model.train",
                str(scratch / "drawings"),
                "--out",
                str(scratch / f"bare-{number}"),
            ]
            direct = took([*bare, *options.flags], {})
            order = took(*ordered(scratch, endpoint, scratch / "drawings", options.flags, number))
            pairs.append((direct, order))
            print(
                f"bare {direct[0]:.1f} s ({direct[1]:.1f} s of processors)  "
                f"by order {order[0]:.1f} s ({order[1]:.1f} s)"
            )
    server.stop()
    for kind, at in (("wall", 0), ("processors", 1)):
        more = statistics.median(order[at] / direct[at] - 1 for direct, order in pairs)
        print(f"{kind}: {more:+.1%} by order; goal: at most {GOAL:+.0%}: {'met' if more <= GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
