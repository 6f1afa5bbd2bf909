"""What the plans for hosts on aws share: the wishes, where things lie there, and steps of the usual shapes."""

from dataclasses import replace

from pneumoctl.hosts.desired import Offline
from pneumoctl.hosts.layout import BRING_S, INSTALL_S, ROOT, STAGED, STAMPS, UNITS
from pneumoctl.plan.steps import Copy, Link, Put, Run, Service, Step, holds, stamped
from pneumoctl.stack.inventory import Inventory


def names(inventory: Inventory, *roles: str) -> tuple[str, ...]:
    """The hosts of some roles that run all the time."""
    return tuple(host.name for host in inventory.hosts if host.role in roles)


def packages(title: str, hosts: tuple[str, ...], wanted: tuple[str, ...], offline: Offline | None = None) -> Step:
    """Debian packages, from the host's own sources or from what was brought."""
    lock: tuple[str, ...] = ("-o", "DPkg::Lock::Timeout=300")  # a new host may be busy with its own first update
    if offline:  # and the lists of its own sources stay
        own = ("-o", "Dir::Etc::sourceparts=-", "-o", "APT::Get::List-Cleanup=0")
        lock = (*lock, "-o", f"Dir::Etc::sourcelist={offline.apt}", *own)
    actions = (
        Run(("apt-get", "-q", *lock, "update"), INSTALL_S, "apt-get update"),
        Run(
            (
                "apt-get",
                "-q",
                "-y",
                *lock,
                "-o",
                "Dpkg::Options::=--force-confold",
                "install",
                "--no-install-recommends",
                *wanted,
            ),
            INSTALL_S,
            f"apt-get install {' '.join(wanted)}",
        ),
    )
    return Step(title, hosts, actions, (installed(wanted),))


def installed(wanted: tuple[str, ...]) -> Run:
    """A probe that succeeds when all these Debian packages are installed."""
    script = '! dpkg-query -W -f "\\${db:Status-Status}\\n" "$@" 2>&1 | grep -qvx installed'
    return Run(("sh", "-c", script, "sh", *wanted))


def bring(bundle: Offline, kind: str, host: str) -> Step:
    """Packages for a host that reaches no internet, by their digest; those of earlier bundles go."""
    copy = Copy(getattr(bundle, kind), bundle.stack(kind))
    sources = Put(f"deb [trusted=yes] file:{bundle.stack('debs')} ./\n", bundle.apt, 0o644, group="root")
    files = (sources,) if kind == "debs" else ()
    pattern = f"{ROOT}/offline/{kind}-*"
    older = Run(("sh", "-c", _OLDER, "sh", pattern, copy.path), BRING_S, "drop those of earlier bundles")
    there = Run(("test", "-d", copy.path))
    title = f"Bring the offline bundle ({kind}) to {host}"
    return Step(title, (host,), (copy, *files, older), (there, *(holds(file) for file in files)))


_OLDER = 'for one in $1; do test "$one" = "$2" || rm -rf -- "$one"; done'


def service(
    title: str,
    host: str,
    unit: str,
    files: tuple[Put, ...],
    valid: tuple[Run, ...] = (),
    good: tuple[Run, ...] = (),
    verb: str = "restart",
    salt: str = "",
) -> Step:
    """Files of a service that Debian packages: judged, swapped, the service told, its answer awaited.

    `salt` stands for what else the service must be told of when it changes.
    """
    told = Service(unit, "reload" if verb == "reload" else "restart")
    note = (Run(("true", salt), title="note what it is told"),) if salt else ()
    unit_files = any(file.path.startswith(UNITS) for file in files)
    reread = (Run(("systemctl", "daemon-reload")),) if unit_files else ()
    step = Step(
        title,
        (host,),
        (*files, *note, *reread, starting(unit), told),
        valid=valid,
        good=(active(unit), *good),
    )
    step = stamped(step, f"{STAMPS}/{unit}")
    return replace(step, unless=(*(holds(file) for file in files), *step.unless, active(unit), enabled(unit)))


def active(unit: str) -> Run:
    """A probe that succeeds when a unit runs."""
    return Run(("systemctl", "is-active", "--quiet", unit), title=f"{unit} runs")


def starting(unit: str) -> Run:
    """Let a unit start at boot; most do already, and systemd takes long over it where an init script is beside."""
    script = 'systemctl is-enabled --quiet "$1" || systemctl enable --quiet "$1"'
    return Run(("sh", "-c", script, "sh", unit), title=f"start {unit} at boot")


def enabled(unit: str) -> Run:
    """A probe that succeeds when a unit starts at boot, by itself or because another asks for it."""
    script = 'case $(systemctl is-enabled "$1") in enabled|static|indirect|generated|alias) ;; *) exit 1 ;; esac'
    return Run(("sh", "-c", script, "sh", unit), title=f"{unit} starts at boot")


def answers(url: str, unit: str = "", seconds: int = 60) -> Run:
    """A probe that waits for an address to answer 200, and tells the last answer otherwise.

    `unit`: who answers there; once that has ended by itself nobody is kept waiting.
    """
    return Run(("sh", "-c", _AWAIT, "sh", url, str(seconds), unit), seconds + 30, f"wait until {url} is ready")


# Behind a held socket a service that ends and ends again is silent, not refused; its own words tell why.
_AWAIT = """end=$(($(date +%s) + $2))
until test "$(curl -s --max-time 3 -o /dev/null -w '%{http_code}' "$1")" = 200; do
  if test "$3" && { ! systemctl is-active --quiet "$3" || test "$(systemctl show -P NRestarts "$3")" != 0; }; then
    journalctl -q -o cat -n 15 -u "$3"; echo "$3 ended by itself"; exit 1
  fi
  test "$(date +%s)" -lt "$end" || { curl -sS --max-time 10 "$1"; exit 1; }
  sleep 0.2
done
"""


def points(link: Link) -> Run:
    """A probe that succeeds when a link points where it should."""
    return Run(("sh", "-c", 'test "$(readlink "$1")" = "$2"', "sh", link.path, link.target))


def staged(path: str) -> str:
    """Where a file lies while it is judged."""
    return STAGED + path
