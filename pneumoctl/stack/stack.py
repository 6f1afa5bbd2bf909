"""A stack: its name, its directory and the files in it."""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import make_private, write_atomically
from pneumoctl.stack import documents, inventory, ownership, saved
from pneumoctl.stack.documents import Damaged  # also imported from here by other modules
from pneumoctl.stack.inventory import Inventory
from pneumoctl.stack.layout import Layout
from pneumoctl.stack.lock import held
from pneumoctl.stack.saved import Cloud, Ports
from pneumoctl.stack.secrets import NoSecrets, Secrets
from pneumoctl.stack.settings import Settings


@dataclass(frozen=True)
class Stack:
    """One deployment by name; all its saved state lies in its directory."""

    name: str
    directory: Path

    @property
    def layout(self) -> Layout:
        """The local target's host root is the stack's directory itself."""
        return Layout(self.directory)

    @property
    def exists(self) -> bool:
        """Whether the stack has a directory."""
        return self.directory.is_dir()

    def locked(self, command: str) -> AbstractContextManager[None]:
        """Hold the stack's lock; its file lies beside the directory, so that teardown can remove the directory."""
        ownership.require_writable(self.directory)
        return held(self.lock, command)

    @property
    def lock(self) -> Path:
        """The file of the lock."""
        return self.directory.with_name(f"{self.name}.lock")

    def gpu_locked(self, command: str, wait_s: float = 0.0) -> AbstractContextManager[None]:
        """Hold the lock of the GPU host: no other pneumoctl of this machine uses or changes it.

        A run that another machine follows, or nobody, is known by its lease alone (gpu.scheduled_stop). `wait_s`:
        how long to wait for the other pneumoctl to end.
        """
        ownership.require_writable(self.directory)
        path, hint = self.directory.with_name(f"{self.name}.gpu.lock"), "or end the run: pneumoctl runs cancel"
        return held(path, command, f"the GPU host of {self.name}", hint, wait_s)

    @property
    def journal(self) -> Path:
        """The record of every step that was carried out for the stack."""
        return self.directory / "journal.jsonl"

    @property
    def removed(self) -> Path:
        """The name of the directory while teardown deletes it."""
        return self.directory.with_name(f"{self.name}.removed")

    def records(self) -> list[Path]:
        """What lies beside the directory and outlives it: the audit record, training runs, the promoted model."""
        beside = self.directory.parent.glob(f"{self.name}.*")
        return sorted(path for path in beside if path.suffix != ".lock" and path != self.removed)

    @property
    def terraform(self) -> Path:
        """Terraform's working directory, with its state unless that is in S3."""
        return self.directory / "terraform"

    @property
    def ssh(self) -> Path:
        """The key pair, the pinned host keys and the OpenSSH configuration."""
        return self.directory / "ssh"

    @property
    def target(self) -> str:
        """The target of the stack: local, aws, or empty before the first `up`."""
        if self.cloud() is not None:
            return "aws"
        return "local" if self.ports() is not None else ""

    def missing(self, options: str = "") -> PneumoError:
        """The error of a command on a stack that does not exist. `options`: those of the `up` that would make it."""
        return PneumoError(f"there is no stack {self.name!r}", f"pneumoctl up{options}")

    def require_aws(self, reason: str, instead: str = "") -> Cloud:
        """The location of the stack. Raises PneumoError if it is not on aws.

        `reason`: why the command is of no use for a local stack; `instead`: the command that is.
        """
        cloud = self.cloud()
        if cloud is None:
            if not self.target:
                raise self.missing(" --target aws")
            message = f"stack {self.name} runs on this machine (target local): {reason}"
            another = "name a stack on aws with --stack, or make one: pneumoctl up --target aws --stack NAME"
            raise PneumoError(message, f"{instead}; or {another}" if instead else another, Exit.USAGE)
        return cloud

    def cloud(self) -> Cloud | None:
        """The location of the stack on aws, None if it is not on aws."""
        return saved.cloud(self.directory)

    @property
    def made_elsewhere(self) -> bool:
        """Whether another machine made the stack, if there is one on aws: `up` has saved nothing here.

        A teardown from here that did not end leaves terraform's working copy alone, from which `cloud` can be derived.
        """
        return not any((self.directory / name).exists() for name in (saved.CLOUD, saved.HOSTS, saved.SECRETS))

    def hosts(self) -> Inventory | None:
        """The hosts on aws from terraform's last outputs, None before the first `up` has made them."""
        return saved.hosts(self.directory)

    @property
    def may_have_training_host(self) -> bool:
        """Whether a training host is in the inventory, or may be, because that cannot be read."""
        try:
            hosts = self.hosts()
        except Damaged:
            return True
        return hosts is not None and any(host.role == "train" for host in hosts.hosts)

    def save_cloud(self, cloud: Cloud) -> None:
        """Create the directory and save the location of the stack, before any resource is created."""
        self.make()
        self.write(saved.CLOUD, asdict(cloud))

    def save_hosts(self, hosts: Inventory) -> None:
        """Save the hosts on aws."""
        self.write(saved.HOSTS, inventory.to_json(hosts))

    def write(self, name: str, value: Any) -> None:
        """Write one JSON file of the stack with mode 0600."""
        ownership.require_writable(self.directory)
        write_atomically(self.directory / name, json.dumps(value, indent=2).encode(), 0o600)

    def secrets(self) -> Secrets | None:
        """The saved secrets, None before the first `up`."""
        return saved.secrets(self.directory)

    def require_secrets(self) -> Secrets:
        """The saved secrets. Raises NoSecrets if there are none here; a stack on aws has them on its hosts, too."""
        secrets = self.secrets()
        if secrets is not None:
            return secrets
        if self.hosts() is None:
            raise NoSecrets(f"stack {self.name} has no hosts yet", "pneumoctl up")
        path = self.directory / saved.SECRETS
        raise NoSecrets(f"{path} is missing", "pneumoctl up, which reads the secrets back from the hosts")

    def ports(self) -> Ports | None:
        """The saved ports, None before the first `up`."""
        return saved.ports(self.directory)

    def inventory(self) -> Inventory | None:
        """The hosts of the local target with their ports, None before the first `up`."""
        ports = self.ports()
        return inventory.local(ports.assigned) if ports is not None else None

    def make(self) -> None:
        """Create the directory; remove what a killed teardown left of an older one."""
        ownership.require_writable(self.directory)
        if self.removed.exists():
            shutil.rmtree(self.removed)
        make_private(self.directory)

    def save(self, secrets: Secrets, ports: Ports) -> None:
        """Create the directory and save both with mode 0600."""
        self.make()
        self.write(saved.SECRETS, asdict(secrets))
        self.write(saved.PORTS, asdict(ports))


