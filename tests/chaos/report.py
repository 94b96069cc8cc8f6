"""The report: a table for people, a JSON file, and a picture of each run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from benchmarks.rows import machine
from streams.local.brokers.java import KAFKA_VERSION, java_major
from tests.chaos.observer import Sample
from tests.chaos.row import Row, Span
from tests.chaos.timeline import draw

JSON_FILE = "chaos.json"
MARKDOWN_FILE = "chaos.md"
HEADINGS = {
    "what": "fault",
    "events_in": "in",
    "events_out": "out",
    "lost": "lost",
    "duplicated": "duplicated",
    "disagreeing": "disagreeing",
    "dead_lettered": "dead-lettered",
    "worker_restarts": "worker restarts",
    "fault_s": "fault, s",
    "first_output_s": "first output after, s",
    "recovered_s": "lag as before after, s",
    "longest_wait_s": "longest wait of an event, s",
}

INTRODUCTION = """# What faults do to events

`make chaos` writes this page, [the rows](chaos.json) and a time-line of each scenario. It runs
three brokers with three replicas, of which two must confirm, and workers of one group with a tiny
model. 20 events a second are sent before, during and after the fault. *Lost* is an event that the
brokers took and that has no output, or that was escalated and never ended. *Duplicated* is a
further copy of a revision with the same content. The times depend on how busy the machine is, and
they include the sessions of the workers (6 s) and of the brokers (5 s). A scenario that is run
again replaces its row, so the rows may come from several runs.

Not tried: a file system that becomes read-only (the kernel refuses that while files are open; in
`disk-failed` every write fails instead), and clocks of brokers that jump. In `retention` the
records are deleted by a request, which does to the log what retention does.
"""


@dataclass
class Report:
    """The rows of all scenarios that were run into one folder; a later run replaces its row."""

    folder: Path
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    order: Sequence[str] = ()

    @classmethod
    def read(cls, folder: Path, order: Sequence[str] = ()) -> "Report":
        """The report in a folder; an empty one if there is none.

        Its rows are written in the `order` of these names.
        """
        file = folder / JSON_FILE
        rows = orjson.loads(file.read_bytes())["rows"] if file.exists() else []
        return cls(folder, {row["scenario"]: row for row in rows}, order)

    def add(self, row: Row, samples: Sequence[Sample], fault_s: Span) -> None:
        """Take a row, and draw its time-line."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rows[row.scenario] = row.as_dict() | {"machine": self._machine()}
        if samples:
            title = f"{row.scenario}: {row.what}"
            (self.folder / f"{row.scenario}.svg").write_text(draw(title, samples, fault_s))

    def write(self) -> None:
        """Write the JSON file and the table."""
        order = {name: place for place, name in enumerate(self.order)}
        self.rows = dict(sorted(self.rows.items(), key=lambda item: order.get(item[0], len(order))))
        document = {"rows": list(self.rows.values())}
        text = orjson.dumps(document, option=orjson.OPT_INDENT_2)
        (self.folder / JSON_FILE).write_bytes(text + b"\n")
        (self.folder / MARKDOWN_FILE).write_text(self._markdown())

    @staticmethod
    def line(row: Row) -> str:
        """A row in one line, for a terminal."""
        figures = row.as_dict()
        words = [f"{HEADINGS[key]} {figures[key]}" for key in HEADINGS if key != "what"]
        told = [*row.notes, *(f"PROBLEM: {problem}" for problem in row.problems)]
        return f"  {', '.join(words)}" + "".join(f"\n  {sentence}" for sentence in told)

    def _markdown(self) -> str:
        keys = list(HEADINGS)
        lines = [
            INTRODUCTION,
            "| scenario | " + " | ".join(HEADINGS.values()) + " |",
            "|---|---|" + "---:|" * (len(keys) - 1),
        ]
        for name, row in self.rows.items():
            cells = " | ".join(_cell(row[key]) for key in keys)
            lines.append(f"| [{name}]({name}.svg) | {cells} |")
        lines += ["", "## What else was seen", ""]
        for name, row in self.rows.items():
            seen = [row["lost_because"], *row["notes"], *row["problems"]]
            lines += [f"- **{name}**: {sentence}." for sentence in seen if sentence]
        machines = {_words(row["machine"]): None for row in self.rows.values()}
        lines += ["", "## Where it was measured", "", *(f"- {words}" for words in machines)]
        return "\n".join(lines) + "\n"

    @staticmethod
    def _machine() -> dict[str, Any]:
        return machine() | {"kafka": KAFKA_VERSION, "java": java_major()}


def _cell(value: Any) -> str:
    return "never" if value is None else str(value)


def _words(machine: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in machine.items())
