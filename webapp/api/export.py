"""Write every stored result to stdout as a tar archive: `python -m webapp.api.export`, with the API's environment.

The archive holds, for people, results.jsonl, feedback.jsonl, images/ and films/ (16 bits; see webapp/api/view_film.py);
for an import, sealed.jsonl with the records and reviews as they are stored, and trail.jsonl with the trail of clinical
acts; damaged/ with the bytes of what failed its integrity check; and as its last member manifest.json with the counts,
the ids of erased results and the digest of every other member. An archive without a manifest is incomplete.
"""

import argparse
import hashlib
import io
import json
import sys
import tarfile
import tempfile
from collections import Counter
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import IO, Any

from webapp.api.settings import StoreSettings
from webapp.api.storage import trail_copy
from webapp.api.storage.copied_items import Contents, Item, Verified
from webapp.api.storage.errors import NoTrail, StoreUnavailable
from webapp.api.storage.reviews import with_withdrawals
from webapp.api.storage.store_copy import StoreCopy
from webapp.api.storage.trail import Act
from webapp.api.storage.trail_end import hash_of
from webapp.environment import Environment, EnvironmentInvalid

FORMAT = 1
MANIFEST, SEALED, RESULTS, FEEDBACK = "manifest.json", "sealed.jsonl", "results.jsonl", "feedback.jsonl"
TRAIL = "trail.jsonl"
DAMAGED = 6  # exit code
WAIT_S = 120.0  # for a Redis that loads its file


def picture_name(identifier: str) -> str:
    """The member of a picture."""
    return f"images/{identifier}.jpg"


def film_name(identifier: str) -> str:
    """The member of a 16-bit film."""
    return f"films/{identifier}.bin"


def damaged_name(identifier: str, part: str) -> str:
    """The member of a damaged part, by its name in Verified.damaged."""
    return f"damaged/{_file_name(identifier)}.{part}.bin"


class _Archive:
    """A tar archive that is written to a stream, with the digest and the size of each member."""

    def __init__(self, out: IO[bytes]) -> None:
        self.files: dict[str, tuple[str, int]] = {}
        self._packed = tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT)  # noqa: SIM115

    def write(self, name: str, content: IO[bytes]) -> None:
        """Add a member."""
        member = tarfile.TarInfo(name)
        member.mode, member.size = 0o600, content.seek(0, io.SEEK_END)
        content.seek(0)
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        content.seek(0)
        self._packed.addfile(member, content)
        self.files[name] = (digest, member.size)

    def close(self) -> None:
        """Write the end of the archive."""
        self._packed.close()


def export(store: StoreCopy, out: IO[bytes]) -> dict[str, int]:
    """Write the archive; returns the counts. Raises StoreUnavailable if Redis cannot be reached."""
    counts: Counter[str] = Counter(results=0, pictures=0, reviews=0, damaged=0)
    keys: Counter[str] = Counter()
    archive, contents = _Archive(out), Contents()
    with ExitStack() as held:
        lists = {name: held.enter_context(tempfile.TemporaryFile()) for name in (RESULTS, FEEDBACK, SEALED)}
        for identifier in store.result_ids():
            item = store.item(identifier)
            if item is None:  # deleted in the meantime
                continue
            verified = store.verified(item)
            _write(archive, lists, item, verified)
            contents.add(identifier, item.record, item.feedback)
            counts += _counted(verified)
            keys.update(verified.sealed_with if verified.record else ())
        for name, lines in lists.items():
            archive.write(name, lines)
        heads = _write_trail(store, archive, keys)
    manifest = {
        "format": FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "counts": {name: counts[name] for name in ("results", "pictures", "reviews", "damaged")},
        "keys": dict(keys),
        "contents": contents.hexdigest(),
        "trail": heads,
        "erased": sorted(set(store.eraser.erased()).difference(store.ids())),
        "files": archive.files,
    }
    archive.write(MANIFEST, io.BytesIO(json.dumps(manifest, indent=1).encode()))
    archive.close()
    return manifest["counts"]


