"""Which release a rollback returns to. Re-running an interrupted rollback resumes it."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pneumoctl.errors import PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.stack.stack import Stack

_SOURCE = {"api": "--source CHECKOUT", "web": "--source CHECKOUT", "model": "--bundle BUNDLE"}
CurrentLinks = Mapping[str, Mapping[str, str]]  # host -> link -> its target


def release(stack: Stack, current_links: CurrentLinks, kind: str) -> str:
    """The release to return to: that of an interrupted rollback, else the previous release of the first host with one.

    After an interrupted deploy, some hosts still serve this release. Raises PneumoError if there is none, or if a host,
    made later than it, does not have it.
    """
    name = _release(stack, current_links, kind)
    wanted, links = f"releases/{name}", (f"{kind}/current", f"{kind}/previous")
    lacking = [host for host, at in current_links.items() if links[0] in at and wanted not in map(at.get, links)]
    if lacking:
        raise PneumoError(
            f"no release of {kind} can be taken back: {', '.join(lacking)} never had {name}, which served before",
            f"deploy it again: pneumoctl deploy {kind} {_SOURCE[kind]}",
        )
    return name


def _release(stack: Stack, current_links: CurrentLinks, kind: str) -> str:
    saved = _saved_release(stack, kind)
    if saved.exists():
        name = saved.read_text()
        links = (f"{kind}/current", f"{kind}/previous")
        if any(host.get(link) == f"releases/{name}" for host in current_links.values() for link in links):
            return name
    pairs = [(links.get(f"{kind}/previous"), links.get(f"{kind}/current")) for links in current_links.values()]
    # They are the same after a first new release was taken back.
    previous = [previous for previous, current in pairs if previous and previous != current]
    if not previous:
        raise PneumoError(f"there is no previous release of {kind} to go back to", f"pneumoctl deploy {kind}")
    return previous[0].removeprefix("releases/")


@contextmanager
def remembered(stack: Stack, current_links: CurrentLinks, update: Collection[str], kind: str) -> Iterator[None]:
    """Save the release that `kind` returns to until the rollback is complete; delete it for the kinds in `update`."""
    for updated in update:
        _saved_release(stack, updated).unlink(missing_ok=True)
    if kind:
        write_atomically(_saved_release(stack, kind), release(stack, current_links, kind).encode(), 0o600)
    yield
    if kind:
        _saved_release(stack, kind).unlink(missing_ok=True)


def _saved_release(stack: Stack, kind: str) -> Path:
    return stack.directory / f"rollback-{kind}"
