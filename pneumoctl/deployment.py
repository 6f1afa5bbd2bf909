"""Bring the hosts of a stack on aws to what they should be: gather the wishes, show what differs, carry it out."""

import difflib
import getpass
import hashlib
import json
import secrets as random
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pneumoctl import facts, health, htpasswd, offline, rollback, tls
from pneumoctl.agents import Agents
from pneumoctl.console import console
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.inventory import Host, Inventory
from pneumoctl.paths import package
from pneumoctl.plan import Plan, Put, Step, Tree
from pneumoctl.plans import serving
from pneumoctl.plans.hosts import ROOT, Code, Model, Offline, Wishes
from pneumoctl.rollout import Place
from pneumoctl.settings import Settings
from pneumoctl.ssh import Connections, Unreachable
from pneumoctl.stack import Stack
from pneumoctl.transport import Output, write_atomically

OPERATOR = "operator"
LOGIN = "clinician"
LINKS = tuple(f"{kind}/{link}" for kind in ("api", "web", "model") for link in ("current", "previous"))
_READLINKS = f'cd {ROOT} 2>/dev/null || exit 0; for one in "$@"; do printf "%s %s\\n" "$one" "$(readlink "$one")"; done'


@dataclass(frozen=True)
class Hosts:
    """The running hosts of a stack, connected and, when something is to be changed, leased."""

    inventory: Inventory  # of those that answer
    agents: Agents
    lost: Mapping[str, Unreachable]  # the others

    def standing(self) -> dict[str, dict[str, str]]:
        """What `current` and `previous` point to, by host."""
        with ThreadPoolExecutor(len(self.inventory.hosts)) as pool:
            found = pool.map(self._links, self.inventory.hosts)
            return {host.name: links for host, links in zip(self.inventory.hosts, found, strict=True)}

    def _links(self, host: Host) -> dict[str, str]:
        said = self.agents.run(host, ("sh", "-c", _READLINKS, "sh", *LINKS)).stdout
        return {link: target for link, _, target in (line.partition(" ") for line in said.splitlines()) if target}

    def places(self) -> dict[str, Place]:
        """Where the steps of a plan are done."""
        return {host.name: _OnHost(host, self.agents) for host in self.inventory.hosts}

    def differences(self, todo: Mapping[str, Sequence[Step]]) -> list[str]:
        """Unified differences between the files on the hosts and the wished ones; secret contents are not shown."""
        with ThreadPoolExecutor(len(self.inventory.hosts)) as pool:
            found = pool.map(lambda host: self._differences(host, todo.get(host.name, ())), self.inventory.hosts)
            return [line for lines in found for line in lines]

    def _differences(self, host: Host, steps: Sequence[Step]) -> list[str]:
        puts = [one for step in steps for one in step.actions if isinstance(one, Put) and not one.stamp]
        live = self.agents.read(host, [put.path for put in puts]) if puts else []
        return [line for put, text in zip(puts, live, strict=True) for line in _difference(host, put, text)]


def _difference(host: Host, put: Put, live: str | None) -> list[str]:
    if live == put.content:
        return []
    name = f"{host.name}:{put.path}"
    if put.secret:
        return [f"{name}: secret contents {'differ' if live is not None else 'are new'}"]
    old, new = (live or "").splitlines(), put.content.splitlines()
    return list(difflib.unified_diff(old, new, f"{name} (now)", f"{name} (planned)", lineterm=""))


@dataclass(frozen=True)
class _OnHost:
    """A host, as a rollout sees it."""

    host: Host
    agents: Agents

    def pending(self, steps: Sequence[Step]) -> list[bool]:
        return self.agents.pending(self.host, steps)

    def act(self, step: Step) -> tuple[str, Output]:
        return self.agents.act(
            self.host,
            step,
            lambda what: console.note(
                f"  {self.host.name}: waiting for “{what}”, which an earlier run began", "yellow"
            ),
        )


@dataclass(frozen=True)
class FrontDoor:
    """The operator's own place: the proof goes from here through the front door, as a person's upload does."""

    door: health.Door
    bundle: Path

    def pending(self, steps: Sequence[Step]) -> list[bool]:
        """See rollout.Place."""
        return [True for _ in steps]

    def act(self, step: Step) -> tuple[str, Output]:
        """See rollout.Place."""
        return "done", Output(0, json.dumps(health.gate(self.door, self.bundle)), "")


@contextmanager
def opened(place: Stack, only: Collection[str] = (), change: bool = True) -> Iterator[Hosts]:
    """The stack's hosts, connected; with `change` leased to us until the end. `only`: names of hosts, all if empty.

    Raises ssh.Unreachable if none of them answers, and PneumoError (exit 5) where another pneumoctl works.
    """
    known = place.hosts()
    if known is None:
        raise PneumoError(f"stack {place.name} has no hosts yet", "pneumoctl up")
    wanted = [host for host in known.hosts if host.role != "train" and (not only or host.name in only)]
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    with Connections(known, place.ssh) as connections:
        agents = Agents(connections, holder(place.directory / "holder"), who, random.token_hex(6))
        with ThreadPoolExecutor(len(wanted)) as pool:
            asked = [(host, pool.submit(agents.lease if change else agents.greet, host)) for host in wanted]
            try:
                lost = {host.name: error for host, one in asked if (error := _missed(one)) is not None}
                here = tuple(host for host in wanted if host.name not in lost)
                if not here:
                    raise next(iter(lost.values()))
                yield Hosts(replace(known, hosts=here), agents, lost)
            finally:
                agents.close(pool)


