"""Add the results of an export to the store: `python -m webapp.api.restore`, with the API's environment.

stdin: a line of JSON with `size`, the bytes of the archive that follows, `keys`, the MAC keys in hexadecimal that
sealed it beside those of this store, and `actor`, who imports; then the archive. It is verified as a whole before
anything is stored. stdout: the counts. stderr: an empty line now and then, because whoever waits for an import takes
long silence for a fault; at the end the reason of a failure.
"""

import io
import json
import re
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import IO, Any

from webapp.api.export import MANIFEST, SEALED, TRAIL, WAIT_S, damaged_name, film_name, picture_name
from webapp.api.settings import StoreSettings
from webapp.api.storage import trail_copy
from webapp.api.storage.copied_items import Item
from webapp.api.storage.errors import NoTrail, StoreFull, StoreUnavailable
from webapp.api.storage.seal import Seal
from webapp.api.storage.store_copy import StoreCopy
from webapp.api.storage.trail import Act
from webapp.api.storage.trail_end import Head
from webapp.environment import Environment, EnvironmentInvalid

REFUSED = 65  # exit code: the archive is damaged, or was changed after it was made
_CHUNK = 1 << 20
_SIGN = 100  # results after which a sign of life is given
_UNKNOWN = "unknown"  # who imports, if an earlier version of pneumoctl does not say
_ID = re.compile(r"[0-9a-f]{32}")
_PICTURES = ("picture", "film")  # their names in Item and in Verified.damaged


class Refused(Exception):
    """The archive is not stored; the message says why."""


@dataclass(frozen=True)
class _Members:
    """The members of an archive by name: tarfile itself looks through all of them for each name."""

    archive: tarfile.TarFile
    by_name: Mapping[str, tarfile.TarInfo]

    def read(self, name: str) -> bytes:
        """A member; raises KeyError if there is none."""
        member = self.archive.extractfile(self.by_name[name])
        if member is None:
            raise KeyError(name)
        return member.read()

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a member, one after another; raises KeyError if there is none."""
        member = self.archive.extractfile(self.by_name[name])
        if member is None:
            raise KeyError(name)
        yield from member


def restore(
    store: StoreCopy,
    own: Seal,
    archive: tarfile.TarFile,
    sign: Callable[[], object] = lambda: None,
    actor: str = _UNKNOWN,
) -> dict[str, Any]:
    """Verify all results of an archive, then add each. `own`: the keys of this store; `store` may know more.

    Returns the counts, and in `brought_back` the ids of results that had been erased and are added, or get reviews. A
    result that has expired is not added. A result whose picture was damaged before the export has none in the archive,
    and is added without it. `sign`: called every _SIGN results. `actor`: who imports, for the trail, in which `trail`
    entries were added.
    """
    members = _Members(archive, {member.name: member for member in archive.getmembers()})
    manifest = json.loads(members.read(MANIFEST))
    erased = set(filter(_ID.fullmatch, map(str, manifest.get("erased", ()))))
    expected, results, broken, without = manifest["counts"]["results"], 0, 0, 0
    for item in _items(members, sign):
        results += 1
        damaged = store.verified(item).damaged
        known = bool(damaged) and all(
            name in _PICTURES and getattr(item, name) is None and damaged_name(item.id, name) in manifest["files"]
            for name in damaged
        )
        without += known
        broken += bool(damaged) and not known
    if broken or results != expected:
        raise Refused(
            f"{broken} of {results} results ({expected} were exported) are not as they were sealed, "
            "or were sealed with a key that is not known here"
        )
    counts: Counter[str] = Counter(added=0, present=0, kept=0, repaired=0, damaged=without, expired=0)
    counts.update(reviews=0, withdrawals=0)
    brought_back = []
    for item in _items(members, sign):
        done = store.add(item, own)
        if done.pop("back", 0):
            brought_back.append(item.id)
        counts.update(done)
    trail = _restore_trail(store, own, members, manifest, actor)
    with suppress(StoreFull):  # every result is stored; what is not noted is only called unknown
        store.eraser.note(erased.difference(store.ids()))
    return {**counts, "brought_back": brought_back, "trail": trail}


def _restore_trail(store: StoreCopy, own: Seal, members: _Members, manifest: Mapping[str, Any], actor: str) -> int:
    """Add the trail of the export, and record the import; returns how many entries were added."""
    heads = {name: Head(int(head["n"]), str(head["hash"])) for name, head in manifest.get("trail", {}).items()}
    head = heads.get(trail_copy.OWN, Head())
    exported = map(trail_copy.Line.of, members.lines(TRAIL)) if heads else ()
    try:
        added, name = trail_copy.Importer(store.trail, own).add(exported, head)
        detail = f"{head.n} {head.hash}" if name else ""
        store.trail.append(Act("import", actor, "operator", "", "none", name or None, detail=detail))
    except NoTrail:
        return 0
    return added


def _items(members: _Members, sign: Callable[[], object]) -> Iterator[Item]:
    for number, line in enumerate(io.BytesIO(members.read(SEALED)), 1):
        if number % _SIGN == 0:
            sign()
        entry = json.loads(line)
        picture = film = None
        with suppress(KeyError):
            picture = members.read(picture_name(entry["id"]))
        with suppress(KeyError):
            film = members.read(film_name(entry["id"]))
        feedback = tuple(each.encode("ascii") for each in entry["feedback"])
        yield Item(entry["id"], entry["record"].encode("ascii"), picture, feedback, film)


def _spool(source: IO[bytes], size: int) -> IO[bytes]:
    """The next `size` bytes, in a file without a name."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115
    while size and (part := source.read(min(size, _CHUNK))):
        spool.write(part)
        size -= len(part)
    spool.seek(0)
    return spool


def main() -> int:
    """Restore; returns 0, or REFUSED or 1 with the reason on stderr."""
    order = json.loads(sys.stdin.buffer.readline())
    with _spool(sys.stdin.buffer, order["size"]) as spool:
        try:
            environment = Environment()
            settings = StoreSettings.read(environment)
            environment.check()
            foreign = tuple(bytes.fromhex(key) for key in order["keys"])
            known = replace(settings, mac_keys_previous=(*settings.mac_keys_previous, *foreign))
            store = StoreCopy.open(known)
            store.wait(WAIT_S)
            own = Seal(settings.mac_key, settings.mac_keys_previous)
            with tarfile.open(fileobj=spool, mode="r:") as archive:
                sign = lambda: print(file=sys.stderr, flush=True)  # noqa: E731
                counts = restore(store, own, archive, sign, str(order.get("actor", _UNKNOWN)))
        except (EnvironmentInvalid, StoreUnavailable, OSError) as error:
            sys.stderr.write(f"import failed: {error}\n")
            return 1
        except Refused as error:
            sys.stderr.write(f"{error}\n")
            return REFUSED
        except (tarfile.TarError, KeyError, TypeError, ValueError):  # their messages may quote the archive
            sys.stderr.write("it cannot be read\n")
            return REFUSED
    sys.stdout.write(json.dumps(counts) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
