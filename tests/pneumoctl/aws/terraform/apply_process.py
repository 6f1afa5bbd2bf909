"""A pneumoctl that applies, as a process that tests kill or interrupt."""

import time
from collections.abc import Callable

from pneumoctl.aws.terraform.process import Runs
from tests.pneumoctl.tiny_terraform import Tiny

# Applies what is prepared in the stack's directory; signals as pneumoctl's own main turns them into exceptions.
APPLY = """
import os, signal, sys
from pathlib import Path
from pneumoctl.aws.terraform.runner import Terraform
def end(number, frame): raise SystemExit(128 + number)
signal.signal(signal.SIGTERM, end); signal.signal(signal.SIGHUP, end)
terraform = Terraform(Path(sys.argv[1]), os.environ, Path(sys.argv[2]))
try:
    terraform.apply(terraform.plan(), lambda one: print(one.event, one.address or one.text, flush=True))
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""


def runs(tiny: Tiny) -> Runs:
    return Runs(tiny.terraform.directory / ".pneumoctl")


def output(tiny: Tiny) -> str:
    at = runs(tiny).output
    return at.read_text() if at.exists() else ""


def until(fact: Callable[[], object], timeout: float = 120) -> None:
    deadline = time.monotonic() + timeout
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)