def _missed(asked: "Future[None]") -> Unreachable | None:
    """Why a host does not answer, None if it does. Other errors stop everything."""
    try:
        asked.result()
    except Unreachable as error:
        return error
    return None


@dataclass(frozen=True)
class Ours:
    """The releases that this pneumoctl brings."""

    api: Code
    web: Code
    model: Model
    bundle: Path
    offline: Offline | None = None


def ours(settings: Settings, source: Path | None = None) -> Ours:
    """The code beside us, or in the checkout `source`, and the bundle that the settings name."""
    folder = source or package("webapp").parent
    trees = []
    for name in ("webapp", "model"):
        if not (folder / name).is_dir():
            raise PneumoError(
                f"{folder} has no folder {name}: it is no checkout of pneumoctl", "give another folder", Exit.USAGE
            )
        trees.append(facts.tree(folder / name))
    name, bundle = facts.model_bundle(settings)
    code = {kind: _code(folder, kind, trees) for kind in ("api", "ui")}
    brought = offline.read(Path(settings.offline_bundle).expanduser()) if settings.offline_bundle else None
    return Ours(code["api"], code["ui"], Model(name, facts.tree(bundle)), bundle, brought)


def _code(folder: Path, kind: str, trees: list[Tree]) -> Code:
    lock = (folder / "webapp" / kind / "requirements.txt").read_bytes()
    digest = hashlib.sha256("".join(one.digest for one in trees).encode()).hexdigest()[:12]
    return Code(digest, hashlib.sha256(lock).hexdigest()[:12], tuple(trees))


def wishes(
    place: Stack, settings: Settings, hosts: Hosts, brought: Ours, fresh: Collection[str], back: str = ""
) -> Wishes:
    """Everything that the plan depends on. `fresh`: the kinds (api, web, model) whose release is `brought`.

    The others keep what serves on each host now, where something does; kind `back` goes to what served before.
    """
    secrets, known = place.secrets(), place.hosts()
    if secrets is None or known is None:
        raise PneumoError(f"stack {place.name} has no hosts yet", "pneumoctl up")
    certificate, key = certified(place, settings, known)
    standing = hosts.standing()
    earlier = rollback.release(place, standing, back) if back else ""

    def release(host: Host, kind: str) -> str:
        """What is to serve of a kind on a host; empty for ours."""
        current = standing[host.name].get(f"{kind}/current", "").removeprefix("releases/")
        return earlier if kind == back else current if kind not in fresh else ""

    releases, models = {}, {}
    for host in hosts.inventory.hosts:
        if host.role in serving.KINDS:
            kind = serving.KINDS[host.role]
            kept = release(host, kind)
            releases[host.name] = Code(kept) if kept else getattr(brought, kind)
        if host.role == "app":
            kept = release(host, "model")
            models[host.name] = Model(kept) if kept else brought.model
    login = htpasswd.line(LOGIN, secrets.web_password)
    return Wishes(
        settings, known, secrets, certificate.decode(), key.decode(), login, releases, models, standing, brought.offline
    )


def certified(place: Stack, settings: Settings, known: Inventory) -> tuple[bytes, bytes]:
    """The front door's certificate and key: the user's, or our own, made anew before it ends."""
    now = datetime.now(UTC)
    if settings.certificate:
        files = Path(settings.certificate).expanduser(), Path(settings.certificate_key).expanduser()
        return tls.given(*files, (settings.domain,), now)
    names = (known.bastion.public_address, *((settings.domain,) if settings.domain else ()))
    return tls.kept(place.directory / "tls", names, now, f"pneumoctl {place.name}")


def front_door(place: Stack, settings: Settings, known: Inventory) -> health.Door:
    """How the operator reaches the page: by its address, which must show the one certificate that we put there."""
    secrets = place.secrets()
    login = (LOGIN, secrets.web_password) if secrets else None
    if settings.acme_email:
        return health.Door(f"https://{settings.domain}", login=login)
    certificate, _ = certified(place, settings, known)
    return health.Door(f"https://{known.bastion.public_address}", tls.fingerprint(certificate), login)


def limited(plan: Plan, hosts: Collection[str]) -> Plan:
    """The steps of a plan for some hosts."""
    return replace(plan, steps=tuple(step for step in plan.steps if set(step.hosts) & set(hosts)))


def holder(path: Path) -> str:
    """Who we are to the hosts' leases: the same for every pneumoctl that works with this stack's directory."""
    if not path.exists():
        write_atomically(path, random.token_hex(16).encode(), 0o600)
    return path.read_text().strip()
