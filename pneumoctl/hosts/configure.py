"""The plan that makes every host on aws what its role says: packages, files, releases, services, and the proof."""

import hashlib

from pneumoctl.hosts import monitoring, nginx, releases
from pneumoctl.hosts.desired import Wishes
from pneumoctl.hosts.layout import UNITS
from pneumoctl.hosts.steps import bring, packages, service, staged
from pneumoctl.plan.render import render
from pneumoctl.plan.steps import Plan, Put, Run, Step
from pneumoctl.stack.inventory import Host

OPERATOR = "operator"
PROOF = "Prove it with a prediction through the front door"
PACKAGES = {
    "nginx": ("nginx", "prometheus-nginx-exporter"),
    "monitoring": ("prometheus",),
    "web": ("python3-venv",),
    "app": ("python3-venv",),
}
EVERYWHERE = ("prometheus-node-exporter", "curl")
REDIS = ("redis-server", "prometheus-redis-exporter")


def plan(wishes: Wishes) -> Plan:
    """All steps, in an order that every host can walk by itself."""
    steps: list[Step] = []
    for host in wishes.inventory.hosts:
        if host.role in PACKAGES:
            steps += _base(wishes, host)
    steps += _redis(wishes)
    steps += releases.steps(wishes)
    steps += nginx.steps(wishes)
    steps += monitoring.steps(wishes)
    return Plan(f"stack {wishes.settings.stack} on its hosts", tuple(steps))


def proof(plan: Plan) -> Step:
    """The proof behind everything else in a plan; nobody proves what was not brought about."""
    return Step(PROOF, (OPERATOR,), (), check=True, after=tuple(step.title for step in plan.steps), gate=True)


def _base(wishes: Wishes, host: Host) -> list[Step]:
    redis = REDIS if "redis" in (host.services or {}) else ()
    acme = ("certbot",) if host.role == "nginx" and wishes.settings.acme_email else ()
    wanted = (*EVERYWHERE, *PACKAGES[host.role], *redis, *acme)
    journal = Put(
        render("journald/pneumoctl.conf", max_mb=500),
        "/etc/systemd/journald.conf.d/pneumoctl.conf",
        0o644,
        group="root",
    )
    return [
        *([bring(wishes.offline, "debs", host.name)] if wishes.offline else []),
        packages(f"Install the packages of {host.name}", (host.name,), wanted, wishes.offline),
        service(f"Bound the journal of {host.name}", host.name, "systemd-journald", (journal,)),
        node_exporter(host.name),
    ]


def node_exporter(host: str) -> Step:
    """What Prometheus sees of a host itself."""
    file = Put(render("default/prometheus-node-exporter"), "/etc/default/prometheus-node-exporter", 0o644, group="root")
    return service(f"Configure the node exporter of {host}", host, "prometheus-node-exporter", (file,))


def every_package() -> tuple[str, ...]:
    """What all hosts together install from Debian."""
    return tuple(sorted({*EVERYWHERE, *REDIS, *(one for wanted in PACKAGES.values() for one in wanted)}))


def _redis(wishes: Wishes) -> list[Step]:
    host = next(one for one in wishes.inventory.hosts if "redis" in (one.services or {}))
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
                memory_mb=wishes.settings.redis_memory_mb,
            ),
            config,
            0o640,
            group="redis",
        ),
        Put(render("redis/users.acl", users=_users(wishes)), users, 0o640, secret=True, group="redis"),
        Put(render("systemd/redis-server.conf"), f"{UNITS}/redis-server.service.d/pneumoctl.conf", 0o644, group="root"),
    )
    # Redis has no check of its own: it is started with the new files on no port, and ends when its input does.
    argv = ("sh", "-c", _TRY_REDIS, "sh", staged(config), staged(users))
    exporter = render(
        "default/prometheus-redis-exporter",
        address=host.address,
        port=port,
        user="exporter",
        password=wishes.secrets.redis_exporter_password,
    )
    put = Put(exporter, "/etc/default/prometheus-redis-exporter", 0o600, secret=True, group="root")
    return [
        service("Configure Redis", host.name, "redis-server", files, (Run(argv, 30, "redis-server reads its files"),)),
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


def _users(wishes: Wishes) -> dict[str, tuple[str, ...]]:
    """Redis's users and the digests of their passwords; two of each while a rotation is under way."""
    secrets = wishes.secrets
    passwords = {
        "api": (secrets.redis_password, secrets.redis_password_previous),
        "train": (secrets.redis_train_password, secrets.redis_train_password_previous),
        "exporter": (secrets.redis_exporter_password, secrets.redis_exporter_password_previous),
    }
    return {
        name: tuple(hashlib.sha256(one.encode()).hexdigest() for one in known if one)
        for name, known in passwords.items()
    }
