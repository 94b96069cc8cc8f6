"""Which labelled rows teach a candidate, and which of them may promise anything.

Rows that people decided teach and calibrate. Rows that the LLM decided teach with less weight, and
promise nothing: a promise about agreement with an LLM is not a promise about being right. A row
that a person decided unasked only teaches as well: nobody knows the chance that it was chosen with.

Every escalated event is chosen, but people may decide only some of them and leave the others to the
LLM. So the chance of a row is also the share of the escalated events that people decided: otherwise
each spot check would stand for many events, and each decision for one. This takes for granted that
people do not pick the events that the model gets right.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from inference.acceptance.live_checks import LiveReport, calibrated_threshold
from inference.clusters import with_clusters
from inference.errors import DataError
from inference.labelled import MIN_LABELS, LabelledRow
from inference.labels.file import LabelsFile
from inference.labels.renames import NO_RENAMES, Renames
from schemas.event import Domain
from schemas.instants import seconds_of
from schemas.label_record import LabelRecord

UNNAMED = "unnamed"
MIN_ROWS_OF_AXIS = 20
"""An axis that does not decide is learned from so many rows of people; below that, it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOptions:
    """How records become rows.

    `llm_weight`, in (0, 1], is how much a row of the LLM teaches. `max_rows` is how many rows are
    used; rows of people come first, then the newest. If a promise of the domain was broken, rows
    from before `breach` only teach.
    """

    llm_weight: float = 0.5
    max_rows: int = 50_000
    breach: LiveReport | None = None


@dataclass(frozen=True, slots=True)
class ChosenRows:
    """The rows of one domain, and how many records could not become one.

    `left_out` counts them by reason: ``no_text`` (the configuration keeps no text), ``no_label``
    and ``too_many``. `learned_until` is when the newest row was decided, an RFC 3339 instant.
    """

    rows: list[LabelledRow]
    people: int
    llm: int
    learned_until: str | None = None
    left_out: Counter[str] = field(default_factory=Counter)


def choose_rows(
    records: Iterable[LabelRecord],
    domain: Domain,
    deciding: Sequence[str],
    options: RowOptions,
    renames: Renames = NO_RENAMES,
) -> ChosenRows:
    """The rows that teach a model of a domain.

    Axes that too few people have decided are left out, unless they are `deciding`.

    Raises:
        DataError: people have not decided at least two different values of a deciding axis.
    """
    left_out: Counter[str] = Counter()
    usable = []
    for record in records:
        if record.domain != domain:
            continue
        if record.event is None:
            left_out["no_text"] += 1
        elif not record.labels:
            left_out["no_label"] += 1
        else:
            usable.append(record)
    usable.sort(key=lambda each: (each.decided_by != "human", _descending(each.decided_at)))
    left_out["too_many"] = max(0, len(usable) - options.max_rows)
    answered = _share_of_people(usable)
    usable = usable[: options.max_rows]
    axes = _axes(usable, deciding, renames)
    rows = [
        row for record in usable if (row := _row(record, axes, options, renames, answered)).gold
    ]
    people = sum(record.decided_by == "human" for record in usable)
    return ChosenRows(
        with_clusters(rows),
        people,
        len(usable) - people,
        max((record.decided_at for record in usable), default=None),
        +left_out,
    )


def labels_for(file: LabelsFile, domain: Domain, rows: Sequence[LabelledRow]) -> LabelsFile:
    """The labels file with the axes of these rows alone.

    A model makes an axis of whatever its labels file names, also without rows. Another domain, or
    an axis that nobody decides, must not be taken from the model that labels it well.
    """
    decided = {axis for row in rows for axis in row.gold}
    axes = {axis: labels for axis, labels in file.axes(domain).items() if axis in decided}
    return LabelsFile({domain: axes} if axes else {})


def fingerprint(record: LabelRecord) -> bytes:
    """Eight bytes that change if the decision does; they show which rows are new or gone."""
    said = (
        record.id,
        record.domain,
        record.tenant,
        sorted(record.labels.items()),
        record.decided_by,
    )
    return hashlib.sha256(repr(said).encode()).digest()[:8]


def is_after(record: LabelRecord, breach: LiveReport | None) -> bool:
    """Whether an event was decided, and had come in, after a promise was found broken.

    A check that was drawn before may be decided later. It stands for events that were accepted
    then, and would outweigh those that are escalated since.
    """
    if breach is None:
        return True
    key, calibration = breach.key, record.calibration
    if seconds_of(record.decided_at, 0.0) <= breach.report.breaches[-1].found_at_s:
        return False
    if calibration is None or calibration.digest != key.digest:
        return True
    return calibrated_threshold(calibration, key.claim) <= breach.report.threshold


def _share_of_people(records: Iterable[LabelRecord]) -> float:
    """Which share of the escalated events people decided, and not the LLM; 1.0 without any."""
    escalated = Counter(each.decided_by for each in records if each.chosen == "escalated")
    return escalated["human"] / escalated.total() if escalated["human"] else 1.0


def _row(
    record: LabelRecord,
    axes: Sequence[str],
    options: RowOptions,
    renames: Renames,
    answered: float,
) -> LabelledRow:
    if record.event is None:
        raise AssertionError(f"the record of {record.id} has no text")
    by_person = record.decided_by == "human"
    is_sampled = by_person and record.chosen != "corrected"
    calibrates = is_sampled and is_after(record, options.breach)
    labels = renames.chosen(record.domain, record.labels)
    chance = record.probability
    if record.chosen == "escalated":
        chance *= answered
    return LabelledRow(
        event=record.event,
        domain=record.domain,
        gold={axis: (value,) for axis, value in labels.items() if axis in axes},
        part="both" if calibrates else "train",
        source=record.source or UNNAMED,
        teaching_weight=1.0 if by_person else options.llm_weight,
        chance=chance,
    )


def _axes(records: Sequence[LabelRecord], deciding: Sequence[str], renames: Renames) -> list[str]:
    """The axes that are learned: the deciding ones, and others that people decide often.

    Raises:
        DataError: people have not decided two different values of a deciding axis.
    """
    rows: Counter[str] = Counter()
    values: dict[str, set[str]] = {}
    for record in records:
        if record.decided_by != "human":
            continue
        for axis, value in renames.chosen(record.domain, record.labels).items():
            rows[axis] += 1
            values.setdefault(axis, set()).add(value)
    for axis in deciding:
        if len(values.get(axis, ())) < MIN_LABELS:
            raise DataError(
                f"people have decided {len(values.get(axis, ()))} different values of {axis}; "
                f"nothing can be learned about it before there are {MIN_LABELS}"
            )
    return [
        axis
        for axis, count in rows.items()
        if axis in deciding or (count >= MIN_ROWS_OF_AXIS and len(values[axis]) >= MIN_LABELS)
    ]


def _descending(instant: str) -> tuple[int, ...]:
    """A key that puts the newest instant first."""
    return tuple(-ord(character) for character in instant)
