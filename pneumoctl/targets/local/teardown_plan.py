"""The plan of `teardown`: export results and bundles, end every process, prove it, remove the directory."""

from dataclasses import dataclass, replace
from pathlib import Path

from pneumoctl.plan.steps import Fetch, Plan, Probe, Run, Service, Step
from pneumoctl.stack.layout import Layout
from pneumoctl.targets.common.keep import RESULTS
from pneumoctl.targets.local import supervisor

EXPORT = "export"
_EXPORT_S = 3600.0


@dataclass(frozen=True)
class TeardownOptions:
    """Everything that the plan depends on."""

    name: str
    layout: Layout
    python: str
    ports: tuple[int, ...]
    export: Path | None  # the folder for the results; None: do not export them
    has_results: bool
    has_models: bool


def plan(desired: TeardownOptions) -> Plan:
    """All steps of `teardown` on the local target."""
    steps: list[Step] = []
    if desired.export and desired.has_results:
        steps += [_redis(desired), _space(desired, desired.export)]
        steps += [_stop(desired, "ui", "web"), _stop(desired, "api", "app"), _results(desired, desired.export)]
    if desired.export and desired.has_models:
        steps.append(_models(desired, desired.export))
    steps += [_end(desired), _remove(desired)]
    return Plan(f"tear down stack {desired.name}", tuple(steps))


def _stop(desired: TeardownOptions, service: str, host: str) -> Step:
    """Stop the services before the export: a result stored after it would be lost."""
    step = Step(f"Stop the {'page' if service == 'ui' else 'API'}", (host,), (Service(service, "stop"),))
    return replace(step, done_if=(supervisor.stopped(desired.layout.root, service),))


def _redis(desired: TeardownOptions) -> Step:
    """Start Redis if it is down: the results are read through it."""
    root = desired.layout.root
    daemon = Run(
        (desired.python, "-P", "-m", "pneumoctl.targets.local.supervisor", "start", str(root)),
        title="start supervisord if it is down",
    )
    return Step(
        "Start Redis to read the results",
        ("app",),
        (daemon, Service("redis", "start")),
        (supervisor.running(root, "redis"),),
    )


def _space(desired: TeardownOptions, export: Path) -> Step:
    """Before anything stops: an export that fails later has to start the page and the API again."""
    more = (str(desired.layout.models),) if desired.has_models else ()
    check = Run(_program(desired, "check", export, *more), title=f"the space for {export}")
    return Step("Check the space for the export", ("app",), (check,), check=True)


def _results(desired: TeardownOptions, export: Path) -> Step:
    title = f"read the results from Redis into {export}"
    run = Run(_program(desired, "export", export), timeout=_EXPORT_S, title=title)
    return Step("Export the results", ("app",), (run,), id=EXPORT)


def _program(desired: TeardownOptions, verb: str, export: Path, *more: str) -> tuple[str, ...]:
    module, root = "pneumoctl.targets.local.results", str(desired.layout.root)
    return (desired.python, "-P", "-m", module, verb, root, str(export / RESULTS), *more)


def _private(folder: Path) -> Run:
    """Make a folder that only its owner can read: it will contain pictures of patients."""
    return Run(("install", "-d", "-m", "700", str(folder)), title=f"make {folder} (700)")


def _models(desired: TeardownOptions, export: Path) -> Step:
    copy = Fetch(str(desired.layout.models), str(export / "models"))
    return Step("Export the model bundles", ("app",), (_private(export), copy))


def _end(desired: TeardownOptions) -> Step:
    root = desired.layout.root
    ports = tuple(str(port) for port in desired.ports)
    prove = Probe((desired.python, "-P", "-m", "pneumoctl.targets.local.processes", "prove", str(root), *ports))
    end = Run(
        (desired.python, "-P", "-m", "pneumoctl.targets.local.processes", "end", str(root), *ports),
        title="end every process of the stack",
    )
    return Step("End every process and prove it", ("operator",), (end,), (prove,))


def _remove(desired: TeardownOptions) -> Step:
    root = str(desired.layout.root)
    # Renamed first: if this is killed, the stack is either complete or already gone.
    script = 'rm -rf "$0.removed" && { test ! -e "$0" || mv "$0" "$0.removed"; } && rm -rf "$0.removed"'
    probe = Probe(("sh", "-c", 'test ! -e "$0" && test ! -e "$0.removed"', root))
    return Step(
        "Remove the stack's directory",
        ("operator",),
        (Run(("sh", "-c", script, root), title=f"rm -rf {root}"),),
        (probe,),
    )
