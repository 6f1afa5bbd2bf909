"""The plan of `up`: code, model, supervisord, Redis, API and web page, then the proof."""

import hashlib
from dataclasses import replace
from pathlib import Path

from pneumoctl.plan.render import render
from pneumoctl.plan.steps import (
    Action,
    Copy,
    Link,
    Plan,
    Probe,
    Put,
    Run,
    Service,
    Step,
    file_matches,
    stamped,
    tree_matches,
)
from pneumoctl.stack.settings import erases
from pneumoctl.targets.local import service_states, supervisor
from pneumoctl.targets.local.commands import MAX_PENDING, UI_PENDING, UI_READS, UI_THUMBNAILS, in_environment, programs
from pneumoctl.targets.local.desired import LocalDesiredState

PROOF = "proof"
STOP_TIMEOUTS = {"redis": 30, "api": 35, "ui": 35, "dicom": 15}  # seconds to stop in; gunicorn's own limit is 30


def plan(desired: LocalDesiredState) -> Plan:
    """All steps of `up` on the local target."""
    return Plan(
        f"stack {desired.settings.stack} ({desired.settings.target})",
        (
            _release(desired),
            _bundle(desired),
            _supervisor(desired),
            _redis(desired),
            _api(desired),
            _ui(desired),
            *_dicom(desired),
            _proof(desired),
        ),
    )


def _release(desired: LocalDesiredState) -> Step:
    copies = tuple(Copy(tree, str(desired.code / Path(tree.source).name)) for tree in desired.sources)
    return Step(f"Copy release {desired.release}", ("app",), copies, tuple(tree_matches(copy) for copy in copies))


def _bundle(desired: LocalDesiredState) -> Step:
    copy = Copy(desired.bundle_source, str(desired.model))
    return Step(f"Copy model {desired.bundle}", ("app",), (copy,), (tree_matches(copy),))


def _supervisor(desired: LocalDesiredState) -> Step:
    layout = desired.layout
    config = Put(
        render(
            "supervisor/supervisord.conf",
            layout=layout,
            socket=service_states.socket(layout.root),
            programs=[(name, command, STOP_TIMEOUTS[name]) for name, command in programs(desired)],
        ),
        str(supervisor.config(layout.root)),
    )
    start = Run(
        (desired.python, "-P", "-m", "pneumoctl.targets.local.supervisor", "start", str(layout.root)),
        title="start or update supervisord",
    )
    folders = Run(("mkdir", "-p", str(layout.logs), str(layout.redis_data)))
    step = Step("Start the supervisor", ("app",), (folders, config, start))
    step = stamped(step, str(layout.stamp("supervisor")))
    return replace(step, done_if=(file_matches(config), *step.done_if, supervisor.supervised(layout.root)))


def _redis(desired: LocalDesiredState) -> Step:
    layout = desired.layout
    acl = layout.config("redis/users.acl")
    files = (
        Put(
            render(
                "redis/redis.conf",
                address=desired.inventory.only("app").address,
                port=desired.inventory.port("redis"),
                socket=layout.redis_socket,
                aclfile=acl,
                data=layout.redis_data,
                memory_mb=desired.settings.redis_memory_mb,
            ),
            str(layout.config("redis/redis.conf")),
        ),
        Put(
            render(
                "redis/users.acl",
                users={
                    "api": (_sha256(desired.secrets.redis_password),),
                    "rewriter": (_sha256(desired.secrets.redis_rewriter_password),),
                },
                rights_by_key=desired.rights_by_key,
            ),
            str(acl),
            secret=True,
        ),
    )
    return _service(desired, "redis", "Configure and start Redis", "app", files, ())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _api(desired: LocalDesiredState) -> Step:
    layout = desired.layout
    environment = Put(
        render(
            "env/api.env",
            secrets=desired.secrets,
            receiver=True,
            auth=desired.settings.login,
            redis_host=desired.inventory.only("app").address,
            redis_port=desired.inventory.port("redis"),
            redis_socket=layout.redis_socket,
            bundle=desired.model,
            outside_use=desired.settings.outside_use,
            retention_days=desired.settings.retention_days,
            keep_16_bit_mb=desired.settings.keep_16_bit_mb,
            max_upload_mb=desired.settings.max_upload_mb,
            max_pending=MAX_PENDING,
            threads=desired.threads,
            metrics=layout.root / "metrics",
            code=desired.code,
        ),
        str(layout.config("env/api.env")),
        secret=True,
    )
    # The counts of ended workers are read from their files. Without the files, a new start counts from zero.
    metrics = Run(("sh", "-c", 'rm -rf "$0" && mkdir "$0"', str(layout.root / "metrics")), title="empty the metrics")
    links = (
        metrics,
        Link(str(layout.releases / "current"), desired.release),
        Link(str(layout.models / "current"), desired.bundle),
    )
    title = f"Configure and start the API{erases(desired.settings)}"
    return _service(desired, "api", title, "app", (environment,), links)


