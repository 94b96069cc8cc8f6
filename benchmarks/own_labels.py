"""`python -m benchmarks.own_labels`: a desk with its own queues, from names to a few hundred rows.

The desks are made of public rows: `desks/intents.toml` says which intents each of twelve queues is
made of, and `desks/NAME.toml` is the labels file. First the model is made from names and examples,
then from descriptions too, then from some hundred rows. The test rows are of the file's own split,
as many as there are, at most 1,000. Every model is made in a process of its own.
"""

import argparse
import asyncio
import csv
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import orjson
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from benchmarks.processes import in_own_process, peak_mb
from benchmarks.rows import machine
from inference.acceptance.options import Terms
from inference.classifier import Classifier
from inference.labelled import LabelledRow, read_rows
from inference.labels.file import LabelEntry, LabelsFile, read_labels
from inference.model.threads import Threads
from inference.training.plan import plan_training
from inference.training.recipe import TrainingOptions, train_on_rows

DESKS = Path(__file__).parent / "desks"
FILES = {"bank": "tickets_banking_dev.jsonl.gz", "concierge": "tickets_clinc_dev.jsonl.gz"}
ALPHA, TEST_ROWS = 0.10, 1_000
RESULTS = Path(__file__).parent / "own_labels.ndjson"


@dataclass(frozen=True, slots=True)
class Result:
    """One model of one desk. The last two are shares of the test rows and of the accepted ones."""

    desk: str
    made_from: str
    rows: int
    alpha: float
    test_rows: int
    train_s: float
    peak_mb: float
    right: float
    accepted: float
    accepted_right: float | None


def main() -> None:
    """Make the models, print the table and write the rows."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.own_labels", description=main.__doc__
    )
    parser.add_argument("--data", type=Path, required=True, help="the directory of the rows")
    parser.add_argument("--rows", type=int, default=308, help="how many rows a desk has labelled")
    parser.add_argument("--seeds", type=int, default=3, help="how many choices of these rows")
    parser.add_argument("--desk", choices=FILES, help="only this desk; the other one's rows stay")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file for the results")
    arguments = parser.parse_args()
    desks = [arguments.desk] if arguments.desk else list(FILES)
    lines = []
    if arguments.out.is_file():
        before = arguments.out.read_bytes().splitlines()
        lines = [line for line in before if orjson.loads(line)["desk"] not in desks]
    results = []
    for desk in desks:
        for result in _results(desk, arguments.data, arguments.rows, arguments.seeds):
            results.append(result)
            lines.append(orjson.dumps(asdict(result) | {"machine": machine()}))
    arguments.out.write_bytes(b"".join(line + b"\n" for line in lines))
    _show(results)


def _results(desk: str, data: Path, count: int, seeds: int) -> Iterator[Result]:
    rows, labels = desk_rows(desk, data), read_labels(DESKS / f"{desk}.toml")
    test = choose([row for row in rows if row.part == "test"], TEST_ROWS, seed=0)
    teaching = [row for row in rows if row.part == "train"]
    yield in_own_process(
        _result, desk, "names, examples", [], _without(labels, description=None), test
    )
    yield in_own_process(
        _result, desk, "names, descriptions", [], _without(labels, examples=[]), test
    )
    yield in_own_process(_result, desk, "names, descriptions, examples", [], labels, test)
    for seed in range(seeds):
        chosen = choose(teaching, count, seed)
        yield in_own_process(_result, desk, f"rows, seed {seed}", chosen, LabelsFile(), test)
        yield in_own_process(
            _result, desk, f"rows and labels file, seed {seed}", chosen, labels, test
        )


def desk_rows(desk: str, data: Path) -> list[LabelledRow]:
    """The rows of a desk, each with its queue."""
    intents = tomllib.loads((DESKS / "intents.toml").read_text("utf-8"))[desk]
    queues = {intent: queue for queue, of_queue in intents.items() for intent in of_queue}
    rows = read_rows([data / FILES[desk]], {"intent": "intent"})
    return [
        replace(row, gold={"queue": (queues[row.gold["intent"][0]],)}, cluster="")
        for row in rows
        if row.gold["intent"][0] in queues
    ]


def choose(rows: Sequence[LabelledRow], count: int, seed: int) -> list[LabelledRow]:
    """So many of these rows, chosen at random."""
    order = np.random.default_rng(seed).permutation(len(rows))[:count]
    return [rows[index] for index in order.tolist()]


def _without(labels: LabelsFile, **changes: object) -> LabelsFile:
    def changed(entries: Mapping[str, LabelEntry]) -> dict[str, LabelEntry]:
        return {label: replace(entry, **changes) for label, entry in entries.items()}

    return LabelsFile(
        {
            domain: {axis: changed(entries) for axis, entries in axes.items()}
            for domain, axes in labels.domains.items()
        }
    )


def _result(
    desk: str,
    made_from: str,
    rows: Sequence[LabelledRow],
    labels: LabelsFile,
    test: Sequence[LabelledRow],
) -> Result:
    """Train as `triage train` does on a table of these rows, and put the test rows to the model."""
    with tempfile.TemporaryDirectory() as directory:
        options = TrainingOptions(name=desk)
        table = write_table(rows, Path(directory) / "rows.csv")
        started_s = time.monotonic()
        plan = plan_training(table, labels, options, own_labels=True)
        model = Path(directory) / "model"
        train_on_rows(plan.encoder, plan.rows, model, options, lambda *_: None)
        train_s = time.monotonic() - started_s
        right, accepted = asyncio.run(_decide(model, test))
    return Result(
        desk,
        made_from,
        len(rows),
        ALPHA,
        len(test),
        round(train_s, 1),
        peak_mb(),
        round(float(right.mean()), 4),
        round(float(accepted.mean()), 4),
        round(float(right[accepted].mean()), 4) if accepted.any() else None,
    )


def write_table(rows: Sequence[LabelledRow], file: Path) -> list[Path]:
    """Write the rows as a table of one's own; without rows there is no file."""
    if not rows:
        return []
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "text", "queue"])
        writer.writerows([row.event.id, row.event.text, row.gold["queue"][0]] for row in rows)
    return [file]


async def _decide(
    model: Path, test: Sequence[LabelledRow]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Whether the queue of each row is right, and whether the row is accepted."""
    classifier = Classifier.open(
        model, terms={"tickets": Terms(deciding=("queue",), alpha=ALPHA)}, threads=Threads(1, 1)
    )
    decisions = await classifier.classify("tickets", [row.event for row in test])
    await classifier.close()
    right = [
        decision.labels["queue"].value in row.gold["queue"]
        for decision, row in zip(decisions, test, strict=True)
    ]
    return np.array(right), np.array([decision.accepted for decision in decisions])


def _show(results: Sequence[Result]) -> None:
    table = Table(
        "desk", "made from", "rows", "train s", "peak MB", "right", "accepted", "of these"
    )
    for result in results:
        accepted_right = ""
        if result.accepted_right is not None:
            accepted_right = f"{result.accepted_right:.1%}"
        table.add_row(
            result.desk,
            result.made_from,
            str(result.rows),
            f"{result.train_s:.1f}",
            f"{result.peak_mb:.0f}",
            f"{result.right:.1%}",
            f"{result.accepted:.1%}",
            accepted_right,
        )
    Console().print(table)


if __name__ == "__main__":
    main()
