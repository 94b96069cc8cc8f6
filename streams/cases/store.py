"""The view of cases in one file, which can be made again from the topics.

A case is stored whole. Of every other event only its current revision and the place of its record
are, some 60 bytes. The offsets of the topics are written in the transaction that applies their
records, so a record is applied once, whoever reads it: several processes may share a file.
"""

import sqlite3
import time
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from agents.cases import Known
from agents.outcomes import Incoming
from schemas.codec import prepared
from schemas.event import DOMAINS, Domain, Origin
from schemas.limits import LIMITS, Limits
from streams.cases.current import locate
from streams.cases.entries import EntryReader, hash_of
from streams.cases.file import CaseFile
from streams.cases.intake import OPEN, Intake
from streams.cases.near import NearCase, near_cases
from streams.cases.query import (
    MAX_LIMIT,
    Arrival,
    CaseQuery,
    CaseSummary,
    Page,
    read_cursor,
    write_cursor,
)
from streams.cases.sql import ORDERS, counts_of, facet_conditions, page_of, total_of
from streams.errors import TopicReplaced
from streams.kafka.offsets import Partition
from streams.topics import Topics
from streams.trust import Trust

__all__ = ["Arrival", "CaseQuery", "CaseStore", "CaseSummary", "Page"]

MAX_ARRIVALS = 50_000
MAX_DECISIONS = 5_000_000
"""Of so many events the current decision is remembered; the oldest are forgotten first."""
CLEARED = (
    "arrivals", "cases", "decisions", "facets", "near", "offsets", "records", "scopes", "waiting",
)  # fmt: skip

_summary = msgspec.msgpack.Decoder(prepared(CaseSummary))


class _Read(msgspec.Struct, frozen=True, array_like=True):
    """How far a partition was read: the offset to read next, that of the last record, its stamp."""

    next: int = 0
    last: int = -1
    stamp: int = 0


