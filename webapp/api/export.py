"""Write every stored prediction to a directory: `python -m webapp.api.export OUT_DIR`, environment as the API's."""

import argparse
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from webapp.api.settings import StoreSettings
from webapp.api.store import Damaged, Missing, Record, Store, StoreUnavailable
from webapp.environment import Environment, EnvironmentInvalid

DAMAGED = 6  # exit code


def export(store: Store, out: Path) -> dict[str, object]:
    """Write results.jsonl, feedback.jsonl and images/ into `out`, which appears whole or not at all.

    A record whose seal does not fit is kept apart, as it is, in damaged/. Returns the counts.
    Raises FileExistsError when `out` is there, StoreUnavailable when Redis is not.
    """
    if out.exists():
        raise FileExistsError(f"{out} exists already")
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "images").mkdir(parents=True)
    counts: Counter[str] = Counter(records=0, images=0, feedback=0, damaged=0, damaged_images=0, damaged_feedback=0)
    with (partial / "results.jsonl").open("w") as results, (partial / "feedback.jsonl").open("w") as said:
        for identifier in _sorted(store):
            with suppress(Missing):  # deleted meanwhile
                try:
                    record = store.get(identifier)
                except Damaged:
                    _keep_apart(store, identifier, partial / "damaged")
                    counts["damaged"] += 1
                    continue
                counts.update(_written(store, record, partial, results, said))
        for stream in (results, said):
            stream.flush()
            os.fsync(stream.fileno())
    partial.rename(out)
    return {"out": str(out), **counts}


def _sorted(store: Store) -> Iterator[str]:
    return iter(sorted(set(store.ids())))


def _written(store: Store, record: Record, folder: Path, results: TextIO, said: TextIO) -> Counter[str]:
    """Write one whole record with its picture and feedback; what was written and what was damaged."""
    counts: Counter[str] = Counter(records=1)
    line: dict[str, object] = {**record.prediction, "image": None}
    if record.image is not None:
        try:
            picture = store.picture(record.id)
            line["image"] = f"images/{record.id}.jpg"
            (folder / "images" / f"{record.id}.jpg").write_bytes(picture)
            counts["images"] += 1
        except Damaged:
            line["image"] = None
            counts["damaged_images"] += 1
    results.write(json.dumps(line) + "\n")
    entries, damaged = store.feedback(record.id)
    said.writelines(json.dumps(entry) + "\n" for entry in entries)
    counts.update(feedback=len(entries), damaged_feedback=damaged)
    return counts


def _keep_apart(store: Store, identifier: str, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    # The id is a key read from a store that is damaged: it names a file only if it is an id.
    name = identifier if identifier.isalnum() and len(identifier) <= 64 else identifier.encode().hex()[:64]
    (folder / f"{name}.bin").write_bytes(store.raw(identifier))


def main(argv: list[str] | None = None) -> int:
    """0 and one JSON line of counts on stdout, DAMAGED if some could not be exported whole; 1 and why on stderr."""
    parser = argparse.ArgumentParser(prog="python -m webapp.api.export", description=__doc__)
    parser.add_argument("out", type=Path, help="directory to write; must not exist")
    parser.add_argument("--wait", type=float, default=120.0, help="seconds until Redis must answer (%(default).0f)")
    wishes = parser.parse_args(argv)
    try:
        environment = Environment()
        settings = StoreSettings.read(environment)
        environment.check()
        store = Store.open(settings)
        store.wait(wishes.wait)
        counts = export(store, wishes.out)
    except (EnvironmentInvalid, StoreUnavailable, OSError) as error:
        sys.stderr.write(f"export failed: {error}\n")
        return 1
    sys.stdout.write(json.dumps(counts) + "\n")
    damaged = sum(number for name, number in counts.items() if name.startswith("damaged"))
    if damaged:
        sys.stderr.write(f"{damaged} stored records or pictures are damaged; all others are in {wishes.out}\n")
    return DAMAGED if damaged else 0


if __name__ == "__main__":
    sys.exit(main())
