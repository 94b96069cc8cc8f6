"""What we aim at, and whether the rows of a run reach it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.latency.__main__ import PROFILE

Row = Mapping[str, Any]
"""One row of a file of `benchmarks`, as JSON; the rows of peers are named `worker`."""
OF_THE_MOMENT = ("load", "at")
"""What differs between rows of one machine."""


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure that some rows have, and its limit.

    `row` is a regular expression of the row's name; the last row that fits has the figure, or with
    `is_worst` the one with the largest. The figure is its ratio, or with `is_value` its value.
    `limit` is the least it should be, or with `at_most` the most; None if it is only shown.
    """

    part: str
    what: str
    row: str
    limit: float | None = None
    at_most: bool = False
    is_value: bool = False
    is_worst: bool = False

    def measured(self, rows: Iterable[Row]) -> float | None:
        """The figure; None if no row has it."""
        fitting = [row for row in rows if re.fullmatch(self.row, name(row))]
        figures = [row["value" if self.is_value else "ratio"] for row in fitting]
        if not figures or figures[-1] is None:
            return None
        return float(max(figures) if self.is_worst else figures[-1])

    def verdict(self, figure: float) -> str:
        """Whether the figure, as it is printed, reaches the limit; empty if there is none."""
        if self.limit is None:
            return ""
        shown = round(figure, 2)
        return "met" if (shown <= self.limit if self.at_most else shown >= self.limit) else "missed"

    @property
    def words(self) -> str:
        """The limit for a person."""
        if self.limit is None:
            return "only shown"
        return f"{'at most' if self.at_most else 'at least'} {self.limit:g}"


_AT_40, _AT_80 = (rf"at {share}% of the drain rate" for share in (40, 80))
_AT_85 = r"at 85% of the drain rate"
AIMS = (
    Aim("throughput", "pipeline to the bare model, from a backlog", "pipeline on real Kafka", 0.90),
    Aim("throughput", "`triage classify` to the bare model", "triage classify"),
    Aim("throughput", "memory at the end to that of a tenth", "resident memory .*"),
    Aim("latency", "alone, p50 to the bare model's one event", "alone, p50", 1.8, at_most=True),
    Aim("latency", "at 40 % of the drain rate, p50", f"{_AT_40}, p50", 3.0, at_most=True),
    Aim("latency", "at 40 % of the drain rate, p99", f"{_AT_40}, p99", 12.0, at_most=True),
    Aim("latency", "at 80 %, events out to events in: no collapse", f"{_AT_80}, out", 0.95),
    Aim("latency", "at 85 %, events out to events in: sustained", f"{_AT_85}, out", 0.95),
    Aim("latency", "drain rate to the bare model, producer included", "a backlog drains"),
    Aim(
        "vendors",
        "`triage classify` with its cache, to before",
        "triage classify, other people and computers, too, cache to before",
        2.0,
    ),
    Aim("instructions", "AVX512 to AVX2", "encoder with AVX512"),
    Aim(
        "pauses",
        "longest pause in a rolling restart of 2, seconds",
        "pause usual; rolling restart of 2; .*",
        1.0,
        at_most=True,
        is_value=True,
        is_worst=True,
    ),
    Aim("curve", "most workers to one, even partitions", r"curve; \d+ workers, even partitions"),
    Aim("backlog", "rate of the last part to the first", "backlog; rate until .*", 0.95),
    Aim(
        "backlog", "memory at the end to the first part", "backlog; resident .*", 1.05, at_most=True
    ),
    Aim(
        "peers", "transformers, float32, events/s to ours", "transformers pipeline, fp32, batch 32"
    ),
    Aim("peers", "ONNX Runtime, int8, events/s to ours", "ONNX Runtime, int8, batch 1"),
    Aim("peers", "model2vec, events/s to ours", "model2vec and logistic regression"),
    Aim("peers", "TF-IDF, events/s to ours", "TF-IDF and logistic regression"),
)


def table(rows: Mapping[str, list[Row]]) -> Table:
    """Each aim of the parts that were chosen, by their rows; a part that failed has none."""
    printed = Table("part", "ratio", "aim", "measured", "")
    for aim in AIMS:
        if aim.part not in rows:
            continue
        figure = aim.measured(rows[aim.part])
        if figure is None:
            printed.add_row(aim.part, aim.what, aim.words, "-", "not measured")
        else:
            printed.add_row(aim.part, aim.what, aim.words, f"{figure:.2f}", aim.verdict(figure))
    return printed


def machines(rows: Mapping[str, list[Row]]) -> dict[str, list[str]]:
    """The hardware and versions of the rows, each with the parts that were measured there."""
    parts: dict[str, list[str]] = {}
    for part, of_part in rows.items():
        for row in of_part:
            described = ", ".join(
                f"{key} {value}"
                for key, value in row["machine"].items()
                if key not in OF_THE_MOMENT
            )
            named = parts.setdefault(described, [])
            if part not in named:
                named.append(part)
    return parts


def show(rows: Mapping[str, list[Row]], console: Console) -> None:
    """Print the table, on what it was measured, and where the processor time goes."""
    console.print(table(rows))
    for described, parts in machines(rows).items():
        console.print(f"{', '.join(parts)}: {described}", soft_wrap=True)
    profile = [row for row in rows.get("latency", []) if name(row).startswith(PROFILE)]
    if profile:
        console.print(f"{PROFILE}from a backlog, which limits the rate of a machine that is busy:")
    for row in profile:
        part = name(row).removeprefix(PROFILE)
        console.print(f"  {row['value']:5.2f} ms, {row['ratio']:4.0%}  {part}")


def name(row: Row) -> str:
    """The name of a row."""
    return str(row.get("name") or row.get("worker"))
