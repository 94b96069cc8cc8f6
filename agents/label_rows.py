"""The labelled row that a decision adds to what is learned from (`schemas/label_record.py`)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from msgspec.structs import replace

from agents.revision import rfc3339
from inference.believed_rows import Disagreement
from inference.llm.combining import overruled_axes
from schemas.folding import fold
from schemas.label_record import Chosen, EarlierDecision, LabelRecord
from schemas.triaged import Case, TriagedEvent

Keep = Literal["text", "labels", "off"]
SPOT_CHECK = "spot_check"
"""The escalation of a case that was accepted, and drawn at random to be checked."""

BY = "decided by "
"""How the reason begins that names the person who decided."""


@dataclass(frozen=True, slots=True)
class RowsKept:
    """What is kept of a labelled row: all of it, no text, or nothing.

    Nothing is kept of the tenants in `excluded`, whose names are folded.
    """

    keep: Keep = "text"
    excluded: Collection[str] = frozenset()

    def of(self, row: LabelRecord | None) -> LabelRecord | None:
        """The row as far as it is kept; None if it is not.

        Without text, the comment is left out too: people quote the event in it.
        """
        if row is None or self.keep == "off" or fold(row.tenant) in self.excluded:
            return None
        return row if self.keep == "text" else replace(row, event=None, comment=None)


NOTHING_KEPT = RowsKept("off")


def row_of_llm(case: Case, triaged: TriagedEvent) -> LabelRecord | None:
    """The row of an answer of the LLM; None if the event does not end with one.

    A case that is delivered again gets its first answer again, and so the same row. An axis on
    which the LLM was overruled is left out.
    """
    answer = triaged.enrichment
    if triaged.status != "final" or triaged.decided_by != "llm" or answer is None:
        return None
    overruled = overruled_axes(triaged.labels, triaged.reasons)
    return LabelRecord(
        **_about_the_event(triaged),
        **_answer_of_model(case.triaged, case),
        labels={
            axis: label.value for axis, label in triaged.labels.items() if axis not in overruled
        },
        decided_by="llm",
        by=answer.model or answer.tier or "llm",
        decided_at=triaged.timing.triaged_at,
        chosen="escalated",
        probability=case.probability,
        event=case.event,
    )


def label_record_of(
    revised: TriagedEvent,
    *,
    labels: Mapping[str, str],
    by: str,
    decided_at_s: float,
    revisions: Sequence[TriagedEvent],
    case: Case | None = None,
    comment: str | None = None,
    signed_by: str | None = None,
    axes: Collection[str] = (),
) -> LabelRecord | None:
    """The row of a person's verdict; None if it decides nothing, or a later one stands.

    A verdict that names no label confirms the revision that the person has read: all of its labels
    are then the person's, on the `axes` that they may decide. Otherwise only those are that it
    names.

    A verdict that is delivered again gives the same row, so the time is that of its record, and
    only revisions before `revised` count. It does not replace the row of a later verdict.

    Args:
        revised: the revision that the verdict makes.
        labels: what the person names, by axis, and nothing else.
        by: who the person is.
        decided_at_s: when the verdict entered its topic, in seconds since the epoch.
        revisions: the revisions that are known, in any order.
        case: the event with its text, if it was a case. A case of another event is ignored.
        comment: what the person wrote about it.
        signed_by: the reviewer whose key signed the verdict.
        axes: those that the person may decide; empty for all.
    """
    if case is not None and not _is_same_event(case.triaged, revised):
        case = None  # the sender has used the id again
    known = [case.triaged, *revisions] if case is not None else revisions
    known = [each for each in known if _is_same_event(each, revised)]
    later = (each for each in known if each.revision > revised.revision)
    if any(each.decided_by == "human" for each in later):
        return None
    decided = dict(labels) or {
        axis: label.value for axis, label in revised.labels.items() if not axes or axis in axes
    }
    if not decided:
        return None
    earlier = {each.revision: each for each in known if each.revision < revised.revision}
    first = earlier.get(0)
    chosen, probability = _chosen(first, case)
    return LabelRecord(
        **_about_the_event(revised),
        **_answer_of_model(first, case),
        labels=decided,
        decided_by="human",
        by=by,
        signed_by=signed_by,
        corrects=_corrected(earlier, by, decided),
        decided_at=rfc3339(decided_at_s),
        chosen=chosen,
        probability=probability,
        event=case.event if case is not None else None,
        comment=comment,
    )


def person_of(triaged: TriagedEvent) -> str | None:
    """The person who made this revision; None if nobody did."""
    if triaged.decided_by != "human":
        return None
    reasons = [reason for reason in triaged.reasons if reason.startswith(BY)]
    if not reasons:
        return None
    # The reason goes on with who signed it, and with a comment.
    return reasons[-1].removeprefix(BY).split(", signed by ")[0].split(": ")[0]


def changed_by_people(revisions: Sequence[TriagedEvent]) -> list[Disagreement]:
    """Where a person has changed what another one had decided about this event.

    The revisions of an event may hold those of another message with its id.
    """
    decided = [each for each in sorted(revisions, key=_by_revision) if person_of(each) is not None]
    found = []
    for earlier, later in pairwise(decided):
        before, after = person_of(earlier) or "", person_of(later) or ""
        if fold(before) == fold(after) or not _is_same_event(earlier, later):
            continue
        found += [
            Disagreement(
                id=later.id,
                domain=later.domain,
                tenant=later.tenant,
                axis=axis,
                earlier_by=before,
                earlier=earlier.labels[axis].value,
                later_by=after,
                later=label.value,
            )
            for axis, label in later.labels.items()
            if axis in earlier.labels and earlier.labels[axis].value != label.value
        ]
    return found


def _by_revision(triaged: TriagedEvent) -> int:
    return triaged.revision


def _is_same_event(one: TriagedEvent, other: TriagedEvent) -> bool:
    """Whether two decisions are about the same content. It may have been sent twice."""
    if one.input_digest is None or other.input_digest is None:
        return one.identity == other.identity
    return _about_the_event(one) == _about_the_event(other)


def _about_the_event(triaged: TriagedEvent) -> dict[str, Any]:
    names = ("id", "domain", "tenant", "source", "input_digest")
    return {name: getattr(triaged, name) for name in names}


def _answer_of_model(first: TriagedEvent | None, case: Case | None) -> dict[str, Any]:
    """What the small model said before anybody else decided.

    A rule may have set labels of the first revision. What the small model said is then not known.
    """
    if first is None or first.decided_by != "slm":
        return {}
    return {
        "proposed": first.labels,
        "risk": case.risk if case is not None else 1.0,
        "accepted": first.status == "final",
        "model": first.model,
        "calibration": first.calibration,
    }


def _chosen(first: TriagedEvent | None, case: Case | None) -> tuple[Chosen, float]:
    """Why the event was decided, and the chance that it was chosen with."""
    if case is not None:
        chosen: Chosen = "spot_check" if case.escalation == SPOT_CHECK else "escalated"
        return chosen, case.probability
    if first is not None and first.status == "final":
        return "corrected", 1.0
    return "escalated", 1.0


def _corrected(
    earlier: Mapping[int, TriagedEvent], by: str, labels: Mapping[str, str]
) -> EarlierDecision | None:
    """What another person had decided on these axes; None if nobody had."""
    if not earlier:
        return None
    before = earlier[max(earlier)]
    person = person_of(before)
    if person is None or fold(person) == fold(by):
        return None
    values = {axis: before.labels[axis].value for axis in labels if axis in before.labels}
    return EarlierDecision(by=person, labels=values)
