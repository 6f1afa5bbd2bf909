"""The commands of the services of a local stack, as supervisord runs them."""

from pneumoctl.targets.local.desired import LocalDesiredState

MAX_PENDING = 16  # uploads that wait or run in one API worker; more are answered with 503
UI_PENDING = MAX_PENDING // 2
UI_READS = 32  # other requests of the page that wait for the API; more are answered with 503
UI_THUMBNAILS = 48  # small pictures of lists that wait for it, beside those requests
# 8 answer health probes while all others wait.
THREADS = {"api": MAX_PENDING + 8, "ui": UI_PENDING + UI_READS + UI_THUMBNAILS + 8}


def programs(desired: LocalDesiredState) -> tuple[tuple[str, str], ...]:
    """The command of each service by its name, as supervisord reads it."""
    layout, ports = desired.layout, desired.inventory.ports()
    redis = render_command((desired.redis_server, str(layout.config("redis/redis.conf"))))
    return (
        ("redis", redis),
        ("api", _gunicorn(desired, "api", ports["api"], desired.workers, f"--bind=unix:{layout.api_socket}")),
        ("ui", _gunicorn(desired, "ui", ports["ui"], 1)),
        *([("dicom", _with_environment(desired, "dicom", "webapp.receiver"))] if "dicom" in ports else []),
    )


def _gunicorn(desired: LocalDesiredState, name: str, port: int, workers: int, *more: str) -> str:
    options = (
        f"--bind=127.0.0.1:{port}",
        *more,
        f"--workers={workers}",
        "--worker-class=gthread",
        f"--threads={THREADS[name]}",
        "--timeout=120",
        "--graceful-timeout=30",
        "--no-control-socket",  # its default path is the same for all gunicorns of a user
        "--worker-tmp-dir=/dev/shm",
        f"webapp.{name}:create_app()",
    )
    return _with_environment(desired, name, "gunicorn", *options)


def _with_environment(desired: LocalDesiredState, name: str, *module: str) -> str:
    return render_command(in_environment(desired, name, *module))


def in_environment(desired: LocalDesiredState, name: str, *module: str) -> tuple[str, ...]:
    """The argv that runs a module of Python with the environment file of a service."""
    environment, shell = desired.layout.config(f"env/{name}.env"), 'set -a && . "$0" && exec "$@"'
    return ("/bin/sh", "-c", shell, str(environment), desired.python, "-P", "-m", *module)


def render_command(argv: tuple[str, ...]) -> str:
    """An argv in the quoting that supervisord reads, which is like that of a shell."""
    return " ".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in argv)
