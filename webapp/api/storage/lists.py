"""Pages of the list of results, and the place of a result in it."""

from collections.abc import Callable
from dataclasses import dataclass

import redis

from model.schema import Invalid
from webapp.api.storage import changes, listing
from webapp.api.storage.errors import Damaged, Missing, NotRead, Unlistable, redis_errors
from webapp.api.storage.keys import index_of, key_of
from webapp.api.storage.listing import NO_FILTERS, Filters
from webapp.api.storage.records import Page, Place, Record, Review, require_valid
from webapp.api.storage.retention import Retention
from webapp.api.storage.rows import Positions, Rows, content_number
from webapp.api.storage.seal import Seal
from webapp.api.storage.store import Store
from webapp.api.storage.studies import Pseudonyms
from webapp.api.storage.transactions import read_together
from webapp.api.storage.worklist import Worklist

_READ_SECONDS = 2.0  # to wait for the rows
_SHORT_SECONDS = 0.05  # to wait for them where the indexes of Redis can answer as well
_ALL = index_of("time", "all")  # every listed result is in this index


@dataclass(frozen=True)
class _Part:
    """Members in order, the number of the first one in the list, and what is known of the whole list.

    `index` was read for them, where each has one of the `entries`.
    """

    members: list[str]
    index: str
    entries: list[str]
    more: bool
    total: int
    first: int | None
    models: list[str]


