"""Commands with a time limit."""

from __future__ import annotations

import os
import subprocess

from pneumoctl.ssh.on_host import TYPE_CHECKING

if TYPE_CHECKING:
    from pneumoctl.ssh.on_host import Document
    from pneumoctl.ssh.on_host.streams import Trees

ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
SHOWN = 20  # lines of a failed command's output that are returned


class Failed(Exception):
    """An action failed; `code` is its exit code."""

    def __init__(self, what: str, code: int, output: str) -> None:
        super().__init__(what)
        self.details = what, code, output


def run(request: Document, _: Trees) -> Document:
    """Run a command that changes nothing."""
    code, stdout, stderr = execute(request["argv"], request["timeout"])
    return {"code": code, "stdout": stdout, "stderr": stderr}


def execute(argv: list[str], timeout: float) -> tuple[int, str, str]:
    """(exit code, stdout, stderr); code 124 after a time-out, 127 if the program is missing."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, env=ENVIRONMENT, check=False
        )
    except subprocess.TimeoutExpired:
        return 124, "", f"{argv[0]}: did not end within {timeout:.0f} s"
    except OSError as error:
        return 127, "", f"{argv[0]}: {error.strerror}"
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def all_succeed(probes: list[Document]) -> bool:
    """Whether a step's probes all succeed; False for a step without probes."""
    return bool(probes) and all(execute(probe["argv"], probe["timeout"])[0] == 0 for probe in probes)


def run_or_fail(action: Document) -> str:
    """Run a command and return its stdout. Raises Failed if it exits with an error."""
    code, stdout, stderr = execute(action["argv"], action["timeout"])
    if code:
        last = "\n".join((stdout + stderr).strip().splitlines()[-SHOWN:])
        raise Failed(action["title"] or " ".join(action["argv"]), code, last)
    return stdout
