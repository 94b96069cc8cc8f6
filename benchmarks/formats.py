"""What becomes of the samples of the shipped formats: a table for docs/formats.md.

Usage: python -m benchmarks.formats [--write]
"""

import argparse
import asyncio
from pathlib import Path
from typing import Any

from inference.acceptance.policy import Decision
from inference.classifier import Classifier
from schemas.event import DOMAINS, Event, Origin
from schemas.formats import read_record
from schemas.visible_text import one_line
from tests.shipped_samples import Sample, shipped_samples

PAGE = Path(__file__).parents[1] / "docs" / "formats.md"
RECEIVED_AT = 1_930_000_000.0
MAX_TITLE_CHARS = 70
HEAD = """# What ships, and how it is read

Each format that ships, with its sample: what is read from it, and what the default model decides.
`python -m benchmarks.formats --write` makes this page. An alert about operations belongs to no
queue of the default model, so no queue is right for it; it should not be accepted.

"""


def events() -> list[tuple[Sample, str, Event]]:
    """The first event of each sample, and the format that read it."""
    read = []
    for sample in shipped_samples():
        origin = Origin(topic=sample.format.name, partition=0, offset=sample.number)
        readings = read_record(
            sample.value, origin=origin, kind=sample.kind, received_at=RECEIVED_AT
        )
        if isinstance(event := readings[0].event, Event):
            read.append((sample, readings[0].formats[-1], event))
    return read


async def decide(read: list[tuple[Sample, str, Event]]) -> dict[int, Decision]:
    """The decision of the default model about each event, by its place."""
    classifier = Classifier.open()
    decisions: dict[int, Decision] = {}
    try:
        for domain in DOMAINS:
            places = [place for place, (_, _, event) in enumerate(read) if event.domain == domain]
            decided = await classifier.classify(domain, [read[place][2] for place in places])
            decisions |= dict(zip(places, decided, strict=True))
    finally:
        await classifier.close()
    return decisions


def row(sample: Sample, name: str, event: Event, decision: Decision) -> dict[str, Any]:
    """What the table says about one sample."""
    queue = decision.labels["queue"]
    stated = event.stated
    level = stated and (stated.severity or stated.priority)
    return {
        "format": name,
        "id": event.id,
        "own_id": not event.id.startswith(f"{sample.format.name}-0-"),
        "time": event.occurred_at or "",
        "source": event.source or "",
        "stated": level or "",
        "title": one_line(event.title or "", MAX_TITLE_CHARS),
        "queue": queue.value,
        "expected": sample.expect.get("queue", ""),
        "accepted": decision.accepted,
        "kind": event.kind,
    }


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """The shares that matter, as lines of text."""
    lines = []
    for kind in ("alert", "ticket"):
        of_kind = [each for each in rows if each["kind"] == kind]
        judged = [each for each in of_kind if each["expected"]]
        right = [each for each in judged if each["queue"] == each["expected"]]
        accepted = [each for each in judged if each["accepted"]]
        wrong = [each for each in accepted if each["queue"] != each["expected"]]
        lines.append(
            f"{len(of_kind)} {kind}s: own id {sum(each['own_id'] for each in of_kind)}, "
            f"time {sum(bool(each['time']) for each in of_kind)}, "
            f"source {sum(bool(each['source']) for each in of_kind)}, "
            f"level stated {sum(bool(each['stated']) for each in of_kind)}; "
            f"queue right {len(right)} of {len(judged)} with a known queue, "
            f"accepted {len(accepted)} of these, {len(wrong)} of the accepted wrong; "
            f"accepted {sum(each['accepted'] for each in of_kind) - len(accepted)} of "
            f"{len(of_kind) - len(judged)} without one"
        )
    return lines


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a table in Markdown."""
    columns = ("format", "id", "time", "source", "stated", "title", "queue", "accepted")
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for each in rows:
        cells = {**each, "accepted": "yes" if each["accepted"] else "no"}
        if each["expected"] and each["queue"] != each["expected"]:
            cells["queue"] = f"{each['queue']} (should be {each['expected']})"
        texts = [str(cells[column]).replace("|", r"\|") for column in columns]
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the summary and, with --write, make the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/formats.md")
    arguments = parser.parse_args()
    read = events()
    decisions = asyncio.run(decide(read))
    rows = [row(*each, decisions[place]) for place, each in enumerate(read)]
    lines = summary(rows)
    if arguments.write:
        listed = "\n".join(f"- {line}" for line in lines)
        PAGE.write_text(f"{HEAD}{listed}\n\n{table(rows)}\n", "utf-8")
    else:
        for each in rows:
            if each["expected"] and each["queue"] != each["expected"]:
                print("wrong:", each)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
