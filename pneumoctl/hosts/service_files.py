"""The files of the API and of the web page on a host: environment, systemd socket and service."""

from pneumoctl.hosts import nginx
from pneumoctl.hosts.desired import DesiredState
from pneumoctl.hosts.layout import ETC, ROOT
from pneumoctl.plan.render import render
from pneumoctl.plan.steps import Put
from pneumoctl.stack.inventory import Host

SERVICES = {"app": "api", "web": "ui"}  # role -> service in the inventory
API_WORKERS = 2  # of at most 600 MB each, beside Redis
# Uploads that wait or run in a worker before further ones are refused: enough for 20 per second during a restart.
MAX_PENDING = {"app": 48, "web": 48}
MAX_READS = 32  # other requests of the page that wait for the API before further ones are refused
MAX_THUMBNAILS = 48  # small pictures of lists that wait for it, beside those requests: four browsers send as many
THREADS = {"app": 64, "web": 144}  # more than wait at the same time: the others answer health probes


def files(desired: DesiredState, host: Host) -> tuple[Put, ...]:
    """The environment file, the socket unit and the service unit."""
    service = SERVICES[host.role]
    unit = f"pneumoctl-{service}"
    listen = {"address": host.address, "port": (host.services or {})[service]}
    hardened = {
        "root": ROOT,
        "workers": _workers(desired, host),
        "threads": THREADS[host.role],
        "memory": "80%",
    }
    return (
        Put(_environment_file(desired, host), f"{ETC}/{service}.env", 0o600, secret=True, group="root"),
        Put(render(f"systemd/{unit}.socket", **listen), f"/etc/systemd/system/{unit}.socket", 0o644, group="root"),
        Put(render(f"systemd/{unit}.service", **hardened), f"/etc/systemd/system/{unit}.service", 0o644, group="root"),
    )


def _workers(desired: DesiredState, host: Host) -> int:
    return (desired.settings.workers or API_WORKERS) if host.role == "app" else 1


def _environment_file(desired: DesiredState, host: Host) -> str:
    inventory, secrets = desired.inventory, desired.secrets
    shared = {
        "secrets": secrets,
        "auth": "users",
        "max_upload_mb": desired.settings.max_upload_mb,
        "max_pending": MAX_PENDING[host.role],
    }
    if host.role == "app":
        redis = inventory.store
        return render(
            "env/api.env",
            receiver=False,
            redis_host=redis.address,
            redis_port=(redis.services or {})["redis"],
            redis_socket=None,
            bundle=f"{ROOT}/model/current",
            outside_use=desired.settings.outside_use,
            retention_days=desired.settings.retention_days,
            keep_16_bit_mb=desired.settings.keep_16_bit_mb,
            threads=1,
            metrics="/run/pneumoctl-api/metrics",
            code=f"{ROOT}/api/current",
            **shared,
        )
    apis = [f"http://{api.address}:{(api.services or {})['api']}" for api in inventory.hosts if api.role == "app"]
    return render(
        "env/ui.env",
        api_url=",".join(apis),
        api_socket=None,
        max_reads=MAX_READS,
        max_thumbnails=MAX_THUMBNAILS,
        read_timeout_s=desired.settings.page_timeout_s,
        proxy=inventory.bastion.address,
        trusted_hosts=(*nginx.server_names(desired), host.address),
        code=f"{ROOT}/web/current",
        **shared,
    )
