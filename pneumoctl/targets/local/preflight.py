"""The preflight checks of the local target, which run before anything is changed."""

import sys
from collections.abc import Callable, Iterator

import psutil

from pneumoctl import installation
from pneumoctl.errors import PneumoError
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common import preflight
from pneumoctl.targets.common.checks import Row
from pneumoctl.targets.local import facts, processes, service_states, supervisor

DISK_MB = 500


def rows(settings: Settings, stack: Stack) -> list[Row]:
    """The results of all checks of the local target. Changes nothing."""
    checks: tuple[Callable[[Settings, Stack], Iterator[Row]], ...] = (
        _python,
        _dicom,
        _redis,
        _model,
        _memory,
        _disk,
        _directory,
        _secrets,
        _ports,
    )
    return [row for check in checks for row in check(settings, stack)]


def _python(settings: Settings, stack: Stack) -> Iterator[Row]:
    missing = installation.missing("local")
    seen = f"{sys.version.split()[0]}, " + (f"missing: {', '.join(missing)}" if missing else "all packages")
    yield Row("python", not missing, seen, installation.install_command("local"))
    if why := supervisor.unwritable(sys.executable):
        yield Row("python path", False, why, "install pneumoctl in another folder")


def _dicom(settings: Settings, stack: Stack) -> Iterator[Row]:
    if settings.dicom_port and (missing := installation.missing("dicomnet")):
        yield Row("dicom", False, f"missing: {', '.join(missing)}", installation.install_command("dicomnet"))


def _redis(settings: Settings, stack: Stack) -> Iterator[Row]:
    try:
        server = facts.redis_server(settings)
        version = facts.redis_version(server)
    except PneumoError as error:
        yield Row("redis", False, error.message, error.hint)
        return
    if why := supervisor.unwritable(server):
        yield Row("redis path", False, why, "set redis_server to another path")
    data = stack.layout.redis_data
    seen = f"{'.'.join(map(str, version))} ({server})"
    # Redis before 7 cannot read a multi-part AOF: it would start empty, without the stored results.
    if version < (7,) and (data / "appendonlydir").is_dir():
        yield Row("redis", False, f"{seen} cannot read the results that Redis 7 stored", facts.INSTALL_REDIS)
    else:
        yield Row("redis", version >= (6, 2), seen, facts.INSTALL_REDIS)


def _model(settings: Settings, stack: Stack) -> Iterator[Row]:
    yield from preflight.model(settings)


def _memory(settings: Settings, stack: Stack) -> Iterator[Row]:
    running = sum(process.memory_info().rss for process in processes.ours(stack.directory))
    free = (psutil.virtual_memory().available + running) // 2**20
    wanted = facts.WORKER_MB + 200
    yield Row("memory", free >= wanted, f"{free} MB free", f"free {wanted} MB for one API worker, the page and Redis")


def _disk(settings: Settings, stack: Stack) -> Iterator[Row]:
    yield from preflight.disk(stack.directory, DISK_MB)


def _directory(settings: Settings, stack: Stack) -> Iterator[Row]:
    socket = service_states.socket(stack.directory)
    short = len(str(socket)) <= supervisor.LONGEST_SOCKET
    seen = str(stack.directory) if short else f"{socket} is too long for a socket ({len(str(socket))} characters)"
    yield Row("directory", short, seen, "set XDG_STATE_HOME to a shorter path")
    if why := supervisor.unwritable(str(stack.directory)):
        yield Row("directory name", False, why, "set XDG_STATE_HOME to a path without it")


def _secrets(settings: Settings, stack: Stack) -> Iterator[Row]:
    """Whether the secrets exist if there are results: with new secrets, every stored result would look forged."""
    fix = (
        f"restore {stack.directory / 'secrets.json'} from a backup, or, losing the results: pneumoctl teardown --purge"
    )
    try:
        secrets = stack.secrets()
    except PneumoError as error:
        yield Row("secrets", False, error.message, error.hint)
        return
    if secrets is None and stack.layout.redis_data.is_dir() and any(stack.layout.redis_data.iterdir()):
        yield Row("secrets", False, "missing, while results are stored under them", fix)
    else:
        yield Row("secrets", True, "kept from the first `up`" if secrets else "will be generated")


def _ports(settings: Settings, stack: Stack) -> Iterator[Row]:
    try:
        ports = facts.ports(settings, stack)
    except (OSError, PneumoError) as error:
        yield Row("ports", False, str(error), getattr(error, "hint", "set ui_port, api_port and redis_port"))
        return
    for name, port in ports.assigned.items():
        moved = "" if port == ports.requested[name] else f" (moved from {ports.requested[name]}, which was taken)"
        yield Row(f"port {name}", True, f"{port}{moved}")
