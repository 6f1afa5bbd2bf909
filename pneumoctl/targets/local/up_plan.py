"""The plan of `up`: code, model, supervisor, Redis, API and web page, then the proof."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from pneumoctl.files import Tree
from pneumoctl.plan.render import render
from pneumoctl.plan.steps import Action, Copy, Link, Plan, Put, Run, Service, Step, holds, matches, stamped
from pneumoctl.stack.inventory import Inventory
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Layout
from pneumoctl.targets.local import supervisor

PROOF = "Prove it with a prediction through the web page"
MAX_PENDING = 16  # uploads that wait or run in one API worker before others are told to come back
THREADS = MAX_PENDING + 8  # so that health probes and pages are answered while all of them are taken
PATIENCE = {"redis": 30, "api": 35, "ui": 35}  # seconds to end in; gunicorn's own grace is 30


@dataclass(frozen=True)
class Wishes:
    """Everything that the plan depends on, gathered beforehand."""

    settings: Settings
    layout: Layout
    inventory: Inventory
    secrets: Secrets
    python: str
    redis_server: str
    release: str  # digest of the code
    sources: tuple[Tree, ...]  # the packages of the release
    bundle: str  # name-version of the model
    bundle_source: Tree
    workers: int
    threads: int  # ONNX Runtime's threads in one worker

    @property
    def code(self) -> Path:
        """The release's directory on the host."""
        return self.layout.releases / self.release

    @property
    def model(self) -> Path:
        """The bundle's directory on the host."""
        return self.layout.models / self.bundle


def plan(wishes: Wishes) -> Plan:
    """All steps of `up` on the local target."""
    return Plan(
        f"stack {wishes.settings.stack} ({wishes.settings.target})",
        (
            _release(wishes),
            _bundle(wishes),
            _supervisor(wishes),
            _redis(wishes),
            _api(wishes),
            _ui(wishes),
            _proof(wishes),
        ),
    )


def _release(wishes: Wishes) -> Step:
    copies = tuple(Copy(tree, str(wishes.code / Path(tree.source).name)) for tree in wishes.sources)
    return Step(f"Copy release {wishes.release}", ("app",), copies, tuple(matches(copy) for copy in copies))


def _bundle(wishes: Wishes) -> Step:
    copy = Copy(wishes.bundle_source, str(wishes.model))
    return Step(f"Copy model {wishes.bundle}", ("app",), (copy,), (matches(copy),))


def _supervisor(wishes: Wishes) -> Step:
    layout = wishes.layout
    config = Put(
        render(
            "supervisor/supervisord.conf",
            layout=layout,
            socket=supervisor.socket(layout.root),
            programs=[(name, command, PATIENCE[name]) for name, command in _programs(wishes)],
        ),
        str(supervisor.config(layout.root)),
    )
    start = Run(
        (wishes.python, "-P", "-m", "pneumoctl.targets.local.supervisor", "start", str(layout.root)),
        title="start or update supervisord",
    )
    folders = Run(("mkdir", "-p", str(layout.logs), str(layout.redis_data)))
    step = Step("Start the supervisor", ("app",), (folders, config, start))
    step = stamped(step, str(layout.stamp("supervisor")))
    return replace(step, unless=(holds(config), *step.unless, Run(supervisor.ctl(layout.root, "pid"), timeout=20)))


def _programs(wishes: Wishes) -> tuple[tuple[str, str], ...]:
    layout, ports = wishes.layout, wishes.inventory.ports()
    redis = render_command((wishes.redis_server, str(layout.config("redis/redis.conf"))))
    return (
        ("redis", redis),
        ("api", _gunicorn(wishes, "api", ports["api"], wishes.workers, f"--bind=unix:{layout.api_socket}")),
        ("ui", _gunicorn(wishes, "ui", ports["ui"], 1)),
    )


def _gunicorn(wishes: Wishes, name: str, port: int, workers: int, *more: str) -> str:
    environment = wishes.layout.config(f"env/{name}.env")
    options = (
        f"--bind=127.0.0.1:{port}",
        *more,
        f"--workers={workers}",
        "--worker-class=gthread",
        f"--threads={THREADS}",
        "--timeout=120",
        "--graceful-timeout=30",
        "--no-control-socket",  # its default path is one for all gunicorns of a user
        "--worker-tmp-dir=/dev/shm",
        f"webapp.{name}:create_app()",
    )
    shell = 'set -a && . "$0" && exec "$@"'
    return render_command(("/bin/sh", "-c", shell, str(environment), wishes.python, "-P", "-m", "gunicorn", *options))


