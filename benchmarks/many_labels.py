"""`python -m benchmarks.many_labels`: hundreds of labels at once, trained, calibrated and served.

One set has the intents of both public files of tickets, 227 in all. Another one has 1,000 labels
that are made up of `desks/made_up.toml`, each with three rows, and the last one twelve of them, to
compare with. A model of each is trained as `triage train` does, in a process of its own, and serves
test rows in another one. So the memory is that of each alone.
"""

import argparse
import asyncio
import random
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import permutations, product
from pathlib import Path

import numpy as np
import orjson
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from benchmarks.own_labels import DESKS, choose, write_table
from benchmarks.processes import in_own_process, peak_mb
from benchmarks.rows import machine
from inference.acceptance.options import Terms
from inference.classifier import Classifier
from inference.labelled import LabelledRow, read_rows
from inference.labels.file import NO_LABELS
from inference.model.out_of_distribution import OUT_OF_SCOPE
from inference.model.threads import Threads
from inference.training.plan import plan_training
from inference.training.recipe import TrainingOptions, train_on_rows
from schemas.event import Event

AXIS, ALPHA, TEST_ROWS = "queue", 0.05, 500
ROWS = 3
"""So many rows of each made-up label teach."""
FILES = ("tickets_clinc_dev.jsonl.gz", "tickets_banking_dev.jsonl.gz")
RESULTS = Path(__file__).parent / "many_labels.ndjson"


@dataclass(frozen=True, slots=True)
class Training:
    """What the training of a model took; `cpu_s` is the time of all its threads."""

    train_s: float
    train_cpu_s: float
    train_peak_mb: float


@dataclass(frozen=True, slots=True)
class Serving:
    """What a model does on test rows, and what it takes, in a process that only serves.

    `right` and `accepted` are shares of the test rows, `accepted_right` of the accepted ones.
    """

    open_s: float
    events_per_s: float
    serve_peak_mb: float
    model_mb: float
    test_rows: int
    right: float
    accepted: float
    accepted_right: float | None


def main() -> None:
    """Make both models, print the table and write the rows."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many_labels", description=main.__doc__
    )
    parser.add_argument("--data", type=Path, required=True, help="the directory of the rows")
    parser.add_argument("--set", action="append", choices=SETS, help="only this set of labels")
    parser.add_argument("--rows", type=int, default=4_500, help="at most so many rows teach")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file for the results")
    arguments = parser.parse_args()
    results = []
    if arguments.out.is_file():
        results = [orjson.loads(line) for line in arguments.out.read_bytes().splitlines()]
    for name in arguments.set or SETS:
        results = [each for each in results if each["set"] != name]
        rows = list(SETS[name](arguments.data))
        result = {"set": name} | measure(rows, arguments.rows)
        results.append(result | {"machine": machine()})
        arguments.out.write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in results))
    show(results)


def measure(rows: Sequence[LabelledRow], most: int) -> dict[str, object]:
    """Train a model on at most so many rows, and let it serve test rows; the figures of both."""
    teaching = choose([row for row in rows if row.part != "test"], most, seed=0)
    test = choose([row for row in rows if row.part == "test"], TEST_ROWS, seed=0)
    with tempfile.TemporaryDirectory() as directory:
        model = Path(directory) / "model"
        table = write_table(teaching, Path(directory) / "rows.csv")
        training = in_own_process(train, table, model)
        serving = in_own_process(serve, model, test)
    labels = len({row.gold[AXIS] for row in teaching})
    counts = {"labels": labels, "rows": len(teaching)}
    return counts | asdict(training) | asdict(serving)


def train(table: Sequence[Path], model: Path) -> Training:
    """Train as `triage train` does on these tables."""
    started_s, started_cpu_s = time.monotonic(), time.process_time()
    options = TrainingOptions(name="many labels")
    plan = plan_training(table, NO_LABELS, options, own_labels=True)
    train_on_rows(plan.encoder, plan.rows, model, options, lambda *_: None)
    return Training(
        round(time.monotonic() - started_s, 1),
        round(time.process_time() - started_cpu_s, 1),
        peak_mb(),
    )


def serve(model: Path, test: Sequence[LabelledRow]) -> Serving:
    """Load the model, and decide the test rows."""
    return asyncio.run(_serve(model, test))


async def _serve(model: Path, test: Sequence[LabelledRow]) -> Serving:
    started_s = time.monotonic()
    terms = Terms(deciding=(AXIS,), alpha=ALPHA)
    classifier = Classifier.open(model, terms={"tickets": terms}, threads=Threads(1, 1))
    opened_s = time.monotonic()
    decisions = await classifier.classify("tickets", [row.event for row in test])
    ended_s = time.monotonic()
    await classifier.close()
    answers = [decision.labels[AXIS].value for decision in decisions]
    right = np.array([each in row.gold[AXIS] for each, row in zip(answers, test, strict=True)])
    accepted = np.array([decision.accepted for decision in decisions])
    return Serving(
        round(opened_s - started_s, 2),
        round(len(test) / (ended_s - opened_s)),
        peak_mb(),
        _size_mb(model),
        len(test),
        round(float(right.mean()), 4),
        round(float(accepted.mean()), 4),
        round(float(right[accepted].mean()), 4) if accepted.any() else None,
    )


def _size_mb(model: Path) -> float:
    return round(sum(file.stat().st_size for file in model.iterdir()) / 2**20, 1)


def public_intents(data: Path) -> Iterator[LabelledRow]:
    """The intents of both files; the one that both have counts twice."""
    for file in FILES:
        for row in read_rows([data / file], {"intent": "intent"}):
            (intent,) = row.gold["intent"]
            if intent != OUT_OF_SCOPE and row.part in ("train", "test"):
                yield replace(row, gold={AXIS: (f"{file.split('_')[1]} {intent}",)}, cluster="")


def made_up(data: Path, labels: int = 1_000) -> Iterator[LabelledRow]:  # noqa: ARG001 - needs none
    """A label is a thing and what is the matter with it, and a row says that in two phrases."""
    words = tomllib.loads((DESKS / "made_up.toml").read_text("utf-8"))
    generator = random.Random(0)
    names = list(product(words["things"], words["matters"]))
    for thing, matter in generator.sample(names, labels):
        chosen = generator.sample(list(permutations(words["matters"][matter], 2)), ROWS + 1)
        openings = generator.sample(words["openings"], ROWS + 1)
        for number, (opening, pair) in enumerate(zip(openings, chosen, strict=True)):
            text = f"{opening} {thing} {' and '.join(pair)}."
            yield LabelledRow(
                event=Event(id=f"{thing} {matter} {number}", kind="ticket", text=text),
                domain="tickets",
                gold={AXIS: (f"{thing} {matter}",)},
                part="train" if number < ROWS else "test",
                source="made up",
            )


SETS: dict[str, Callable[[Path], Iterator[LabelledRow]]] = {
    "intents of two businesses": public_intents,
    "twelve made-up labels": partial(made_up, labels=12),
    "made-up labels": made_up,
}


def show(results: Sequence[dict[str, object]]) -> None:
    """Print the results as a table for a person, a column for each set of labels."""
    table = Table("", *(str(result["set"]) for result in results))
    for key in results[0]:
        if key not in ("set", "machine"):
            table.add_row(key, *(str(result[key]) for result in results))
    Console().print(table)


if __name__ == "__main__":
    main()
