"""`python -m benchmarks.transfer`: leaves out each source of alerts in turn.

A new user starts with a source that the model has never seen. Our model and TF-IDF are trained and
calibrated on the other sources, with the same promise. Then both are evaluated on all rows of the
source that was left out: how many queues are right, how many events are accepted, and how many of
the accepted ones are right.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from benchmarks.rows import machine
from inference.acceptance.guarantee import promise_on
from inference.acceptance.options import Terms
from inference.acceptance.samples import CALIBRATION_SPLITS, CalibrationSample, CalibrationSplit
from inference.classifier import Classifier
from inference.evaluation import baselines
from inference.labelled import LabelledRow, read_rows
from inference.model.artifact import CALIBRATION
from inference.model.threads import Threads
from inference.training.recipe import TrainingOptions, train

if TYPE_CHECKING:
    from inference.training.finetune import Tuning

AXIS = "queue"
TERMS = Terms((AXIS,), 0.02, 0.10)
RESULTS = Path(__file__).parent / "transfer.ndjson"


@dataclass(frozen=True, slots=True)
class Transfer:
    """The result of one method on a source that it has not seen.

    `accepted` is a share of the rows. Both accuracies are those of the queue.
    """

    source: str
    method: str
    rows: int
    accuracy: float
    accepted: float
    accuracy_of_accepted: float | None


def main() -> None:
    """Leave out each source, print the table and write the rows."""
    arguments = _parse_arguments()
    rows = [row for row in read_rows(arguments.data) if row.domain == "alerts" and AXIS in row.gold]
    all_sources = {row.source for row in rows if not row.source.startswith("authored")}
    conditions = {"epochs": arguments.epochs, "machine": machine()}
    results: list[Transfer] = []
    for source in arguments.source or sorted(all_sources):
        unseen = [row for row in rows if row.source == source]
        others = [row for row in rows if row.source != source]
        results += [ours(arguments, source, unseen), tfidf(source, others, unseen)]
        show(results)
        lines = [orjson.dumps(asdict(result) | conditions) for result in results]
        arguments.out.write_bytes(b"\n".join(lines) + b"\n")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=main.__doc__)
    parser.add_argument(
        "--encoder", type=Path, required=True, help="the encoder that the fine-tuning starts from"
    )
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        required=True,
        help="a file of labelled alerts; may be given several times",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        action="append",
        default=[],
        help="labelled text of another genre for the fine-tuning; may be given several times",
    )
    parser.add_argument(
        "--source",
        action="append",
        help="leave out only this source; may be given several times (default: each source that "
        "has queues)",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=2,
        help="number of fine-tuning epochs; 0 leaves the encoder unchanged",
    )
    parser.add_argument(
        "--models",
        type=Path,
        help="keep the models in this directory, and use those that are already there (default: "
        "do not keep them)",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file for the rows")
    return parser.parse_args()


def ours(arguments: argparse.Namespace, source: str, unseen: Sequence[LabelledRow]) -> Transfer:
    """Train by the recipe of the shipped model without this source, and evaluate on it."""
    with tempfile.TemporaryDirectory() as directory:
        out = (arguments.models or Path(directory)) / source.replace("/", "-")
        if not (out / CALIBRATION).is_file():
            options = TrainingOptions(
                name="transfer",
                tuning=_tuning(arguments.epochs),
                leave_out=(source,),
                reference=tuple(arguments.reference),
            )
            train(arguments.encoder, arguments.data, out, options, lambda *_: None)
        return asyncio.run(_evaluate(out, source, unseen))


def _tuning(epochs: int) -> "Tuning | None":
    if not epochs:
        return None
    from inference.training.finetune import Tuning  # noqa: PLC0415 - it imports torch

    return Tuning(epochs=epochs)


async def _evaluate(model: Path, source: str, unseen: Sequence[LabelledRow]) -> Transfer:
    classifier = Classifier.open(model, terms={"alerts": TERMS}, threads=Threads(1, 1))
    decisions = await classifier.classify("alerts", [row.event for row in unseen])
    await classifier.close()
    right = [
        decision.labels[AXIS].value in row.gold[AXIS]
        for decision, row in zip(decisions, unseen, strict=True)
    ]
    accepted = [decision.accepted for decision in decisions]
    return _transfer(source, "ours", np.array(right), np.array(accepted))


def tfidf(source: str, others: Sequence[LabelledRow], unseen: Sequence[LabelledRow]) -> Transfer:
    """Train TF-IDF with logistic regression on text and document, and evaluate it on the source.

    Its threshold is calibrated in the same way as that of our model.
    """
    model = make_pipeline(baselines.tfidf(), LogisticRegression(C=10.0, max_iter=300, tol=1e-3))
    train_rows = [row for row in others if row.part == "train"]
    model.fit(
        [baselines.flatten(row.event) for row in train_rows],
        [row.gold[AXIS][0] for row in train_rows],
    )
    trained_sources = {row.source for row in train_rows}
    tuning, testing = (
        _calibration_split(model, [row for row in others if row.part == part], trained_sources)
        for part in CALIBRATION_SPLITS
    )
    promise = promise_on(CalibrationSample((AXIS,), tuning, testing), TERMS)
    error_probability, right = _predict(model, unseen)
    return _transfer(source, "TF-IDF", right, error_probability < promise.threshold)


def _calibration_split(
    model: Pipeline, rows: Sequence[LabelledRow], trained_sources: set[str]
) -> CalibrationSplit:
    error_probability, right = _predict(model, rows)
    return CalibrationSplit(
        error_probability[:, None],
        right.astype(np.int8)[:, None],
        np.full(len(error_probability), -1, np.int32),
        np.array([row.source not in trained_sources for row in rows]),
    )


def _predict(model: Pipeline, rows: Sequence[LabelledRow]) -> tuple[np.ndarray, np.ndarray]:
    """The error probability of each row, and whether its label is right; both (rows,)."""
    probabilities = model.predict_proba([baselines.flatten(row.event) for row in rows])
    values = model.classes_[probabilities.argmax(axis=1)]
    right = np.array([value in row.gold[AXIS] for value, row in zip(values, rows, strict=True)])
    return (1.0 - probabilities.max(axis=1)).round(6), right


def _transfer(source: str, method: str, right: np.ndarray, accepted: np.ndarray) -> Transfer:
    accuracy_of_accepted = round(float(right[accepted].mean()), 4) if accepted.any() else None
    accuracy, share = round(float(right.mean()), 4), round(float(accepted.mean()), 4)
    return Transfer(source, method, len(right), accuracy, share, accuracy_of_accepted)


def show(results: Sequence[Transfer]) -> None:
    """Print the results as a table for a person."""
    table = Table("left out", "method", "rows", "accuracy", "accepted", "right of accepted")
    for result in results:
        table.add_row(
            result.source,
            result.method,
            str(result.rows),
            f"{result.accuracy:.1%}",
            f"{result.accepted:.1%}",
            _percentage(result.accuracy_of_accepted),
        )
    Console().print(table)


def _percentage(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


if __name__ == "__main__":
    main()
