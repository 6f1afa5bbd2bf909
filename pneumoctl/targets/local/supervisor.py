"""The service manager of the local target: supervisord's commands, and the probes of its services."""

import os
import re
import subprocess
import sys
from pathlib import Path

from pneumoctl.plan.steps import Probe, Service
from pneumoctl.plan.transport import inherited
from pneumoctl.targets.local import processes
from pneumoctl.targets.local.service_states import available_states

# AF_UNIX paths are limited to 108 bytes; supervisord appends a suffix while it binds.
LONGEST_SOCKET = 90
_CONTROL = (sys.executable, "-P", "-m", "pneumoctl.targets.local.service_control")
# supervisord's parser ends a value at a line break, and at whitespace before one of these two. They cannot be escaped.
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f]|\s[#;]")


def ctl(root: Path, *arguments: str) -> tuple[str, ...]:
    """A supervisorctl command."""
    return (sys.executable, "-P", "-m", "supervisor.supervisorctl", "-c", str(config(root)), *arguments)


def config(root: Path) -> Path:
    """The rendered configuration."""
    return root / "supervisor" / "supervisord.conf"


def unwritable(path: str) -> str:
    """Why a path cannot be written into supervisord's configuration; empty if it can."""
    if _UNWRITABLE.search(path):
        return f"the path {path!r} contains a line break or another control character, or a space before # or ;"
    try:
        path.encode()
    except UnicodeEncodeError:
        return f"the path {path!r} is not UTF-8"
    return ""


def argv(root: Path, action: Service) -> tuple[str, ...]:
    """The command for a service action."""
    return (*_CONTROL, action.verb, str(root), action.name)


def supervised(root: Path) -> Probe:
    """A probe that succeeds when supervisord answers."""
    return Probe((*_CONTROL, "supervised", str(root)), timeout=20)


def running(root: Path, service: str) -> Probe:
    """A probe that succeeds when the service runs."""
    return Probe((*_CONTROL, "running", str(root), service), timeout=20)


def stopped(root: Path, service: str) -> Probe:
    """A probe that succeeds when the service does not run, or supervisord itself does not run."""
    return Probe((*_CONTROL, "stopped", str(root), service), timeout=20)


def start(root: Path) -> int:
    """Reload the configuration of a running supervisord, or start it; returns the exit code.

    If supervisord was killed or does not answer, its children still run. They are ended before a new one starts.
    """
    if available_states(root) is not None:
        return subprocess.run(ctl(root, "update"), check=False).returncode
    processes.end(root)
    daemon = (sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(config(root)))
    environment = {**inherited(os.environ), processes.MARK: str(root)}
    return subprocess.run(daemon, cwd=root, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(start(Path(sys.argv[2])))  # python -m pneumoctl.targets.local.supervisor start ROOT
