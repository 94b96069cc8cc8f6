"""`python -m benchmarks.early_exit`: what would be gained if the n-gram head decided alone first.

An event would leave before the encoder if the risk by the n-gram head alone is below a limit. The
temperature is fitted on the tuning rows of the shipped model. The guarantee covers both together:
the risk of an event that leaves is that of the n-gram head, and otherwise that of the whole model,
as it is stored with its calibration. Then the testing rows make the promise as they do today.

Checks that the encoder makes possible, such as the distance to the training rows, are not counted
against an event that leaves. So the figures of the exit are too good rather than too bad.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.formats import events
from benchmarks.refit import AUTHORED, DATA, FILES
from benchmarks.rows import machine
from inference.acceptance.guarantee import Promise, promise_on
from inference.acceptance.options import Terms
from inference.acceptance.samples import CalibrationSample, CalibrationSplit, load_samples
from inference.arrays import DECIMALS, Bools, Floats
from inference.labelled import LabelledRow, read_rows
from inference.model.artifact import DEFAULT_MODEL, Artifact, load_artifact
from inference.model.heads import Heads
from inference.model.temperature import fit_temperature, softmax
from inference.training.gold_labels import gold_matrix
from schemas.event import DOMAINS, Domain, Event

AXIS, TERMS = "queue", Terms(("queue",), 0.02, 0.10)
LIMITS = (0.0, 0.005, 0.01, 0.02, 0.05)
"""With the first one, no event leaves: the model as it is."""
RESULTS = Path(__file__).parent / "early_exit.ndjson"


@dataclass(frozen=True, slots=True)
class CheapOpinion:
    """The n-gram head alone; `temperature` suits the queue on the tuning rows."""

    heads: Heads
    temperature: float

    @classmethod
    def of(cls, heads: Heads, tuning: Sequence[LabelledRow]) -> Self:
        """The n-gram head of a model with its temperature on these rows."""
        logits = _logits(heads, [row.event for row in tuning], AXIS)
        gold = gold_matrix(tuning, AXIS, heads.labels[AXIS])
        return cls(heads, fit_temperature(logits, gold))

    def risks(self, events: Sequence[Event]) -> Floats:
        """One minus the confidence in the queue of each event; shape (events,)."""
        probabilities = softmax(_logits(self.heads, events, AXIS), self.temperature)
        return np.asarray((1.0 - probabilities.max(axis=1)).round(DECIMALS), np.float64)

    def values(self, events: Sequence[Event], axis: str) -> list[str]:
        """The most probable label of each event on an axis."""
        names = self.heads.labels[axis]
        return [names[i] for i in _logits(self.heads, events, axis).argmax(axis=1)]


def _logits(heads: Heads, events: Sequence[Event], axis: str) -> Floats:
    head = heads.ngram_head
    logits = np.stack([head.logits(head.read(event)) for event in events])
    return np.asarray(logits[:, head.columns[axis]], np.float64)


def main() -> None:
    """Evaluate every limit in both domains, print the table and write the rows."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.early_exit", description=main.__doc__
    )
    parser.add_argument("--data", type=Path, default=DATA, help=f"the directory of {FILES}")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file for the results")
    arguments = parser.parse_args()
    files = [arguments.data / name for name in FILES] + sorted(AUTHORED.glob("*.ndjson"))
    rows = read_rows(files)
    artifact = load_artifact(DEFAULT_MODEL)
    results = [
        result
        for domain in DOMAINS
        for result in evaluate(artifact, domain, [row for row in rows if row.domain == domain])
    ]
    show(results)
    lines = [orjson.dumps(result | {"machine": machine()}) for result in results]
    arguments.out.write_bytes(b"\n".join(lines) + b"\n")


