"""Which systemd units make a host on aws what its role says: what is looked at, and whose log is shown."""

from pneumoctl.stack.inventory import Host, Inventory

OF_SERVICES = {  # a service of the inventory -> its unit
    "https": "nginx",
    "ui": "pneumoctl-ui",
    "api": "pneumoctl-api",
    "redis": "redis-server",
    "node_exporter": "prometheus-node-exporter",
    "nginx_exporter": "prometheus-nginx-exporter",
    "redis_exporter": "prometheus-redis-exporter",
}
OF_ROLES = {"monitoring": ("prometheus",)}  # those of no published port
WITH_LOGS = {  # a service whose log is asked for -> its unit
    "nginx": "nginx",
    "ui": "pneumoctl-ui",
    "api": "pneumoctl-api",
    "redis": "redis-server",
    "prometheus": "prometheus",
}


def of(host: Host) -> tuple[str, ...]:
    """The units that run on a host; none on the training host, which is off."""
    if host.role == "train":
        return ()
    named = tuple(unit for service, unit in OF_SERVICES.items() if service in (host.services or {}))
    return (*OF_ROLES.get(host.role, ()), *named)


def running(inventory: Inventory, unit: str) -> tuple[Host, ...]:
    """The hosts that a unit runs on."""
    return tuple(host for host in inventory.hosts if unit in of(host))
