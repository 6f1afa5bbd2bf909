"""Which release a rollback goes back to: a half-done one, run again, goes on; it does not go forth again."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pneumoctl.errors import PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.stack.stack import Stack

Standing = Mapping[str, Mapping[str, str]]  # host -> link -> what it points to


def release(stack: Stack, standing: Standing, kind: str) -> str:
    """What served before, on the first host that knows; after a half-done deploy some hosts serve it still."""
    begun = _begun(stack, kind)
    if begun.exists():
        wanted = begun.read_text()
        links = (f"{kind}/current", f"{kind}/previous")
        if any(there.get(link) == f"releases/{wanted}" for there in standing.values() for link in links):
            return wanted
    known = [links[f"{kind}/previous"] for links in standing.values() if f"{kind}/previous" in links]
    if not known:
        raise PneumoError(f"nothing of kind {kind} served before", f"pneumoctl deploy {kind}")
    return known[0].removeprefix("releases/")


@contextmanager
def remembered(stack: Stack, standing: Standing, fresh: Collection[str], back: str) -> Iterator[None]:
    """Keep where kind `back` goes until it is there, however we end; kinds that go to a `fresh` release forget it."""
    for kind in fresh:
        _begun(stack, kind).unlink(missing_ok=True)
    if back:
        write_atomically(_begun(stack, back), release(stack, standing, back).encode(), 0o600)
    yield
    if back:
        _begun(stack, back).unlink(missing_ok=True)


def _begun(stack: Stack, kind: str) -> Path:
    return stack.directory / f"rollback-{kind}"
