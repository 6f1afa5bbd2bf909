"""The steps that bring a release of the API, the web page or the model to a host and let it serve."""

from dataclasses import replace

from pneumoctl.hosts import nginx, old_releases
from pneumoctl.hosts.desired import Code, Wishes
from pneumoctl.hosts.layout import ETC, INSTALL_S, ROOT, STAMPS
from pneumoctl.hosts.steps import active, answers, bring, points, staged, starting
from pneumoctl.plan.render import render
from pneumoctl.plan.steps import Action, Copy, Link, Plan, Put, Run, Service, Step, holds, matches, stamped
from pneumoctl.stack.inventory import Host

KINDS = {"app": "api", "web": "web"}  # role -> kind of its releases
REDIS = "Configure Redis"  # the step before which no API can be ready
UNITS = {"app": "pneumoctl-api", "web": "pneumoctl-ui"}
SERVE = {"app": "Serve the API on {}", "web": "Serve the web page on {}"}
API_WORKERS = 2  # of 600 MB at most each, beside Redis
API_THREADS, UI_THREADS = 64, 64
# Uploads that wait or run in a worker before others are told to come back: what 20 a second pile up in a restart.
MAX_PENDING = {"app": 48, "web": 48}


def steps(wishes: Wishes) -> list[Step]:
    """Releases to their hosts, then one host after another to serve them."""
    made: list[Step] = []
    for role in ("app", "web"):
        made += [step for host in _of(wishes, role) for step in _bring(wishes, host)]
    earlier: tuple[str, ...] = (REDIS,)
    for role in ("app", "web"):
        before = earlier
        for host in _of(wishes, role):
            title = (SERVE[role].format(host.name),)
            if _drained(wishes, host):
                made.append(nginx.drain(wishes, host.name, title, before))
                before = (made[-1].title, *before)
            made.append(_serve(wishes, host, before))
            before = earlier if _new(wishes, role) else title
            model = {"model": wishes.models[host.name].name} if host.name in wishes.models else {}
            made.append(old_releases.drop(host.name, {KINDS[role]: wishes.releases[host.name].digest, **model}))
        earlier = tuple(SERVE[role].format(host.name) for host in _of(wishes, role))
    web = tuple(SERVE["web"].format(host.name) for host in _of(wishes, "web") if _drained(wishes, host))
    return [*made, nginx.fill(wishes, web)] if web else made


def _of(wishes: Wishes, role: str) -> list[Host]:
    """The hosts of a role that answer; those that serve nothing yet first, so that they can take others' requests."""
    found = [host for host in wishes.inventory.hosts if host.role == role and host.name in wishes.releases]
    return sorted(found, key=lambda host: _serves(wishes, host))


def _serves(wishes: Wishes, host: Host) -> bool:
    """Whether anything serves there now."""
    return f"{KINDS[host.role]}/current" in wishes.standing.get(host.name, {})


def _new(wishes: Wishes, role: str) -> bool:
    """Whether no host of a role serves anything yet: then they need not be switched one after another."""
    return not any(_serves(wishes, host) for host in _of(wishes, role))


def _drained(wishes: Wishes, host: Host) -> bool:
    """Whether others can take what a web host would get while it is switched, and it gets anything at all.

    API hosts need none of this: while one is switched systemd holds its socket, and requests wait.
    """
    return host.role == "web" and len(_of(wishes, "web")) > 1 and _serves(wishes, host)


def plan(wishes: Wishes, kind: str) -> Plan:
    """The steps that concern one kind of release (api, web, model) alone."""
    role = "web" if kind == "web" else "app"
    hosts = {host.name for host in _of(wishes, role)}
    return Plan(
        f"{kind} of stack {wishes.settings.stack}",
        tuple(one for one in steps(wishes) if set(one.hosts) & hosts or one.sake),
    )


def _bring(wishes: Wishes, host: Host) -> list[Step]:
    """The release's packages and code, and the model; nothing serves them yet."""
    kind, code = KINDS[host.role], wishes.releases[host.name]
    made = []
    if code.sources:
        copies = tuple(Copy(tree, f"{stack(kind, code)}/{tree.source.rpartition('/')[2]}") for tree in code.sources)
        made.append(
            Step(
                f"Copy release {code.digest} ({kind}) to {host.name}",
                (host.name,),
                copies,
                tuple(matches(one) for one in copies),
            )
        )
        made += [bring(wishes.offline, "wheels", host.name)] if wishes.offline else []
        made.append(_environment(wishes, host, kind, code))
    model = wishes.models.get(host.name)
    if model is not None and model.source is not None:
        copy = Copy(model.source, f"{ROOT}/model/releases/{model.name}")
        made.append(Step(f"Copy model {model.name} to {host.name}", (host.name,), (copy,), (matches(copy),)))
    return made


def _environment(wishes: Wishes, host: Host, kind: str, code: Code) -> Step:
    """The release's Python environment, of exactly the packages whose hashes it names."""
    venv, release = f"{ROOT}/venvs/{kind}-{code.lock}", stack(kind, code)
    requirements = f"{release}/webapp/{'api' if kind == 'api' else 'ui'}/requirements.txt"
    source = ("--no-index", "--find-links", wishes.offline.stack("wheels")) if wishes.offline else ()
    install = Run(
        ("sh", "-c", _INSTALL, "sh", venv, requirements, *source),
        INSTALL_S,
        f"pip install --require-hashes -r {requirements}",
    )
    link = Link(f"{release}/venv", venv)
    probe = Run(("sh", "-c", 'test -e "$1/complete" && test "$(readlink "$2")" = "$1"', "sh", venv, link.path))
    return Step(
        f"Install the Python packages of release {code.digest} ({kind}) on {host.name}",
        (host.name,),
        (install, link),
        (probe,),
    )


