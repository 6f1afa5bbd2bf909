"""The MAC keys of exported results, kept beside the stack's directory: without its key, no export can be imported.

An export names the keys that sealed it by their ids and never contains them. A teardown removes the secrets of a stack;
these keys stay on this machine, in NAME.mac-keys.json (0600).
"""

import hashlib
import hmac
import json
from collections.abc import Collection
from pathlib import Path

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.stack.documents import Damaged
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Stack, home
from pneumoctl.terminal.console import console

SUFFIX = ".mac-keys.json"


class KeysMissing(PneumoError):
    """A copy of results has a key that is not on this machine, and must not be all that is left of them."""

    def __init__(self, ids: Collection[str], what: str, or_else: str = "") -> None:
        named = ", ".join(ids)
        message = f"{what} has results sealed with MAC key {named}, which is not on this machine"
        super().__init__(message, f"pneumoctl up --adopt, which reads the keys back from the hosts{or_else}")


def key_id(key: str) -> str:
    """A name for a key (in hexadecimal) that does not disclose it; webapp/api/storage/seal.py gives the same."""
    return hmac.new(bytes.fromhex(key), b"pneumoctl key id", hashlib.sha256).hexdigest()[:16]


def of_stack(secrets: Secrets | None) -> dict[str, str]:
    """Id -> key of every key with which a result of the stack may be sealed. Raises Damaged if one is no key."""
    keys = (secrets.mac_key, *secrets.mac_keys_accepted) if secrets else ()
    try:
        return {key_id(key): key for key in keys}
    except ValueError:  # it quotes the key
        message = "a MAC key in the secrets.json of the stack is not hexadecimal"
        raise Damaged(message, "restore the file from a backup") from None


def path(stack: Stack) -> Path:
    """The file of a stack's kept keys."""
    return stack.directory.with_name(f"{stack.name}{SUFFIX}")


def keep(stack: Stack, ids: Collection[str]) -> tuple[str, ...]:
    """Keep the keys of these ids beside the stack's directory, which a teardown removes; returns the ids it lacks."""
    file = path(stack)
    kept = _kept_before(file)
    new = {name: key for name, key in _unless_damaged(stack).items() if name in ids}
    if new.items() - kept.items():
        write_atomically(file, json.dumps({"keys": {**kept, **new}}, indent=2).encode(), 0o600)
    return tuple(sorted(set(ids) - {*kept, *new}))


def _kept_before(file: Path) -> dict[str, str]:
    """The keys in a file, none if there is no file; a damaged one is put aside."""
    try:
        return _read(file) if file.exists() else {}
    except PneumoError as error:
        if isinstance(error.__cause__, OSError):
            raise
        aside = file.with_name(f"{file.name}.damaged")
        console.warn(f"{error.message}: renamed to {aside.name}")
        file.replace(aside)
        return {}


def _unless_damaged(stack: Stack) -> dict[str, str]:
    """The stack's own keys; none if its secrets are damaged here."""
    try:
        return of_stack(stack.secrets())
    except Damaged:
        return {}


def find(stack: Stack, ids: Collection[str], file: Path | None, what: str) -> list[str]:
    """The keys of these ids that the stack itself does not have, from `file` or those kept on this machine.

    Raises PneumoError if one is not found. `what`: the export, for the message.
    """
    own = of_stack(stack.secrets())
    wanted = sorted(set(ids) - set(own))
    if not wanted:
        return []
    known = _read(file) if file else _kept_here()
    if missing := [name for name in wanted if name not in known]:
        message = f"{what} has results sealed with MAC key {', '.join(missing)}, which stack {stack.name} does not have"
        hint = (
            f"give the file STACK{SUFFIX} of the machine that made the export (beside its stacks, {home()}): "
            "pneumoctl results import PATH --mac-keys FILE"
        )
        raise PneumoError(message, hint)
    return [known[name] for name in wanted]


def _kept_here() -> dict[str, str]:
    """The kept keys of every stack of this machine; a file that cannot be read is skipped with a warning."""
    known: dict[str, str] = {}
    for file in sorted(home().glob(f"*{SUFFIX}")):
        try:
            known |= _read(file)
        except PneumoError as error:
            console.warn(f"{error.message}: skipped")
    return known


def _why(error: Exception) -> str:
    """The reason of the system; none for damaged contents, which may be quoted in it."""
    return f": {error.strerror}" if isinstance(error, OSError) else ": its contents are damaged"


def _read(file: Path) -> dict[str, str]:
    """The keys in a file, each under the id that it really has."""
    try:
        keys = json.loads(file.read_text())["keys"]
        return {key_id(key): key for key in keys.values()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"{file} is not a readable file of MAC keys{_why(error)}"
        raise PneumoError(
            message, f"restore {file} from a backup, or name another: --mac-keys FILE", Exit.USAGE
        ) from error
