"""The states of the services, as supervisord reports them. The programs that load this are started often."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple
from xml.parsers.expat import ExpatError
from xmlrpc.client import Fault, ProtocolError, ResponseError, ServerProxy, Transport

from pneumoctl.targets.common.unix_http import UnixConnection

ANSWER_S = 15.0  # less than the time limit of a probe, so that the probe can say what is wrong


class ServiceState(NamedTuple):  # not a dataclass: importing those takes longer than all the rest of this module
    """The state of one service."""

    name: str
    state: str  # RUNNING, STARTING, STOPPED, BACKOFF, FATAL, EXITED
    pid: int
    uptime: float  # seconds


class _UnixTransport(Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: object) -> HTTPConnection:
        """See Transport."""
        made = self._connection[1] or UnixConnection(self._path, ANSWER_S)
        self._connection = (None, made)  # closed with the transport
        return made


def socket(root: Path) -> Path:
    """The socket on which supervisord listens; only its owner can open it."""
    return root / "supervisor.sock"


@contextmanager
def connection(root: Path) -> Iterator[ServerProxy]:
    """A connection to supervisord. Its calls raise Fault if supervisord refuses, OSError if it does not answer."""
    try:
        with ServerProxy("http://127.0.0.1", transport=_UnixTransport(socket(root))) as proxy:
            yield proxy
    except (ProtocolError, ResponseError, ExpatError, HTTPException) as error:
        raise OSError("its answer is not valid") from error


def states(root: Path) -> dict[str, ServiceState] | None:
    """Name -> state of all services; None if supervisord does not run. Raises OSError if it does not answer."""
    try:
        with connection(root) as proxy:
            infos = proxy.supervisor.getAllProcessInfo()
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except Fault as fault:
        raise OSError(fault.faultString) from fault
    assert isinstance(infos, list)
    return {
        info["name"]: ServiceState(
            info["name"], info["statename"], info["pid"], float(info["now"] - info["start"]) if info["pid"] else 0.0
        )
        for info in infos
    }


def available_states(root: Path) -> dict[str, ServiceState] | None:
    """Like `states`; None also if supervisord does not answer."""
    with suppress(OSError):
        return states(root)
    return None
