"""Run programs with the options in the rendered files of /etc/default."""

import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import urllib3

from pneumoctl.plan.render import render
from tests.templates.programs import program


def arguments(name: str, **values: object) -> list[str]:
    """The words of ARGS, as systemd takes them from the rendered file."""
    return shlex.split(environment(name, **values)["ARGS"])


def environment(name: str, **values: object) -> dict[str, str]:
    """All that the rendered file sets, as systemd reads it."""
    lines = [line for line in render(f"default/{name}", **values).splitlines() if not line.startswith("#")]
    return {key: shlex.split(value)[0] for key, _, value in (line.partition("=") for line in lines)}


@contextmanager
def running(
    name: str, words: list[str], ready: str, environment: Mapping[str, str] | None = None
) -> "Iterator[subprocess.Popen[bytes]]":
    """A program from when it answers at `ready` until it is no longer wanted."""
    with subprocess.Popen([program(name), *words], env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: urllib3.request("GET", ready, retries=False, timeout=60).status == 200, process)
            yield process
        finally:
            process.terminate()


def until(holds: Callable[[], bool], process: "subprocess.Popen[bytes] | None" = None) -> None:
    """Wait until a condition holds; network errors count as not yet."""
    deadline = time.monotonic() + 600
    while True:
        try:
            if holds():
                return
        except urllib3.exceptions.HTTPError:
            pass
        assert process is None or process.poll() is None, process.args
        assert time.monotonic() < deadline
        time.sleep(0.05)
