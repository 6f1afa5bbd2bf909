"""The desired state of the hosts of a stack on aws: releases, certificate; and the releases they serve now."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pneumoctl import files as pneumoctl_files
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import Tree, package
from pneumoctl.hosts import nginx
from pneumoctl.hosts import releases as serving
from pneumoctl.hosts.desired import Code, DesiredState, Model, Offline
from pneumoctl.hosts.layout import ETC, ROOT
from pneumoctl.plan.steps import Plan, Step
from pneumoctl.registry import promotion
from pneumoctl.results import final_export
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.hosts import Hosts
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.configuration import certificate as tls
from pneumoctl.targets.aws.configuration import offline_bundle
from pneumoctl.targets.common import health

TLS = "tls"  # the folder of the stack's own certificate
LINKS = tuple(f"{kind}/{link}" for kind in ("api", "web", "model") for link in ("current", "previous"))
# A link that is not there is none; one that cannot be read is an error.
_READLINKS = """test -e "$1" || exit 0
cd "$1" || exit; shift
for one in "$@"; do
  test -L "$one" || continue
  target=$(readlink "$one") || exit
  printf "%s %s\\n" "$one" "$target"
done"""

_SHARED_LOGIN = """! grep -qs "^ *auth_basic_user_file " "$1" || echo nginx
test ! -e "$2" || grep -qx AUTH=users "$2" || echo page"""


def current_links(hosts: Hosts) -> dict[str, dict[str, str]]:
    """What the links `current` and `previous` of each host point to: host -> link -> target.

    Raises ssh.Unreachable if those of a host cannot be read: it is not known whether the host serves.
    """
    with ThreadPoolExecutor(len(hosts.inventory.hosts)) as pool:
        links_by_host = pool.map(lambda host: links(hosts.agents, host), hosts.inventory.hosts)
        return {host.name: links for host, links in zip(hosts.inventory.hosts, links_by_host, strict=True)}


def links(agents: Agents, host: Host) -> dict[str, str]:
    """What the links of a host point to: link -> target. Raises ssh.Unreachable if they cannot be read."""
    output = agents.read_output(host, ("sh", "-c", _READLINKS, "sh", ROOT, *LINKS), "reading its releases")
    lines = (line.partition(" ") for line in output.splitlines())
    return {link: target for link, _, target in lines if target}


def shares_login(agents: Agents, inventory: Inventory, hosts: Inventory) -> bool:
    """Whether the front door of `inventory`, or one of the web hosts of `hosts`, has the login of an earlier release.

    nginx then asks for a login that all users share, and the page for none. Raises ssh.Unreachable.
    """
    asked = (inventory.bastion, *(host for host in hosts.hosts if host.role == "web"))
    script = ("sh", "-c", _SHARED_LOGIN, "sh", nginx.CONFIG, f"{ETC}/ui.env")
    with ThreadPoolExecutor(len(asked)) as pool:
        return any(pool.map(lambda host: agents.read_output(host, script, "reading its login").strip(), asked))


@dataclass(frozen=True)
class AvailableReleases:
    """The releases of this pneumoctl, which deploy installs."""

    api: Code
    web: Code
    model: Model
    offline: Offline | None = None


def available_releases(settings: Settings, source: Path | None = None) -> AvailableReleases:
    """The code of this pneumoctl, or of the checkout `source`, and the model bundle by the settings."""
    folder = source or package("webapp").parent
    trees = []
    for name in ("webapp", "model"):
        if not (folder / name).is_dir():
            raise PneumoError(
                f"{folder} has no folder {name}: it is not a checkout of pneumoctl",
                "give a checkout of pneumoctl",
                Exit.USAGE,
            )
        trees.append(pneumoctl_files.tree(folder / name))
    name, bundle = promotion.model_bundle(settings)
    code = {kind: _code(folder, kind, trees) for kind in ("api", "ui")}
    offline = offline_bundle.read(Path(settings.offline_bundle).expanduser()) if settings.offline_bundle else None
    return AvailableReleases(code["api"], code["ui"], Model(name, pneumoctl_files.tree(bundle)), offline)


def _code(folder: Path, kind: str, trees: list[Tree]) -> Code:
    digest = pneumoctl_files.release_digest(tree.digest for tree in trees)
    return Code(digest, pneumoctl_files.sha256(folder / "webapp" / kind / "requirements.txt")[:12], tuple(trees))


@dataclass(frozen=True)
class ReleaseChoice:
    """Which release each host should serve.

    `update`: the kinds (api, web, model) whose release becomes the `ours` one. The other kinds keep the release that is
    current on each host, if there is one; kind `rollback` goes back to the release `earlier`.
    """

    available: AvailableReleases
    links: Mapping[str, Mapping[str, str]]  # host -> link -> what it points to now
    update: Collection[str]
    rollback: str = ""
    earlier: str = ""

    def code(self, host: Host) -> Code:
        """The code for a host that serves the API or the web page."""
        kind = serving.KINDS[host.role]
        name = self._release(host, kind)
        code: Code = getattr(self.available, kind)
        return Code(name) if name else code

    def model(self, host: Host) -> Model:
        """The model for a host that serves the API."""
        name = self._release(host, "model")
        return Model(name) if name else self.available.model

    def _release(self, host: Host, kind: str) -> str:
        """The name of the release, as it is on the host; empty for ours."""
        if kind == self.rollback:
            return self.earlier
        if kind in self.update:
            return ""
        return self.links[host.name].get(f"{kind}/current", "").removeprefix("releases/")


def desired_state(
    stack: Stack, settings: Settings, hosts: Inventory, choice: ReleaseChoice, shared_login: bool = False
) -> DesiredState:
    """The desired state of `hosts`: everything that their plan depends on. `shared_login`: see DesiredState."""
    secrets, inventory = stack.require_secrets(), stack.hosts()
    if inventory is None:
        raise PneumoError(f"stack {stack.name} has no hosts yet", "pneumoctl up")
    certificate, key = certified(stack, settings, inventory)
    cloud = stack.cloud()
    return DesiredState(
        settings,
        inventory,
        secrets,
        certificate.decode(),
        key.decode(),
        {host.name: choice.code(host) for host in hosts.hosts if host.role in serving.KINDS},
        {host.name: choice.model(host) for host in hosts.hosts if host.role == "app"},
        choice.links,
        (cloud.bucket, cloud.region) if cloud and settings.backup_minutes else None,
        backup_again=final_export.holds_all(stack),  # a teardown was not completed
        shared_login=shared_login,
        offline=choice.available.offline,
    )


def certified(stack: Stack, settings: Settings, inventory: Inventory) -> tuple[bytes, bytes]:
    """The certificate and key that the front door should have: the user's, or the stack's own, in time a new one."""
    now = datetime.now(UTC)
    if settings.certificate:
        files = Path(settings.certificate).expanduser(), Path(settings.certificate_key).expanduser()
        return tls.read_user_certificate(*files, (settings.domain,), now)
    names = (inventory.bastion.public_address, *((settings.domain,) if settings.domain else ()))
    return tls.load_or_make(stack.directory / TLS, names, now, f"pneumoctl {stack.name}")


def save_certificate(stack: Stack, desired: DesiredState, steps: Sequence[Step]) -> None:
    """Save the stack's own certificate if one of these steps installs it: `front_door` expects the saved one."""
    if not desired.settings.certificate and any(nginx.installs_certificate(step) for step in steps):
        tls.save(stack.directory / TLS, desired.certificate.encode(), desired.key.encode())


def page(settings: Settings, inventory: Inventory) -> str:
    """The address of the web page, as people open it."""
    return f"https://{settings.domain or inventory.bastion.public_address}"


def front_door(stack: Stack, settings: Settings, inventory: Inventory) -> health.WebEndpoint:
    """How the operator reaches the page: by its address, where the certificate is expected that was installed.

    Raises PneumoError if there is none yet.
    """
    address, fingerprint = f"https://{settings.domain}", ""
    if not settings.acme_email:
        address, fingerprint = f"https://{inventory.bastion.public_address}", _fingerprint(stack, settings, inventory)
    return health.WebEndpoint(address, fingerprint)


def _fingerprint(stack: Stack, settings: Settings, inventory: Inventory) -> str:
    try:
        own = stack.directory / TLS / tls.CERTIFICATE
        return tls.fingerprint(certified(stack, settings, inventory)[0] if settings.certificate else own.read_bytes())
    except (OSError, ValueError) as error:
        raise PneumoError("the front door is not configured yet", "pneumoctl up") from error


def limited(plan: Plan, hosts: Collection[str]) -> Plan:
    """The steps of a plan for some hosts."""
    return replace(plan, steps=tuple(step for step in plan.steps if set(step.hosts) & set(hosts)))
