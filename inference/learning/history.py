"""What a model would have decided, answered from a closed history before anything is switched on.

The older part of the rows trains and calibrates a model, and the newer part is answered by it. The
model has seen nothing of the newer part. Where the rows have no times, a part of them is chosen at
random, near-duplicates together: the answer then says nothing of how the events change over time.
"""

import asyncio
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from pathlib import Path

from msgspec.structs import replace

from inference.acceptance.dispositions import DISPOSITION
from inference.acceptance.guarantee import Promise, promise_on
from inference.acceptance.options import Terms
from inference.acceptance.policy import Decision
from inference.acceptance.samples import CalibrationSample, load_samples
from inference.classifier import Classifier
from inference.clusters import with_clusters
from inference.errors import DataError
from inference.labelled import LabelledRow
from inference.labels.file import LabelsFile
from inference.learning.answered_rows import AnsweredRows
from inference.learning.history_answer import HistoryAnswer, HistoryOptions
from inference.learning.leaks import leaking_fields
from inference.learning.rows import labels_for
from inference.model.artifact import Artifact
from inference.progress import Progress
from inference.scratch import scratch_directory
from inference.training.own_labels import train_own_labels
from inference.training.recipe import TrainingOptions
from inference.training.spellings import with_one_spelling
from schemas.event import Domain
from schemas.plural import plural

NEWER = 0.3
"""The share of the rows that is answered."""
TIMED = 0.9
"""So many rows must have a time for the division to go by time."""
MIN_ANSWERED = 20
BATCH_ROWS = 64


@dataclass(frozen=True, slots=True)
class Division:
    """The rows that teach, and those that are answered, in the order of their times."""

    older: list[LabelledRow]
    newer: list[LabelledRow]
    by_time: bool

    @property
    def answered_from(self) -> str | None:
        """The instant of the first answered row."""
        return self.newer[0].event.occurred_at if self.by_time and self.newer else None


def divide(rows: Sequence[LabelledRow]) -> Division:
    """Divide by time; without times by a hash of the cluster, so that it is always the same.

    Rows without a time are among the older ones, if most have one.
    """
    rows = with_clusters(rows)
    timed = [(at, row) for row in rows if (at := _instant(row)) is not None]
    if len(timed) >= TIMED * len(rows):
        timed.sort(key=lambda pair: pair[0])
        cut = len(timed) - round(NEWER * len(rows))
        untimed = [row for row in rows if _instant(row) is None]
        older = untimed + [row for _, row in timed[:cut]]
        return Division(older, [row for _, row in timed[cut:]], by_time=True)
    chosen = {row.cluster: _draw(row.cluster) < NEWER for row in rows}
    newer = sorted(
        (row for row in rows if chosen[row.cluster]), key=lambda row: _draw(f"2 {row.event.id}")
    )
    return Division([row for row in rows if not chosen[row.cluster]], newer, by_time=False)


def answer_history(
    rows: Sequence[LabelledRow],
    labels: LabelsFile,
    encoder: Path,
    options: HistoryOptions,
    progress: Progress,
    *,
    still_open: int = 0,
    undetermined: int = 0,
) -> HistoryAnswer:
    """Answer a history of one domain; nothing of it is kept.

    `still_open` and `undetermined` count rows that were left out before, for the answer.

    Raises:
        DataError: the rows are too few, or lack a deciding axis.
        ModelError: the encoder cannot be used.
    """
    deciding = list(options.deciding)
    rows = [row for row in rows if all(axis in row.gold for axis in deciding)]
    rows, _ = with_one_spelling(rows, labels)
    division = divide(rows)
    if len(division.newer) < MIN_ANSWERED:
        raise DataError(
            f"the history has {plural(len(rows), 'closed event', 'closed events')} with a label on "
            f"{' and '.join(deciding)}; "
            f"give at least {math.ceil(MIN_ANSWERED / NEWER)}"
        )
    domain = division.newer[0].domain
    with scratch_directory() as folder:
        artifact = train_own_labels(
            [_teaching(row) for row in division.older],
            labels_for(labels, domain, division.older),
            folder,
            TrainingOptions(name="history", renames=labels.renames),
            progress,
            encoder=encoder,
        )
        terms = Terms(deciding=deciding, alpha=options.alphas[0], delta=options.delta)
        decisions = asyncio.run(_decide(artifact, domain, terms, division.newer, labels, progress))
        sample = load_samples(artifact)[domain]
        first = _promises(sample, terms, options.alphas)
        second: list[Promise] = []
        if options.beta is not None and DISPOSITION in deciding:
            second = _promises(sample, replace(terms, beta=options.beta), options.alphas)
    answered = AnsweredRows(division.newer, decisions, deciding, labels, options)
    at_alpha = [answered.at(*pair) for pair in zip_longest(first, second)]
    beta_reason = ""
    if second and not any(promise.harmless_threshold for promise in second):
        beta_reason = second[-1].harmless_reason
    shown = first[min(1, len(first) - 1)].threshold
    return HistoryAnswer(
        domain=domain,
        deciding=deciding,
        rows=len(rows),
        still_open=still_open,
        undetermined=undetermined,
        taught=len(division.older),
        answered=len(division.newer),
        by_time=division.by_time,
        answered_from=division.answered_from,
        proposed_right=float(answered.right.mean()),
        delta=options.delta,
        beta=options.beta,
        at_alpha=at_alpha,
        labels=answered.of_labels(shown),
        usd_all_llm=float(answered.usd.sum()),
        beta_reason=beta_reason,
        leaks=leaking_fields(rows, deciding),
    )


def _promises(sample: CalibrationSample, terms: Terms, alphas: Sequence[float]) -> list[Promise]:
    return [promise_on(sample, replace(terms, alpha=alpha)) for alpha in alphas]


def _teaching(row: LabelledRow) -> LabelledRow:
    return replace(row, part="both")


async def _decide(
    artifact: Artifact,
    domain: Domain,
    terms: Terms,
    rows: Sequence[LabelledRow],
    labels: LabelsFile,
    progress: Progress,
) -> list[Decision]:
    classifier = Classifier.open(
        artifact.directory, terms={domain: terms}, labels=labels, domains=[domain]
    )
    decisions: list[Decision] = []
    try:
        for start in range(0, len(rows), BATCH_ROWS):
            batch = [row.event for row in rows[start : start + BATCH_ROWS]]
            decisions += await classifier.classify(domain, batch)
            progress("answering the history", len(decisions), len(rows))
    finally:
        await classifier.close()
    return decisions


def _instant(row: LabelledRow) -> datetime | None:
    """When the event happened; None if it does not say it."""
    if row.event.occurred_at is None:
        return None
    try:
        at = datetime.fromisoformat(row.event.occurred_at)
    except ValueError:
        return None
    return at if at.tzinfo else None


def _draw(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(f"history {name}".encode()).digest()[:6]) / 256**6
