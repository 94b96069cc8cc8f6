"""`python -m benchmarks.transfer`: each source of alerts left out in turn, ours beside TF-IDF.

A source never seen is where a user starts. Both are taught and calibrated on the other sources, with the same promise
asked of both, and then judged on every row of the one left out: how many queues are right, how many events are
accepted, and how many of those are right.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import orjson
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from benchmarks.rows import machine
from inference.acceptance.guarantee import Terms
from inference.acceptance.samples import CALIBRATION_SPLITS, CalibrationSample, CalibrationSplit
from inference.classifier import Classifier
from inference.evaluation import baselines
from inference.labelled import LabelledRow, read_rows
from inference.model.artifact import CALIBRATION
from inference.model.threads import Threads
from inference.training.recipe import TrainingOptions, train

AXIS = "queue"
TERMS = Terms((AXIS,), 0.02, 0.10)
RESULTS = Path(__file__).parent / "transfer.ndjson"


@dataclass(frozen=True, slots=True)
class Transfer:
    """One method on a source it has not seen; `accepted` is a share, the accuracies are on the queue."""

    source: str
    method: str
    rows: int
    accuracy: float
    accepted: float
    accuracy_of_accepted: float | None


def main() -> None:
    """Leave each source out, print the table and write the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=main.__doc__)
    parser.add_argument(
        "--encoder", type=Path, required=True, help="the encoder fine-tuning starts from"
    )
    parser.add_argument(
        "--data", type=Path, action="append", required=True, help="labelled alerts, once a file"
    )
    parser.add_argument(
        "--reference", type=Path, action="append", default=[], help="what fine-tuning reads as well"
    )
    parser.add_argument(
        "--source", action="append", help="only these (default: every one with a queue)"
    )
    parser.add_argument(
        "--epochs", type=int, default=2, help="of fine-tuning; 0 leaves the encoder as it is"
    )
    parser.add_argument(
        "--models", type=Path, help="where the models go, or are (default: they are thrown away)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows = [row for row in read_rows(arguments.data) if row.domain == "alerts" and AXIS in row.gold]
    found = []
    for source in arguments.source or sorted(
        {row.source for row in rows if not row.source.startswith("authored")}
    ):
        unseen = [row for row in rows if row.source == source]
        others = [row for row in rows if row.source != source]
        found += [ours(arguments, source, unseen), tfidf(source, others, unseen)]
        show(found)
        about = {"epochs": arguments.epochs, "machine": machine()}
        lines = [orjson.dumps(asdict(one) | about) for one in found]
        arguments.out.write_bytes(b"\n".join(lines) + b"\n")


def ours(arguments: argparse.Namespace, source: str, unseen: Sequence[LabelledRow]) -> Transfer:
    """The recipe of the shipped model without this source."""
    tuning = None
    if arguments.epochs:
        from inference.training.finetune import Tuning  # noqa: PLC0415 - torch, which a frozen encoder does without

        tuning = Tuning(epochs=arguments.epochs)
    with tempfile.TemporaryDirectory() as directory:
        out = (arguments.models or Path(directory)) / source.replace("/", "-")
        if not (out / CALIBRATION).is_file():
            reference = tuple(arguments.reference)
            settings = TrainingOptions(
                name="transfer", tuning=tuning, leave_out=(source,), reference=reference
            )
            train(arguments.encoder, arguments.data, out, settings, lambda *_: None)
        return asyncio.run(_judge(out, source, unseen))


async def _judge(model: Path, source: str, unseen: Sequence[LabelledRow]) -> Transfer:
    classifier = Classifier.open(model, terms={"alerts": TERMS}, threads=Threads(1, 1))
    decisions = await classifier.classify("alerts", [row.event for row in unseen])
    await classifier.close()
    right = [
        one.labels[AXIS].value in row.gold[AXIS] for one, row in zip(decisions, unseen, strict=True)
    ]
    return _transfer(source, "ours", np.array(right), np.array([one.accepted for one in decisions]))


def tfidf(source: str, others: Sequence[LabelledRow], unseen: Sequence[LabelledRow]) -> Transfer:
    """TF-IDF with logistic regression on text and document, its threshold calibrated as ours is."""
    model = make_pipeline(baselines.tfidf(), LogisticRegression(C=10.0, max_iter=300, tol=1e-3))
    taught = [row for row in others if row.part == "train"]
    model.fit(
        [baselines.flatten(row.event) for row in taught], [row.gold[AXIS][0] for row in taught]
    )

    sources = {row.source for row in taught}

    def half(part: str) -> CalibrationSplit:
        rows = [row for row in others if row.part == part]
        error_probability, right = answer(rows)
        unseen = np.array([row.source not in sources for row in rows])
        return CalibrationSplit(
            error_probability[:, None],
            right.astype(np.int8)[:, None],
            np.full(len(error_probability), -1, np.int32),
            unseen,
        )

    def answer(rows: Sequence[LabelledRow]) -> tuple[np.ndarray, np.ndarray]:
        probabilities = model.predict_proba([baselines.flatten(row.event) for row in rows])
        values = model.classes_[probabilities.argmax(axis=1)]
        right = np.array([value in row.gold[AXIS] for value, row in zip(values, rows, strict=True)])
        return (1.0 - probabilities.max(axis=1)).round(6), right

    promise = TERMS.promise(
        CalibrationSample((AXIS,), *(half(part) for part in CALIBRATION_SPLITS))
    )
    error_probability, right = answer(unseen)
    return _transfer(source, "TF-IDF", right, error_probability < promise.threshold)


def _transfer(source: str, method: str, right: np.ndarray, accepted: np.ndarray) -> Transfer:
    kept = round(float(right[accepted].mean()), 4) if accepted.any() else None
    accuracy, share = round(float(right.mean()), 4), round(float(accepted.mean()), 4)
    return Transfer(source, method, len(right), accuracy, share, kept)


def show(found: Sequence[Transfer]) -> None:
    """The table for a person."""
    table = Table("left out", "method", "rows", "accuracy", "accepted", "right of accepted")
    for one in found:
        kept = "-" if one.accuracy_of_accepted is None else f"{one.accuracy_of_accepted:.1%}"
        table.add_row(
            one.source,
            one.method,
            str(one.rows),
            f"{one.accuracy:.1%}",
            f"{one.accepted:.1%}",
            kept,
        )
    Console().print(table)


if __name__ == "__main__":
    main()
