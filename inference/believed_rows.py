"""Which labelled rows are learned from, and how much one author may teach.

Whoever decides teaches the small model. A person who decides wrongly, by mistake or on purpose, and
an LLM that obeys the text of an event, could teach it to accept what it should not. So rows of
people who are not allowed are left out, and the share of each author is limited.
"""

import hashlib
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from schemas.event import Domain
from schemas.folding import fold
from schemas.label_record import LabelRecord, key_of

ROUNDING = 1e-9

DropReason = Literal[
    "tenant_excluded",
    "reviewer_excluded",
    "reviewer_not_allowed",
    "share_of_reviewer",
    "share_of_llm",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BeliefOptions:
    """Whose rows are learned from, and how many of each author.

    `people` are those who may give verdicts; empty for everybody. `excluded_reviewers` are people
    from whom nothing is learned, whether they decided or signed. The shares are in (0, 1]: of one
    person among the rows of people, and of the LLM among all rows.
    """

    max_share_of_reviewer: float = 1.0
    max_share_of_llm: float = 1.0
    people: Collection[str] = ()
    excluded_reviewers: Collection[str] = ()
    excluded_tenants: Collection[str] = ()


class Dropped(NamedTuple):
    """A row that is not learned from, and why."""

    record: LabelRecord
    reason: DropReason


class Believed(NamedTuple):
    """The rows that are learned from, in the order in which they came, and the others."""

    rows: list[LabelRecord]
    dropped: list[Dropped]


class Authors:
    """Says whose rows may be learned from."""

    def __init__(self, options: BeliefOptions) -> None:
        self._tenants = set(map(fold, options.excluded_tenants))
        self._excluded = set(map(fold, options.excluded_reviewers))
        self._people = set(map(fold, options.people))

    def refusal(self, record: LabelRecord) -> DropReason | None:
        """Why nothing is learned from a row, whatever the shares are; None if it may be."""
        if fold(record.tenant) in self._tenants:
            return "tenant_excluded"
        if record.decided_by != "human":
            return None
        if {author(record), fold(record.signed_by or "")} & self._excluded:
            return "reviewer_excluded"
        if self._people and author(record) not in self._people:
            return "reviewer_not_allowed"
        return None


def believed_rows(records: Iterable[LabelRecord], options: BeliefOptions) -> Believed:
    """Choose the rows to learn from.

    If an author has more rows than the share allows, the rest of them is left out. Which of them is
    chosen by a hash of the event's id: not by the author, not by time, and every time the same.

    With n people, none of them can have less than 1/n. A share below that counts as 1/n, so the
    rows of a desk with one reviewer are all used.
    """
    authors = Authors(options)
    rows: list[LabelRecord] = []
    dropped: list[Dropped] = []
    for record in records:
        reason = authors.refusal(record)
        if reason is None:
            rows.append(record)
        else:
            dropped.append(Dropped(record, reason))
    people = [row for row in rows if row.decided_by == "human"]
    llm = [row for row in rows if row.decided_by == "llm"]
    by_person: dict[str, list[LabelRecord]] = defaultdict(list)
    for row in people:
        by_person[author(row)].append(row)
    sizes = {name: len(of_person) for name, of_person in by_person.items()}
    allowed = allowed_counts(sizes, options.max_share_of_reviewer)
    surplus = [
        row for name, of_person in by_person.items() for row in _surplus(of_person, allowed[name])
    ]
    dropped += [Dropped(row, "share_of_reviewer") for row in surplus]
    kept_people = len(people) - len(surplus)
    surplus_llm = _surplus(llm, _allowed_llm(len(llm), kept_people, options.max_share_of_llm))
    dropped += [Dropped(row, "share_of_llm") for row in surplus_llm]
    left_out = {id(row) for row, _ in dropped}
    return Believed([row for row in rows if id(row) not in left_out], dropped)


def author(record: LabelRecord) -> str:
    """Who counts as the author of a row: whoever decided, as the name is read."""
    return fold(record.by)


def allowed_counts(sizes: Mapping[str, int], max_share: float) -> dict[str, int]:
    """How many rows of each author may be kept, so that nobody has more than `max_share` of them.

    The authors with most rows are all cut down to one number, the largest that does it.
    """
    if not sizes:
        return {}
    share = max(max_share, 1 / len(sizes))

    def is_too_many(most: int) -> bool:
        kept = sum(min(size, most) for size in sizes.values())
        return most > share * kept * (1 + ROUNDING)

    # The share of the largest author only grows with the number, and nobody is above the share if
    # all have as many as the smallest one.
    numbers = range(min(sizes.values()) + 1, max(sizes.values()) + 1)
    most = numbers.start - 1 + bisect_left(numbers, True, key=is_too_many)
    return {name: min(size, most) for name, size in sizes.items()}


def _allowed_llm(rows: int, of_people: int, max_share: float) -> int:
    if max_share >= 1:
        return rows
    return min(rows, int(max_share / (1 - max_share) * of_people * (1 + ROUNDING)))


def _surplus(rows: Sequence[LabelRecord], allowed: int) -> list[LabelRecord]:
    """The rows beyond the allowed number, in the order of a hash of their events."""
    return sorted(rows, key=_order)[allowed:] if len(rows) > allowed else []


def _order(record: LabelRecord) -> bytes:
    return hashlib.sha256(key_of(record)).digest()


class Disagreement(NamedTuple):
    """Two people who decided differently about one axis of one event. The later one stands."""

    id: str
    domain: Domain
    tenant: str
    axis: str
    earlier_by: str
    earlier: str
    later_by: str
    later: str


def disagreements(records: Iterable[LabelRecord]) -> list[Disagreement]:
    """Where a person has corrected another one."""
    return [
        Disagreement(
            id=record.id,
            domain=record.domain,
            tenant=record.tenant,
            axis=axis,
            earlier_by=record.corrects.by,
            earlier=earlier,
            later_by=record.by,
            later=record.labels[axis],
        )
        for record in records
        if record.corrects is not None
        for axis, earlier in sorted(record.corrects.labels.items())
        if record.labels.get(axis, earlier) != earlier
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewerFigures:
    """What one person has decided.

    `share` is of all rows by people. `changed` counts the rows in which an axis differs from what
    the small model proposed, among `proposed` rows that have a proposal. `corrected` counts rows in
    which this person has changed what another one decided, and `was_corrected` the other way round.
    """

    name: str
    rows: int
    share: float
    proposed: int
    changed: int
    corrected: int
    was_corrected: int


def reviewer_figures(records: Iterable[LabelRecord]) -> list[ReviewerFigures]:
    """What each person has decided, beside the others; who decided most comes first.

    Somebody who changes far more than the others do, or is corrected far more often, is worth a
    look. Names that read alike count as one.
    """
    of_people = [record for record in records if record.decided_by == "human"]
    by_person: dict[str, list[LabelRecord]] = defaultdict(list)
    for record in of_people:
        by_person[author(record)].append(record)
    found = disagreements(of_people)
    # One row may differ in several axes.
    corrected = Counter(fold(by) for by, *_ in {(d.later_by, d.id, d.tenant) for d in found})
    was_corrected = Counter(fold(by) for by, *_ in {(d.earlier_by, d.id, d.tenant) for d in found})
    figures = [
        ReviewerFigures(
            name=rows[0].by,
            rows=len(rows),
            share=len(rows) / len(of_people),
            proposed=sum(bool(row.proposed) for row in rows),
            changed=sum(map(_differs, rows)),
            corrected=corrected[person],
            was_corrected=was_corrected[person],
        )
        for person, rows in by_person.items()
    ]
    return sorted(figures, key=lambda each: (-each.rows, each.name))


def _differs(record: LabelRecord) -> bool:
    """Whether a person has changed what the small model proposed."""
    return any(
        axis in record.proposed and record.proposed[axis].value != value
        for axis, value in record.labels.items()
    )
