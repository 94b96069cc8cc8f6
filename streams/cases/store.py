"""The view of cases in one file: an SQLite database that can be made again from the topics.

A case is stored whole. Of every other event only its current revision and the place of its record
are, some 60 bytes. The offsets of the topics are written in the transaction that applies their
records, so a record is applied once, whoever reads it: several processes may share a file.
"""

import logging
import sqlite3
import threading
import time
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from agents.cases import Known
from agents.outcomes import Incoming
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.event import Domain, Origin
from schemas.limits import LIMITS, Limits
from schemas.triaged import Case, TriagedEvent
from streams.cases.entries import (
    RANKS,
    SPOT_CHECK,
    URGENT,
    Entry,
    EntryReader,
    fingerprint_of,
    hash_of,
    summary_of,
    text_of,
)
from streams.cases.query import (
    DIMENSIONS,
    MAX_LIMIT,
    Arrival,
    CaseQuery,
    CaseSummary,
    Page,
    read_cursor,
    words_of,
    write_cursor,
)
from streams.cases.tables import TABLES, VERSION
from streams.errors import StreamError
from streams.kafka.offsets import Partition
from streams.topics import Topics
from streams.trust import Trust

__all__ = ["Arrival", "CaseQuery", "CaseStore", "CaseSummary", "Page", "TopicReplaced"]

log = logging.getLogger(__name__)

MAX_ARRIVALS = 50_000
MAX_DECISIONS = 5_000_000
"""Of so many events the current decision is remembered; the oldest are forgotten first."""
MAX_NAMED = 10
"""So many domains and tenants an error names."""
LOCK_TIMEOUT_S = 30.0
DECIDED, OPEN, NO_CASE = 0, 1, 2
THE_CASE = -1
"""The revision under which the record of a case is stored."""

_ORDERS = {
    "urgency": ("calm", "minus_risk", "received_s", "num"),
    "risk": ("minus_risk", "received_s", "num"),
    "age": ("received_s", "num"),
    "stated": ("minus_rank", "minus_risk", "received_s", "num"),
    "queue": ("queue", "calm", "minus_risk", "received_s", "num"),
}
"""The columns of each order; an index of its name has them."""
_STATES = {"open": (OPEN,), "decided": (DECIDED,), "all": (DECIDED, OPEN)}
_COUNTERS = {"open": "open", "decided": "decided", "all": "open + decided"}
_summary = msgspec.msgpack.Decoder(CaseSummary)


class TopicReplaced(StreamError):  # noqa: N818 - what happened
    """A topic was deleted and made again, so the view is about records that are gone."""


class _Current(msgspec.Struct, array_like=True, frozen=True):
    """The row of an event in `decisions`."""

    revision: int
    human: int
    final: int
    received_s: float
    content: int
    partition: int
    offset: int
    num: int | None