def evaluate(
    artifact: Artifact, domain: Domain, rows: Sequence[LabelledRow]
) -> list[dict[str, Any]]:
    """The figures of one domain, for each limit.

    Raises:
        SystemExit: the rows are not those that the model was calibrated on.
    """
    heads, sample = Heads.load(artifact, domain), load_samples(artifact)[domain]
    tuning, testing = ([row for row in rows if row.part == part] for part in ("tuning", "testing"))
    taught = {row.source for row in rows if row.part == "train"}
    unseen = [row.source not in taught for row in testing]
    if sample.testing.unseen.tolist() != unseen:
        raise SystemExit(f"these are not the rows that {artifact.manifest.name} was calibrated on")
    opinion = CheapOpinion.of(heads, tuning)
    tested = [row.event for row in testing]
    risks, values = (
        opinion.risks(tested),
        {axis: opinion.values(tested, axis) for axis in heads.labels},
    )
    cheap = replace(sample.testing, correct=_correct(testing, values, sample))
    shipped = [(sample_.expect.get(AXIS), event) for sample_, _, event in events()]
    documents = [(queue, event) for queue, event in shipped if event.domain == domain]
    document_risks = opinion.risks([event for _, event in documents])
    document_values = opinion.values([event for _, event in documents], AXIS)
    results = []
    for limit in LIMITS:
        leaves, document_leaves = risks < limit, document_risks < limit
        promise = promise_on(_cascade(sample, cheap, risks, leaves), TERMS)
        wrong = [
            queue is not None and queue != value
            for (queue, _), value in zip(documents, document_values, strict=True)
        ]
        results.append(
            {"domain": domain, "limit": limit}
            | _shares(leaves, sample.testing.unseen, document_leaves, np.array(wrong))
            | _promised(promise)
            | _accuracies(sample, cheap, leaves)
        )
    return results


def _correct(
    rows: Sequence[LabelledRow], values: dict[str, list[str]], sample: CalibrationSample
) -> Any:
    """Whether the n-gram head is right on each axis, in the form of the calibration rows."""
    columns = [
        [
            int(value in row.gold[axis]) if axis in row.gold else -1
            for row, value in zip(rows, values[axis], strict=True)
        ]
        for axis in sample.axes
    ]
    return np.array(columns, np.int8).T


def _cascade(
    sample: CalibrationSample, cheap: CalibrationSplit, risks: Floats, leaves: Bools
) -> CalibrationSample:
    """The calibration rows as the cascade answers them; the tuning rows take no part in it."""
    column = sample.axes.index(AXIS)
    error_probability = sample.testing.error_probability.copy()
    correct = sample.testing.correct.copy()
    error_probability[leaves, column] = risks[leaves]
    correct[leaves, column] = cheap.correct[leaves, column]
    testing = replace(sample.testing, error_probability=error_probability, correct=correct)
    return replace(sample, testing=testing)


def _shares(
    leaves: Bools, unseen: Bools, document_leaves: Bools, wrong: Bools
) -> dict[str, float | int]:
    return {
        "leave_seen": round(float(leaves[~unseen].mean()), 4),
        "leave_unseen": round(float(leaves[unseen].mean()), 4),
        "leave_documents": round(float(document_leaves.mean()), 4),
        "documents": len(document_leaves),
        "documents_wrong": int((document_leaves & wrong).sum()),
    }


def _promised(promise: Promise) -> dict[str, float | int]:
    return {
        "threshold": promise.threshold,
        "coverage": round(promise.coverage, 4),
        "accepted_errors": promise.accepted_errors,
    }


def _accuracies(
    sample: CalibrationSample, cheap: CalibrationSplit, leaves: Bools
) -> dict[str, float]:
    """On the rows that leave: the accuracy of each axis by the n-gram head and by the model."""
    accuracies = {}
    for column, axis in enumerate(sample.axes):
        judged = leaves & (cheap.correct[:, column] >= 0)
        for name, split in (("ngrams", cheap), ("model", sample.testing)):
            right = split.correct[judged, column] == 1
            if len(right):
                accuracies[f"{axis}_{name}"] = round(float(right.mean()), 4)
    return accuracies


def show(results: Sequence[dict[str, Any]]) -> None:
    """Print the results for a person; the accuracies are in the file."""
    columns = [name for name in results[0] if not name.endswith(("_ngrams", "_model"))]
    table = Table(*columns)
    for result in results:
        table.add_row(*(str(result[column]) for column in columns))
    console = Console(width=160)
    console.print(table)
    for result in results:
        accuracies = {key: result[key] for key in result if key.endswith(("_ngrams", "_model"))}
        console.print(result["domain"], result["limit"], accuracies)


if __name__ == "__main__":
    main()