class Lists:
    """The list of a store's results. Safe to share between threads. Every method may raise StoreUnavailable."""

    def __init__(
        self,
        client: redis.Redis,
        open_record: Callable[[str, bytes | None], Record],
        open_review: Callable[[str, list[bytes]], Review],
        retention: Retention = Retention(),  # noqa: B008
    ) -> None:
        """`retention`: no list has what has expired, whether or not it is erased already."""
        self._redis = client
        self._retention = retention
        self._open_record = open_record
        self._open_review = open_review
        self._worklist = Worklist(client, open_record, open_review)

    def start(self) -> None:
        """Begin to read all results, which filters need."""
        self._worklist.start()

    def position(self) -> str:
        """A text that is another one after a result was added, reviewed or erased."""
        with redis_errors():
            return changes.position(self._redis)

    def page(self, order: str, finding: str, cursor: str | None, limit: int, filters: Filters = NO_FILTERS) -> Page:
        """At most `limit` records in order; raises listing.CursorInvalid, or NotRead if the filters need all rows."""
        after = None if cursor is None else listing.from_cursor(order, finding, cursor, filters)
        # A list that was begun in the index goes on there: the rows have damaged records before the most probable.
        in_index = cursor is not None and listing.is_of_index(cursor)
        part = self._part(order, finding, after, limit, filters, in_index)
        page, gone = self._opened(part)
        if gone:  # in the meantime
            part = self._part(order, finding, after, limit, filters, in_index, compare=True)
            page, _ = self._opened(part)
        stays = order == "probability" and part.index != _ALL
        following = listing.to_cursor(order, finding, part.members[-1], filters, stays) if part.more else None
        return Page(**page, next=following, total=part.total, first=part.first, models=part.models)

    def place(self, record: Record, order: str, finding: str, filters: Filters = NO_FILTERS) -> Place:
        """Where a result stands in a list; raises NotRead."""
        with self._worklist.rows(_READ_SECONDS) as rows:
            chosen = rows.select(order, finding, filters, self._cutoff())
            member = rows.member_of(order, record)
            before = rows.standing_before(order, chosen, member)
            there = before < len(chosen) and rows.member(order, int(chosen[before])) == member
            return Place(
                number=before + 1 if there else None,
                total=len(chosen),
                first=_intact(rows, chosen),
                previous=_intact(rows, chosen[:before][::-1]),
                next=_intact(rows, chosen[before + there :]),
            )

    def of_content(self, sha256: str, limit: int) -> list[Record]:
        """The oldest `limit` listed records of a file with that SHA-256, oldest first; raises NotRead, Unlistable."""
        with self._worklist.rows(_SHORT_SECONDS) as rows:
            members = rows.of_content(content_number(sha256), self._cutoff())[:limit]
        opened, _ = self._opened(_Part(members, _ALL, members, False, 0, None, []))
        return [each for each in opened["records"] if each.source is not None and each.source["sha256"] == sha256]

    def _part(
        self,
        order: str,
        finding: str,
        after: str | None,
        limit: int,
        filters: Filters,
        in_index: bool,
        compare: bool = False,
    ) -> _Part:
        simple = filters == NO_FILTERS
        if simple and in_index:
            return self._part_of_index(order, finding, after, limit)
        try:
            with self._worklist.rows(_SHORT_SECONDS if simple else _READ_SECONDS, compare) as rows:
                cutoff = self._cutoff()
                chosen = rows.select(order, finding, filters, cutoff)
                start = 0 if after is None else rows.standing_before(order, chosen, after, including=True)
                shown = chosen[start : start + limit].tolist()
                return _Part(
                    members=[rows.member(order, position) for position in shown],
                    index=_ALL,
                    entries=[rows.members[position] for position in shown],
                    more=start + limit < len(chosen),
                    total=len(chosen),
                    first=start + 1 if shown else None,
                    models=rows.models(cutoff),
                )
        except (NotRead, Unlistable):
            if not simple:
                raise
        return self._part_of_index(order, finding, after, limit)

    def _part_of_index(self, order: str, finding: str, after: str | None, limit: int) -> _Part:
        """From an index of Redis, while this process still reads the rows; its size may count expired ones."""
        index, start = index_of(order, finding), "+" if after is None else f"({after}".encode("latin-1")
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.zrevrangebylex(index, start, "-", 0, limit + 1)
            pipe.zcard(index)
            raw_members, total = pipe.execute()
        members = [each.decode("latin-1") for each in raw_members]
        first = 1 if after is None and members else None
        return _Part(members[:limit], index, members[:limit], len(members) > limit, total, first, [])

    def _cutoff(self) -> int | None:
        return self._retention.cutoff

    def _expired(self, moment: int) -> bool:
        cutoff = self._cutoff()
        return cutoff is not None and moment <= cutoff

    def _opened(self, part: _Part) -> tuple[dict[str, list], bool]:
        """The records of a part with their reviews and the ids of damaged ones; whether one was erased since."""
        opened: dict[str, list] = {"records": [], "damaged": [], "reviews": []}
        listed = part.entries
        if not listed:
            return opened, False
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.mget([key_of("record", listing.id_of(entry)) for entry in listed])
            for entry in listed:
                pipe.lrange(key_of("feedback", listing.id_of(entry)), 0, -1)
            values, *reviews = pipe.execute()
        found = dict(zip(listed, values, strict=True))
        missing = [entry for entry in listed if found[entry] is None]
        gone = self._gone(part.index, missing, found)
        for entry, sealed_reviews in zip(listed, reviews, strict=True):
            identifier = listing.id_of(entry)
            if entry in gone:
                continue
            try:
                record = self._valid(identifier, found[entry])
            except (Damaged, Missing):
                if not self._expired(listing.time_of(entry)):
                    opened["damaged"].append(identifier)
                continue
            if not self._expired(listing.created(record.prediction)):
                opened["records"].append(record)
                opened["reviews"].append(self._open_review(identifier, sealed_reviews))
        return opened, bool(gone)

    def _gone(self, index: str, missing: list[str], found: dict[str, bytes | None]) -> set[str]:
        """The entries of an index that were erased with their records; those that are not go into `found`."""
        if not missing:
            return set()

        def queue(pipe: redis.client.Pipeline) -> None:
            for entry in missing:
                limit = f"[{entry}".encode("latin-1")
                pipe.get(key_of("record", listing.id_of(entry))).zrevrangebylex(index, limit, limit)

        read = read_together(self._redis, queue)
        found.update(zip(missing, read[::2], strict=True))
        return {entry for entry, there in zip(missing, read[1::2], strict=True) if found[entry] is None and not there}

    def _valid(self, identifier: str, sealed: bytes | None) -> Record:
        """The record, valid in every field: another one would make the whole list invalid. Raises Missing, Damaged."""
        record = self._open_record(identifier, sealed)
        try:
            require_valid(record)
        except Invalid as error:
            raise Damaged(key_of("record", identifier)) from error
        return record


class ListedStore(Store):
    """A store that can list its results. It is apart, because whoever exports a store needs no NumPy for that."""

    def __init__(self, client: redis.Redis, seal: Seal, retention: Retention = Retention()) -> None:  # noqa: B008
        super().__init__(client, seal, retention)
        reader = Store(client, seal)  # not this object: in a cycle the client's connections would be closed too late
        self.lists = Lists(client, reader.open_record, reader.reviews.last, retention)
        self.pseudonyms = Pseudonyms(client, seal)


def _intact(rows: Rows, positions: Positions) -> str | None:
    """The id of the first row whose record could be read."""
    for position in positions:
        if not rows.is_damaged(int(position)):
            return listing.id_of(rows.members[int(position)])
    return None
