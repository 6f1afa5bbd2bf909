"""Tell where the file of a result came from, and whether the same bytes are stored under another name."""

from webapp.api.services import Services
from webapp.api.storage.errors import NotRead, StoreUnavailable
from webapp.api.storage.records import Record
from webapp.documents import SameFile, Source

MOST_SAME = 5  # results of the same bytes


def of(services: Services, record: Record, digest: str | None, new: bool = True) -> Source:
    """The source of a stored record. `digest`: SHA-256 of its file; `new`: the record itself is not among `same`."""
    source = record.source
    return {
        "folder": "" if source is None else source["folder"],
        "study": None if source is None else source["study"],
        "same": None if digest is None else _same(services, record, digest, new),
    }


def _same(services: Services, record: Record, digest: str, new: bool) -> list[SameFile] | None:
    """The oldest stored results of the same bytes; None if that is not known now, which keeps no result back."""
    try:
        found = services.store.lists.of_content(digest, MOST_SAME + 1)
    except (NotRead, StoreUnavailable):
        return None
    others = [each for each in found if each.id != record.id]
    if not new:  # it was stored before, perhaps by an earlier version, which kept no digest
        others = sorted([record, *others], key=lambda each: each.prediction["created"])
    return [_described(each) for each in others[:MOST_SAME]]


def _described(record: Record) -> SameFile:
    prediction = record.prediction
    return {
        "id": record.id,
        "file": prediction["file"],
        "folder": "" if record.source is None else record.source["folder"],
        "created": prediction["created"],
    }
