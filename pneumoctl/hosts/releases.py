"""The steps that copy a release of the API, the web page or the model to a host and switch the host to it."""

from dataclasses import replace

from pneumoctl.hosts import batches, nginx, old_releases, service_files
from pneumoctl.hosts.desired import Code, DesiredState
from pneumoctl.hosts.layout import ETC, INSTALL_S, ROOT, STAMPS
from pneumoctl.hosts.steps import active, answers, copy_offline_bundle, link_matches, staged, starting
from pneumoctl.plan.steps import (
    Action,
    Copy,
    Link,
    Plan,
    Probe,
    Run,
    Service,
    Step,
    file_matches,
    stamped,
    tree_matches,
)
from pneumoctl.stack.inventory import Host
from pneumoctl.stack.settings import erases

KINDS = {"app": "api", "web": "web"}  # role -> kind of its releases
REDIS = "redis"  # id of the step that configures Redis, which every API needs
UNITS = {"app": "pneumoctl-api", "web": "pneumoctl-ui"}
SERVE = {"app": "Serve the API on {}", "web": "Serve the web page on {}"}


def steps(desired: DesiredState) -> list[Step]:
    """Copy releases to all hosts in parallel, then switch one batch of hosts after another."""
    steps: list[Step] = []
    for role in ("app", "web"):
        steps += [step for host in _hosts(desired, role) for step in _copy(desired, host)]
    earlier: tuple[str, ...] = (REDIS,)
    for role in ("app", "web"):
        steps += _switch(desired, role, earlier)
        earlier = tuple(serve_id(host) for host in _hosts(desired, role))
    drained = tuple(serve_id(host) for host in _hosts(desired, "web") if _is_drained(desired, host))
    return [*steps, nginx.fill(desired, drained)] if drained else steps


def _switch(desired: DesiredState, role: str, earlier: tuple[str, ...]) -> list[Step]:
    """Switch the hosts of a role after the steps `earlier`: batch after batch, the hosts of a batch in parallel.

    If a host fails, the batches after its own are left as they are.
    """
    steps: list[Step] = []
    after = earlier
    for batch in _batches(desired, role):
        served = tuple(serve_id(host) for host in batch)
        if drained := tuple(host.name for host in batch if _is_drained(desired, host)):
            drain = nginx.drain(desired, drained, served, after)
            steps.append(drain)
            after = (drain.id, *after)
        for host in batch:
            steps += [_serve(desired, host, after), _remove_old(desired, host)]
        after = served
    return steps


def _batches(desired: DesiredState, role: str) -> batches.Batches:
    hosts = _hosts(desired, role)
    new = [host for host in hosts if not _serves(desired, host)]
    total = sum(host.role == role for host in desired.inventory.hosts)
    return batches.of(desired.settings.batch, new, [host for host in hosts if host not in new], total)


def _remove_old(desired: DesiredState, host: Host) -> Step:
    model = {"model": desired.models[host.name].name} if host.name in desired.models else {}
    return old_releases.remove(host.name, {KINDS[host.role]: desired.releases[host.name].digest, **model})


def serve_id(host: Host) -> str:
    """The id of the step that switches a host to its release."""
    return f"serve {host.name}"


def _hosts(desired: DesiredState, role: str) -> list[Host]:
    """The reachable hosts of a role."""
    return [host for host in desired.inventory.hosts if host.role == role and host.name in desired.releases]


def _serves(desired: DesiredState, host: Host) -> bool:
    """Whether the host serves any release now."""
    return f"{KINDS[host.role]}/current" in desired.current_links.get(host.name, {})


def _is_drained(desired: DesiredState, host: Host) -> bool:
    """Whether a host is drained while it is switched: a web host that serves, if others can take its requests.

    API hosts are not drained: systemd holds their socket while the service restarts, and requests wait.
    """
    return host.role == "web" and len(_hosts(desired, "web")) > 1 and _serves(desired, host)


def plan(desired: DesiredState, kind: str) -> Plan:
    """The steps for one kind of release (api, web, model)."""
    role = "web" if kind == "web" else "app"
    hosts = {host.name for host in _hosts(desired, role)}
    return Plan(
        f"{kind} of stack {desired.settings.stack}",
        tuple(step for step in steps(desired) if set(step.hosts) & hosts or step.needed_by),
    )


def _copy(desired: DesiredState, host: Host) -> list[Step]:
    """Copy the code and the model, and install the packages; the host does not serve them yet."""
    kind, code = KINDS[host.role], desired.releases[host.name]
    steps = []
    if code.sources:
        copies = tuple(Copy(tree, f"{directory(kind, code)}/{tree.source.rpartition('/')[2]}") for tree in code.sources)
        steps.append(
            Step(
                f"Copy release {code.digest} ({kind}) to {host.name}",
                (host.name,),
                copies,
                tuple(tree_matches(copy) for copy in copies),
            )
        )
        steps += [copy_offline_bundle(desired.offline, "wheels", host.name)] if desired.offline else []
        steps.append(_environment(desired, host, kind, code))
    model = desired.models.get(host.name)
    if model is not None and model.source is not None:
        copy = Copy(model.source, f"{ROOT}/model/releases/{model.name}")
        steps.append(Step(f"Copy model {model.name} to {host.name}", (host.name,), (copy,), (tree_matches(copy),)))
    return steps


