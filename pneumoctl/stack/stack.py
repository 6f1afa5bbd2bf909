"""A stack's name and directory: its layout, secrets, ports and lock."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.stack import inventory, ownership
from pneumoctl.stack.inventory import Inventory
from pneumoctl.stack.lock import held
from pneumoctl.stack.secrets import Secrets  # part of what a stack is: others take it from here
from pneumoctl.stack.settings import Settings

Saved = TypeVar("Saved")


class Damaged(PneumoError):
    """A file of the stack can be read, and does not hold what was written."""


@dataclass(frozen=True)
class Ports:
    """Service name -> port: what the settings wished for, and what was given because that was free."""

    wished: dict[str, int]
    given: dict[str, int]


@dataclass(frozen=True)
class Cloud:
    """What a stack on aws must remember of where it is: later commands need no settings to find it."""

    region: str
    profile: str
    account: str
    bucket: str


@dataclass(frozen=True)
class Layout:
    """Where things lie on a host, below one root; the same on every target."""

    root: Path

    @property
    def releases(self) -> Path:
        """Immutable directories of code."""
        return self.root / "releases"

    @property
    def models(self) -> Path:
        """Immutable model bundles."""
        return self.root / "models"

    @property
    def logs(self) -> Path:
        """One file a service."""
        return self.root / "logs"

    @property
    def redis_data(self) -> Path:
        """Redis's append-only file: the stored results."""
        return self.root / "redis" / "data"

    @property
    def api_socket(self) -> Path:
        """Where the API of the local target listens beside its port."""
        return self.root / "api.sock"

    @property
    def redis_socket(self) -> Path:
        """Where Redis of the local target listens beside its port."""
        return self.root / "redis.sock"

    def config(self, name: str) -> Path:
        """A rendered file, by the name of its template."""
        return self.root / name

    def stamp(self, step: str) -> Path:
        """The digest that a finished step leaves."""
        return self.root / "stamps" / step


