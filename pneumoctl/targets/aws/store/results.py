"""The store of a stack on aws, reached over SSH on its host, and its export before the host is destroyed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pneumoctl.errors import PneumoError
from pneumoctl.hosts.layout import ETC, ROOT
from pneumoctl.results import final_export, transfer
from pneumoctl.results.transfer import NothingStored, Summary
from pneumoctl.ssh import remote_command
from pneumoctl.ssh.connections import Connections
from pneumoctl.stack.inventory import Host
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.store import uploads
from pneumoctl.terminal.console import console

_LIMIT_S, _STALL_S = 3600.0, 300.0
# Redis writes a first file of some 100 bytes; one result alone has more than a KiB.
_RUN = f"""set -eu
environment={ETC}/api.env python={ROOT}/api/current/venv/bin/python
if test -e "$environment" && test -x "$python"; then set -a; . "$environment"; set +a; exec "$python" "$@"; fi
head -c "$4" >/dev/null
test -z "$(find /var/lib/redis -type f -size +1k 2>/dev/null)" || {{ echo "the API is not installed" >&2; exit 1; }}
exit {transfer.NOTHING}
"""


@dataclass(frozen=True)
class HostStore:
    """See results.transfer.ResultStore."""

    connections: Connections
    machine: Host

    @property
    def host(self) -> str:
        """See ResultStore."""
        return self.machine.name

    def run(self, options: Sequence[str], stdin: Iterator[bytes], stdout: IO[bytes]) -> tuple[int, str]:
        """See ResultStore."""
        line = remote_command.as_root(("sh", "-c", _RUN, "sh", *options), _LIMIT_S)
        code, stderr = self.connections.execute(self.machine, line, stdin, stdout, _LIMIT_S, _STALL_S)
        return code, stderr.decode(errors="replace")


@contextmanager
def opened(stack: Stack) -> Iterator[HostStore]:
    """The store of a stack. Raises PneumoError if it has no hosts."""
    inventory = stack.hosts()
    if inventory is None:
        raise PneumoError(f"the inventory in {stack.directory} lists no hosts of stack {stack.name}", "pneumoctl up")
    with Connections(inventory, stack.ssh) as connections:
        yield HostStore(connections, inventory.store)


def held(stack: Stack) -> Summary | None:
    """What the store holds; None if nothing was ever stored. Raises PneumoError if that is not known."""
    try:
        with opened(stack) as store:
            return transfer.count(store)
    except NothingStored:
        return None


def export(stack: Stack, target: Path, hosts: Sequence[Host], more: int = 0) -> Summary | None:
    """Stop uploads on the hosts, export the store and verify that nothing was added; None if nothing was ever stored.

    Uploads stay stopped, because the host is about to be destroyed. Raises PneumoError, and uploads then go on; its
    `changed` is empty if they were not even stopped. `more`: bytes that are exported besides the store.
    """
    try:
        with opened(stack) as store:
            with _changing_nothing():
                store.connections.to(store.machine)
                transfer.require_space(store, target, more)
            with uploads.stopped(store.connections, hosts) as doubtful:
                for failure in doubtful:  # of no consequence unless a result is added after the second count
                    console.warn(f"uploads may go on, on {failure}")
                exported = transfer.export(stack, store, target)
                transfer.require_intact(exported, target)
                require_unchanged(store, exported)
                final_export.save(stack, target)
                return exported
    except NothingStored:
        final_export.save(stack, None)
        return None


@contextmanager
def _changing_nothing() -> Iterator[None]:
    """Have an error of the block say that nothing was changed: for the audit record, see audit.recorded."""
    try:
        yield
    except PneumoError as error:
        error.details["changed"] = []
        raise


def require_unchanged(store: HostStore, exported: Summary) -> None:
    """Raise PneumoError unless the store still holds exactly what was exported."""
    held = transfer.count(store)
    transfer.require_scored(held)
    if held.contents != exported.contents:
        raise PneumoError(
            f"results were added or erased on {store.host}, or have expired, after they were exported",
            "run the same command again",
        )
