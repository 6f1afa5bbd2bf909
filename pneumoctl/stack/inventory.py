"""The hosts of a stack by role, and how each is reached."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# Where each service listens on aws; terraform's flows open these between the security groups, and nothing else.
PORTS = {
    "ssh": 22,
    "https": 443,
    "http": 80,
    "ui": 8080,
    "api": 5000,
    "redis": 6379,
    "node_exporter": 9100,
    "nginx_exporter": 9113,
    "redis_exporter": 9121,
}
SERVICES = {
    "nginx": ("https", "http", "nginx_exporter"),
    "monitoring": (),
    "web": ("ui",),
    "app": ("api",),
    "train": (),
}


@dataclass(frozen=True)
class Host:
    """One machine in one role; on the local target every host is this machine."""

    name: str
    role: str  # operator, app, web; on aws also nginx, monitoring, train
    address: str = "127.0.0.1"
    services: Mapping[str, int] | None = None  # service name -> port
    instance_id: str = ""  # the fields from here on are of aws
    public_address: str = ""
    user: str = ""
    type: str = ""


@dataclass(frozen=True)
class Inventory:
    """All hosts of a stack."""

    hosts: tuple[Host, ...]

    def only(self, role: str) -> Host:
        """The only host of a role; KeyError if there is none, ValueError if there are several."""
        found = [host for host in self.hosts if host.role == role]
        if not found:
            raise KeyError(role)
        (host,) = found
        return host

    @property
    def bastion(self) -> Host:
        """The host through which all others are reached; KeyError on the local target."""
        return self.only("nginx")

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


def from_outputs(hosts: Mapping[str, Mapping[str, Any]], bastion: str) -> Inventory:
    """The inventory of the aws target, from terraform's outputs `hosts` and `bastion`."""
    made = []
    for name, one in sorted(hosts.items()):
        role = one["role"]
        services = {service: PORTS[service] for service in (*SERVICES[role], "node_exporter")}
        if name == "app-0":
            services |= {"redis": PORTS["redis"], "redis_exporter": PORTS["redis_exporter"]}
        public = bastion if role == "nginx" else one["public_ip"] or ""
        user = "ubuntu" if role == "train" else "admin"
        made.append(Host(name, role, one["private_ip"], services, one["instance_id"], public, user, one["type"]))
    return Inventory(tuple(made))


def to_json(known: Inventory) -> list[dict[str, Any]]:
    """What `from_json` reads back."""
    return [asdict(host) for host in known.hosts]


def from_json(hosts: list[dict[str, Any]]) -> Inventory:
    """An inventory that was saved."""
    return Inventory(tuple(Host(**host) for host in hosts))
