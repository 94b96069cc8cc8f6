"""Put the rows to the served model, and measure what it decides."""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from inference.acceptance.policy import Decision
from inference.acceptance.samples import CALIBRATION_SPLITS
from inference.classifier import Classifier
from inference.errors import EvaluationError
from inference.evaluation import scoring as measurement
from inference.evaluation.figures import (
    DomainFigures,
    Evaluation,
    LatencyFigures,
    ModelFacts,
    Selection,
)
from inference.evaluation.predictions import (
    SEVERITY_LEVELS,
    answers_of,
    decided,
    has_levels,
    judge,
    levels_of,
    with_levels,
)
from inference.labelled import LabelledRow
from inference.progress import Progress
from schemas.event import Domain

BATCH_ROWS = 64
TIMED_ALONE = 50


def choose_rows(
    rows: Sequence[LabelledRow], split: Selection | None
) -> tuple[Selection, list[LabelledRow]]:
    """The rows of a domain that are evaluated, and which part that is.

    Without `split`: the test rows where there are any, else the validation rows, else all of them.

    Raises:
        EvaluationError: the part asked for has no row.
    """
    parts: dict[Selection, list[LabelledRow]] = {
        "test": [row for row in rows if row.part == "test"],
        "val": [row for row in rows if row.part in CALIBRATION_SPLITS],
        "all": list(rows),
    }
    chosen: Selection = next(part for part, own in parts.items() if own) if split is None else split
    if not parts[chosen]:
        raise EvaluationError(f"{rows[0].domain} have no {chosen} row; --split all reads every row")
    return chosen, parts[chosen]


async def assess(
    classifier: Classifier,
    domain: Domain,
    rows: Sequence[LabelledRow],
    *,
    deciding: Sequence[str],
    part: Selection,
    llm_usd_per_event: float,
    progress: Progress,
) -> DomainFigures:
    """Everything about one domain but the baselines.

    Raises:
        EvaluationError: no row is labelled on every deciding axis.
        InferenceError: the model was not trained on such rows, or failed on these.
    """
    promise = classifier.promise(domain)
    labels = {
        axis: one.labels for axis, one in classifier.artifact.manifest.domains[domain].axes.items()
    }
    require_labels(domain, rows, deciding)
    started_s = time.perf_counter()
    decisions = await _decide(classifier, domain, rows, progress)
    batched_s = time.perf_counter() - started_s
    answers = answers_of(decisions)
    if has_levels(rows, labels):
        rows, answers[SEVERITY_LEVELS] = with_levels(rows), levels_of(decisions)
        labels[SEVERITY_LEVELS] = ["low", "medium", "high"]
    labelled = [
        index for index, row in enumerate(rows) if all(axis in row.gold for axis in deciding)
    ]
    judged = [rows[i] for i in labelled]
    made = [decisions[i] for i in labelled]
    correct = decided(judged, answers_of(made), deciding)
    accepted = np.array([decision.accepted for decision in made], dtype=np.bool_)
    certainty = -np.array([decision.risk for decision in made], dtype=np.float64)
    return DomainFigures(
        part=part,
        rows=len(rows),
        unlabelled=len(rows) - len(judged),
        deciding=list(deciding),
        promise=measurement.describe_promise(promise),
        accepted=measurement.describe_accepted(accepted, correct),
        escalated=float((~accepted).mean()),
        escalations=measurement.describe_escalations(made),
        selective=measurement.rank(certainty, correct),
        curve=measurement.curve(certainty, correct),
        out_of_scope=measurement.describe_scope(rows, decisions),
        cost=measurement.describe_cost(len(judged), int((~accepted).sum()), llm_usd_per_event),
        latency=await _time(classifier, domain, rows, batched_s),
        axes={
            axis: measurement.describe_axis(
                axis, judge(rows, axis, answer), labels[axis], decides=axis in deciding
            )
            for axis, answer in answers.items()
            if any(axis in row.gold for row in rows)
        },
        notes=_notes(rows, measurement.unread(rows, labels)),
    )


def describe(
    classifier: Classifier,
    domains: dict[str, DomainFigures],
    files: Sequence[Path],
    evaluated_at: str,
) -> Evaluation:
    """The whole document."""
    return Evaluation(
        evaluated_at=evaluated_at,
        model=ModelFacts(**msgspec.structs.asdict(classifier.model)),
        files=[file.name for file in files],
        domains=domains,
    )


def require_labels(domain: Domain, rows: Sequence[LabelledRow], deciding: Sequence[str]) -> None:
    """Stop before the work where there is nothing to judge the decisions by.

    Raises:
        EvaluationError: no row is labelled on every deciding axis.
    """
    if not any(all(axis in row.gold for axis in deciding) for row in rows):
        found = sorted({axis for row in rows for axis in row.gold})
        raise EvaluationError(
            f"no row of {domain} is labelled on {' and '.join(deciding)}, which must be right for an event to be "
            f"accepted; the rows have {', '.join(found)}: name the axes to read with --axis, or other ones in "
            f"[domains.{domain}] deciding"
        )


async def _decide(
    classifier: Classifier, domain: Domain, rows: Sequence[LabelledRow], progress: Progress
) -> list[Decision]:
    decisions: list[Decision] = []
    progress(f"deciding {domain}", 0, len(rows))
    for start in range(0, len(rows), BATCH_ROWS):
        decisions += await classifier.classify(
            domain, [row.event for row in rows[start : start + BATCH_ROWS]]
        )
        progress(f"deciding {domain}", len(decisions), len(rows))
    return decisions


async def _time(
    classifier: Classifier, domain: Domain, rows: Sequence[LabelledRow], batched_s: float
) -> LatencyFigures:
    """Alone as on a quiet topic, on rows from all over the data."""
    chosen = rows[:: max(1, len(rows) // TIMED_ALONE)][:TIMED_ALONE]
    took_s = [(await classifier.classify(domain, [row.event]))[0].inference_s for row in chosen]
    return LatencyFigures(
        measured=len(chosen),
        p50_ms=float(np.median(took_s)) * 1_000,
        batched_events_per_s=len(rows) / max(batched_s, 1e-9),
    )


def _notes(rows: Sequence[LabelledRow], unread: Sequence[str]) -> list[str]:
    notes = []
    if taught := sum(row.part == "train" for row in rows):
        notes.append(
            f"{taught} of these rows are training rows: a model that was taught them looks better here than it is."
        )
    if unread:
        notes.append(
            f"The rows are labelled on {', '.join(unread)} too, which the model does not answer."
        )
    return notes
