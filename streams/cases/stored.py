"""The events that are stored whole: their records, the words of their texts, and their facets."""

import sqlite3
import zlib

from agents.cases import Known
from schemas.codec import decode
from schemas.limits import Limits
from schemas.triaged import Case, TriagedEvent
from streams.cases.entries import searched_of
from streams.cases.near import keep_bands
from streams.cases.query import DIMENSIONS, DISAGREEMENT, CaseSummary

THE_CASE = -1
"""The revision under which the record of a case is stored."""
FAST = 1
"""The level of compression: a case becomes a third of its size."""
_NAMES, _PLACES = ", ".join(DIMENSIONS), ", ".join("?" * len(DIMENSIONS))


class StoredRecords:
    """The records of the events that are stored; `limits` are those of the event in a case."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def case(self, db: sqlite3.Connection, num: int) -> Case | None:
        """The case of an event; None if it never was one."""
        value = _record(db, num, THE_CASE)
        return None if value is None else decode(value, Case, self._limits)

    def revision(self, db: sqlite3.Connection, num: int, revision: int) -> TriagedEvent | None:
        """One revision of an event; None if it is not stored."""
        value = _record(db, num, revision)
        return None if value is None else decode(value, TriagedEvent, self._limits)

    def revisions(self, db: sqlite3.Connection, num: int, last: int) -> list[TriagedEvent]:
        """The revisions of an event that are stored, up to `last`, the oldest first."""
        rows = db.execute(
            "SELECT value FROM records WHERE num = ? AND revision BETWEEN 0 AND ? "
            "ORDER BY revision",
            (num, last),
        ).fetchall()
        values = (zlib.decompress(value) for (value,) in rows)
        return [decode(value, TriagedEvent, self._limits) for value in values]

    def keep_case(self, db: sqlite3.Connection, num: int, case: Case, value: bytes) -> None:
        """Store a case, whose JSON is `value`, unless a later one of the event is stored."""
        earlier = self.case(db, num)
        if earlier is not None:
            if earlier.triaged.revision > case.triaged.revision:
                return
            _forget_words(db, num, earlier)
        keep_revision(db, num, THE_CASE, value, replace=True)
        words = (num, *searched_of(case))
        db.execute("INSERT INTO words (rowid, title, body) VALUES (?, ?, ?)", words)

    def forget(self, db: sqlite3.Connection, num: int) -> None:
        """Remove an event; where its current decision is stays known."""
        case = self.case(db, num)
        if case is not None:
            _forget_words(db, num, case)
        keep_bands(db, num, None, None)
        db.execute("DELETE FROM records WHERE num = ?", (num,))
        row = db.execute("SELECT id_hash, scope FROM cases WHERE num = ?", (num,)).fetchone()
        db.execute("DELETE FROM cases WHERE num = ?", (num,))
        db.execute(
            "UPDATE decisions SET num = NULL WHERE id_hash = ? AND scope = ? AND num = ?",
            (*row, num),
        )

    def known(self, db: sqlite3.Connection, num: int, current: int) -> Known | None:
        """Everything that is stored of an event up to its `current` revision.

        None if that revision itself is not stored.
        """
        rows = db.execute(
            "SELECT revision, value, verdict, trace FROM records WHERE num = ? AND revision <= ? "
            "ORDER BY revision",
            (num, current),
        ).fetchall()
        values = {revision: zlib.decompress(value) for revision, value, *_ in rows}
        case = values.pop(THE_CASE, None)
        if current not in values:
            return None
        revisions = [decode(value, TriagedEvent, self._limits) for value in values.values()]
        return Known(
            revisions[-1],
            None if case is None else decode(case, Case, self._limits),
            revisions,
            {revision: verdict for revision, _, verdict, _ in rows if verdict is not None},
            rows[-1][-1],
        )


def keep_revision(
    db: sqlite3.Connection,
    num: int,
    revision: int,
    value: bytes,
    verdict: str | None = None,
    trace: str | None = None,
    *,
    replace: bool = False,
) -> None:
    """Store one revision, the place of the verdict that made it, and the trace of its record."""
    word = "REPLACE" if replace else "IGNORE"
    db.execute(
        f"INSERT OR {word} INTO records VALUES (?, ?, ?, ?, ?)",  # noqa: S608
        (num, revision, zlib.compress(value, FAST), verdict, trace),
    )


def waiting_of(db: sqlite3.Connection, id_hash: int, scope: int) -> bytes | None:
    """Revision 0 of an event that waits for the LLM tier; None if there is none."""
    row = db.execute(
        "SELECT value FROM waiting WHERE id_hash = ? AND scope = ?", (id_hash, scope)
    ).fetchone()
    return None if row is None else zlib.decompress(row[0])


def take_waiting(db: sqlite3.Connection, id_hash: int, scope: int) -> bytes | None:
    """`waiting_of`, which is removed."""
    value = waiting_of(db, id_hash, scope)
    forget_waiting(db, id_hash, scope)
    return value


def forget_waiting(db: sqlite3.Connection, id_hash: int, scope: int) -> None:
    """Remove what is kept of an event that waits for the LLM tier."""
    db.execute("DELETE FROM waiting WHERE id_hash = ? AND scope = ?", (id_hash, scope))


def facet_of(db: sqlite3.Connection, summary: CaseSummary) -> int:
    """The row of `facets` for these values, which is made if it is missing."""
    values = [_facet_text(summary, dimension) for dimension in DIMENSIONS]
    find = f"SELECT facet FROM facets WHERE ({_NAMES}) = ({_PLACES})"  # noqa: S608
    row = db.execute(find, values).fetchone()
    if row is None:
        db.execute(
            f"INSERT INTO facets ({_NAMES}) VALUES ({_PLACES})",  # noqa: S608
            values,
        )
        row = db.execute(find, values).fetchone()
    return int(row[0])


def _facet_text(summary: CaseSummary, dimension: str) -> str:
    """What a case is filtered and counted by; a ticket has a priority in place of a severity."""
    value: str | bool | None = getattr(summary, dimension)
    if isinstance(value, bool):
        return DISAGREEMENT if value else ""
    return value or (dimension == "severity" and summary.priority) or ""


def _record(db: sqlite3.Connection, num: int, revision: int) -> bytes | None:
    row = db.execute(
        "SELECT value FROM records WHERE num = ? AND revision = ?", (num, revision)
    ).fetchone()
    return None if row is None else zlib.decompress(row[0])


def _forget_words(db: sqlite3.Connection, num: int, case: Case) -> None:
    # The index holds no texts, so it needs the same ones to remove their words.
    db.execute(
        "INSERT INTO words (words, rowid, title, body) VALUES ('delete', ?, ?, ?)",
        (num, *searched_of(case)),
    )
