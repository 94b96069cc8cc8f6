"""`python -m benchmarks.promise`: checks on 200 random partitions whether the promise holds.

The rows that the model was not trained on are divided at random, 200 times. A quarter of them is
the tuning split and a quarter is the testing split; both make the promise. The rest shows
whether it holds. A promise with confidence 1 - delta may be broken on a share delta of the
partitions.
"""

import argparse
import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.rows import machine
from inference.acceptance.guarantee import Promise, calibrate
from inference.acceptance.options import UNSEEN_ALPHA
from inference.acceptance.samples import CalibrationSample, CalibrationSplit
from inference.classifier import Classifier
from inference.labelled import read_rows
from schemas.event import Domain

AXIS, DELTA, PARTITIONS = "queue", 0.10, 200
ALPHAS = (0.02, 0.05)
RESULTS = Path(__file__).parent / "promise.ndjson"
COLUMNS = (
    "domain",
    "alpha",
    "rows",
    "of unseen sources",
    "splits that accept",
    "broken",
    "broken on unseen",
    "coverage",
    "risk, mean",
)


@dataclass(slots=True)
class Outcomes:
    """What the partitions gave, one entry per partition that accepts events.

    `risks` is the share of wrong events among the accepted ones, and `unseen_risks` the same for
    unseen sources, if the promise was tested on them.
    """

    risks: list[float] = field(default_factory=list)
    unseen_risks: list[float] = field(default_factory=list)
    coverages: list[float] = field(default_factory=list)

    def add(self, promise: Promise, held_out: CalibrationSplit) -> None:
        """Count what a promise accepts of the rows that were held out."""
        accepted = held_out.where(held_out.error_probability[:, 0] < promise.threshold)
        if not len(accepted.error_probability):
            return
        self.risks.append(_risk(accepted))
        self.coverages.append(len(accepted.error_probability) / len(held_out.error_probability))
        if promise.n_unseen:
            self.unseen_risks.append(_risk(accepted.where(accepted.unseen)))


def main() -> None:
    """Classify the rows once, then divide them again and again."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.promise", description=main.__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        required=True,
        help="a file of labelled rows; may be given several times",
    )
    parser.add_argument("--model", type=Path, help="a model directory (default: the shipped one)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file for the results")
    arguments = parser.parse_args()
    rows_by_domain = asyncio.run(classify(arguments.model, arguments.data))
    results = [
        evaluate(domain, rows, alpha) for domain, rows in rows_by_domain.items() for alpha in ALPHAS
    ]
    table = Table(*COLUMNS)
    for result in results:
        table.add_row(*(str(value) for value in result.values()))
    Console().print(table)
    arguments.out.write_bytes(
        b"".join(orjson.dumps(result | {"machine": machine()}) + b"\n" for result in results)
    )


async def classify(model: Path | None, files: list[Path]) -> dict[Domain, CalibrationSplit]:
    """Classify the rows that the model was not trained on.

    The result has, by domain, the risk of each row (1.0 if it is out of distribution), whether its
    queue is right, and whether its source is unseen.
    """
    classifier = Classifier.open(model)
    trained_sources = classifier.artifact.manifest.training["taught"]
    rows = [row for row in read_rows(files) if row.part != "train" and AXIS in row.gold]
    classified: dict[Domain, CalibrationSplit] = {}
    for domain in classifier.domains:
        rows_of_domain = [row for row in rows if row.domain == domain]
        decisions = await classifier.classify(domain, [row.event for row in rows_of_domain])
        right = [
            decision.labels[AXIS].value in row.gold[AXIS]
            for decision, row in zip(decisions, rows_of_domain, strict=True)
        ]
        classified[domain] = CalibrationSplit(
            np.array([[decision.risk] for decision in decisions]),
            np.array(right, np.int8)[:, None],
            np.full(len(rows_of_domain), -1, np.int32),
            np.array([row.source not in trained_sources for row in rows_of_domain]),
        )
    await classifier.close()
    return classified


def evaluate(domain: Domain, rows: CalibrationSplit, alpha: float) -> dict[str, object]:
    """Make a promise with this alpha on each partition, and count how often it is broken.

    `broken` counts all rows, `broken_on_unseen` the rows of sources that the model was not trained
    on.
    """
    generator = np.random.default_rng(0)
    outcomes = Outcomes()
    for _ in range(PARTITIONS):
        order = generator.permutation(len(rows.error_probability))
        tuning, testing, held_out = (
            rows.where(part) for part in np.split(order, [len(order) // 4, len(order) // 2])
        )
        promise = calibrate(CalibrationSample((AXIS,), tuning, testing), [AXIS], alpha, DELTA)
        outcomes.add(promise, held_out)
    return {
        "domain": domain,
        "alpha": alpha,
        "rows": len(rows.error_probability),
        "unseen": int(rows.unseen.sum()),
        "accepting": len(outcomes.risks),
        "broken": _share_above(outcomes.risks, alpha),
        "broken_on_unseen": _share_above(outcomes.unseen_risks, UNSEEN_ALPHA),
        "coverage": _mean(outcomes.coverages),
        "risk": _mean(outcomes.risks),
    }


def _risk(accepted: CalibrationSplit) -> float:
    return float((accepted.correct == 0).mean()) if len(accepted.correct) else 0.0


def _share_above(risks: list[float], alpha: float) -> float | None:
    return round(float(np.mean(np.array(risks) > alpha)), 4) if risks else None


def _mean(values: list[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


if __name__ == "__main__":
    main()
