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
from inference.calibration import Half, Sample, calibrate
from inference.classifier import Classifier
from inference.training.dataset import read_rows
from schemas.event import Domain

AXIS, DELTA, SPLITS = "queue", 0.10, 200
RESULTS = Path(__file__).parent / "promise.ndjson"


def main() -> None:
    """Decide the rows once, then split them again and again."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.promise", description=main.__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True, help="labelled rows, once a file")
    parser.add_argument("--model", type=Path, help="a model directory (default: the shipped one)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    decided = asyncio.run(decide(arguments.model, arguments.data))
    rows = [split(domain, doubt, wrong, alpha) for domain, (doubt, wrong) in decided.items() for alpha in (0.02, 0.05)]
    table = Table("domain", "alpha", "rows", "splits that accept", "broken", "coverage", "risk, mean")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
    arguments.out.write_bytes(b"".join(orjson.dumps(row | {"machine": machine()}) + b"\n" for row in rows))


async def decide(model: Path | None, files: list[Path]) -> dict[Domain, tuple[np.ndarray, np.ndarray]]:
    """The risk of every row, 1.0 where a guard refused it, and whether its queue is wrong; by domain."""
    classifier = Classifier.open(model)
    rows = [row for row in read_rows(files) if row.part != "train" and AXIS in row.gold]
    found: dict[Domain, tuple[np.ndarray, np.ndarray]] = {}
    for domain in classifier.domains:
        own = [row for row in rows if row.domain == domain]
        decisions = await classifier.classify(domain, [row.event for row in own])
        wrong = [one.labels[AXIS].value not in row.gold[AXIS] for one, row in zip(decisions, own, strict=True)]
        found[domain] = np.array([one.risk for one in decisions]), np.array(wrong)
    await classifier.close()
    return found


def split(domain: Domain, doubt: np.ndarray, wrong: np.ndarray, alpha: float) -> dict[str, object]:
    """What 200 promises of this alpha were worth."""
    generator = np.random.default_rng(0)
    risks, coverages = [], []
    for _ in range(SPLITS):
        order = generator.permutation(len(doubt))
        tuning, testing, held_out = np.split(order, [len(order) // 4, len(order) // 2])
        sample = Sample((AXIS,), _half(doubt[tuning], wrong[tuning]), _half(doubt[testing], wrong[testing]))
        accepted = doubt[held_out] < calibrate(sample, [AXIS], alpha, DELTA).threshold
        if accepted.any():
            risks.append(float(wrong[held_out][accepted].mean()))
            coverages.append(float(accepted.mean()))
    return {
        "domain": domain,
        "alpha": alpha,
        "rows": len(doubt),
        "accepting": len(risks),
        "broken": round(float(np.mean(np.array(risks) > alpha)), 4) if risks else None,
        "coverage": round(float(np.mean(coverages)), 4) if risks else None,
        "risk": round(float(np.mean(risks)), 4) if risks else None,
    }


def _half(doubt: np.ndarray, wrong: np.ndarray) -> Half:
    correct = (~wrong).astype(np.int8)
    return Half(doubt[:, None], correct[:, None], np.full(len(doubt), -1, np.int32))


if __name__ == "__main__":
    main()
