"""`python -m benchmarks.shift`: out-of-scope tickets rise from 3 to 18 % of the stream.

A model is trained and calibrated on rows of CLINC150, of which 3 % are out of scope. Its test rows,
classified once, make a stream: in its middle the share of out-of-scope tickets rises. A share of
the accepted events is drawn for spot checks, whose verdicts come some events later. The watch
lowers the threshold, and the figures say after how many events the risk of what is accepted is back
under alpha. A static model has the same risk until the end.
"""

import argparse
import asyncio
import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.rows import machine
from inference.acceptance.options import Terms
from inference.acceptance.policy import AcceptancePolicy
from inference.acceptance.watch import Check, Watch
from inference.arrays import Bools, Floats
from inference.classifier import Classifier
from inference.labelled import LabelledRow, labels_of, read_rows
from inference.model.artifact import load_artifact
from inference.model.threads import Threads
from inference.training.recipe import TrainingOptions, TrainingRows, train_on_rows

AXIS, OUT_OF_SCOPE = "queue", "out_of_scope"
DELTA = 0.10
ALPHAS = (0.02, 0.05)
SHARES = (0.02, 0.05, 0.10)
BEFORE, AFTER = 0.03, 0.18
VERDICT_LAG = 500
"""A person decides a check so many events after it was drawn."""
EVENTS_A_DAY = 5_000
RUNS = 40
RESULTS = Path(__file__).parent / "shift.ndjson"
COLUMNS = (
    "alpha",
    "checked",
    "static: accepted",
    "risk before",
    "risk after",
    "watched: seen",
    "events until under alpha, median",
    "90 %",
    "checks",
    "risk then",
    "accepted then",
    "false alarms",
)


@dataclass(frozen=True, slots=True)
class Pool:
    """Test rows of one kind: the risk of each, and whether it is wrong.

    The risk of an unfamiliar event is 1.0.
    """

    risks: Floats
    wrong: Bools

    def accepted(self, threshold: float) -> tuple[float, float]:
        """The share of the rows that is accepted, and the share that is accepted and wrong."""
        accepted = self.risks < threshold
        return float(accepted.mean()), float((accepted & self.wrong).mean())


@dataclass(frozen=True, slots=True)
class Traffic:
    """The rows in scope and out of it."""

    inside: Pool
    outside: Pool

    def of(self, outside: float, threshold: float) -> tuple[float, float]:
        """The coverage, and the risk of what is accepted, with this share out of scope."""
        (accepted, wrong), (accepted_out, wrong_out) = (
            pool.accepted(threshold) for pool in (self.inside, self.outside)
        )
        coverage = (1 - outside) * accepted + outside * accepted_out
        errors = (1 - outside) * wrong + outside * wrong_out
        return coverage, errors / coverage if coverage else 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """One stream.

    `events` counts from the rise until the risk is under alpha, and `checks` the verdicts of that
    time; both are None if it never was. `early` says whether the watch tightened before the rise.
    """

    early: bool
    events: int | None
    checks: int | None
    threshold: float


def main() -> None:
    """Train once, then let the share rise again and again."""
    arguments = _parse_arguments()
    rows = chosen_rows(read_rows([arguments.data], {AXIS: AXIS}), arguments.train_rows)
    results = []
    with tempfile.TemporaryDirectory() as directory:
        model = arguments.model or Path(directory)
        if arguments.model is None:
            training = TrainingRows(rows, labels_of(rows), [])
            options = TrainingOptions(name="shift")
            train_on_rows(arguments.encoder, training, model, options, lambda *_: None)
        traffic = asyncio.run(classify(model, rows))
        for alpha in ALPHAS:
            threshold = threshold_of(model, alpha)
            results += [evaluate(threshold, traffic, alpha, share) for share in SHARES]
            show(results)
    lines = [orjson.dumps(result | {"machine": machine()}) for result in results]
    arguments.out.write_bytes(b"\n".join(lines) + b"\n")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shift", description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the rows of CLINC150")
    parser.add_argument("--encoder", type=Path, help="the encoder to train on")
    parser.add_argument("--model", type=Path, help="a model that was trained on these rows before")
    parser.add_argument("--train-rows", type=int, default=4_000, help="rows in scope that teach")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file for the results")
    return parser.parse_args()


def chosen_rows(rows: list[LabelledRow], train_rows: int) -> list[LabelledRow]:
    """All rows that do not teach, all that are out of scope, and so many others that teach."""
    teaching = [row for row in rows if row.part == "train" and not _is_outside(row)]
    order = np.random.default_rng(0).permutation(len(teaching))[:train_rows]
    kept = {id(teaching[number]) for number in order}
    return [row for row in rows if row.part != "train" or _is_outside(row) or id(row) in kept]


def _is_outside(row: LabelledRow) -> bool:
    return row.gold[AXIS] == (OUT_OF_SCOPE,)