def _environment(desired: DesiredState, host: Host, kind: str, code: Code) -> Step:
    """The release's Python environment, with exactly the packages whose hashes its requirements list."""
    venv, release = f"{ROOT}/venvs/{kind}-{code.lock}", directory(kind, code)
    requirements = f"{release}/webapp/{'api' if kind == 'api' else 'ui'}/requirements.txt"
    source = ("--no-index", "--find-links", desired.offline.path("wheels")) if desired.offline else ()
    install = Run(
        ("sh", "-c", _INSTALL, "sh", venv, requirements, *source),
        INSTALL_S,
        f"pip install --require-hashes -r {requirements}",
    )
    link = Link(f"{release}/venv", venv)
    probe = Probe(("sh", "-c", 'test -e "$1/complete" && test "$(readlink "$2")" = "$1"', "sh", venv, link.path))
    return Step(
        f"Install the Python packages of release {code.digest} ({kind}) on {host.name}",
        (host.name,),
        (install, link),
        (probe,),
    )


# Debian's pip installs into the environment, which has none of its own. All modules except the packages' own tests are
# compiled on all cores; modules that do not compile are never imported.
_INSTALL = """set -eu
venv=$1 file=$2; shift 2
test ! -e "$venv/complete" || exit 0
rm -rf "$venv"
python3 -m venv --without-pip "$venv"
pip=$(ls /usr/share/python-wheels/pip-*.whl)/pip
"$venv/bin/python" "$pip" install -q --disable-pip-version-check --no-input --no-cache-dir --no-compile \\
    --require-hashes --only-binary :all: "$@" -r "$file"
"$venv/bin/python" -m compileall -q -j 0 -x /tests/ "$venv/lib" || true
touch "$venv/complete"
"""


def directory(kind: str, code: Code) -> str:
    """The directory of a release."""
    return f"{ROOT}/{kind}/releases/{code.digest}"


def _serve(desired: DesiredState, host: Host, after: tuple[str, ...]) -> Step:
    """Validate a release beside the current one, switch to it, restart while systemd holds the socket, and verify."""
    kind, unit, code = KINDS[host.role], UNITS[host.role], desired.releases[host.name]
    files = service_files.files(desired, host)
    model = desired.models.get(host.name)
    links = [Link(f"{ROOT}/{kind}/current", f"releases/{code.digest}")]
    links += [Link(f"{ROOT}/model/current", f"releases/{model.name}")] if model else []
    manage: tuple[Action, ...] = (
        Run(("systemctl", "daemon-reload")),
        Run(("systemctl", "enable", "--quiet", "--now", f"{unit}.socket"), title=f"listen for {unit}"),
        starting(f"{unit}.service"),
        Service(f"{unit}.service", "restart"),
    )
    port = (host.services or {})["api" if kind == "api" else "ui"]
    ready = answers(f"http://{host.address}:{port}/readyz", f"{unit}.service")
    step = Step(
        SERVE[host.role].format(host.name) + (erases(desired.settings) if kind == "api" else ""),
        (host.name,),
        (*files, *links, *manage),
        validate=(_units(unit), _check(desired, host)),
        verify=(ready,),
        after=after,
        gate=True,
        id=serve_id(host),
    )
    step = stamped(step, f"{STAMPS}/{unit}")
    probes = (
        *(file_matches(file) for file in files),
        *(link_matches(link) for link in links),
        *step.done_if,
        active(f"{unit}.service"),
    )
    previous = tuple(_previous(desired, host, link) for link in links)
    return replace(step, actions=(*(link for link in previous if link), *step.actions), done_if=probes)


def _previous(desired: DesiredState, host: Host, link: Link) -> Link | None:
    """The link for a later rollback: to the current target, unless that is already the desired one."""
    current = desired.current_links.get(host.name, {}).get(link.path.removeprefix(f"{ROOT}/"), "")
    previous = link.path.replace("/current", "/previous")
    return Link(previous, current) if current and current != link.target else None


def _units(unit: str) -> Probe:
    files = tuple(staged(f"/etc/systemd/system/{unit}.{suffix}") for suffix in ("service", "socket"))
    return Probe(("systemd-analyze", "verify", "--man=no", *files), title="systemd-analyze verify")


def _check(desired: DesiredState, host: Host) -> Probe:
    """Scores a test picture with the new release in a sandbox, before the host switches to it."""
    kind, code = KINDS[host.role], desired.releases[host.name]
    service, release = "api" if kind == "api" else "ui", directory(kind, code)
    model = desired.models.get(host.name)
    argv = (
        *("systemd-run", "--quiet", "--wait", "--pipe", "--collect", "-p", "DynamicUser=yes"),
        *("-p", f"EnvironmentFile={staged(f'{ETC}/{service}.env')}"),
        *("sh", "-c", 'export PYTHONPATH="$1" "MODEL_BUNDLE=$2"; shift 2; exec "$@"', "sh", release),
        f"{ROOT}/model/releases/{model.name}" if model else "",
        *(f"{release}/venv/bin/python", "-P", "-m", "webapp.check", service),
    )
    return Probe(argv, 120, f"the release's own check ({code.digest})")