def render_command(argv: tuple[str, ...]) -> str:
    """An argv as supervisord reads it: shell-like quoting."""
    return " ".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in argv)


def _redis(wishes: Wishes) -> Step:
    layout = wishes.layout
    acl = layout.config("redis/users.acl")
    files = (
        Put(
            render(
                "redis/redis.conf",
                address=wishes.inventory.one("app").address,
                port=wishes.inventory.port("redis"),
                socket=layout.redis_socket,
                aclfile=acl,
                data=layout.redis_data,
                memory_mb=wishes.settings.redis_memory_mb,
            ),
            str(layout.config("redis/redis.conf")),
        ),
        Put(
            render(
                "redis/users.acl",
                users={"api": (_sha256(wishes.secrets.redis_password),)},
            ),
            str(acl),
            secret=True,
        ),
    )
    return _service(wishes, "redis", "Configure and start Redis", "app", files, ())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _api(wishes: Wishes) -> Step:
    layout = wishes.layout
    environment = Put(
        render(
            "env/api.env",
            secrets=wishes.secrets,
            redis_host=wishes.inventory.one("app").address,
            redis_port=wishes.inventory.port("redis"),
            redis_socket=layout.redis_socket,
            bundle=wishes.model,
            max_upload_mb=wishes.settings.max_upload_mb,
            max_pending=MAX_PENDING,
            threads=wishes.threads,
            metrics=layout.root / "metrics",
            code=wishes.code,
        ),
        str(layout.config("env/api.env")),
        secret=True,
    )
    # Counts of workers that are gone are added up from their files: a new start begins at zero.
    metrics = Run(("sh", "-c", 'rm -rf "$0" && mkdir "$0"', str(layout.root / "metrics")), title="empty the metrics")
    links = (
        metrics,
        Link(str(layout.releases / "current"), wishes.release),
        Link(str(layout.models / "current"), wishes.bundle),
    )
    return _service(wishes, "api", "Configure and start the API", "app", (environment,), links)


def _ui(wishes: Wishes) -> Step:
    environment = Put(
        render(
            "env/ui.env",
            secrets=wishes.secrets,
            api_url=wishes.inventory.url("api"),
            api_socket=wishes.layout.api_socket,
            max_upload_mb=wishes.settings.max_upload_mb,
            max_pending=MAX_PENDING // 2,
            trusted_hosts=("127.0.0.1", "localhost"),
            code=wishes.code,
        ),
        str(wishes.layout.config("env/ui.env")),
        secret=True,
    )
    return _service(wishes, "ui", "Configure and start the web page", "web", (environment,), ())


def _service(
    wishes: Wishes, name: str, title: str, host: str, files: tuple[Put, ...], before: tuple[Action, ...]
) -> Step:
    """Files in place, service restarted, and waited for; nothing to do when all of that still holds."""
    wait: tuple[Action, ...] = ()
    alive = [supervisor.running(wishes.layout.root, name)]
    if name in ("api", "ui"):
        url = f"{wishes.inventory.url(name)}/readyz"
        wait = (
            Run(_health(wishes, "wait", url, str(wishes.layout.root), name), 120, title=f"wait until {url} says ready"),
        )
        sockets = (str(wishes.layout.api_socket),) if name == "api" else ()
        alive.append(
            Run(_health(wishes, "ready", url, *sockets), timeout=20)
        )  # one that hangs runs, but does not answer
    step = Step(title, (host,), (*files, *before, Service(name, "restart"), *wait))
    step = stamped(step, str(wishes.layout.stamp(name)))
    return replace(step, unless=(*(holds(file) for file in files), *step.unless, *alive))


def _proof(wishes: Wishes) -> Step:
    gate = Run(
        _health(wishes, "gate", wishes.inventory.url("ui"), str(wishes.model)), timeout=150, title="the health gate"
    )
    return Step(PROOF, ("operator",), (gate,), check=True)


def _health(wishes: Wishes, *words: str) -> tuple[str, ...]:
    return (wishes.python, "-P", "-m", "pneumoctl.targets.local.readiness", *words)
