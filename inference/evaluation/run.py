"""Put labelled rows to a served model, and compute the figures of its decisions."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from inference.acceptance.options import Terms
from inference.acceptance.policy import Decision
from inference.acceptance.samples import CALIBRATION_SPLITS
from inference.classifier import Classifier
from inference.errors import EvaluationError
from inference.evaluation.figures import (
    DomainFigures,
    EvaluatedSplit,
    Evaluation,
    LatencyFigures,
    ModelFacts,
)
from inference.evaluation.predictions import labelled_on_all
from inference.evaluation.scoring import domain_figures
from inference.labelled import LabelledRow
from inference.progress import Progress
from schemas.event import DOMAINS, Domain
from schemas.triaged import ModelInfo

BATCH_ROWS = 64
TIMED_EVENTS = 50
"""How many events are put to the model one at a time, to measure the latency."""


@dataclass(frozen=True, slots=True)
class EvaluatedRows:
    """The rows of one domain that are evaluated, and which split of the data they are."""

    domain: Domain
    split: EvaluatedSplit
    rows: Sequence[LabelledRow]


def choose_rows(
    rows: Sequence[LabelledRow], split: EvaluatedSplit | None, terms: Mapping[Domain, Terms]
) -> list[EvaluatedRows]:
    """The rows to evaluate in each domain that has rows; see `choose_split`.

    This needs no model. So an error in the rows is found before the work that takes minutes.

    Raises:
        EvaluationError: a domain has no row of the split, or none with all deciding labels.
    """
    chosen = []
    for domain in DOMAINS:
        rows_of_domain = [row for row in rows if row.domain == domain]
        if rows_of_domain:
            chosen.append(EvaluatedRows(domain, *choose_split(rows_of_domain, split)))
    for evaluated in chosen:
        _require_deciding_labels(evaluated, terms[evaluated.domain].deciding)
    return chosen


def choose_split(
    rows: Sequence[LabelledRow], split: EvaluatedSplit | None
) -> tuple[EvaluatedSplit, list[LabelledRow]]:
    """The split of one domain that is evaluated, and its rows; `rows` has at least one row.

    Without `split` these are the test rows if there are any, else the validation rows if there are
    any, else all rows.

    Raises:
        EvaluationError: there is no row of this split.
    """
    splits: dict[EvaluatedSplit, list[LabelledRow]] = {
        "test": [row for row in rows if row.part == "test"],
        "val": [row for row in rows if row.part in CALIBRATION_SPLITS],
        "all": list(rows),
    }
    first: EvaluatedSplit = next(name for name, of_split in splits.items() if of_split)
    chosen = split or first
    if not splits[chosen]:
        raise EvaluationError(
            f"{rows[0].domain} have no {chosen} row; give rows of this split, or read every row "
            "with --split all"
        )
    return chosen, splits[chosen]


async def evaluate_rows(
    classifier: Classifier,
    chosen: Sequence[EvaluatedRows],
    *,
    llm_usd_per_event: float,
    progress: Progress,
) -> dict[str, DomainFigures]:
    """The figures of each domain, without baselines.

    Raises:
        EvaluationError: no row of a domain is labelled on every deciding axis.
        InferenceError: the model has no heads for a domain, or fails on its rows.
    """
    return {
        evaluated.domain: await _evaluate_domain(
            classifier, evaluated, llm_usd_per_event=llm_usd_per_event, progress=progress
        )
        for evaluated in chosen
    }


async def evaluate_test_rows(
    classifier: Classifier, rows: Sequence[LabelledRow], progress: Progress
) -> dict[str, DomainFigures]:
    """The figures of the test rows of each domain of the model, without baselines.

    A domain is left out if none of its test rows is labelled on every deciding axis.

    Raises:
        InferenceError: the model fails on the rows.
    """
    chosen = []
    for domain in classifier.domains:
        test_rows = [row for row in rows if (row.domain, row.part) == (domain, "test")]
        if labelled_on_all(test_rows, classifier.deciding(domain)):
            chosen.append(EvaluatedRows(domain, "test", test_rows))
    return await evaluate_rows(classifier, chosen, llm_usd_per_event=0.0, progress=progress)


def to_document(
    model: ModelInfo,
    domains: Mapping[str, DomainFigures],
    files: Sequence[Path],
    evaluated_at: str,
) -> Evaluation:
    """The whole document. `evaluated_at` is an RFC 3339 instant."""
    return Evaluation(
        evaluated_at=evaluated_at,
        model=ModelFacts(**msgspec.structs.asdict(model)),
        files=[file.name for file in files],
        domains=dict(domains),
    )


async def _evaluate_domain(
    classifier: Classifier,
    evaluated: EvaluatedRows,
    *,
    llm_usd_per_event: float,
    progress: Progress,
) -> DomainFigures:
    promise = classifier.promise(evaluated.domain)
    deciding = classifier.deciding(evaluated.domain)
    _require_deciding_labels(evaluated, deciding)
    started_s = time.perf_counter()
    decisions = await _decide(classifier, evaluated, progress)
    batched_s = time.perf_counter() - started_s
    return domain_figures(
        evaluated.rows,
        decisions,
        split=evaluated.split,
        deciding=deciding,
        labels=classifier.labels(evaluated.domain),
        promise=promise,
        llm_usd_per_event=llm_usd_per_event,
        latency=await _measure_latency(classifier, evaluated, batched_s),
    )


def _require_deciding_labels(evaluated: EvaluatedRows, deciding: Sequence[str]) -> None:
    """Raise an EvaluationError if no row is labelled on every deciding axis."""
    if labelled_on_all(evaluated.rows, deciding):
        return
    labelled_axes = sorted({axis for row in evaluated.rows for axis in row.gold})
    raise EvaluationError(
        f"no row of {evaluated.domain} is labelled on {' and '.join(deciding)}, which must be "
        f"right for an event to be accepted; the rows have {', '.join(labelled_axes)}: name the "
        f"axes to read with --axis, or other ones in [domains.{evaluated.domain}] deciding"
    )


async def _decide(
    classifier: Classifier, evaluated: EvaluatedRows, progress: Progress
) -> list[Decision]:
    stage, total = f"deciding {evaluated.domain}", len(evaluated.rows)
    decisions: list[Decision] = []
    progress(stage, 0, total)
    for start in range(0, total, BATCH_ROWS):
        batch = [row.event for row in evaluated.rows[start : start + BATCH_ROWS]]
        decisions += await classifier.classify(evaluated.domain, batch)
        progress(stage, len(decisions), total)
    return decisions


async def _measure_latency(
    classifier: Classifier, evaluated: EvaluatedRows, batched_s: float
) -> LatencyFigures:
    """The latency of one event at a time, over rows from all parts of the data."""
    rows = evaluated.rows
    timed = rows[:: max(1, len(rows) // TIMED_EVENTS)][:TIMED_EVENTS]
    times_s = []
    for row in timed:
        (decision,) = await classifier.classify(evaluated.domain, [row.event])
        times_s.append(decision.inference_s)
    return LatencyFigures(
        measured=len(timed),
        p50_ms=float(np.median(times_s)) * 1_000,
        batched_events_per_s=len(rows) / max(batched_s, 1e-9),
    )
