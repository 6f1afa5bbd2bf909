"""The hosts of a stack, their roles, addresses and services."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pneumoctl.stack import documents

# The ports on aws; the `flows` in terraform/security.tf open these between the security groups, and no others.
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

STORE = "app-0"  # aws: the host of Redis


@dataclass(frozen=True)
class Host:
    """One machine in one role; on the local target every host is this machine."""

    name: str
    role: str  # operator, app, web; on aws also nginx, monitoring, train
    address: str = "127.0.0.1"
    services: Mapping[str, int] | None = None  # service name -> port
    instance_id: str = ""  # aws only, like the fields below
    public_address: str = ""
    user: str = ""
    type: str = ""


@dataclass(frozen=True)
class Inventory:
    """All hosts of a stack."""

    hosts: tuple[Host, ...]

    def only(self, role: str) -> Host:
        """The only host of a role. Raises KeyError if there is none, ValueError if there are several."""
        hosts = [host for host in self.hosts if host.role == role]
        if not hosts:
            raise KeyError(role)
        (host,) = hosts
        return host

    @property
    def bastion(self) -> Host:
        """The host through which all others are reached. Raises KeyError on the local target."""
        return self.only("nginx")

    @property
    def store(self) -> Host:
        """The host of Redis, where every result is stored. Raises StopIteration if there is none."""
        return next(host for host in self.hosts if "redis" in (host.services or {}))

    def port(self, service: str) -> int:
        """The port of a service, on whichever host it runs."""
        return next(h.services[service] for h in self.hosts if h.services and service in h.services)

    def ports(self) -> dict[str, int]:
        """Service name -> port, over all hosts."""
        return {name: port for host in self.hosts for name, port in (host.services or {}).items()}

    def url(self, service: str) -> str:
        """The base URL of an HTTP service, without a trailing slash."""
        host = next(h for h in self.hosts if h.services and service in h.services)
        return f"http://{host.address}:{self.port(service)}"


def local(ports: Mapping[str, int]) -> Inventory:
    """The inventory of the local target: the same roles as on aws, all on the loopback."""
    app = {name: ports[name] for name in ("redis", "api", "dicom") if name in ports}
    return Inventory(
        (
            Host("operator", "operator"),
            Host("app", "app", services=app),
            Host("web", "web", services={"ui": ports["ui"]}),
        )
    )


def from_outputs(hosts: Mapping[str, Mapping[str, Any]], bastion: str) -> Inventory:
    """The inventory of the aws target, from terraform's outputs `hosts` and `bastion`."""
    inventory = []
    for name, output in sorted(hosts.items(), key=lambda host: _numbered(host[0])):
        role = output["role"]
        services = {service: PORTS[service] for service in (*SERVICES[role], "node_exporter")}
        if name == STORE:
            services |= {"redis": PORTS["redis"], "redis_exporter": PORTS["redis_exporter"]}
        public = bastion if role == "nginx" else output["public_ip"] or ""
        user = "ubuntu" if role == "train" else "admin"
        address, instance = output["private_ip"], output["instance_id"]
        inventory.append(Host(name, role, address, services, instance, public, user, output["type"]))
    return Inventory(tuple(inventory))


def _numbered(name: str) -> tuple[str, int]:
    """The order of names: app-2 before app-10."""
    role, _, number = name.partition("-")
    return role, int(number or 0)


def to_json(inventory: Inventory) -> dict[str, Any]:
    """The JSON object that `from_json` reads."""
    return {"hosts": [asdict(host) for host in inventory.hosts]}


def from_json(document: Any) -> Inventory:
    """The inventory that `to_json` wrote. Raises TypeError if it is something else."""
    hosts = document.get("hosts") if isinstance(document, dict) else None
    if not isinstance(hosts, list) or not hosts:
        raise TypeError("it lists no hosts")
    return Inventory(tuple(documents.parse(Host, host) for host in hosts))