@dataclass(frozen=True)
class Stack:
    """One deployment, by name; everything that we know of it lies in its directory."""

    name: str
    directory: Path

    @property
    def layout(self) -> Layout:
        """The local target's host root is the stack's directory itself."""
        return Layout(self.directory)

    @property
    def exists(self) -> bool:
        """Whether anything was ever begun."""
        return self.directory.is_dir()

    def locked(self, command: str) -> AbstractContextManager[None]:
        """Hold the stack's lock, which lies beside the directory so that teardown can remove that."""
        ownership.refuse_root(self.directory)
        return held(self.lock, command)

    @property
    def lock(self) -> Path:
        """The lock's file."""
        return self.directory.with_name(f"{self.name}.lock")

    @property
    def journal(self) -> Path:
        """The record of every step that was done to the stack."""
        return self.directory / "journal.jsonl"

    @property
    def removed(self) -> Path:
        """What the directory is called while it is being deleted."""
        return self.directory.with_name(f"{self.name}.removed")

    @property
    def terraform(self) -> Path:
        """Terraform's working copy, with its state unless that is in S3."""
        return self.directory / "terraform"

    @property
    def ssh(self) -> Path:
        """The key pair, the pinned host keys and the OpenSSH configuration."""
        return self.directory / "ssh"

    @property
    def target(self) -> str:
        """Where the stack is: local, aws, or empty when it was never brought up."""
        if self.cloud() is not None:
            return "aws"
        return "local" if self.ports() is not None else ""

    def cloud(self) -> Cloud | None:
        """Where on aws the stack is, None if it is not there."""
        return self._read("aws.json", Cloud)

    def hosts(self) -> Inventory | None:
        """The hosts on aws as terraform last said, None before the first `up` got so far."""
        return self._read("inventory.json", lambda hosts: inventory.from_json(hosts))

    def save_cloud(self, cloud: Cloud) -> None:
        """Make the directory and remember where the stack is, before anything is made there."""
        self.make()
        self.write("aws.json", asdict(cloud))

    def save_hosts(self, known: Inventory) -> None:
        """Remember the hosts."""
        self.write("inventory.json", {"hosts": inventory.to_json(known)})

    def write(self, name: str, value: Any) -> None:
        """Save one of our JSON files, 0600."""
        ownership.refuse_root(self.directory)
        write_atomically(self.directory / name, json.dumps(value, indent=2).encode(), 0o600)

    def secrets(self) -> Secrets | None:
        """The saved secrets, None before the first `up`."""
        return self._read("secrets.json", Secrets)

    def ports(self) -> Ports | None:
        """The saved ports, None before the first `up`."""
        return self._read("ports.json", Ports)

    def inventory(self) -> Inventory | None:
        """The hosts and where their services listen, None before the first `up`."""
        ports = self.ports()
        return inventory.local(ports.given) if ports is not None else None

    def make(self) -> None:
        """Make the directory; what a killed teardown left of an older one goes."""
        ownership.refuse_root(self.directory)
        if self.removed.exists():
            shutil.rmtree(self.removed)
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def save(self, secrets: Secrets, ports: Ports) -> None:
        """Make the directory and remember both, 0600."""
        self.make()
        self.write("secrets.json", asdict(secrets))
        self.write("ports.json", asdict(ports))

    def _read(self, name: str, kind: Callable[..., Saved]) -> Saved | None:
        path = self.directory / name
        try:
            return kind(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ownership.unreadable(path, error) from error
        except (ValueError, TypeError) as error:
            hint = f"restore {path} from a backup, or, losing what is stored: pneumoctl teardown --purge"
            raise Damaged(f"{path} is damaged: {error}", hint) from error


def resolve(settings: Settings) -> tuple[Settings, Stack]:
    """The stack that the settings name, and the settings completed by what the stack remembers of itself.

    PneumoError (usage) where both speak and differ: a stack does not move to another target or region.
    """
    stack = find(settings.stack)
    target = _require_same("target", settings.target, stack.target, stack) or "local"
    cloud = stack.cloud()
    if cloud is None:
        return replace(settings, target=target), stack
    region = _require_same("region", settings.region, cloud.region, stack)
    bucket = _require_same("bucket", settings.bucket, cloud.bucket, stack)
    profile = settings.profile or cloud.profile
    return replace(settings, target=target, region=region, bucket=bucket, profile=profile), stack


def _require_same(name: str, wished: str, known: str, stack: Stack) -> str:
    if wished and known and wished != known:
        raise PneumoError(
            f"stack {stack.name} is there already with {name} {known}, not {wished}",
            f"leave {name} out, take another --stack, or first: pneumoctl teardown --stack {stack.name}",
            Exit.USAGE,
        )
    return known or wished


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The directory of all stacks: $XDG_STATE_HOME/pneumoctl."""
    return _base(environ, "XDG_STATE_HOME", ".local/state") / "pneumoctl"


def exports(environ: Mapping[str, str] = os.environ) -> Path:
    """Where teardown leaves results: $XDG_DATA_HOME/pneumoctl/exports."""
    return _base(environ, "XDG_DATA_HOME", ".local/share") / "pneumoctl" / "exports"


def _base(environ: Mapping[str, str], name: str, default: str) -> Path:
    """A base directory, its links resolved: processes are known as ours by this very path."""
    given = Path(environ.get(name, ""))  # a relative one is to be ignored, says the XDG specification
    if given.is_absolute():
        return given.resolve()
    try:
        return (Path.home() / default).resolve()
    except RuntimeError as error:  # a user without an entry in passwd, as in a container
        raise PneumoError(f"user {os.getuid()} has no home directory", f"set HOME or {name}", Exit.USAGE) from error


def find(name: str) -> Stack:
    """The stack of that name, whether it exists yet or not."""
    return Stack(name, home() / name)