# Debian's own pip, so that the environment needs none. All cores compile, but not the packages' own tests; what cannot
# be compiled nobody imports.
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


def stack(kind: str, code: Code) -> str:
    """A release's directory."""
    return f"{ROOT}/{kind}/releases/{code.digest}"


def _serve(wishes: Wishes, host: Host, after: tuple[str, ...]) -> Step:
    """Judged beside the one that serves, put in its place, restarted while systemd holds the socket, and asked."""
    kind, unit, code = KINDS[host.role], UNITS[host.role], wishes.releases[host.name]
    files = _files(wishes, host)
    model = wishes.models.get(host.name)
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
        SERVE[host.role].format(host.name),
        (host.name,),
        (*files, *links, *manage),
        valid=(_units(unit), _check(wishes, host)),
        good=(ready,),
        after=after,
        gate=True,
    )
    step = stamped(step, f"{STAMPS}/{unit}")
    probes = (
        *(holds(file) for file in files),
        *(points(link) for link in links),
        *step.unless,
        active(f"{unit}.service"),
    )
    previous = tuple(_previous(wishes, host, link) for link in links)
    return replace(step, actions=(*(one for one in previous if one), *step.actions), unless=probes)


def _previous(wishes: Wishes, host: Host, link: Link) -> Link | None:
    """What serves now is what a rollback goes back to; nothing changes where nothing changes."""
    now = wishes.standing.get(host.name, {}).get(link.path.removeprefix(f"{ROOT}/"), "")
    return Link(link.path.replace("/current", "/previous"), now) if now and now != link.target else None


def _files(wishes: Wishes, host: Host) -> tuple[Put, ...]:
    kind, unit = KINDS[host.role], UNITS[host.role]
    service = "api" if kind == "api" else "ui"
    listen = {"address": host.address, "port": (host.services or {})[service]}
    hardened = {
        "root": ROOT,
        "workers": _workers(wishes, host),
        "threads": API_THREADS if kind == "api" else UI_THREADS,
        "memory": "80%",
    }
    return (
        Put(_environment_file(wishes, host), f"{ETC}/{service}.env", 0o600, secret=True, group="root"),
        Put(render(f"systemd/{unit}.socket", **listen), f"/etc/systemd/system/{unit}.socket", 0o644, group="root"),
        Put(render(f"systemd/{unit}.service", **hardened), f"/etc/systemd/system/{unit}.service", 0o644, group="root"),
    )


def _workers(wishes: Wishes, host: Host) -> int:
    return (wishes.settings.workers or API_WORKERS) if host.role == "app" else 1


def _environment_file(wishes: Wishes, host: Host) -> str:
    inventory, secrets = wishes.inventory, wishes.secrets
    shared = {"secrets": secrets, "max_upload_mb": wishes.settings.max_upload_mb, "max_pending": MAX_PENDING[host.role]}
    if host.role == "app":
        redis = next(one for one in inventory.hosts if "redis" in (one.services or {}))
        return render(
            "env/api.env",
            redis_host=redis.address,
            redis_port=(redis.services or {})["redis"],
            redis_socket=None,
            bundle=f"{ROOT}/model/current",
            threads=1,
            metrics="/run/pneumoctl-api/metrics",
            code=f"{ROOT}/api/current",
            **shared,
        )
    apis = [f"http://{one.address}:{(one.services or {})['api']}" for one in inventory.hosts if one.role == "app"]
    return render(
        "env/ui.env",
        api_url=",".join(apis),
        api_socket=None,
        trusted_hosts=(*nginx.server_names(wishes), host.address),
        code=f"{ROOT}/web/current",
        **shared,
    )


def _units(unit: str) -> Run:
    files = tuple(staged(f"/etc/systemd/system/{unit}.{suffix}") for suffix in ("service", "socket"))
    return Run(("systemd-analyze", "verify", "--man=no", *files), title="systemd-analyze verify")


def _check(wishes: Wishes, host: Host) -> Run:
    """The release scores its known picture in its own sandbox, with the new environment, before it may serve."""
    kind, code = KINDS[host.role], wishes.releases[host.name]
    service, release = "api" if kind == "api" else "ui", stack(kind, code)
    model = wishes.models.get(host.name)
    argv = (
        *("systemd-run", "--quiet", "--wait", "--pipe", "--collect", "-p", "DynamicUser=yes"),
        *("-p", f"EnvironmentFile={staged(f'{ETC}/{service}.env')}"),
        *("sh", "-c", 'export PYTHONPATH="$1" "MODEL_BUNDLE=$2"; shift 2; exec "$@"', "sh", release),
        f"{ROOT}/model/releases/{model.name}" if model else "",
        *(f"{release}/venv/bin/python", "-P", "-m", "webapp.check", service),
    )
    return Run(argv, 120, f"the release's own check ({code.digest})")
