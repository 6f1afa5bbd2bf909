"""Steps and probes that several plans for hosts on aws share."""

from dataclasses import replace
from typing import Literal

from pneumoctl.hosts.desired import Offline
from pneumoctl.hosts.layout import COPY_S, INSTALL_S, ROOT, STAGED, STAMPS, UNITS
from pneumoctl.plan.steps import Copy, Link, Packages, Probe, Put, Run, Service, Step, Unit, file_matches, stamped
from pneumoctl.stack.inventory import Inventory

# A new host may still run its own first update, for minutes: wait for its locks. apt's own time limit covers the lock
# of the packages, not that of their lists.
APT_UPDATE = """update() {
  end=$(($(date +%s) + 300))
  until said=$(LC_ALL=C apt-get -q "$@" update 2>&1); do
    case $said in *"Could not get lock"*) ;; *) end=0 ;; esac
    test "$(date +%s)" -lt "$end" || { echo "$said" >&2; return 100; }
    sleep 2
  done
}"""
_APT = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confold")
_INSTALL = ("install", "--no-install-recommends")
APT_INSTALL = " ".join((*_APT, *_INSTALL))


def hosts_of(inventory: Inventory, *roles: str) -> tuple[str, ...]:
    """The names of the hosts of these roles."""
    return tuple(host.name for host in inventory.hosts if host.role in roles)


def packages(title: str, hosts: tuple[str, ...], names: tuple[str, ...], offline: Offline | None = None) -> Step:
    """Install Debian packages from the host's own sources or from an offline bundle."""
    options: tuple[str, ...] = ()
    if offline:
        keep_lists = ("-o", "Dir::Etc::sourceparts=-", "-o", "APT::Get::List-Cleanup=0")
        options = ("-o", f"Dir::Etc::sourcelist={offline.apt}", *keep_lists)
    actions = (
        Run(("sh", "-c", f'{APT_UPDATE}\nupdate "$@"', "sh", *options), INSTALL_S, "apt-get update"),
        Run((*_APT, *options, *_INSTALL, *names), INSTALL_S, f"apt-get install {' '.join(names)}"),
    )
    return Step(title, hosts, actions, (installed(names),))


def installed(names: tuple[str, ...]) -> Probe:
    """Succeeds if all these Debian packages are installed."""
    script = '! dpkg-query -W -f "\\${db:Status-Status}\\n" "$@" 2>&1 | grep -qvx installed'
    return Probe(("sh", "-c", script, "sh", *names), subject=Packages(names))


def copy_offline_bundle(bundle: Offline, kind: str, host: str) -> Step:
    """Copy the packages for a host without internet access, and remove those of earlier bundles."""
    copy = Copy(getattr(bundle, kind), bundle.path(kind))
    sources = Put(f"deb [trusted=yes] file:{bundle.path('debs')} ./\n", bundle.apt, 0o644, group="root")
    files = (sources,) if kind == "debs" else ()
    pattern = f"{ROOT}/offline/{kind}-*"
    older = Run(("sh", "-c", _REMOVE_OLDER, "sh", pattern, copy.path), COPY_S, "remove earlier bundles")
    exists = Probe(("test", "-d", copy.path))
    title = f"Copy the offline bundle ({kind}) to {host}"
    return Step(title, (host,), (copy, *files, older), (exists, *(file_matches(file) for file in files)))


_REMOVE_OLDER = 'for path in $1; do test "$path" = "$2" || rm -rf -- "$path"; done'


def service(
    title: str,
    host: str,
    unit: str,
    files: tuple[Put, ...],
    validate: tuple[Probe, ...] = (),
    verify: tuple[Probe, ...] = (),
    verb: Literal["restart", "reload"] = "restart",
    salt: str = "",
    step_id: str = "",
) -> Step:
    """Configure a service that Debian packages: validate its files, replace them, restart it, verify that it runs.

    `salt` is anything else whose change requires a restart.
    """
    unit_files = any(file.path.startswith(UNITS) for file in files)
    reread = (Run(("systemctl", "daemon-reload")),) if unit_files else ()
    step = Step(
        title,
        (host,),
        (*files, *reread, starting(unit), Service(unit, verb)),
        validate=validate,
        verify=(active(unit), *verify),
        id=step_id,
        salt=salt,
    )
    step = stamped(step, f"{STAMPS}/{unit}")
    return replace(step, done_if=(*(file_matches(file) for file in files), *step.done_if, active(unit), enabled(unit)))


def active(unit: str) -> Probe:
    """Succeeds if a unit runs."""
    return Probe(("systemctl", "is-active", "--quiet", unit), title=f"{unit} runs", subject=Unit(unit, "running"))


def starting(unit: str) -> Run:
    """Enable a unit unless it is enabled: systemd is slow to do so for units that also have an init script."""
    script = 'systemctl is-enabled --quiet "$1" || systemctl enable --quiet "$1"'
    return Run(("sh", "-c", script, "sh", unit), title=f"start {unit} at boot")


def enabled(unit: str) -> Probe:
    """Succeeds if a unit starts at boot, by itself or because another unit requires it."""
    script = 'case $(systemctl is-enabled "$1") in enabled|static|indirect|generated|alias) ;; *) exit 1 ;; esac'
    return Probe(("sh", "-c", script, "sh", unit), title=f"{unit} starts at boot", subject=Unit(unit, "enabled"))


def answers(url: str, unit: str = "", seconds: int = 60) -> Probe:
    """Waits until a URL answers 200; prints the last answer if it does not.

    `unit`: the service that answers there; the wait ends early if it has ended by itself. It also ends if the answer
    says of a fault that it is lasting.
    """
    return Probe(("sh", "-c", _WAIT, "sh", url, str(seconds), unit), seconds + 30, f"wait until {url} is ready")


# While systemd holds the socket, a service that keeps crashing looks silent, not refused; its log says why.
_WAIT = """end=$(($(date +%s) + $2))
until answer=$(curl -s --max-time 3 -w ' %{http_code}' "$1"); test "${answer##* }" = 200; do
  case $answer in *'"lasting":true'*) printf '%s\n' "${answer% *}"; exit 1 ;; esac
  if test "$3" && { ! systemctl is-active --quiet "$3" || test "$(systemctl show -P NRestarts "$3")" != 0; }; then
    journalctl -q -o cat -n 15 -u "$3"; echo "$3 ended by itself"; exit 1
  fi
  test "$(date +%s)" -lt "$end" || { curl -sS --max-time 10 "$1"; exit 1; }
  sleep 0.2
done
"""


def link_matches(link: Link) -> Probe:
    """Succeeds if a link has its desired target."""
    return Probe(("sh", "-c", 'test "$(readlink "$1")" = "$2"', "sh", link.path, link.target))


def staged(path: str) -> str:
    """The path of a file while it is validated."""
    return STAGED + path
