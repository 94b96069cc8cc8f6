"""The current decision of an event: which of two replaces the other, and where it is kept."""

import sqlite3

import msgspec

from agents.cases import Reading
from schemas.errors import InvalidEvent
from schemas.event import Domain
from streams.cases.entries import Entry, hash_of

MAX_NAMED = 10
"""So many domains and tenants an error names."""
MAX_ID_SHOWN = 100


class Current(msgspec.Struct, array_like=True, frozen=True):
    """The row of an event in `decisions`, without its key.

    The fields `from_...` and `received_s` say where and when its message was read; the topic is a
    hash. `partition` and `offset` are the place of the record on its triaged topic, or -1 if only
    the case was read so far. `first` is the offset of revision 0, or -1. `num` is the number of the
    event in `cases`, if it is stored.
    """

    revision: int
    human: int
    final: int
    content: int
    from_topic: int
    from_partition: int
    from_offset: int
    received_s: float
    partition: int
    offset: int
    first: int
    num: int | None

    @classmethod
    def of(cls, entry: Entry, num: int | None) -> "Current":
        """The row that this decision makes."""
        triaged, is_case = entry.triaged, entry.case is not None
        return cls(
            triaged.revision,
            int(entry.by_human),
            int(triaged.status == "final"),
            entry.content,
            *hashed(entry.reading),
            -1 if is_case else entry.origin.partition,
            -1 if is_case else entry.origin.offset,
            -1,
            num,
        )

    @property
    def reading(self) -> Reading:
        """Where and when its message was read."""
        return Reading(self.from_topic, self.from_partition, self.from_offset, self.received_s)

    def with_first(self, entry: Entry, known: "Current | None") -> "Current":
        """The same decision, which knows where revision 0 is."""
        first = -1 if known is None else known.first
        if entry.case is None and entry.triaged.revision == 0:
            first = entry.origin.offset
        return msgspec.structs.replace(self, first=first)

    def read_at(self, reading: Reading) -> "Current":
        """The same decision about a message that was read there."""
        topic, partition, offset, received_s = hashed(reading)
        return msgspec.structs.replace(
            self,
            from_topic=topic,
            from_partition=partition,
            from_offset=offset,
            received_s=received_s,
        )

    def says_what(self, other: "Current") -> bool:
        """Whether both are the same decision, perhaps at another place."""
        return (self.revision, self.human, self.final) == (
            other.revision,
            other.human,
            other.final,
        )


def hashed(reading: Reading) -> tuple[int, int, int, float]:
    """Where and when a message was read, with a hash of the topic."""
    topic = reading.topic if isinstance(reading.topic, int) else hash_of(reading.topic)
    return topic, reading.partition, reading.offset, reading.received_s


def is_outdated(entry: Entry, known: Current) -> bool:
    """Whether an entry about another text than what is known is about an earlier message.

    Of two events of one record with the same id, the one that comes later counts, but not a later
    revision of the first one.
    """
    reading = Reading(*hashed(entry.reading))
    if reading[:3] == known.reading[:3]:
        return entry.triaged.revision > 0
    return not reading.is_later_than(known.reading)


def is_later(entry: Entry, known: Current) -> bool:
    """Whether the decision is of a higher revision; a person's counts more than a model's."""
    return (entry.triaged.revision, int(entry.by_human)) > (known.revision, known.human)


def replaces(entry: Entry, known: Current) -> bool:
    """Whether a decision takes the place of what is known of its event.

    A later one does. Of two persons' decisions with the same revision the one stands that came
    first. A model's decision that is read again takes the place of itself, because the earlier
    record is deleted first.
    """
    if is_later(entry, known):
        return True
    if entry.case is not None or (entry.triaged.revision, int(entry.by_human)) != (
        known.revision,
        known.human,
    ):
        return False
    return known.offset < 0 or not entry.by_human


COLUMNS = ", ".join(Current.__struct_fields__)


def read_current(db: sqlite3.Connection, id_hash: int, scope: int) -> Current | None:
    """The row of an event; None if it is not known."""
    row = db.execute(
        f"SELECT {COLUMNS} FROM decisions WHERE id_hash = ? AND scope = ?",  # noqa: S608
        (id_hash, scope),
    ).fetchone()
    return None if row is None else Current(*row)


def write_current(db: sqlite3.Connection, id_hash: int, scope: int, current: Current) -> None:
    """Write the row of an event."""
    db.execute(
        "INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (id_hash, scope, *msgspec.structs.astuple(current)),
    )


def locate(
    db: sqlite3.Connection, id_: str, domain: Domain | None, tenant: str | None
) -> tuple[Current, Domain] | None:
    """The row of the one event with this id, and its domain; None if there is none.

    Raises:
        InvalidEvent: there are several; the message names their domains and tenants.
    """
    rows = db.execute(
        f"SELECT {COLUMNS}, domain, tenant FROM decisions JOIN scopes USING (scope) "  # noqa: S608
        "WHERE id_hash = ?1 AND (?2 IS NULL OR domain = ?2) AND (?3 IS NULL OR tenant = ?3) "
        "LIMIT ?4",
        (hash_of(id_), domain, tenant, MAX_NAMED),
    ).fetchall()
    if len(rows) > 1:
        names = ", ".join(sorted(f"{row[-2]} of tenant {row[-1]!r}" for row in rows))
        raise InvalidEvent(
            f"the id {id_[:MAX_ID_SHOWN]!r} belongs to several events ({names}); say which one in "
            "domain and tenant",
            stage="validate",
        )
    return (Current(*rows[0][:-2]), rows[0][-2]) if rows else None
