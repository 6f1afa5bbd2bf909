"""The hosts of a stack by role, and how each is reached."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """One machine in one role; on the local target every host is this machine."""

    name: str
    role: str  # operator, app, web; on aws also nginx, monitoring, train
    address: str = "127.0.0.1"
    services: Mapping[str, int] | None = None  # service name -> port


@dataclass(frozen=True)
class Inventory:
    """All hosts of a stack."""

    hosts: tuple[Host, ...]

    def one(self, role: str) -> Host:
        """The only host of a role; KeyError if there is none, ValueError if there are several."""
        found = [host for host in self.hosts if host.role == role]
        if not found:
            raise KeyError(role)
        (host,) = found
        return host

    def port(self, service: str) -> int:
        """The port of a service, wherever it runs."""
        return next(h.services[service] for h in self.hosts if h.services and service in h.services)

    def ports(self) -> dict[str, int]:
        """Service name -> port, of all hosts."""
        return {name: port for host in self.hosts for name, port in (host.services or {}).items()}

    def url(self, service: str) -> str:
        """The address of an HTTP service, without a trailing slash."""
        host = next(h for h in self.hosts if h.services and service in h.services)
        return f"http://{host.address}:{self.port(service)}"


def local(ports: Mapping[str, int]) -> Inventory:
    """The inventory of the local target: the same roles as on aws, all on the loopback."""
    return Inventory(
        (
            Host("operator", "operator"),
            Host("app", "app", services={"redis": ports["redis"], "api": ports["api"]}),
            Host("web", "web", services={"ui": ports["ui"]}),
        )
    )