def _write_trail(store: StoreCopy, archive: _Archive, keys: Counter[str]) -> dict[str, Any]:
    """Write the trail, and count the keys that seal it; returns the last entry of each, by its name.

    A store of an earlier version has none, and gives no right to it.
    """
    heads: dict[str, Any] = {}
    with tempfile.TemporaryFile() as lines, suppress(NoTrail):
        for line in trail_copy.lines(store.trail):
            lines.write(line.as_json())
            heads[line.chain] = {"n": line.n, "hash": hash_of(line.sealed)}
            if (key := store.trail.sealed_with(line.sealed)) is not None:
                keys.setdefault(key, 0)  # needed, but for no result
        archive.write(TRAIL, lines)
    return heads


def _counted(verified: Verified) -> Counter[str]:
    return Counter(
        results=verified.record is not None,
        pictures=verified.picture is not None,
        reviews=len(with_withdrawals(verified.feedback)),
        damaged=len(verified.damaged),
    )


def _write(archive: _Archive, lists: dict[str, IO[bytes]], item: Item, verified: Verified) -> None:
    """Write the parts of a result."""
    for part, content in verified.damaged.items():
        archive.write(damaged_name(item.id, part), io.BytesIO(content))
    for document in with_withdrawals(verified.feedback):
        lists[FEEDBACK].write(_line(document))
    if verified.record is None:
        return
    picture = None
    if verified.picture is not None:
        picture = picture_name(item.id)
        archive.write(picture, io.BytesIO(verified.picture))
    if verified.film is not None:
        archive.write(film_name(item.id), io.BytesIO(verified.film))
    lists[RESULTS].write(_line({**verified.record.prediction, "image": picture, "source": verified.record.source}))
    intact = [sealed for number, sealed in enumerate(item.feedback) if f"review-{number}" not in verified.damaged]
    feedback = [sealed.decode("ascii") for sealed in intact]
    lists[SEALED].write(_line({"id": item.id, "record": item.record.decode("ascii"), "feedback": feedback}))


def record(store: StoreCopy, actor: str) -> None:
    """Record the export. It is not refused if that is not possible: a full store is exported before it is emptied."""
    act = Act("export", actor, "operator", "", "none", detail="all results")
    if not store.trail.append_or_owe(act):
        sys.stderr.write("this export cannot be recorded in the trail of clinical acts\n")


def _line(document: object) -> bytes:
    return json.dumps(document).encode() + b"\n"


def _file_name(identifier: str) -> str:
    """The id, which was read from a store that may be damaged: as it is only if it looks like an id."""
    return identifier if identifier.isalnum() and len(identifier) <= 64 else identifier.encode().hex()[:64]


def main(argv: list[str] | None = None) -> int:
    """Export, or count; returns 0, DAMAGED, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m webapp.api.export", description=__doc__)
    parser.add_argument("--count", action="store_true", help="only print the counts and a digest of the results")
    parser.add_argument("--older-than", type=int, metavar="DAYS", help="only print how many results are older")
    parser.add_argument("--actor", metavar="NAME", help="record in the trail that NAME exports the results")
    parser.add_argument("--wait", type=float, default=WAIT_S, help="seconds to wait for Redis (default: %(default).0f)")
    arguments = parser.parse_args(argv)
    try:
        environment = Environment()
        settings = StoreSettings.read(environment)
        environment.check()
        store = StoreCopy.open(settings)
        store.wait(arguments.wait)
        if arguments.older_than is not None:
            sys.stdout.write(f"{store.older_than(arguments.older_than)}\n")
            return 0
        if arguments.count:
            sys.stdout.write(json.dumps({**store.summary(), "received": store.queue.unscored()}) + "\n")
            return 0
        if arguments.actor:
            record(store, arguments.actor)
        counts = export(store, sys.stdout.buffer)
        sys.stdout.flush()
    except (EnvironmentInvalid, StoreUnavailable, OSError) as error:
        sys.stderr.write(f"export failed: {error}\n")
        return 1
    return DAMAGED if counts["damaged"] else 0


if __name__ == "__main__":
    sys.exit(main())