def _ui(desired: LocalDesiredState) -> Step:
    environment = Put(
        render(
            "env/ui.env",
            secrets=desired.secrets,
            auth=desired.settings.login,
            proxy="",
            api_url=desired.inventory.url("api"),
            api_socket=desired.layout.api_socket,
            max_upload_mb=desired.settings.max_upload_mb,
            max_pending=UI_PENDING,
            max_reads=UI_READS,
            max_thumbnails=UI_THUMBNAILS,
            read_timeout_s=desired.settings.page_timeout_s,
            trusted_hosts=("127.0.0.1", "localhost"),
            code=desired.code,
        ),
        str(desired.layout.config("env/ui.env")),
        secret=True,
    )
    return _service(desired, "ui", "Configure and start the web page", "web", (environment,), ())


def _dicom(desired: LocalDesiredState) -> tuple[Step, ...]:
    settings, port = desired.settings, desired.inventory.ports().get("dicom")
    if port is None:
        return ()
    paths = (settings.dicom_certificate, settings.dicom_certificate_key, settings.dicom_ca)
    tls = [path and str(Path(path).expanduser().absolute()) for path in paths]
    environment = Put(
        render(
            "env/dicom.env",
            address="127.0.0.1",
            port=port,
            settings=settings,
            tls=tls if tls[0] else None,
            secrets=desired.secrets,
            api_url=desired.inventory.url("api"),
            api_socket=desired.layout.api_socket,
            code=desired.code,
        ),
        str(desired.layout.config("env/dicom.env")),
        secret=True,
    )
    title = f"Configure and start the DICOM receiver {settings.dicom_ae_title}"
    return (_service(desired, "dicom", title, "app", (environment,), ()),)


def _service(
    desired: LocalDesiredState, name: str, title: str, host: str, files: tuple[Put, ...], before: tuple[Action, ...]
) -> Step:
    """Write the files, restart the service and wait until it is ready. Already done if all of this is still true."""
    wait: tuple[Action, ...] = ()
    alive = supervisor.running(desired.layout.root, name)
    if name in ("api", "ui"):
        url = f"{desired.inventory.url(name)}/readyz"
        wait = (Run(_readiness(desired, "wait", name, url), 120, title=f"wait until {url} says ready"),)
        alive = Probe(_readiness(desired, "serves", name, url), timeout=20)
    elif name == "dicom":
        check = in_environment(desired, name, "webapp.receiver.check")
        wait = (Run(check, 60, title="wait until the receiver accepts connections"),)
    step = Step(title, (host,), (*files, *before, Service(name, "restart"), *wait))
    step = stamped(step, str(desired.layout.stamp(name)))
    return replace(step, done_if=(*(file_matches(file) for file in files), *step.done_if, alive))


def _readiness(desired: LocalDesiredState, verb: str, service: str, url: str) -> tuple[str, ...]:
    module = "pneumoctl.targets.local.readiness"
    socket = (str(desired.layout.api_socket),) if service == "api" else ()
    return (desired.python, "-P", "-m", module, verb, str(desired.layout.root), service, url, *socket)


def _proof(desired: LocalDesiredState) -> Step:
    url, bundle = desired.inventory.url("ui"), str(desired.model)
    argv = (desired.python, "-P", "-m", "pneumoctl.targets.local.gate", url, bundle)
    stack = (str(desired.layout.root),) if desired.settings.login == "users" else ()
    gate = Run((*argv, *stack), timeout=150, title="the health gate")
    return Step("Send a test prediction through the web page", ("operator",), (gate,), check=True, id=PROOF)
