"""The states of the services, as supervisord reports them. The programs that load this are started often."""

from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from xmlrpc.client import Fault, ServerProxy, Transport

from pneumoctl.targets.common.unix_http import UnixConnection


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
        made = self._connection[1] or UnixConnection(self._path)
        self._connection = (None, made)  # closed with the transport
        return made


def socket(root: Path) -> Path:
    """The socket on which supervisord listens; only its owner can open it."""
    return root / "supervisor.sock"


def connection(root: Path) -> ServerProxy:
    """A connection to supervisord. Its calls raise OSError or Fault."""
    return ServerProxy("http://127.0.0.1", transport=_UnixTransport(socket(root)))


def states(root: Path) -> dict[str, ServiceState] | None:
    """Name -> state of all services; None if supervisord does not answer."""
    try:
        with connection(root) as proxy:
            infos = proxy.supervisor.getAllProcessInfo()
    except (OSError, Fault):
        return None
    assert isinstance(infos, list)
    return {
        info["name"]: ServiceState(
            info["name"], info["statename"], info["pid"], float(info["now"] - info["start"]) if info["pid"] else 0.0
        )
        for info in infos
    }
