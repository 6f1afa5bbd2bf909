"""The stack's SSH identities: its own key pair, the pinned keys of its hosts, and OpenSSH's configuration of both."""

import shlex
import stat
import threading
from collections.abc import Collection
from pathlib import Path

from pneumoctl.errors import PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.stack.inventory import PORTS, Host, Inventory

PRIVATE, KNOWN_HOSTS, CONFIG = "id_ed25519", "known_hosts", "config"
# Bounds of every SSH connection, in seconds, here and in the configuration for the system's client.
CONNECT = 10
ALIVE = 3  # how often a silent host is asked for a sign of life
SILENCES = 3  # so many unanswered, and the link counts as cut; OpenSSH gives it one more: 12 s in all

_pinning = threading.Lock()  # hosts are awaited in parallel, and all pins are lines of one file


def key_pair(directory: Path) -> str:
    """The public key line of the stack's pair; the pair is made where there is none, and never made anew.

    PneumoError if the private key is damaged or others may read it: a new one would lock us out of every host.
    """
    private = directory / PRIVATE
    if not private.exists():
        write_atomically(private, _new_private_key(), 0o600)
    check_mode(directory)
    public = _public_line(private)
    beside = directory / f"{PRIVATE}.pub"
    if not beside.exists() or beside.read_text() != public + "\n":
        write_atomically(beside, (public + "\n").encode(), 0o644)
    return public


def check_mode(directory: Path) -> None:
    """PneumoError if the private key is missing, or if anybody but its owner may read it or enter its folder."""
    private = directory / PRIVATE
    if not private.is_file():
        raise PneumoError(f"the stack's private key {private} is missing", "restore it from a backup, or: pneumoctl up")
    for path, wished in ((private, 0o600), (directory, 0o700)):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise PneumoError(f"{path} is open to others (mode {mode:o})", f"chmod {wished:o} {shlex.quote(str(path))}")


def pins(directory: Path) -> dict[str, str]:
    """Instance id -> its pinned host key ("type base64")."""
    try:
        lines = (directory / KNOWN_HOSTS).read_text().splitlines()
    except FileNotFoundError:
        return {}
    entries = (line.split() for line in lines if line and not line.startswith("#"))
    return {words[0]: " ".join(words[1:3]) for words in entries if len(words) >= 3}


def pin(directory: Path, host: Host, key: str) -> None:
    """Remember the host key of an instance. PneumoError if another one is remembered: it never changes by itself."""
    with _pinning:
        known = pins(directory)
        wished = " ".join(key.split()[:2])
        if known.get(host.instance_id, wished) != wished:
            raise changed(host)
        if host.instance_id not in known:
            _write(directory, known | {host.instance_id: wished})


def forget(directory: Path, living: Collection[str]) -> None:
    """Drop the pins of all instances but these."""
    with _pinning:
        known = pins(directory)
        kept = {one: key for one, key in known.items() if one in living}
        if kept != known:
            _write(directory, kept)


def changed(host: Host) -> PneumoError:
    """The hard stop for a host that shows another key than the pinned one."""
    return PneumoError(
        f"the host key of {host.name} ({host.instance_id}) is not the one pinned when it was made: either somebody "
        "stands between you and the host, or it was rebuilt behind pneumoctl's back. Nothing was sent to it",
        f"if the instance cannot be explained, replace it: terminate {host.instance_id}, then: pneumoctl up "
        "(only the EC2 console output of a new instance gives a new pin)",
    )


def ssh_config(inventory: Inventory, directory: Path) -> str:
    """OpenSSH's configuration: a Host block a host, complete in itself so that a user's own file may include it."""
    return "\n".join(_block(host, inventory.bastion, directory) for host in inventory.hosts)


def ssh_port(host: Host) -> int:
    """Where the host's SSH server listens."""
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
        # The bastion's own time-out comes first, so that the error names the bastion.
        "ConnectTimeout": CONNECT - 2 if direct else CONNECT,
        "ServerAliveInterval": ALIVE,
        "ServerAliveCountMax": SILENCES,
    }
    return "\n".join((f"Host {host.name}", *(f"  {name} {value}" for name, value in options.items()), ""))


def _quoted(path: Path) -> str:
    """A path as one word: OpenSSH splits at blanks and expands %."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _write(directory: Path, known: dict[str, str]) -> None:
    lines = "".join(f"{one} {key}\n" for one, key in sorted(known.items()))
    write_atomically(directory / KNOWN_HOSTS, lines.encode(), 0o600)


def _new_private_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )


def _public_line(private: Path) -> str:
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_ssh_private_key(private.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        hint = "restore it from a backup, or, giving up the stack's hosts: pneumoctl teardown"
        raise PneumoError(f"the stack's private key {private} is damaged", hint) from error
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"{line.decode()} pneumoctl"
