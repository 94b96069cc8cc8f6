"""From predictions to figures. Nothing here depends on how the predictions were made."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from inference.acceptance.guarantee import Promise
from inference.acceptance.policy import Decision
from inference.arrays import Bools, Floats
from inference.evaluation import formulas
from inference.evaluation.axis_scoring import axis_figures, curve_points, ranking_scores
from inference.evaluation.figures import (
    AcceptedFigures,
    AxisFigures,
    CostFigures,
    DomainFigures,
    EvaluatedSplit,
    LatencyFigures,
    OutOfScopeFigures,
    PromiseFigures,
)
from inference.evaluation.predictions import (
    LEVELS,
    SEVERITY_LEVELS,
    Predictions,
    compare_with_gold,
    correct_on_all,
    labelled_on_all,
    out_of_scope_confidence,
    predictions_of,
    severity_level_predictions,
    supports_severity_levels,
    with_severity_levels,
)
from inference.labelled import LabelledRow
from inference.model.out_of_distribution import OUT_OF_SCOPE, SCOPE_AXIS

NOTABLE = 0.1
"""Shares of the rows that differ by more than this are explained."""


def domain_figures(
    rows: Sequence[LabelledRow],
    decisions: Sequence[Decision],
    *,
    split: EvaluatedSplit,
    deciding: Sequence[str],
    labels: Mapping[str, Sequence[str]],
    promise: Promise,
    llm_usd_per_event: float,
    latency: LatencyFigures,
) -> DomainFigures:
    """The figures of one domain without baselines.

    `decisions` are the model's on these rows, in their order, and `labels` those of each of its
    axes. At least one row must be labelled on every deciding axis. Severity is also scored in three
    levels.
    """
    predictions = predictions_of(decisions)
    if supports_severity_levels(rows, labels):
        rows = with_severity_levels(rows)
        predictions[SEVERITY_LEVELS] = severity_level_predictions(decisions)
        labels = {**labels, SEVERITY_LEVELS: LEVELS}
    indexes = labelled_on_all(rows, deciding)
    labelled_decisions = [decisions[i] for i in indexes]
    correct = correct_on_all(
        [rows[i] for i in indexes], predictions_of(labelled_decisions), deciding
    )
    accepted = np.array([decision.accepted for decision in labelled_decisions], dtype=np.bool_)
    coverage = float(accepted.mean())
    certainty = -np.array([decision.risk for decision in labelled_decisions], dtype=np.float64)
    return DomainFigures(
        part=split,
        rows=len(rows),
        unlabelled=len(rows) - len(indexes),
        deciding=list(deciding),
        promise=promise_figures(promise),
        accepted=accepted_figures(accepted, correct),
        escalated=float((~accepted).mean()),
        escalations=escalation_shares(labelled_decisions),
        selective=ranking_scores(certainty, correct),
        curve=curve_points(certainty, correct),
        out_of_scope=out_of_scope_figures(rows, decisions),
        cost=cost_figures(len(indexes), int((~accepted).sum()), llm_usd_per_event),
        latency=latency,
        axes=_figures_of_axes(rows, predictions, deciding, labels),
        notes=[
            *same_rows_notes(promise, len(indexes), split),
            *promise_notes(promise, coverage, certainty, correct),
            *_notes(rows, labels),
        ],
    )


def accepted_figures(accepted: Bools, correct: Bools) -> AcceptedFigures:
    """How many rows are accepted, and how many of those are right; both arrays are (rows,)."""
    count, errors = int(accepted.sum()), int((accepted & ~correct).sum())
    accuracy = None
    if count:
        accuracy = 1 - errors / count
    return AcceptedFigures(
        rows=count,
        coverage=count / max(1, len(accepted)),
        errors=errors,
        accuracy=accuracy,
    )


def escalation_shares(decisions: Sequence[Decision]) -> dict[str, float]:
    """The share of the events that is escalated for each reason, the most frequent reason first."""
    reasons = Counter(decision.escalation for decision in decisions if not decision.accepted)
    return {reason: count / len(decisions) for reason, count in reasons.most_common()}


def out_of_scope_figures(
    rows: Sequence[LabelledRow], decisions: Sequence[Decision]
) -> OutOfScopeFigures | None:
    """How well the rows with the gold queue ``out_of_scope`` stand out; None without such rows."""
    indexes = labelled_on_all(rows, [SCOPE_AXIS])
    outside = np.array([OUT_OF_SCOPE in rows[i].gold[SCOPE_AXIS] for i in indexes], dtype=np.bool_)
    if not outside.any():
        return None
    ood_score = np.array([decisions[i].ood_score for i in indexes], dtype=np.float64)
    confidence = np.array(
        [out_of_scope_confidence(decisions[i]) for i in indexes], dtype=np.float64
    )
    return OutOfScopeFigures(
        rows=int(outside.sum()),
        auroc=formulas.auroc(np.maximum(ood_score, confidence), outside),
        auroc_ood=formulas.auroc(ood_score, outside),
    )


def cost_figures(rows: int, escalated: int, llm_usd_per_event: float) -> CostFigures:
    """The price of one LLM call for each escalated event, and of one for every event."""
    return CostFigures(
        llm_usd_per_event=llm_usd_per_event,
        all_llm_usd=rows * llm_usd_per_event,
        escalated_usd=escalated * llm_usd_per_event,
        share=escalated / max(1, rows),
    )


def promise_figures(promise: Promise) -> PromiseFigures:
    """The promise that was in force when the events were decided."""
    return PromiseFigures(
        alpha=promise.alpha,
        delta=promise.delta,
        n=promise.n,
        unseen_alpha=promise.unseen_alpha,
        n_unseen=promise.n_unseen,
        threshold=promise.threshold,
        coverage=promise.coverage,
        reason=promise.reason,
        beta=promise.beta,
        harmless_threshold=promise.harmless_threshold,
    )


def _figures_of_axes(
    rows: Sequence[LabelledRow],
    predictions: Predictions,
    deciding: Sequence[str],
    labels: Mapping[str, Sequence[str]],
) -> dict[str, AxisFigures]:
    """The figures of each axis that some row is labelled on."""
    figures = {}
    for axis, of_axis in predictions.items():
        compared = compare_with_gold(rows, axis, of_axis)
        if compared.gold:
            figures[axis] = axis_figures(axis, compared, labels[axis], decides=axis in deciding)
    return figures


def promise_notes(
    promise: Promise, coverage: float, certainty: Floats, correct: Bools
) -> list[str]:
    """Why the promise accepts another share than other figures of these rows seem to say."""
    possible = formulas.coverage_at_accuracy(certainty, correct, 1 - promise.alpha)
    notes = []
    if possible > coverage + NOTABLE:
        why = (
            f"The surest {possible:.0%} of these rows are at least {1 - promise.alpha:.0%} right, "
            f"but {coverage:.0%} are accepted: the first figure is chosen by looking at the "
            "labels of these very rows, and the promise has to hold for events without labels, "
            f"with confidence {1 - promise.delta:.0%}"
        )
        if promise.reason:
            why += f". Here {promise.reason}"
        notes.append(f"{why}.")
    chance = 2 * math.sqrt(0.25 / len(correct))
    if promise.threshold and abs(promise.coverage - coverage) > max(NOTABLE, chance):
        notes.append(
            f"The promise was tested on {promise.n} calibration rows, of which it accepts "
            f"{promise.coverage:.0%}. Of these rows it accepts {coverage:.0%}: they are not drawn "
            "like the calibration rows, so it may not hold for them; calibrate on rows like these."
        )
    return notes


def same_rows_notes(promise: Promise, rows: int, split: EvaluatedSplit) -> Iterator[str]:
    """A model does not know its rows; their number is the only sign that these taught it."""
    if split == "test" and rows == promise.n:
        yield (
            f"The model was calibrated on {rows} rows, and these are as many. If they are the "
            "same, they taught it too, and these figures say nothing about other events: give rows "
            "that it has never seen."
        )


def _notes(rows: Sequence[LabelledRow], labels: Mapping[str, Sequence[str]]) -> list[str]:
    """What a reader must know about these rows, one sentence each."""
    notes = []
    if training_rows := sum(row.part == "train" for row in rows):
        notes.append(
            f"{training_rows} of these rows are training rows: a model that was taught them looks "
            "better here than it is."
        )
    if without_head := sorted({axis for row in rows for axis in row.gold} - set(labels)):
        notes.append(
            f"The rows are labelled on {', '.join(without_head)} too, which the model does not "
            "answer."
        )
    return notes
