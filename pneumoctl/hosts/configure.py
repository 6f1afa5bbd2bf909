"""The plan for all hosts on aws: packages, files, releases, services, and a prediction as the final check."""

import hashlib

from pneumoctl.hosts import backups, monitoring, nginx, releases
from pneumoctl.hosts.desired import DesiredState
from pneumoctl.hosts.layout import OPERATOR, UNITS
from pneumoctl.hosts.steps import copy_offline_bundle, packages, service, staged
from pneumoctl.plan.render import render
from pneumoctl.plan.steps import Plan, Probe, Put, Step
from pneumoctl.stack.inventory import Host

PROOF = "proof"
PACKAGES = {
    "nginx": ("nginx", "prometheus-nginx-exporter"),
    "monitoring": ("prometheus",),
    "web": ("python3-venv",),
    "app": ("python3-venv",),
}
EVERYWHERE = ("prometheus-node-exporter", "curl")
REDIS = ("redis-server", "prometheus-redis-exporter")


def plan(desired: DesiredState) -> Plan:
    """All steps of the planned hosts, in an order that every host can follow on its own."""
    steps: list[Step] = []
    for host in desired.planned:
        if host.role in PACKAGES:
            steps += _base(desired, host)
    has_store = any("redis" in (host.services or {}) for host in desired.planned)
    steps += _redis(desired) if has_store else ()
    steps += releases.steps(desired)
    steps += backups.steps(desired) if has_store else ()
    roles = {host.role for host in desired.planned}
    if "nginx" in roles:
        steps += nginx.steps(desired, tuple(releases.serve_id(host) for host in desired.planned if host.role == "web"))
    steps += monitoring.steps(desired) if "monitoring" in roles else ()
    return Plan(f"stack {desired.settings.stack} on its hosts", tuple(steps))


def proof(plan: Plan) -> Step:
    """The final check, which depends on every step of a plan."""
    title = "Send a test prediction through the front door"
    return Step(title, (OPERATOR,), (), check=True, after=tuple(step.id for step in plan.steps), gate=True, id=PROOF)


def _base(desired: DesiredState, host: Host) -> list[Step]:
    redis = REDIS if "redis" in (host.services or {}) else ()
    acme = ("certbot",) if host.role == "nginx" and desired.settings.acme_email else ()
    names = (*EVERYWHERE, *PACKAGES[host.role], *redis, *acme)
    journal = Put(
        render("journald/pneumoctl.conf", max_mb=500),
        "/etc/systemd/journald.conf.d/pneumoctl.conf",
        0o644,
        group="root",
    )
    return [
        *([copy_offline_bundle(desired.offline, "debs", host.name)] if desired.offline else []),
        packages(f"Install the packages of {host.name}", (host.name,), names, desired.offline),
        service(f"Limit the journal size of {host.name}", host.name, "systemd-journald", (journal,)),
        node_exporter(host.name),
    ]


def node_exporter(host: str) -> Step:
    """Configure the metrics of a host itself."""
    file = Put(render("default/prometheus-node-exporter"), "/etc/default/prometheus-node-exporter", 0o644, group="root")
    return service(f"Configure the node exporter of {host}", host, "prometheus-node-exporter", (file,))


def every_package() -> tuple[str, ...]:
    """The Debian packages of all hosts together."""
    return tuple(sorted({*EVERYWHERE, *REDIS, *(name for names in PACKAGES.values() for name in names)}))


def _redis(desired: DesiredState) -> list[Step]:
    host = desired.inventory.store
    port = (host.services or {})["redis"]
    config, users = "/etc/redis/redis.conf", "/etc/redis/users.acl"
    files = (
        Put(
            render(
                "redis/redis.conf",
                address=f"127.0.0.1 {host.address}",
                port=port,
                socket=None,
                aclfile=users,
                data="/var/lib/redis",
                memory_mb=desired.settings.redis_memory_mb,
            ),
            config,
            0o640,
            group="redis",
        ),
        Put(render("redis/users.acl", users=_users(desired)), users, 0o640, secret=True, group="redis"),
        Put(render("systemd/redis-server.conf"), f"{UNITS}/redis-server.service.d/pneumoctl.conf", 0o644, group="root"),
    )
    # Redis cannot check its files: start it with them on a Unix socket only, and stop it once it listens.
    check = Probe(("sh", "-c", _TRY_REDIS, "sh", staged(config), staged(users)), 30, "redis-server reads its files")
    exporter = render(
        "default/prometheus-redis-exporter",
        address=host.address,
        port=port,
        user="exporter",
        password=desired.secrets.redis_exporter_password,
    )
    put = Put(exporter, "/etc/default/prometheus-redis-exporter", 0o600, secret=True, group="root")
    return [
        service("Configure Redis", host.name, "redis-server", files, (check,), step_id=releases.REDIS),
        service("Configure the Redis exporter", host.name, "prometheus-redis-exporter", (put,)),
    ]


_TRY_REDIS = """set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
redis-server "$1" --aclfile "$2" --port 0 --bind 127.0.0.1 --dir "$folder" --unixsocket "$folder/s" --appendonly no \
    --daemonize no --supervised no --pidfile "" --logfile "" >"$folder/log" 2>&1 & pid=$!
for _ in $(seq 100); do
  if test -S "$folder/s"; then kill $pid; wait $pid; exit 0; fi
  kill -0 $pid 2>/dev/null || { cat "$folder/log"; exit 1; }
  sleep 0.1
done
cat "$folder/log"; kill $pid; exit 1
"""


def _users(desired: DesiredState) -> dict[str, tuple[str, ...]]:
    """Redis's users and the digests of their passwords; two per user during a rotation."""
    secrets = desired.secrets
    passwords = {
        "api": (secrets.redis_password, secrets.redis_password_previous),
        "exporter": (secrets.redis_exporter_password, secrets.redis_exporter_password_previous),
        "rewriter": (secrets.redis_rewriter_password, secrets.redis_rewriter_password_previous),
    }
    return {
        name: tuple(hashlib.sha256(password.encode()).hexdigest() for password in both if password)
        for name, both in passwords.items()
    }
