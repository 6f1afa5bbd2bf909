"""Count, export and import the results of a store."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import IO, Any, Protocol

from pneumoctl.errors import Exit, PneumoError, in_words
from pneumoctl.results import archive, mac_keys, program
from pneumoctl.results.archive import Manifest
from pneumoctl.results.mac_keys import KeysMissing
from pneumoctl.stack import audit, documents, free_space
from pneumoctl.stack.documents import Damaged
from pneumoctl.stack.free_space import NotWritten
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.report import counted

LAST = "last-export.json"
WANTED = "wanted-import.json"
NOTHING = 66  # exit code instead of the program's: nothing was ever stored
_DAMAGED = 6  # exit code of the export: it is complete, and some parts are damaged
_REFUSED = 65  # exit code of the import: the export is not as it was made


class NothingStored(PneumoError):
    """The stack's API was never installed, so that nothing can be stored."""


class _Refused(PneumoError):
    """An import was refused because the export is not as it was made."""


class ResultStore(Protocol):
    """The store of a stack, and how to run a program beside it."""

    @property
    def host(self) -> str:
        """The name of the host, for messages."""

    def run(self, options: Sequence[str], stdin: Iterator[bytes], stdout: IO[bytes]) -> tuple[int, str]:
        """Run the API's Python with its environment; returns exit code and stderr. Raises PneumoError."""


@dataclass(frozen=True)
class Summary:
    """How much a store or an export holds. Equal `contents`: the same results with the same reviews.

    `unkept`: the ids of the MAC keys that sealed an export and are not on this machine. `size`: bytes that the store
    has in memory. `path`: the export. `received`: films that came by DICOM and have no result; no export has them.
    `trail`: the hash of the last entry of the trail of clinical acts; empty if there is none.
    """

    counts: Mapping[str, int]
    contents: str
    unkept: tuple[str, ...] = ()
    size: int = field(default=0, compare=False)
    path: Path | None = field(default=None, compare=False)
    received: int = field(default=0, compare=False)
    trail: str = field(default="", compare=False)

    def __str__(self) -> str:
        return described(self.counts)


def described(counts: Mapping[str, int]) -> str:
    """The counts as text: `3 results, 3 pictures, 1 review`."""
    named = [counted(counts[name], name.removesuffix("s")) for name in ("results", "pictures", "reviews")]
    return ", ".join([*named, f"{counts['damaged']} damaged"] if counts.get("damaged") else named)


def count(store: ResultStore) -> Summary:
    """What the store holds now."""
    document = json.loads(run(store, program.EXPORT, ("--count",)))
    contents, size = document.pop("contents"), document.pop("bytes")
    received, trail = document.pop("received", 0), document.pop("trail", "")
    return Summary(document, contents, size=size, received=received, trail=trail)


def require_scored(held: Summary) -> None:
    """Raise PneumoError if a store that is to be removed holds films that were accepted and have no result."""
    if held.received:
        message = f"the store holds {counted(held.received, 'received film')} without a result, which no export has"
        raise PneumoError(message, "wait until they are assessed, or look at /received on the web page, then try again")


def run(store: ResultStore, module: str, arguments: Sequence[str] = (), stdin: Iterable[bytes] = ()) -> bytes:
    """What a program beside the store writes to stdout. Raises PneumoError."""
    out = BytesIO()
    options = program.options(module, *arguments)
    code, stderr = store.run(options, chain((program.archive(),), stdin), out)
    if code:
        raise failure(store, code, stderr)
    return out.getvalue()


def failure(store: ResultStore, code: int, stderr: str) -> PneumoError:
    """Why a program beside the store failed."""
    if code == NOTHING:
        return NothingStored(f"nothing was ever stored on {store.host}", "pneumoctl up")
    last = stderr.strip().splitlines()[-1:] or [f"exit {code}"]
    if code == _REFUSED:
        return _Refused(last[0])
    return PneumoError(f"the store on {store.host} cannot be used: {last[0]}", "pneumoctl status, and: pneumoctl logs")


def require_space(store: ResultStore, target: Path, more: int = 0) -> None:
    """Raise PneumoError unless an export can be written to `target`. `more`: bytes that else has to go there."""
    size = count(store).size
    # A folder is unpacked from a verified file, which is removed afterwards.
    free_space.require(target, (size if target.suffix == archive.TAR else 2 * size) + more)


def export(stack: Stack, store: ResultStore, target: Path) -> Summary:
    """Export all results to a new file (tar) or folder, verified; keep the keys that sealed them.

    Raises PneumoError; nothing then lies at `target`. Damaged parts are in the export, and are counted.
    """
    with free_space.no_empty_folders(target):
        manifest = _export(store, target)
    stack.write(LAST, {"path": str(target), "contents": manifest.contents, "counts": dict(manifest.counts)})
    return with_keys(stack, manifest, target)


