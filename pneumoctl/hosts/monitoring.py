"""The steps for the monitoring host: Prometheus with its alerts, and Grafana if its repository is reachable."""

from dataclasses import dataclass, replace

from pneumoctl.hosts.desired import DesiredState
from pneumoctl.hosts.layout import INSTALL_S, STAMPS
from pneumoctl.hosts.steps import APT_INSTALL, APT_UPDATE, answers, hosts_of, service, staged
from pneumoctl.plan.render import render
from pneumoctl.plan.steps import Probe, Put, Run, Service, Step, file_matches, stamped
from pneumoctl.stack.inventory import Inventory

JOBS = {
    "node": "node_exporter",
    "nginx": "nginx_exporter",
    "ui": "ui",
    "api": "api",
    "redis": "redis_exporter",
}
RETENTION_DAYS, RETENTION_GB = 30, 8
DASHBOARDS = ("service", "hosts", "training")
GRAFANA = "/etc/grafana"


@dataclass(frozen=True)
class ScrapeTarget:
    """An exporter that Prometheus scrapes."""

    address: str
    port: int
    host: str
    role: str


def steps(desired: DesiredState) -> list[Step]:
    """The steps for Prometheus, then those for Grafana, which shows its data."""
    (host,) = hosts_of(desired.inventory, "monitoring")
    files = (
        Put(
            render("prometheus/prometheus.yml", stack=desired.settings.stack, targets=targets(desired.inventory)),
            "/etc/prometheus/prometheus.yml",
            0o644,
            group="root",
        ),
        Put(render("prometheus/alerts.yml"), "/etc/prometheus/alerts.yml", 0o644, group="root"),
        Put(
            render("default/prometheus", retention_days=RETENTION_DAYS, retention_gb=RETENTION_GB),
            "/etc/default/prometheus",
            0o644,
            group="root",
        ),
    )
    check = Probe(
        ("promtool", "check", "config", staged("/etc/prometheus/prometheus.yml")), 60, "promtool check config"
    )
    ready = answers("http://127.0.0.1:9090/-/ready")
    return [service("Configure Prometheus", host, "prometheus", files, (check,), (ready,)), *_grafana(host)]


def _grafana(host: str) -> list[Step]:
    """Grafana comes from its vendor's repository, because Debian does not package it."""
    provisioned = f"{GRAFANA}/provisioning"
    files = (
        Put(render("grafana/datasources.yaml"), f"{provisioned}/datasources/pneumoctl.yaml", 0o644, group="root"),
        Put(render("grafana/dashboards.yaml"), f"{provisioned}/dashboards/pneumoctl.yaml", 0o644, group="root"),
        *(
            Put(render(f"grafana/{name}.json"), f"{GRAFANA}/pneumoctl/{name}.json", 0o644, group="root")
            for name in DASHBOARDS
        ),
        Put(render("grafana/environment.conf"), f"{_DROP_IN}/pneumoctl.conf", 0o644, group="root"),
    )
    write = Step("Write Grafana's files", (host,), files, tuple(file_matches(file) for file in files))
    install = Run(("sh", "-c", _INSTALL), INSTALL_S, "apt-get install grafana, from apt.grafana.com")
    actions = (install, Run(("systemctl", "daemon-reload")), Service("grafana-server", "restart"))
    salt = "".join(file.sha256 for file in files)
    ready = answers("http://127.0.0.1:3000/api/health", seconds=90)
    step = stamped(Step("Install Grafana", (host,), actions, verify=(ready,), salt=salt), f"{STAMPS}/grafana")
    # Nothing to do if its repository does not answer: the rest of the stack does not need Grafana.
    probe = Probe(("sh", "-c", _DONE, "sh", *step.done_if[0].argv[2:]))
    return [write, replace(step, done_if=(probe,))]


_DROP_IN = "/etc/systemd/system/grafana-server.service.d"
_DONE = """key=https://apt.grafana.com/gpg.key
{ dpkg -s grafana || curl -sf --max-time 2 -o /dev/null "$key"; } >/dev/null 2>&1 || exit 0
grep -qx "$1" "$2"
"""
_INSTALL = f"""set -eu
{APT_UPDATE}
install -d /etc/apt/keyrings
curl -fsS --max-time 60 https://apt.grafana.com/gpg.key -o /etc/apt/keyrings/grafana.asc
echo "deb [signed-by=/etc/apt/keyrings/grafana.asc] https://apt.grafana.com stable main" \\
    >/etc/apt/sources.list.d/grafana.list
update
{APT_INSTALL} grafana
systemctl enable --quiet grafana-server
"""


def targets(inventory: Inventory) -> dict[str, tuple[ScrapeTarget, ...]]:
    """The targets that Prometheus scrapes, by job."""
    jobs: dict[str, tuple[ScrapeTarget, ...]] = {
        "prometheus": (ScrapeTarget("127.0.0.1", 9090, "monitoring", "monitoring"),)
    }
    for job, name in JOBS.items():
        jobs[job] = tuple(
            ScrapeTarget(host.address, (host.services or {})[name], host.name, host.role)
            for host in inventory.hosts
            if name in (host.services or {})
        )
    return jobs
