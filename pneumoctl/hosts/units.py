"""The systemd units of each host on aws: those whose state is checked, and those whose log is shown."""

from pneumoctl.hosts.backups import UNIT as BACKUP
from pneumoctl.stack.inventory import Host, Inventory

OF_SERVICES = {  # service in the inventory -> unit
    "https": "nginx",
    "ui": "pneumoctl-ui",
    "api": "pneumoctl-api",
    "redis": "redis-server",
    "node_exporter": "prometheus-node-exporter",
    "nginx_exporter": "prometheus-nginx-exporter",
    "redis_exporter": "prometheus-redis-exporter",
}
OF_ROLES = {"monitoring": ("prometheus",)}  # units without a published port
WITH_LOGS = {  # name of a log -> unit
    "nginx": "nginx",
    "ui": "pneumoctl-ui",
    "api": "pneumoctl-api",
    "redis": "redis-server",
    "prometheus": "prometheus",
}


def of(host: Host, backups: bool = False) -> tuple[str, ...]:
    """The units that run on a host, and with `backups` their timer; none for the training host, which is off."""
    if host.role == "train":
        return ()
    named = tuple(unit for service, unit in OF_SERVICES.items() if service in (host.services or {}))
    timers = (f"{BACKUP}.timer",) if backups and "redis" in (host.services or {}) else ()
    return (*OF_ROLES.get(host.role, ()), *named, *timers)


def running(inventory: Inventory, unit: str) -> tuple[Host, ...]:
    """The hosts that a unit runs on."""
    return tuple(host for host in inventory.hosts if unit in of(host))
