"""Takes decisions and cases into the tables, in whatever order their topics are read."""

import sqlite3
import zlib

import msgspec

from agents.cases import Reading
from agents.label_rows import SPOT_CHECK
from schemas.instants import seconds_of
from schemas.limits import Limits
from schemas.triaged import Case, TriagedEvent
from streams.cases.current import (
    Current,
    hashed,
    is_later,
    is_outdated,
    read_current,
    replaces,
    write_current,
)
from streams.cases.entries import (
    RANKS,
    URGENT,
    Entry,
    fingerprint_of,
    rank_of,
    summary_of,
)
from streams.cases.near import keep_bands
from streams.cases.query import CaseSummary
from streams.cases.stored import (
    FAST,
    StoredRecords,
    facet_of,
    forget_waiting,
    keep_revision,
    take_waiting,
)

DECIDED, OPEN, NO_CASE = 0, 1, 2
"""The states of a stored event."""
MAX_SCOPES = 10_000
"""So many domains and tenants are kept in memory."""


class Intake:
    """Takes in one decision or case after the other; `limits` are those of an event."""

    def __init__(self, limits: Limits) -> None:
        self.stored = StoredRecords(limits)
        self._scopes: dict[tuple[str, str], int] = {}

    def forget_scopes(self) -> None:
        """Look the numbers of domains and tenants up again; call it if rows may be gone."""
        self._scopes.clear()

    def take(self, db: sqlite3.Connection, entry: Entry) -> bool:
        """Take in one decision or case.

        Returns:
            Whether it was new.
        """
        scope = self._scope(db, entry.triaged.domain, entry.triaged.tenant)
        known = read_current(db, entry.id_hash, scope)
        if known is not None and known.content != entry.content:
            if is_outdated(entry, known):
                return False
            if known.num is not None:
                self.stored.forget(db, known.num)
            forget_waiting(db, entry.id_hash, scope)
            known = None
        if known is None or replaces(entry, known):
            current = Current.of(entry, known.num if known else None)
            is_new = known is None or known.offset < 0 or is_later(entry, known)
            is_copy, is_current = known is not None and current.says_what(known), True
        else:
            current, is_new, is_copy, is_current = known, False, False, False
        if known is not None and not Reading(*hashed(entry.reading)).is_later_than(known.reading):
            current = current.read_at(known.reading)
        else:
            # The same message was sent again: what lies between the two is not newer.
            current = current.read_at(entry.reading)
        current = current.with_first(entry, known)
        if entry.case is not None or not is_copy:
            num = self._store(db, entry, scope, current, is_current=is_current)
            current = msgspec.structs.replace(current, num=num)
        write_current(db, entry.id_hash, scope, current)
        if entry.case is not None:
            return True
        if is_new:
            self._announce(db, entry, current.num)
        return is_new

    def _store(
        self,
        db: sqlite3.Connection,
        entry: Entry,
        scope: int,
        current: Current,
        *,
        is_current: bool,
    ) -> int | None:
        """Store the record if its event is a case, or if a person decided; the event's number."""
        num, revision = current.num, entry.triaged.revision
        if num is None:
            if entry.case is None and not entry.by_human:
                _note_waiting(db, entry, scope)
                return None
            num = _add(db, entry, scope)
            first = take_waiting(db, entry.id_hash, scope)
            if first is not None:
                keep_revision(db, num, 0, first)
        if entry.case is not None:
            self.stored.keep_case(db, num, entry.case, entry.value)
            keep_revision(db, num, revision, msgspec.json.encode(entry.triaged), trace=entry.trace)
        else:
            keep_revision(
                db,
                num,
                revision,
                entry.value,
                entry.verdict,
                entry.trace,
                replace=is_current,
            )
        self._summarise(db, num, entry, current)
        return num

    def _summarise(self, db: sqlite3.Connection, num: int, entry: Entry, current: Current) -> None:
        """Write what lists show of a stored event, and what they are ordered by."""
        case = entry.case or self.stored.case(db, num)
        triaged = entry.triaged
        if triaged.revision != current.revision:
            triaged = self.stored.revision(db, num, current.revision) or triaged
        state = NO_CASE
        if case is not None:
            ended = current.human if case.escalation == SPOT_CHECK else current.final
            state = DECIDED if ended else OPEN
        summary, fingerprint = self._summary(db, triaged, case, num), fingerprint_of(triaged)
        db.execute(
            "UPDATE cases SET state = ?, facet = ?, calm = ?, minus_risk = ?, minus_rank = ?, "
            "received_s = ?, queue = ?, decided_s = ?, fingerprint = ?, summary = ? WHERE num = ?",
            (
                state,
                facet_of(db, summary),
                -int(RANKS.get(summary.stated or "") == URGENT),
                -(summary.risk or 0.0),
                -rank_of(summary),
                entry.reading.received_s,
                summary.queue,
                seconds_of(triaged.timing.triaged_at, entry.reading.received_s),
                fingerprint,
                msgspec.msgpack.encode(summary),
                num,
            ),
        )
        keep_bands(db, num, case if state == OPEN else None, fingerprint)

    def _announce(self, db: sqlite3.Connection, entry: Entry, num: int | None) -> None:
        """Add a decision to the feed."""
        case = None if num is None else self.stored.case(db, num)
        summary = self._summary(db, entry.triaged, case, num)
        db.execute(
            "INSERT INTO arrivals (facet, summary) VALUES (?, ?)",
            (facet_of(db, summary), msgspec.msgpack.encode(summary)),
        )

    def _summary(
        self, db: sqlite3.Connection, triaged: TriagedEvent, case: Case | None, num: int | None
    ) -> CaseSummary:
        revisions: list[TriagedEvent] = []
        if num is not None and triaged.decided_by == "human":
            revisions = self.stored.revisions(db, num, triaged.revision)
        return summary_of(triaged, case, revisions)

    def _scope(self, db: sqlite3.Connection, domain: str, tenant: str) -> int:
        scope = self._scopes.get((domain, tenant))
        if scope is None:
            db.execute(
                "INSERT OR IGNORE INTO scopes (domain, tenant) VALUES (?, ?)", (domain, tenant)
            )
            (scope,) = db.execute(
                "SELECT scope FROM scopes WHERE domain = ? AND tenant = ?", (domain, tenant)
            ).fetchone()
            if len(self._scopes) >= MAX_SCOPES:
                self._scopes.clear()
            self._scopes[domain, tenant] = scope
        return scope


def _note_waiting(db: sqlite3.Connection, entry: Entry, scope: int) -> None:
    """Keep revision 0 of an event that waits for the LLM tier, until it has ended."""
    if entry.triaged.status == "provisional":
        value = zlib.compress(entry.value, FAST)
        db.execute(
            "INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?)",
            (entry.id_hash, scope, entry.reading.received_s, value),
        )
    elif entry.triaged.status == "final" and entry.triaged.revision > 0:
        forget_waiting(db, entry.id_hash, scope)


def _add(db: sqlite3.Connection, entry: Entry, scope: int) -> int:
    """An empty row for an event; its number."""
    added = db.execute(
        "INSERT INTO cases (id_hash, scope, state, facet, calm, minus_risk, minus_rank, "
        "received_s, queue, decided_s, summary) VALUES (?, ?, ?, 0, 0, 0, 0, 0, '', 0, x'')",
        (entry.id_hash, scope, NO_CASE),
    )
    return int(added.lastrowid or 0)
