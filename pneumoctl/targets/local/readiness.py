"""Whether a service on this machine is ready; wait until it is, or cannot become ready."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.targets.common import api_warnings
from pneumoctl.targets.common.ready import ready
from pneumoctl.targets.local import service_states
from pneumoctl.targets.local.service_states import ServiceState

MOST_LIVES = 2  # a service that was restarted this often will not become ready


def wait(
    url: str, root: Path | None = None, service: str = "", socket: Path | None = None, timeout: float = 90.0
) -> None:
    """Wait until `url` is ready. Raises PneumoError at the time limit, or at once if the service keeps ending.

    With `socket`, the requests go to that Unix socket.
    """
    deadline = time.monotonic() + timeout
    lives: set[int] = set()
    while True:
        good, document = ready(url, socket=socket)
        if good:
            return
        lives |= {_pid(root, service)} if root else set()
        why = _hopeless(document, lives)
        if not why and time.monotonic() > deadline:
            why = f"was not ready after {timeout:.0f} s"
        if why:
            raise PneumoError(f"{service or url} {why}: {_said(document)}", "pneumoctl logs", Exit.GATE_FAILED)
        time.sleep(0.2)


def _said(document: dict[str, Any]) -> str:
    """What the service says of itself; of a full store, what to do."""
    full = api_warnings.of_store(document)
    return f"{full}: {api_warnings.STORE_REMEDY}" if full else json.dumps(document)


def _hopeless(document: dict[str, Any], lives: set[int]) -> str:
    """Why the service cannot become ready; empty if it still can."""
    if len(lives - {0}) > MOST_LIVES:
        return "keeps ending"
    checks = document.get("checks", {})
    if any(check.get("lasting") for check in checks.values()):
        return "cannot become ready by itself"
    picture = checks.get("known_picture", {})
    return "" if picture.get("ok", True) else "does not score its known picture as it did at export"


def _pid(root: Path, service: str) -> int:
    state = _state(root, service)
    return state.pid if state else 0


def _state(root: Path, service: str) -> ServiceState | None:
    return (service_states.available_states(root) or {}).get(service)


def serves(root: Path, service: str, url: str, socket: Path | None) -> bool:
    """Whether the supervisor runs a service and the service is ready. One that runs can hang."""
    state = _state(root, service)
    return state is not None and state.state == "RUNNING" and ready(url, 10, socket)[0]


def main(argv: list[str]) -> int:
    """`python -m pneumoctl.targets.local.readiness serves|wait ROOT SERVICE URL [SOCKET]`."""
    verb, root, service, url, *sockets = argv
    socket = Path(sockets[0]) if sockets else None
    if verb == "serves":
        return Exit.DONE if serves(Path(root), service, url, socket) else Exit.FAILED
    try:
        wait(url, Path(root), service, socket)
    except PneumoError as error:
        sys.stderr.write(error.message + "\n")
        return error.code
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
