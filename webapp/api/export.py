"""Export every stored prediction to a directory: `python -m webapp.api.export OUT`, with the API's environment."""

import argparse
import json
import os
import shutil
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from webapp.api.settings import StoreSettings
from webapp.api.store import Damaged, Missing, Record, Store, StoreUnavailable
from webapp.environment import Environment, EnvironmentInvalid

DAMAGED = 6  # exit code


def export(store: Store, out: Path) -> dict[str, object]:
    """Write results.jsonl, feedback.jsonl and images/ to `out`, which appears only when it is complete.

    A record that fails its integrity check goes unchanged to damaged/. Returns the counts.
    Raises FileExistsError if `out` exists, StoreUnavailable if Redis cannot be reached.
    """
    if out.exists():
        raise FileExistsError(f"{out} exists already")
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "images").mkdir(parents=True)
    counts: Counter[str] = Counter(records=0, images=0, feedback=0, damaged=0, damaged_images=0, damaged_feedback=0)
    with (partial / "results.jsonl").open("w") as results, (partial / "feedback.jsonl").open("w") as feedback:
        for identifier in sorted(set(store.ids())):
            with suppress(Missing):  # deleted in the meantime
                try:
                    record = store.get(identifier)
                except Damaged:
                    _write_damaged(store, identifier, partial / "damaged")
                    counts["damaged"] += 1
                    continue
                counts.update(_write(store, record, partial, results, feedback))
        for stream in (results, feedback):
            stream.flush()
            os.fsync(stream.fileno())
    partial.rename(out)
    return {"out": str(out), **counts}


def _write(store: Store, record: Record, folder: Path, results: TextIO, feedback: TextIO) -> Counter[str]:
    """Write a record with its picture and feedback; returns how much was written and how much was damaged."""
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
    feedback.writelines(json.dumps(entry) + "\n" for entry in entries)
    counts.update(feedback=len(entries), damaged_feedback=damaged)
    return counts


def _write_damaged(store: Store, identifier: str, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    # The id was read from a damaged store: use it as a file name only if it looks like an id.
    name = identifier if identifier.isalnum() and len(identifier) <= 64 else identifier.encode().hex()[:64]
    (folder / f"{name}.bin").write_bytes(store.raw(identifier))


def main(argv: list[str] | None = None) -> int:
    """Export; the counts go to stdout as a line of JSON. Returns 0, DAMAGED, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m webapp.api.export", description=__doc__)
    parser.add_argument("out", type=Path, help="directory to create")
    parser.add_argument("--wait", type=float, default=120.0, help="seconds to wait for Redis (default: %(default).0f)")
    arguments = parser.parse_args(argv)
    try:
        environment = Environment()
        settings = StoreSettings.read(environment)
        environment.check()
        store = Store.open(settings)
        store.wait(arguments.wait)
        counts = export(store, arguments.out)
    except (EnvironmentInvalid, StoreUnavailable, OSError) as error:
        sys.stderr.write(f"export failed: {error}\n")
        return 1
    sys.stdout.write(json.dumps(counts) + "\n")
    damaged = sum(number for name, number in counts.items() if name.startswith("damaged"))
    if damaged:
        sys.stderr.write(
            f"{damaged} records, pictures or feedback entries are damaged; all others are in {arguments.out}\n"
        )
    return DAMAGED if damaged else 0


if __name__ == "__main__":
    sys.exit(main())
