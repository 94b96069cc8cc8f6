"""From rows and answers to figures; nothing here knows how the answers were made."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from inference.acceptance.guarantee import Promise
from inference.acceptance.policy import Decision
from inference.arrays import Bools, Floats
from inference.evaluation import formulas as metrics
from inference.evaluation.figures import (
    Accepted,
    AxisFigures,
    Bin,
    ConfusionFigures,
    CostFigures,
    Pair,
    Point,
    PromiseTerms,
    ScopeFigures,
    Scores,
    Selective,
)
from inference.evaluation.formulas import expected_calibration_error
from inference.evaluation.predictions import (
    OUT_OF_SCOPE,
    SCOPE_AXIS,
    SEVERITY_LEVELS,
    Judged,
    scope_confidence,
)
from inference.labelled import LabelledRow

ACCURACIES = (0.95, 0.97, 0.98)
MAX_MATRIX_LABELS = 20
MAX_PAIRS = 15
MAX_POINTS = 200


def score_axis(judged: Judged) -> Scores:
    """The figures of one axis over these rows; all zero for none."""
    found = metrics.confusion(judged.gold, judged.values)
    order = rank(judged.confidence, judged.correct)
    return Scores(
        n=order.n,
        accuracy=order.accuracy,
        aurc=order.aurc,
        coverage_at_95=order.coverage_at_95,
        coverage_at_97=order.coverage_at_97,
        coverage_at_98=order.coverage_at_98,
        macro_f1=metrics.macro_f1(found),
        ece=expected_calibration_error(judged.confidence, judged.correct),
    )


def rank(certainty: Floats, correct: Bools) -> Selective:
    """How good an order of the rows `certainty` is, and how many are right."""
    at_95, at_97, at_98 = (
        metrics.coverage_at(certainty, correct, accuracy) for accuracy in ACCURACIES
    )
    return Selective(
        n=len(correct),
        accuracy=float(correct.mean()) if len(correct) else 0.0,
        aurc=metrics.aurc(certainty, correct),
        coverage_at_95=at_95,
        coverage_at_97=at_97,
        coverage_at_98=at_98,
    )


def describe_axis(axis: str, judged: Judged, known: Sequence[str], *, decides: bool) -> AxisFigures:
    """Everything about one axis; `known` are the labels the model can answer."""
    return AxisFigures(
        title="severity, three levels" if axis == SEVERITY_LEVELS else axis,
        decides=decides,
        unknown=sum(gold not in known for gold in judged.gold),
        overall=score_axis(judged),
        sources={source: score_axis(judged.of(source)) for source in sorted(set(judged.sources))},
        confusion=_confusion(judged),
        reliability=_bins(judged),
    )


def curve(certainty: Floats, correct: Bools) -> list[Point]:
    """The risk-coverage curve for drawing: at most `MAX_POINTS` of its points, the last among them."""
    whole = metrics.risk_coverage(certainty, correct)
    if not len(whole.rows):
        return []
    chosen = np.unique(np.linspace(0, len(whole.rows) - 1, MAX_POINTS).round().astype(int))
    return [
        Point(
            coverage=float(whole.rows[i] / len(correct)),
            risk=float(whole.errors[i] / whole.rows[i]),
        )
        for i in chosen
    ]


def describe_accepted(accepted: Bools, correct: Bools) -> Accepted:
    """What the model decides alone of rows labelled on every deciding axis, and how much of that is right."""
    count, errors = int(accepted.sum()), int((accepted & ~correct).sum())
    return Accepted(
        rows=count,
        coverage=count / max(1, len(accepted)),
        errors=errors,
        accuracy=1 - errors / count if count else None,
    )


def describe_escalations(decisions: Sequence[Decision]) -> dict[str, float]:
    """The share of rows escalated for each reason, most frequent first."""
    reasons = Counter(decision.escalation for decision in decisions if not decision.accepted)
    return {reason: count / len(decisions) for reason, count in reasons.most_common()}


def describe_scope(
    rows: Sequence[LabelledRow], decisions: Sequence[Decision]
) -> ScopeFigures | None:
    """How well the rows whose gold queue is ``out_of_scope`` stand out; None where there are none."""
    labelled = [index for index, row in enumerate(rows) if SCOPE_AXIS in row.gold]
    outside = np.array([OUT_OF_SCOPE in rows[i].gold[SCOPE_AXIS] for i in labelled], dtype=np.bool_)
    if not outside.any():
        return None
    ood_score = np.array([decisions[i].ood_score for i in labelled], dtype=np.float64)
    said = np.array([scope_confidence(decisions[i]) for i in labelled], dtype=np.float64)
    return ScopeFigures(
        rows=int(outside.sum()),
        auroc=metrics.auroc(np.maximum(ood_score, said), outside),
        auroc_ood=metrics.auroc(ood_score, outside),
    )


def describe_cost(rows: int, escalated: int, llm_usd_per_event: float) -> CostFigures:
    """One LLM call an escalated event against one for every event."""
    return CostFigures(
        llm_usd_per_event=llm_usd_per_event,
        all_llm_usd=rows * llm_usd_per_event,
        escalated_usd=escalated * llm_usd_per_event,
        share=escalated / max(1, rows),
    )


def describe_promise(promise: Promise) -> PromiseTerms:
    """The promise the decisions were made under."""
    return PromiseTerms(
        alpha=promise.alpha,
        delta=promise.delta,
        n=promise.n,
        unseen_alpha=promise.unseen_alpha,
        n_unseen=promise.n_unseen,
        threshold=promise.threshold,
        coverage=promise.coverage,
    )


def unread(rows: Sequence[LabelledRow], labels: Mapping[str, Sequence[str]]) -> list[str]:
    """Axes that rows are labelled on and the model does not have."""
    return sorted({axis for row in rows for axis in row.gold} - set(labels))


def _confusion(judged: Judged) -> ConfusionFigures:
    found = metrics.confusion(judged.gold, judged.values)
    mistaken = found.counts * ~np.eye(len(found.labels), dtype=np.bool_)
    most = np.argsort(-mistaken, axis=None, kind="stable")[:MAX_PAIRS]
    pairs = [
        Pair(gold=found.labels[gold], value=found.labels[value], rows=int(mistaken[gold, value]))
        for gold, value in zip(*np.unravel_index(most, mistaken.shape), strict=True)
        if mistaken[gold, value]
    ]
    few = len(found.labels) <= MAX_MATRIX_LABELS
    return ConfusionFigures(
        pairs=pairs,
        labels=list(found.labels) if few else [],
        counts=found.counts.tolist() if few else [],
    )


def _bins(judged: Judged) -> list[Bin]:
    found = metrics.reliability(judged.confidence, judged.correct)
    return [
        Bin(
            low=number / len(found),
            high=(number + 1) / len(found),
            rows=rows,
            confidence=confidence,
            accuracy=right,
        )
        for number, (rows, confidence, right) in enumerate(found)
    ]
