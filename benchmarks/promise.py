"""`python -m benchmarks.promise`: is the promise kept, over 200 random splits into calibration and evaluation halves?

Rows the model was not taught with are cut in two at random 200 times; one half makes the promise,
the other counts what came of it. A promise of confidence 1 - delta may be broken in a share delta of the splits.
"""

import argparse
import asyncio
from pathlib import Path

import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.rows import machine
from inference.acceptance.guarantee import UNSEEN_ALPHA, calibrate
from inference.acceptance.samples import CalibrationSample, CalibrationSplit
from inference.classifier import Classifier
from inference.labelled import read_rows
from schemas.event import Domain

AXIS, DELTA, SPLITS = "queue", 0.10, 200
RESULTS = Path(__file__).parent / "promise.ndjson"


def main() -> None:
    """Decide the rows once, then split them again and again."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.promise", description=main.__doc__)
    parser.add_argument(
        "--data", type=Path, action="append", required=True, help="labelled rows, once a file"
    )
    parser.add_argument("--model", type=Path, help="a model directory (default: the shipped one)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    decided = asyncio.run(decide(arguments.model, arguments.data))
    rows = [
        split(domain, half, alpha) for domain, half in decided.items() for alpha in (0.02, 0.05)
    ]
    table = Table(
        "domain", "alpha", "rows", "of unseen sources", "splits that accept", "broken", "broken on unseen", "coverage",
        "risk, mean",
    )  # fmt: skip
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
    arguments.out.write_bytes(
        b"".join(orjson.dumps(row | {"machine": machine()}) + b"\n" for row in rows)
    )


async def decide(model: Path | None, files: list[Path]) -> dict[Domain, CalibrationSplit]:
    """The risk of every row, 1.0 where a guard refused it, and whether its queue is right; by domain."""
    classifier = Classifier.open(model)
    taught = classifier.artifact.manifest.training["taught"]
    rows = [row for row in read_rows(files) if row.part != "train" and AXIS in row.gold]
    found: dict[Domain, CalibrationSplit] = {}
    for domain in classifier.domains:
        own = [row for row in rows if row.domain == domain]
        decisions = await classifier.classify(domain, [row.event for row in own])
        right = [
            one.labels[AXIS].value in row.gold[AXIS]
            for one, row in zip(decisions, own, strict=True)
        ]
        found[domain] = CalibrationSplit(
            np.array([[one.risk] for one in decisions]),
            np.array(right, np.int8)[:, None],
            np.full(len(own), -1, np.int32),
            np.array([row.source not in taught for row in own]),
        )
    await classifier.close()
    return found


def split(domain: Domain, rows: CalibrationSplit, alpha: float) -> dict[str, object]:
    """What 200 promises of this alpha were worth, on all rows and on those of sources that taught the model nothing."""
    generator = np.random.default_rng(0)
    risks, unseen_risks, coverages = [], [], []
    for _ in range(SPLITS):
        order = generator.permutation(len(rows.error_probability))
        tuning, testing, held_out = (
            rows.where(part) for part in np.split(order, [len(order) // 4, len(order) // 2])
        )
        promise = calibrate(CalibrationSample((AXIS,), tuning, testing), [AXIS], alpha, DELTA)
        accepted = held_out.where(held_out.error_probability[:, 0] < promise.threshold)
        if len(accepted.error_probability):
            risks.append(_risk(accepted))
            coverages.append(len(accepted.error_probability) / len(held_out.error_probability))
            if promise.n_unseen:
                unseen_risks.append(_risk(accepted.where(accepted.unseen)))
    return {
        "domain": domain,
        "alpha": alpha,
        "rows": len(rows.error_probability),
        "unseen": int(rows.unseen.sum()),
        "accepting": len(risks),
        "broken": _share(risks, alpha),
        "broken_on_unseen": _share(unseen_risks, UNSEEN_ALPHA),
        "coverage": round(float(np.mean(coverages)), 4) if risks else None,
        "risk": round(float(np.mean(risks)), 4) if risks else None,
    }


def _risk(accepted: CalibrationSplit) -> float:
    return float((accepted.correct == 0).mean()) if len(accepted.correct) else 0.0


def _share(risks: list[float], alpha: float) -> float | None:
    return round(float(np.mean(np.array(risks) > alpha)), 4) if risks else None


if __name__ == "__main__":
    main()
