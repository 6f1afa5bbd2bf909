"""The stack's SSH key pair, the pinned keys of its hosts, and the OpenSSH configuration that uses both."""

import base64
import shlex
import stat
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pneumoctl.errors import PneumoError
from pneumoctl.files import make_private, write_atomically
from pneumoctl.stack.inventory import PORTS, Host, Inventory
from pneumoctl.stack.lock import waited_for

PRIVATE, KNOWN_HOSTS, CONFIG = "id_ed25519", "known_hosts", "config"
# Time limits of every SSH connection in seconds, of Fabric's and of the OpenSSH client's.
CONNECT = 10
ALIVE = 3  # interval of keepalive requests
SILENCES = 3  # unanswered requests after which the connection counts as lost; OpenSSH allows one more: 12 s in all

WAY_BACK = "restore it from a backup; or have the hosts accept a new one (they restart): pneumoctl secrets ssh-key"


class DamagedKey(PneumoError):
    """The stack's private key is there, and is no private key."""


def key_pair(directory: Path) -> str:
    """The public key line of the stack's pair, which is created if there is none, and never replaced.

    Raises PneumoError if the private key is damaged or others may read it. A new key would not open any host.
    """
    private = directory / PRIVATE
    if not private.exists():
        write_atomically(private, _new_private_key(), 0o600)
    public = public_key(directory)
    public_file = directory / f"{PRIVATE}.pub"
    if not public_file.exists() or public_file.read_text(errors="replace") != public + "\n":
        write_atomically(public_file, (public + "\n").encode(), 0o644)
    return public


def public_key(directory: Path) -> str:
    """The public key line of the stack's pair. Raises PneumoError if the private key is missing, damaged or open."""
    check_mode(directory)
    private = directory / PRIVATE
    try:
        return _public_line(private.read_bytes())
    except (ValueError, TypeError) as error:
        raise DamagedKey(f"the stack's private key {private} is damaged", WAY_BACK) from error


def unsaved_public_key() -> str:
    """A public key line in place of the one that `up` will make, for a plan, which writes no key."""
    return _public_line(_new_private_key())


def check_mode(directory: Path) -> None:
    """Raise PneumoError if the private key is missing, or if others may read it or open its folder."""
    private = directory / PRIVATE
    if not private.is_file():
        raise PneumoError(f"the stack's private key {private} is missing, and its hosts accept no other", WAY_BACK)
    for path, desired in ((private, 0o600), (directory, 0o700)):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise PneumoError(
                f"{path} is open to other users (mode {mode:o})", f"chmod {desired:o} {shlex.quote(str(path))}"
            )


def pins(directory: Path) -> dict[str, str]:
    """The pinned host keys: instance id -> "type base64"."""
    try:
        lines = (directory / KNOWN_HOSTS).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    entries = (line.split() for line in lines if line and not line.startswith("#"))
    return {words[0]: " ".join(words[1:3]) for words in entries if len(words) >= 3}


def pin(directory: Path, host: Host, key: str) -> None:
    """Save the host key of an instance. Raises PneumoError if another key is pinned: host keys do not change."""
    with _pinning(directory):
        pinned = pins(directory)
        shown = " ".join(key.split()[:2])
        if pinned.get(host.instance_id, shown) != shown:
            raise changed(host)
        if host.instance_id not in pinned:
            _write(directory, pinned | {host.instance_id: shown})


def as_paramiko(pinned: str) -> Any:
    """A pinned host key as a paramiko object."""
    from paramiko import PKey, SSHException
    from paramiko.pkey import UnknownKeyType

    kind, coded = pinned.split()
    try:
        return PKey.from_type_string(kind, base64.b64decode(coded))
    except (SSHException, UnknownKeyType, ValueError, OSError, EOFError) as error:
        message = f"a line of the stack's {KNOWN_HOSTS} is damaged: {pinned}"
        raise PneumoError(message, "restore it from a backup, or remove that line, then: pneumoctl up") from error


def forget(directory: Path, existing: Collection[str]) -> None:
    """Remove the pins of all instances that are not in `existing`."""
    with _pinning(directory):
        pinned = pins(directory)
        remaining = {instance: key for instance, key in pinned.items() if instance in existing}
        if remaining != pinned:
            _write(directory, remaining)


def changed(host: Host) -> PneumoError:
    """The error for a host that shows another key than the pinned one."""
    return PneumoError(
        f"the host key of {host.name} ({host.instance_id}) is not the one pinned at its creation: either the "
        "connection is intercepted, or the host was rebuilt without pneumoctl. Nothing was sent to it",
        f"if you cannot explain the change, replace the instance: terminate {host.instance_id}, then: pneumoctl up "
        "(keys are pinned only from the EC2 console output of a new instance)",
    )


def ssh_config(inventory: Inventory, directory: Path) -> str:
    """OpenSSH's configuration: one complete Host block per host, so that a user's own file can include it."""
    return "\n".join(_block(host, inventory.bastion, directory) for host in inventory.hosts)


def ssh_port(host: Host) -> int:
    """The port of the host's SSH server."""
    return (host.services or {}).get("ssh", PORTS["ssh"])


def _block(host: Host, bastion: Host, directory: Path) -> str:
    direct = host == bastion
    options = {
        "HostName": host.public_address if direct else host.address,
        "Port": ssh_port(host),
        "User": host.user,
        "ProxyJump": "none" if direct else bastion.name,
        "HostKeyAlias": host.instance_id,
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": _quoted(directory / KNOWN_HOSTS),
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "IdentityFile": _quoted(directory / PRIVATE),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "BatchMode": "yes",
        "PreferredAuthentications": "publickey",
        "ForwardAgent": "no",
        # The bastion's limit is shorter, so that the error names the bastion.
        "ConnectTimeout": CONNECT - 2 if direct else CONNECT,
        "ServerAliveInterval": ALIVE,
        "ServerAliveCountMax": SILENCES,
    }
    return "\n".join((f"Host {host.name}", *(f"  {name} {value}" for name, value in options.items()), ""))


def _quoted(path: Path) -> str:
    """A path as one word: OpenSSH splits at spaces and expands %."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _pinning(directory: Path) -> AbstractContextManager[None]:
    """Hold the lock of the pins: all are lines of one file, and threads and processes pin hosts at the same time."""
    make_private(directory)
    return waited_for(directory / f"{KNOWN_HOSTS}.lock")


def _write(directory: Path, pinned: dict[str, str]) -> None:
    lines = "".join(f"{instance} {key}\n" for instance, key in sorted(pinned.items()))
    write_atomically(directory / KNOWN_HOSTS, lines.encode(), 0o600)


def _new_private_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )


def _public_line(private: bytes) -> str:
    """The public key line of a private key. Raises ValueError or TypeError if it is none."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_ssh_private_key(private, password=None)
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"{line.decode()} pneumoctl"