class CaseStore:
    """The view of cases.

    Its methods block for milliseconds and may be called from any thread.

    Args:
        path: the file, which is made if it is missing; None keeps the view in memory.
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
        self._topics = topics
        self._limits = limits.of_records()
        self._path = path
        self._write_lock = threading.RLock()
        self._writer = self._open()
        if path is None:
            # A second connection would see another database.
            self._read_lock, self._queries = self._write_lock, self._writer
        else:
            self._read_lock, self._queries = threading.RLock(), _connect(path)
        self._scopes: dict[tuple[str, str], int] = {}

    def close(self) -> None:
        """Close the file."""
        with self._write_lock, self._read_lock:
            self._queries.close()
            self._writer.close()

    # What is read from the topics.

    def apply(self, *records: Incoming, positions: Mapping[Partition, int] | None = None) -> int:
        """Take in records, in the order of their topics; those that were taken in are skipped.

        `positions` are the offsets to read next, where they are not those behind the `records`.

        Returns:
            How many decisions and cases were new.

        Raises:
            TopicReplaced: a topic does not hold any more what it held when it was last read.
            StreamError: the file cannot be written.
        """
        with self._transaction() as db:
            offsets = _read_offsets(db)
            fresh = [record for record in records if _is_fresh(record, offsets)]
            new = 0
            for record in fresh:
                entry = self._reader.read(record)
                new += entry is not None and self._take(db, entry)
            self._note_offsets(db, fresh, offsets, positions or {})
            if new:
                _forget_arrivals(db)
            return new

    def offsets(self) -> dict[Partition, int]:
        """For each partition: the offset to read next."""
        with self._reading() as db:
            return {partition: row[0] for partition, row in _read_offsets(db).items()}

    def resume(self) -> dict[Partition, int]:
        """For each partition: where to go on, which is at the last record that was read.

        That record is compared: if it is another one, the topic was made again.
        """
        with self._reading() as db:
            rows = _read_offsets(db)
        return {partition: max(0, min(row[0], row[1])) for partition, row in rows.items()}

    def clear(self) -> None:
        """Forget everything, so that the topics are read from their beginning."""
        with self._transaction() as db:
            for (table,) in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'words%' "
                "AND name NOT LIKE 'sqlite_%'"
            ).fetchall():
                db.execute(f"DELETE FROM {table}")
            db.execute("INSERT INTO words (words) VALUES ('delete-all')")
            self._scopes.clear()

    def prune(
        self, *, keep_s: float, begins: Mapping[Partition, int], now_s: float | None = None
    ) -> None:
        """Forget what was decided more than `keep_s` ago, and what its topic no longer holds.

        `begins` maps partitions of triaged topics to their first offsets.
        """
        now_s = time.time() if now_s is None else now_s
        with self._transaction() as db:
            old = db.execute(
                "SELECT num FROM cases WHERE state != ? AND decided_s < ?", (OPEN, now_s - keep_s)
            ).fetchall()
            for (num,) in old:
                self._remove(db, num)
            for partition, begin in begins.items():
                db.execute(
                    "DELETE FROM decisions WHERE num IS NULL AND partition = ? AND offset < ? AND "
                    "scope IN (SELECT scope FROM scopes WHERE domain = ?)",
                    (partition.partition, begin, self._domain_of(partition.topic)),
                )
            _forget_oldest_decisions(db)
            db.execute(
                "DELETE FROM facets WHERE open = 0 AND decided = 0 AND facet NOT IN "
                "(SELECT facet FROM cases UNION SELECT facet FROM arrivals)"
            )
            db.execute("DELETE FROM scopes WHERE scope NOT IN (SELECT scope FROM decisions)")
            self._scopes.clear()

    # What is asked.

    def list(self, query: CaseQuery) -> Page:
        """The cases of a query, in its order.

        Raises:
            InvalidEvent: `after` is not of this order.
        """
        columns = _ORDERS[query.order]
        limit = max(1, min(query.limit, MAX_LIMIT))
        where, values = _conditions(query)
        behind = ""
        if query.after is not None:
            behind = f" AND ({', '.join(columns)}) > ({', '.join('?' * len(columns))})"
        with self._reading() as db:
            total = _total(db, query)
            keys = (
                [] if query.after is None else read_cursor(query.order, query.after, len(columns))
            )
            index = _index(query, total, limit)
            rows = db.execute(
                f"SELECT summary, {', '.join(columns)} FROM cases INDEXED BY {index} "  # noqa: S608
                f"WHERE {where}{behind} ORDER BY {', '.join(columns)} LIMIT ?",
                [*values, *keys, limit + 1],
            ).fetchall()
        following = write_cursor(query.order, rows[limit - 1][1:]) if len(rows) > limit else None
        return Page([_summary.decode(row[0]) for row in rows[:limit]], following, total)

    def counts(self, query: CaseQuery) -> dict[str, dict[str, int]]:
        """How many cases there are by each dimension, the most first.

        Those of a dimension are counted without the query's own filter on it: whoever looks at one
        queue sees how many wait in the others. A case without a value is not counted there.
        """
        counts: dict[str, dict[str, int]] = {}
        with self._reading() as db:
            for dimension in DIMENSIONS:
                others = _without(query, dimension)
                counts[dimension] = dict(_counted(db, others, dimension))
        return counts

    def find(
        self, id_: str, *, domain: Domain | None = None, tenant: str | None = None
    ) -> Known | None:
        """What is stored of an event; None if nothing is, or only where its decision is (`place`).

        Raises:
            InvalidEvent: events of several domains or tenants have this id; it names them.
        """
        with self._reading() as db:
            found = _locate(db, id_, domain, tenant)
            if found is None or found[0].num is None:
                return None
            return self._known(db, id_, found[0])

    def place(
        self, id_: str, *, domain: Domain | None = None, tenant: str | None = None
    ) -> Origin | None:
        """Where the current decision of an event is on its triaged topic; None if unknown.

        Raises:
            InvalidEvent: as `find` does.
        """
        with self._reading() as db:
            found = _locate(db, id_, domain, tenant)
        if found is None or found[0].offset < 0:
            return None
        current, domain_ = found
        return Origin(
            topic=self._topics.triaged(domain_), partition=current.partition, offset=current.offset
        )

    def alike(
        self,
        id_: str,
        *,
        domain: Domain | None = None,
        tenant: str | None = None,
        limit: int = MAX_LIMIT,
    ) -> Sequence[CaseSummary]:
        """The other open cases that are like this one, the oldest first; see `fingerprint_of`."""
        with self._reading() as db:
            found = _locate(db, id_, domain, tenant)
            if found is None or found[0].num is None:
                return []
            num = found[0].num
            rows = db.execute(
                "SELECT summary FROM cases WHERE state = 1 AND num != ? AND fingerprint = "
                "(SELECT fingerprint FROM cases WHERE num = ?) ORDER BY received_s LIMIT ?",
                (num, num, limit),
            )
            return [_summary.decode(row[0]) for row in rows]

    def recent(
        self, query: CaseQuery | None = None, after_seq: int | None = None
    ) -> Sequence[Arrival]:
        """Decisions in the order in which they came, those behind `after_seq`.

        Without it, the last ones. The state, the text and the order of the query have no meaning
        here. The last `MAX_ARRIVALS` decisions are kept.
        """
        query = query or CaseQuery()
        limit = max(1, min(query.limit, MAX_LIMIT))
        where, values = _facet_conditions(query)
        newest_first = after_seq is None
        with self._reading() as db:
            rows = db.execute(
                "SELECT seq, summary FROM arrivals WHERE seq > ? AND "  # noqa: S608
                f"facet IN (SELECT facet FROM facets WHERE {where}) "
                f"ORDER BY seq {'DESC' if newest_first else 'ASC'} LIMIT ?",
                [-1 if after_seq is None else after_seq, *values, limit],
            ).fetchall()
        arrivals = [Arrival(seq, _summary.decode(summary)) for seq, summary in rows]
        return arrivals[::-1] if newest_first else arrivals

    # How a decision is taken in.

    def _take(self, db: sqlite3.Connection, entry: Entry) -> bool:
        """Take in one decision or case; true if it was new."""
        scope = self._scope(db, entry.triaged.domain, entry.triaged.tenant)
        known = _current(db, entry.id_hash, scope)
        if known is not None and known.content != entry.content:
            if entry.received_s < known.received_s:
                return False  # a reading of another text, which was replaced
            if known.num is not None:
                self._remove(db, known.num)
            known = None
        replaces = known is None or _replaces(entry, known)
        current = _row(entry, known.num if known else None) if replaces else known
        assert current is not None
        num = current.num
        if known is None or entry.case or not (replaces and _says_the_same(current, known)):
            num = self._store(db, entry, scope, current, replaces=replaces)
        current = msgspec.structs.replace(current, num=num)
        db.execute(
            "INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (entry.id_hash, scope, *msgspec.structs.astuple(current)),
        )
        is_news = replaces and (
            known is None or known.offset < 0 or _weight(entry) > (known.revision, known.human)
        )
        if is_news and entry.case is None:
            self._announce(db, entry, num)
        return is_news or entry.case is not None

    def _store(
        self,
        db: sqlite3.Connection,
        entry: Entry,
        scope: int,
        current: _Current,
        *,
        replaces: bool,
    ) -> int | None:
        """Store the records of an event that is a case or that a person decided; its number."""
        num = current.num
        if num is None and entry.case is None and not entry.by_human:
            return None
        if num is None:
            num = self._add(db, entry, scope)
        if entry.case is not None:
            self._store_case(db, num, entry.case, entry.value)
            value = msgspec.json.encode(entry.triaged)
            _store_record(db, num, entry.triaged.revision, value, None, replace_=False)
        else:
            _store_record(
                db, num, entry.triaged.revision, entry.value, entry.verdict, replace_=replaces
            )
        self._refresh(db, num, entry, current)
        return num

    def _store_case(self, db: sqlite3.Connection, num: int, case: Case, value: bytes) -> None:
        earlier = self._case(db, num)
        if earlier is not None:
            if earlier.triaged.revision > case.triaged.revision:
                return
            _index_words(db, num, earlier, remove=True)
        _store_record(db, num, THE_CASE, value, None, replace_=True)
        _index_words(db, num, case)

    def _refresh(self, db: sqlite3.Connection, num: int, entry: Entry, current: _Current) -> None:
        """Write what lists show of a stored event."""
        case = entry.case or self._case(db, num)
        triaged = entry.triaged
        if triaged.revision != current.revision:
            triaged = self._revision(db, num, current.revision) or triaged
        state = NO_CASE
        if case is not None:
            waits = not current.human if case.escalation == SPOT_CHECK else not current.final
            state = OPEN if waits else DECIDED
        summary = summary_of(triaged, case)
        rank = RANKS.get(summary.stated or "", 0)
        db.execute(
            "UPDATE cases SET state = ?, facet = ?, calm = ?, minus_risk = ?, minus_rank = ?, "
            "received_s = ?, queue = ?, decided_s = ?, fingerprint = ?, summary = ? WHERE num = ?",
            (
                state,
                _facet(db, summary),
                -(rank == URGENT),
                -(summary.risk or 0.0),
                -rank,
                entry.received_s,
                summary.queue,
                _instant_s(triaged.timing.triaged_at, entry.received_s),
                fingerprint_of(triaged),
                msgspec.msgpack.encode(summary),
                num,
            ),
        )

    def _add(self, db: sqlite3.Connection, entry: Entry, scope: int) -> int:
        """An empty row for an event, which `_refresh` fills."""
        num = db.execute(
            "INSERT INTO cases (id_hash, scope, state, facet, calm, minus_risk, minus_rank, "
            "received_s, queue, decided_s, summary) VALUES (?, ?, ?, 0, 0, 0, 0, 0, '', 0, x'')",
            (entry.id_hash, scope, NO_CASE),
        ).lastrowid
        assert num is not None
        return num

    def _remove(self, db: sqlite3.Connection, num: int) -> None:
        """Remove a stored event; where its current decision is stays known."""
        case = self._case(db, num)
        if case is not None:
            _index_words(db, num, case, remove=True)
        db.execute("DELETE FROM records WHERE num = ?", (num,))
        row = db.execute("SELECT id_hash, scope FROM cases WHERE num = ?", (num,)).fetchone()
        db.execute("DELETE FROM cases WHERE num = ?", (num,))
        db.execute(
            "UPDATE decisions SET num = NULL WHERE id_hash = ? AND scope = ? AND num = ?",
            (*row, num),
        )

    def _announce(self, db: sqlite3.Connection, entry: Entry, num: int | None) -> None:
        """Add a decision to the feed."""
        case = None if num is None else self._case(db, num)
        summary = summary_of(entry.triaged, case)
        db.execute(
            "INSERT INTO arrivals (facet, summary) VALUES (?, ?)",
            (_facet(db, summary), msgspec.msgpack.encode(summary)),
        )

    def _known(self, db: sqlite3.Connection, id_: str, current: _Current) -> Known | None:
        """What is stored of an event; None without its current decision."""
        rows = db.execute(
            "SELECT revision, value, verdict FROM records WHERE num = ? ORDER BY revision",
            (current.num,),
        ).fetchall()
        values = {revision: zlib.decompress(value) for revision, value, _ in rows}
        case_value = values.pop(THE_CASE, None)
        if current.revision not in values:
            return None
        revisions = [
            decode(value, TriagedEvent, self._limits)
            for revision, value in values.items()
            if revision <= current.revision
        ]
        if revisions[-1].id != id_:
            return None  # another id with the same hash
        return Known(
            revisions[-1],
            None if case_value is None else decode(case_value, Case, self._limits),
            revisions,
            {revision: verdict for revision, _, verdict in rows if verdict is not None},
        )

    def _case(self, db: sqlite3.Connection, num: int) -> Case | None:
        value = _record(db, num, THE_CASE)
        return None if value is None else decode(value, Case, self._limits)

    def _revision(self, db: sqlite3.Connection, num: int, revision: int) -> TriagedEvent | None:
        value = _record(db, num, revision)
        return None if value is None else decode(value, TriagedEvent, self._limits)

    def _scope(self, db: sqlite3.Connection, domain: str, tenant: str) -> int:
        scope = self._scopes.get((domain, tenant))
        if scope is None:
            db.execute(
                "INSERT OR IGNORE INTO scopes (domain, tenant) VALUES (?, ?)", (domain, tenant)
            )
            (scope,) = db.execute(
                "SELECT scope FROM scopes WHERE domain = ? AND tenant = ?", (domain, tenant)
            ).fetchone()
            self._scopes[domain, tenant] = scope
        return scope

    def _domain_of(self, topic: str) -> str | None:
        domains: dict[str, str] = {self._topics.triaged("alerts"): "alerts"}
        domains[self._topics.triaged("tickets")] = "tickets"
        return domains.get(topic)

    def _note_offsets(
        self,
        db: sqlite3.Connection,
        records: Sequence[Incoming],
        offsets: dict[Partition, tuple[int, int, int]],
        positions: Mapping[Partition, int],
    ) -> None:
        moved = dict(offsets)
        for record in records:
            origin = record.origin
            partition = Partition(origin.topic, origin.partition)
            moved[partition] = (origin.offset + 1, origin.offset, _stamp(record))
        for partition, position in positions.items():
            next_, last, stamp = moved.get(partition, (0, -1, 0))
            moved[partition] = (max(next_, position), last, stamp)
        db.executemany(
            "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?, ?, ?)",
            [
                (partition.topic, partition.partition, *row)
                for partition, row in moved.items()
                if offsets.get(partition) != row
            ],
        )

    # The file.

    def _open(self) -> sqlite3.Connection:
        """A connection that may write; a file that cannot be used is made again."""
        if self._path is None:
            db = _connect(None)
            _create(db)
            return db
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return _opened(self._path)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                log.warning("%s is damaged (%s); making it again", self._path, error)
            _delete(self._path)
            return _opened(self._path)
        except (OSError, sqlite3.Error) as error:
            raise StreamError(
                f"the view of cases cannot be kept in {self._path} ({error}); set review.state to "
                "a file that can be written"
            ) from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._write_lock:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                try:
                    yield self._writer
                except BaseException:
                    self._scopes.clear()
                    self._writer.execute("ROLLBACK")
                    raise
                self._writer.execute("COMMIT")
            except sqlite3.Error as error:
                raise self._failed(error) from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._read_lock:
            try:
                yield self._queries
            except sqlite3.Error as error:
                raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> StreamError:
        return StreamError(
            f"the view of cases in {self._path or 'memory'} failed ({error}); check the disk, or "
            "delete the file so that it is made again"
        )


def _connect(path: Path | None) -> sqlite3.Connection:
    db = sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=LOCK_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    db.execute("PRAGMA journal_mode = WAL")
    # After a power cut the last transactions may be missing; they are read from the topics again.
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA cache_size = -65536")
    return db


def _opened(path: Path) -> sqlite3.Connection:
    """A connection to a file with our tables; a file of another version is made again."""
    db = _connect(path)
    if db.execute("PRAGMA user_version").fetchone()[0] not in (0, VERSION):
        db.close()
        _delete(path)
        db = _connect(path)
    _create(db)
    return db


def _create(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    if db.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        db.execute("ROLLBACK")  # another process made them
        return
    for statement in _statements(TABLES):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script: `executescript` would end our transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _delete(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _read_offsets(db: sqlite3.Connection) -> dict[Partition, tuple[int, int, int]]:
    """For each partition: the offset to read next, that of the last record, and its stamp."""
    return {
        Partition(topic, number): (next_, last, stamp)
        for topic, number, next_, last, stamp in db.execute("SELECT * FROM offsets")
    }


def _is_fresh(record: Incoming, offsets: Mapping[Partition, tuple[int, int, int]]) -> bool:
    """Whether a record was not taken in before.

    Raises:
        TopicReplaced: it is another record than the one that was taken in from its place.
    """
    origin = record.origin
    next_, last, stamp = offsets.get(Partition(origin.topic, origin.partition), (0, -1, 0))
    if origin.offset == last and _stamp(record) != stamp:
        raise TopicReplaced(f"{origin.topic} was deleted and made again")
    return origin.offset >= next_


def _stamp(record: Incoming) -> int:
    return hash_of(f"{record.received_at_s}\0{record.key!r}\0{zlib.crc32(record.value or b'')}")


def _weight(entry: Entry) -> tuple[int, int]:
    return entry.triaged.revision, int(entry.by_human)


def _replaces(entry: Entry, known: _Current) -> bool:
    """Whether a decision takes the place of what is known of its event.

    A higher revision does. Of two of the same revision a person's stands, and of two persons' the
    one that came first. A model's that is read again takes its place, because the earlier record
    is deleted first.
    """
    new, old = _weight(entry), (known.revision, known.human)
    if new != old:
        return new > old
    if entry.case is not None:
        return False
    return known.offset < 0 or not entry.by_human


def _says_the_same(current: _Current, known: _Current) -> bool:
    """Whether only the place of a decision is new."""
    return (current.revision, current.human, current.final) == (
        known.revision,
        known.human,
        known.final,
    )


def _row(entry: Entry, num: int | None) -> _Current:
    triaged, is_case = entry.triaged, entry.case is not None
    return _Current(
        triaged.revision,
        int(entry.by_human),
        int(triaged.status == "final"),
        entry.received_s,
        entry.content,
        -1 if is_case else entry.origin.partition,
        -1 if is_case else entry.origin.offset,
        num,
    )


def _current(db: sqlite3.Connection, id_hash: int, scope: int) -> _Current | None:
    row = db.execute(
        "SELECT revision, human, final, received_s, content, partition, offset, num "
        "FROM decisions WHERE id_hash = ? AND scope = ?",
        (id_hash, scope),
    ).fetchone()
    return None if row is None else _Current(*row)


def _locate(
    db: sqlite3.Connection, id_: str, domain: str | None, tenant: str | None
) -> tuple[_Current, Domain] | None:
    """The row of the one event with this id, and its domain.

    Raises:
        InvalidEvent: there are several.
    """
    rows = db.execute(
        "SELECT revision, human, final, received_s, content, partition, offset, num, "
        "domain, tenant FROM decisions JOIN scopes USING (scope) WHERE id_hash = ? "
        "AND (?2 IS NULL OR domain = ?2) AND (?3 IS NULL OR tenant = ?3) LIMIT ?",
        (hash_of(id_), domain, tenant, MAX_NAMED),
    ).fetchall()
    if len(rows) > 1:
        names = ", ".join(sorted(f"{row[8]} of tenant {row[9]!r}" for row in rows))
        raise InvalidEvent(
            f"the id {id_[:100]!r} belongs to several events ({names}); say which one in domain and "
            "tenant",
            stage="validate",
        )
    return (_Current(*rows[0][:8]), rows[0][8]) if rows else None


def _facet(db: sqlite3.Connection, summary: CaseSummary) -> int:
    """The row of `facets` for these values, which is made if it is missing."""
    values = [getattr(summary, dimension) or "" for dimension in DIMENSIONS]
    names = ", ".join(DIMENSIONS)
    row = db.execute(
        f"SELECT facet FROM facets WHERE ({names}) = (?, ?, ?, ?, ?, ?)",  # noqa: S608
        values,
    ).fetchone()
    if row is None:
        return int(
            db.execute(
                f"INSERT INTO facets ({names}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
                values,
            ).lastrowid
            or 0
        )
    return int(row[0])


def _facet_conditions(query: CaseQuery) -> tuple[str, list[Any]]:
    """The condition on `facets` that a query means, and its values."""
    conditions, values = ["1"], list[Any]()
    for dimension in DIMENSIONS:
        value = getattr(query, dimension)
        if value is not None:
            conditions.append(f"{dimension} = ?")
            values.append(value)
    if query.tenants is not None:
        conditions.append("tenant IN (SELECT value FROM json_each(?))")
        values.append(_json_list(query.tenants))
    return " AND ".join(conditions), values


def _conditions(query: CaseQuery) -> tuple[str, list[Any]]:
    """The condition on `cases` that a query means, and its values."""
    states = ", ".join(map(str, _STATES[query.state]))
    conditions, values = [f"state IN ({states})"], list[Any]()
    where, of_facets = _facet_conditions(query)
    if of_facets:
        conditions.append(f"facet IN (SELECT facet FROM facets WHERE {where})")  # noqa: S608
        values += of_facets
    if query.text is not None:
        conditions.append("num IN (SELECT rowid FROM words WHERE words MATCH ?)")
        values.append(words_of(query.text) or '""')
    return " AND ".join(conditions), values


def _index(query: CaseQuery, total: int, limit: int) -> str:
    """The index that answers a query with the least work.

    Few cases are sorted; many are read in their order until the page is full.
    """
    if total * total < limit * MAX_LIMIT:
        return "cases_by_facet"
    return f"cases_by_{query.order}"


def _without(query: CaseQuery, dimension: str) -> CaseQuery:
    """The query without its filter on a dimension."""
    changes: dict[str, Any] = {dimension: None}
    return replace(query, **changes)


def _total(db: sqlite3.Connection, query: CaseQuery) -> int:
    if query.text is None:
        where, values = _facet_conditions(query)
        sql = f"SELECT SUM({_COUNTERS[query.state]}) FROM facets WHERE {where}"  # noqa: S608
    else:
        where, values = _conditions(query)
        sql = f"SELECT COUNT(*) FROM cases WHERE {where}"  # noqa: S608
    return int(db.execute(sql, values).fetchone()[0] or 0)


def _counted(db: sqlite3.Connection, query: CaseQuery, dimension: str) -> Iterator[tuple[str, int]]:
    """The values of a dimension with their numbers of cases, the most first."""
    if query.text is None:
        where, values = _facet_conditions(query)
        sql = (
            f"SELECT {dimension}, SUM({_COUNTERS[query.state]}) AS n FROM facets "  # noqa: S608
            f"WHERE {where} AND {dimension} != '' GROUP BY 1 HAVING n > 0 ORDER BY n DESC, 1"
        )
    else:
        where, values = _conditions(query)
        sql = (
            f"SELECT facets.{dimension}, COUNT(*) AS n FROM cases JOIN facets USING (facet) "  # noqa: S608
            f"WHERE {where} AND facets.{dimension} != '' GROUP BY 1 ORDER BY n DESC, 1"
        )
    yield from db.execute(sql, values)


def _index_words(db: sqlite3.Connection, num: int, case: Case, *, remove: bool = False) -> None:
    if remove:
        # The index holds no texts, so it needs the same ones to remove them.
        db.execute(
            "INSERT INTO words (words, rowid, title, body) VALUES ('delete', ?, ?, ?)",
            (num, *text_of(case)),
        )
    else:
        db.execute("INSERT INTO words (rowid, title, body) VALUES (?, ?, ?)", (num, *text_of(case)))


def _store_record(
    db: sqlite3.Connection,
    num: int,
    revision: int,
    value: bytes,
    verdict: str | None,
    *,
    replace_: bool,
) -> None:
    word = "REPLACE" if replace_ else "IGNORE"
    db.execute(
        f"INSERT OR {word} INTO records VALUES (?, ?, ?, ?)",
        (num, revision, zlib.compress(value, 1), verdict),
    )


def _record(db: sqlite3.Connection, num: int, revision: int) -> bytes | None:
    row = db.execute(
        "SELECT value FROM records WHERE num = ? AND revision = ?", (num, revision)
    ).fetchone()
    return None if row is None else zlib.decompress(row[0])


def _forget_arrivals(db: sqlite3.Connection) -> None:
    db.execute(
        "DELETE FROM arrivals WHERE seq <= (SELECT MAX(seq) FROM arrivals) - ?", (MAX_ARRIVALS,)
    )


def _forget_oldest_decisions(db: sqlite3.Connection) -> None:
    (count,) = db.execute("SELECT COUNT(*) FROM decisions WHERE num IS NULL").fetchone()
    if count <= MAX_DECISIONS:
        return
    (oldest,) = db.execute(
        "SELECT received_s FROM decisions WHERE num IS NULL ORDER BY received_s LIMIT 1 OFFSET ?",
        (count - MAX_DECISIONS,),
    ).fetchone()
    db.execute("DELETE FROM decisions WHERE num IS NULL AND received_s < ?", (oldest,))


def _json_list(values: Collection[str]) -> str:
    return msgspec.json.encode(list(values)).decode()


def _instant_s(text: str, default: float) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return default