def threshold_of(model: Path, alpha: float) -> float:
    """The calibrated threshold."""
    terms = Terms(deciding=[AXIS], alpha=alpha, delta=DELTA)
    return AcceptancePolicy(load_artifact(model), "tickets", terms).promise.threshold


async def classify(model: Path, rows: list[LabelledRow]) -> Traffic:
    """The test rows as the model classifies them."""
    terms = Terms(deciding=[AXIS])
    classifier = Classifier.open(model, terms={"tickets": terms}, threads=Threads(1, 1))
    test = [row for row in rows if row.part == "test"]
    decisions = await classifier.classify("tickets", [row.event for row in test])
    await classifier.close()
    risks = np.array([decision.risk for decision in decisions])
    wrong = np.array(
        [
            decision.labels[AXIS].value not in row.gold[AXIS]
            for decision, row in zip(decisions, test, strict=True)
        ]
    )
    outside = np.array([_is_outside(row) for row in test])
    pools = (Pool(risks[of_kind], wrong[of_kind]) for of_kind in (~outside, outside))
    return Traffic(*pools)


def stream(
    threshold: float, traffic: Traffic, alpha: float, share: float, seed: int, half: int
) -> Run:
    """Let so many events pass, then the share rise, and the same number pass again.

    Only the events that would be drawn are looked at.
    """
    generator = np.random.default_rng(seed)
    watch = Watch(alpha, DELTA, threshold)
    waiting: deque[tuple[int, Check]] = deque()
    early, checks = False, 0
    for number in np.flatnonzero(generator.random(2 * half) < share).tolist():
        while waiting and waiting[0][0] <= number:
            decided, check = waiting.popleft()
            before = watch.threshold
            watch.add(check)
            checks += decided >= half
            if watch.threshold == before:
                continue
            early |= decided < half
            if decided >= half and traffic.of(AFTER, watch.threshold)[1] <= alpha:
                return Run(early, decided - half, checks, watch.threshold)
        if early and number >= half and traffic.of(AFTER, watch.threshold)[1] <= alpha:
            return Run(early, 0, checks, watch.threshold)
        outside = AFTER if number >= half else BEFORE
        pool = traffic.outside if generator.random() < outside else traffic.inside
        row = int(generator.integers(len(pool.risks)))
        if pool.risks[row] < watch.threshold:
            waiting.append(_check(number, float(pool.risks[row]), bool(pool.wrong[row]), share))
    return Run(early, None, None, watch.threshold)


def _check(number: int, risk: float, wrong: bool, share: float) -> tuple[int, Check]:
    """When a person decides a check, as the number of an event, and the verdict."""
    decided = number + VERDICT_LAG
    return decided, Check(risk, wrong, share, decided * 86_400.0 / EVENTS_A_DAY)


def evaluate(threshold: float, traffic: Traffic, alpha: float, share: float) -> dict[str, Any]:
    """The figures over all runs with this alpha and share of spot checks."""
    half = round(2_500 / share)
    runs = [stream(threshold, traffic, alpha, share, seed, half) for seed in range(RUNS)]
    in_time = [run for run in runs if run.events is not None]
    events = sorted(run.events for run in in_time if run.events is not None)
    after = [traffic.of(AFTER, run.threshold) for run in in_time]
    coverage, risk_before = traffic.of(BEFORE, threshold)
    return {
        "alpha": alpha,
        "share": share,
        "threshold": threshold,
        "coverage": round(coverage, 4),
        "risk_before": round(risk_before, 4),
        "risk_after_static": round(traffic.of(AFTER, threshold)[1], 4),
        "runs": len(runs),
        "under_alpha": len(in_time),
        "events_median": _quantile(events, 0.5),
        "events_90": _quantile(events, 0.9),
        "checks_median": _quantile([run.checks or 0 for run in in_time], 0.5),
        "risk_then": round(float(np.mean([risk for _, risk in after])), 4) if after else None,
        "coverage_then": round(float(np.mean([cover for cover, _ in after])), 4) if after else None,
        "accepts_nothing": sum(run.threshold == 0.0 for run in in_time),
        "early": sum(run.early for run in runs),
    }


def _quantile(values: list[int], share: float) -> int | None:
    return int(np.quantile(values, share, method="higher")) if values else None


def show(results: list[dict[str, Any]]) -> None:
    """Print the results as a table for a person."""
    table = Table(*COLUMNS)
    for result in results:
        table.add_row(
            f"{result['alpha']:.0%}",
            f"{result['share']:.0%}",
            f"{result['coverage']:.1%}",
            f"{result['risk_before']:.1%}",
            f"{result['risk_after_static']:.1%}",
            f"{result['under_alpha']} of {result['runs']}",
            str(result["events_median"]),
            str(result["events_90"]),
            str(result["checks_median"]),
            str(result["risk_then"]),
            f"{result['coverage_then']} (nothing: {result['accepts_nothing']})",
            str(result["early"]),
        )
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