class CaseStore:
    """The view of cases.

    Its methods block for milliseconds and may be called from any thread. All raise `StreamError` if
    the file fails.

    Args:
        path: the file, which is made if it is missing; None makes a temporary one.
        topics: the topics that the view is made of.
        trust: which records are believed; by default all are.
        limits: of the event in a case.

    Raises:
        StreamError: the file cannot be made or opened.
    """

    def __init__(
        self,
        path: Path | None,
        topics: Topics,
        trust: Trust | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self._reader = EntryReader(topics, trust, limits)
        self._intake = Intake(limits)
        self._topics = topics
        self._file = CaseFile(path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def apply(self, *records: Incoming, positions: Mapping[Partition, int] | None = None) -> int:
        """Take in records, in the order of their topics; those that were taken in are skipped.

        `positions` are offsets to read next, which may be behind gaps in a partition.

        Returns:
            How many decisions and cases were new.

        Raises:
            TopicReplaced: a topic does not hold any more what it held when it was last read.
        """
        with self._file.transaction() as db:
            read = _read_so_far(db)
            fresh = [record for record in records if _is_fresh(record, read)]
            new = 0
            try:
                for record in fresh:
                    entry = self._reader.read(record)
                    new += entry is not None and self._intake.take(db, entry)
            except BaseException:
                self._intake.forget_scopes()  # some of their rows are rolled back
                raise
            _note_read(db, read, fresh, positions or {})
            db.execute(
                "DELETE FROM arrivals WHERE seq <= (SELECT MAX(seq) FROM arrivals) - ?",
                (MAX_ARRIVALS,),
            )
            return new

    def offsets(self) -> dict[Partition, int]:
        """For each partition: the offset to read next."""
        with self._file.reading() as db:
            return {partition: read.next for partition, read in _read_so_far(db).items()}

    def resume(self) -> dict[Partition, int]:
        """For each partition: where to go on, which is at the last record that was read.

        `apply` compares that record: if it is another one, the topic was made again.
        """
        with self._file.reading() as db:
            rows = _read_so_far(db)
        return {
            partition: read.next if read.last < 0 else read.last for partition, read in rows.items()
        }

    def clear(self) -> None:
        """Forget everything, so that the topics are read from their beginning."""
        with self._file.transaction() as db:
            for table in CLEARED:
                db.execute(f"DELETE FROM {table}")  # noqa: S608
            db.execute("INSERT INTO words (words) VALUES ('delete-all')")
            self._intake.forget_scopes()

    def prune(
        self, *, keep_s: float, begins: Mapping[Partition, int], now_s: float | None = None
    ) -> None:
        """Forget what was decided more than `keep_s` seconds ago, and what topics no longer hold.

        `begins` maps partitions to their first offsets.
        """
        decided_before_s = (time.time() if now_s is None else now_s) - keep_s
        domains = {self._topics.triaged(domain): domain for domain in DOMAINS}
        with self._file.transaction() as db:
            old = db.execute(
                "SELECT num FROM cases WHERE state != ? AND decided_s < ?", (OPEN, decided_before_s)
            )
            for (num,) in old.fetchall():
                self._intake.stored.forget(db, num)
            db.execute("DELETE FROM waiting WHERE received_s < ?", (decided_before_s,))
            for partition, begin in begins.items():
                db.execute(
                    "DELETE FROM decisions WHERE num IS NULL AND partition = ? AND offset < ? AND "
                    "scope IN (SELECT scope FROM scopes WHERE domain = ?)",
                    (partition.partition, begin, domains.get(partition.topic)),
                )
            _forget_oldest_decisions(db)
            db.execute(
                "DELETE FROM facets WHERE facet NOT IN "
                "(SELECT facet FROM cases UNION SELECT facet FROM arrivals)"
            )
            db.execute("DELETE FROM scopes WHERE scope NOT IN (SELECT scope FROM decisions)")
            self._intake.forget_scopes()

    def list(self, query: CaseQuery) -> Page:
        """The cases of a query, in its order.

        Raises:
            InvalidEvent: `after` is not of this order.
        """
        limit = max(1, min(query.limit, MAX_LIMIT))
        columns = len(ORDERS[query.order])
        behind = read_cursor(query.order, query.after, columns) if query.after is not None else []
        with self._file.reading() as db:
            total = total_of(db, query)
            rows = page_of(db, query, behind=behind, total=total, limit=limit + 1)
        following = None
        if len(rows) > limit:
            following = write_cursor(query.order, list(rows[limit - 1][1:]))
        return Page([_summary.decode(row[0]) for row in rows[:limit]], following, total)

    def counts(self, query: CaseQuery) -> dict[str, dict[str, int]]:
        """How many cases there are by each of `DIMENSIONS`.

        Those of a dimension are counted without the query's own filter on it: whoever looks at one
        queue sees how many wait in the others. A case without a value is not counted there. The
        most come first.
        """
        with self._file.reading() as db:
            return counts_of(db, query)

    def find(
        self, id_: str, *, domain: Domain | None = None, tenant: str | None = None
    ) -> Known | None:
        """What is stored of an event; None if nothing is, or only where its decision is (`place`).

        Raises:
            InvalidEvent: events of several domains or tenants have this id; it names them.
        """
        with self._file.reading() as db:
            located = locate(db, id_, domain, tenant)
            if located is None or located[0].num is None:
                return None
            known = self._intake.stored.known(db, located[0].num, located[0].revision)
        if known is None or known.current.id != id_:
            return None  # another id may have the same hash
        return known

    def first_place(
        self, id_: str, *, domain: Domain | None = None, tenant: str | None = None
    ) -> Origin | None:
        """Where revision 0 of an event is on its triaged topic; None if unknown.

        Raises:
            InvalidEvent: as `find` does.
        """
        with self._file.reading() as db:
            located = locate(db, id_, domain, tenant)
        if located is None or located[0].first < 0 or located[0].offset < 0:
            return None
        current, found_domain = located
        topic = self._topics.triaged(found_domain)
        return Origin(topic=topic, partition=current.partition, offset=current.first)

    def place(
        self, id_: str, *, domain: Domain | None = None, tenant: str | None = None
    ) -> Origin | None:
        """Where the current decision of an event is on its triaged topic; None if unknown.

        Raises:
            InvalidEvent: as `find` does.
        """
        with self._file.reading() as db:
            located = locate(db, id_, domain, tenant)
        if located is None or located[0].offset < 0:
            return None
        current, found_domain = located
        topic = self._topics.triaged(found_domain)
        return Origin(topic=topic, partition=current.partition, offset=current.offset)

    def alike(
        self,
        id_: str,
        *,
        domain: Domain | None = None,
        tenant: str | None = None,
        limit: int = MAX_LIMIT,
    ) -> Sequence[CaseSummary]:
        """The other open cases that are like this one, the oldest first (`fingerprint_of`).

        Raises:
            InvalidEvent: as `find` does.
        """
        with self._file.reading() as db:
            located = locate(db, id_, domain, tenant)
            num = located[0].num if located else None
            rows = db.execute(
                "SELECT summary FROM cases WHERE state = 1 AND num != ?1 AND fingerprint = "
                "(SELECT fingerprint FROM cases WHERE num = ?1) ORDER BY received_s LIMIT ?2",
                (num, limit),
            )
            return [_summary.decode(row[0]) for row in rows]

    def near(
        self, id_: str, *, domain: Domain | None = None, tenant: str | None = None
    ) -> Sequence[NearCase]:
        """The open cases of its domain and tenant with nearly the same words, the nearest first.

        Those that `alike` gives are left out. At most `MAX_COMPARED` cases are compared.

        Raises:
            InvalidEvent: as `find` does.
        """
        with self._file.reading() as db:
            located = locate(db, id_, domain, tenant)
            if located is None or located[0].num is None:
                return []
            return near_cases(db, located[0].num, partial(self._intake.stored.case, db))

    def recent(
        self, query: CaseQuery | None = None, after_seq: int | None = None
    ) -> Sequence[Arrival]:
        """Decisions in the order in which they came: those behind `after_seq`, else the last ones.

        The state, the text and the order of the query have no meaning here. The last
        `MAX_ARRIVALS` decisions are kept.
        """
        query = query or CaseQuery()
        limit = max(1, min(query.limit, MAX_LIMIT))
        where, values = facet_conditions(query)
        direction = "DESC" if after_seq is None else "ASC"
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT seq, summary FROM arrivals WHERE seq > ? AND facet IN "  # noqa: S608
                f"(SELECT facet FROM facets WHERE {where}) ORDER BY seq {direction} LIMIT ?",
                [-1 if after_seq is None else after_seq, *values, limit],
            ).fetchall()
        rows.sort()
        return [Arrival(seq, _summary.decode(summary)) for seq, summary in rows]


def _read_so_far(db: sqlite3.Connection) -> dict[Partition, _Read]:
    return {
        Partition(topic, number): _Read(*read)
        for topic, number, *read in db.execute("SELECT * FROM offsets")
    }


def _is_fresh(record: Incoming, read: Mapping[Partition, _Read]) -> bool:
    """Whether a record was not taken in before.

    Raises:
        TopicReplaced: it is another record than the one that was taken in from its place.
    """
    origin = record.origin
    so_far = read.get(Partition(origin.topic, origin.partition), _Read())
    if origin.offset == so_far.last and _stamp(record) != so_far.stamp:
        raise TopicReplaced(f"{origin.topic} was deleted and made again; its view is made again")
    return origin.offset >= so_far.next


def _stamp(record: Incoming) -> int:
    """A hash of a record. Its time is left out: one that cannot be true is read differently."""
    value = record.value or b""
    return hash_of(f"{record.key!r}\0{len(value)}\0{zlib.crc32(value)}")


def _note_read(
    db: sqlite3.Connection,
    read: Mapping[Partition, _Read],
    records: Sequence[Incoming],
    positions: Mapping[Partition, int],
) -> None:
    moved: dict[Partition, _Read] = {}
    for record in records:
        origin = record.origin
        partition = Partition(origin.topic, origin.partition)
        moved[partition] = _Read(origin.offset + 1, origin.offset, _stamp(record))
    for partition, position in positions.items():
        so_far = moved.get(partition) or read.get(partition, _Read())
        moved[partition] = _Read(max(so_far.next, position), so_far.last, so_far.stamp)
    db.executemany(
        "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?, ?, ?)",
        [
            (partition.topic, partition.partition, *msgspec.structs.astuple(so_far))
            for partition, so_far in moved.items()
        ],
    )


def _forget_oldest_decisions(db: sqlite3.Connection) -> None:
    (count,) = db.execute("SELECT COUNT(*) FROM decisions WHERE num IS NULL").fetchone()
    if count > MAX_DECISIONS:
        db.execute(
            "DELETE FROM decisions WHERE num IS NULL AND received_s < (SELECT received_s FROM "
            "decisions WHERE num IS NULL ORDER BY received_s LIMIT 1 OFFSET ?)",
            (count - MAX_DECISIONS,),
        )