def use_where_made(directory: Path | str) -> str:
    """The hint for a stack that another machine made. `directory`: the stack's directory on this one."""
    return f"use that machine, or copy its directory from there to {directory}"


def resolve(settings: Settings) -> tuple[Settings, Stack]:
    """The stack that the settings name, and the settings completed with what the stack has saved.

    Raises PneumoError (usage) if the two contradict: a stack does not move to another target, region or bucket.
    """
    stack = find(settings.stack)
    target = _require_same("target", settings.target, stack.target, stack) or "local"
    if target == "aws" and settings.auth == "none":
        raise PneumoError("the setting auth is 'none'; it must be users for a stack on aws", "remove auth", Exit.USAGE)
    cloud = stack.cloud()
    if cloud is None:
        return replace(settings, target=target), stack
    region = _require_same("region", settings.region, cloud.region, stack)
    bucket = _require_same("bucket", settings.bucket, cloud.bucket, stack)
    profile = settings.profile or cloud.profile
    return replace(settings, target=target, region=region, bucket=bucket, profile=profile), stack


def _require_same(name: str, requested: str, saved: str, stack: Stack) -> str:
    if requested and saved and requested != saved:
        raise PneumoError(
            f"stack {stack.name} exists already with {name} {saved}, not {requested}",
            f"use another --stack; or, to use this one: PNEUMO_{name.upper()}={saved} pneumoctl status --stack "
            f"{stack.name}",
            Exit.USAGE,
            setting=name,
            saved=saved,
        )
    return saved or requested


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The directory of all stacks: $XDG_STATE_HOME/pneumoctl."""
    return _base(environ, "XDG_STATE_HOME", ".local/state") / "pneumoctl"


def exports(environ: Mapping[str, str] = os.environ) -> Path:
    """The directory for exports of teardown: $XDG_DATA_HOME/pneumoctl/exports."""
    return _base(environ, "XDG_DATA_HOME", ".local/share") / "pneumoctl" / "exports"


def _base(environ: Mapping[str, str], name: str, default: str) -> Path:
    """A base directory with its links resolved: processes of a stack are recognized by this exact path."""
    path = Path(environ.get(name, ""))
    if path.is_absolute():
        return path.resolve()
    if environ.get(name):  # the XDG specification says to ignore it
        documents.warn_once(f"{name}={environ[name]} is ignored: it is not an absolute path")
    try:
        return (Path.home() / default).resolve()
    except RuntimeError as error:  # a user without an entry in passwd, as in a container
        raise PneumoError(f"user {os.getuid()} has no home directory", f"set HOME or {name}", Exit.USAGE) from error


def find(name: str) -> Stack:
    """The stack of a name, whether it exists or not."""
    return Stack(name, home() / name)