def _export(store: ResultStore, target: Path) -> Manifest:
    try:
        spool = archive.prepare(target)
        try:
            with archive.open_private(spool) as out:
                options = program.options(program.EXPORT, "--actor", audit.current_user())
                code, stderr = store.run(options, iter((program.archive(),)), out)
            if code not in (0, _DAMAGED):
                raise failure(store, code, stderr)
            return archive.finish(target)
        finally:
            spool.unlink(missing_ok=True)
    except OSError as error:
        raise NotWritten(target, in_words(error)) from error


def with_keys(stack: Stack, manifest: Manifest, path: Path) -> Summary:
    """Keep the keys that sealed a verified export; returns what it holds, and the ids of the keys that are not here."""
    unkept = mac_keys.keep(stack, manifest.keys)
    return Summary(manifest.counts, manifest.contents, unkept, path=path, trail=manifest.trail)


def restore(stack: Stack, store: ResultStore, path: Path, keys: Path | None = None) -> dict[str, Any]:
    """Import an export; returns how many results were added, repaired, present, kept and expired, and reviews added.

    `brought_back`: the ids of those that had been erased and were added, or got reviews.

    Importing it again changes nothing, and a stored result is never replaced. Raises PneumoError with nothing stored
    if a file of the export is damaged or a seal does not match.
    """
    manifest = archive.verify(path)
    foreign = mac_keys.find(stack, manifest.keys, keys, str(path))
    with tempfile.TemporaryFile() as spool:
        size = archive.write_for_import(path, spool)
        spool.seek(0)
        order = json.dumps({"size": size, "keys": foreign, "actor": audit.current_user()}).encode() + b"\n"
        try:
            parts = chain((order,), archive.parts(spool))
            answer: dict[str, Any] = json.loads(run(store, program.RESTORE, stdin=parts))
        except _Refused as error:
            message = f"the export {path} was changed after it was made, so nothing was imported: {error.message}"
            raise PneumoError(message, archive.ANOTHER) from error
    for awaited in wanted(stack):
        if awaited.resolve() == path.resolve():
            forget_wanted(stack, awaited)
    return answer


def want_import(stack: Stack, path: Path, contents: str) -> None:
    """Record that an export has to be imported into the store that replaces the one it was made of.

    Those that are wanted already stay so: their import may have failed, and they may hold what this one lacks.
    """
    before = _wanted(stack)
    if not any(same == contents and Path(other).exists() for other, same in before.items()):
        stack.write(WANTED, {"exports": {**before, str(path): contents}})


def import_wanted(stack: Stack, store: ResultStore, path: Path) -> dict[str, Any]:
    """Import an export that `wanted` names; raises PneumoError and keeps it wanted if that fails."""
    done = restore(stack, store, path)
    forget_wanted(stack, path)
    return done


def forget_wanted(stack: Stack, path: Path) -> None:
    """Record that this export has not to be imported any more."""
    left = {name: contents for name, contents in _wanted(stack).items() if name != str(path)}
    if left:
        stack.write(WANTED, {"exports": left})
    else:
        (stack.directory / WANTED).unlink(missing_ok=True)


def waiting(stack: Stack) -> Path | None:
    """The first export that has to be imported and still exists; if that cannot be read, None with a warning."""
    try:
        return next((path for path in wanted(stack) if path.exists()), None)
    except Damaged as error:
        documents.warn_once(f"{error.message}: {error.hint}")
        return None


def wanted(stack: Stack) -> list[Path]:
    """The exports that have to be imported, in the order in which they were wanted. Raises Damaged."""
    return [Path(name) for name in _wanted(stack)]


def _wanted(stack: Stack) -> dict[str, str]:
    """Path -> contents."""
    file = stack.directory / WANTED
    hint = f"move {file} away, then: pneumoctl up, and import the export that it names: pneumoctl results import PATH"
    return documents.load(file, _parse_wanted, hint) or {}


def _parse_wanted(document: Any) -> dict[str, str]:
    exports = document.get("exports") if isinstance(document, dict) else None
    if not isinstance(exports, dict):
        raise TypeError("it names no exports")
    return {name: str(contents) for name, contents in exports.items()}


def last_export(stack: Stack) -> Mapping[str, Any] | None:
    """The path, the contents and the counts of the last export, None if there is none or it is gone."""
    try:
        saved: dict[str, Any] = json.loads((stack.directory / LAST).read_text())
        return saved if Path(saved["path"]).exists() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def exported(stack: Stack, held: Summary) -> Summary | None:
    """What the last export holds, read back from its files; None unless that is all that the store holds."""
    saved = last_export(stack)
    if saved is None or saved.get("contents") != held.contents:
        return None
    path = Path(saved["path"])
    try:
        manifest = archive.verify(path)
    except PneumoError:
        return None
    return with_keys(stack, manifest, path) if manifest.contents == held.contents else None


def require_intact(exported: Summary, target: Path) -> None:
    """Raise PneumoError unless the export can replace the store: exit 6 if parts of the store were damaged."""
    if damaged := exported.counts["damaged"]:
        message = f"{damaged} records, pictures or feedback entries are damaged; all others are in {target}"
        raise PneumoError(message, f"what is left of them is in {target}/damaged", Exit.PARTLY)
    if exported.unkept:
        raise KeysMissing(exported.unkept, str(target))
