"""Made-up labelled rows. Their words tell their labels, so that a tiny model can learn them."""

import gzip
import itertools
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from inference.labelled import LabelledRow, Unsplit, read_rows

WORDS = {
    "cloud": "bucket policy changed in aws",
    "email": "phishing message with an attachment",
    "endpoint": "powershell process started on a host",
}
PRODUCTS = {"mortgage": "my home loan payment", "card": "my credit card bill"}
SPLITS = ("train", "train", "val", "val", "val", "test")


def alerts(count: int = 60) -> list[dict[str, Any]]:
    """Alerts whose words tell their queue, `count` for each queue. Every other has two tactics."""
    return [
        {
            "kind": "alert",
            "text": f"{WORDS[queue]} {number}",
            "labels": {
                "queue": queue,
                "tactics": ["impact", "execution"][: 1 + number % 2],
                "severity": "high" if number % 3 else "low",
            },
            "cluster": f"{queue}{number}",
        }
        for number, queue in itertools.product(range(count), WORDS)
    ]


def tickets(count: int = 60) -> list[dict[str, Any]]:
    """`count` tickets of two queues."""
    return [
        {
            "kind": "ticket",
            "text": f"{'top up failed' if number % 2 else 'refund please'} {number}",
            "labels": {
                "queue": "top_up" if number % 2 else "refunds",
                "intent": f"i{number % 2}",
                "priority": ["low", "high"][number % 2],
            },
        }
        for number in range(count)
    ]


def complaints(count: int = 200) -> list[dict[str, Any]]:
    """Tickets, `count` for each product. They are labelled on a custom axis only."""
    return [
        {
            "kind": "ticket",
            "text": f"{PRODUCTS[product]} {number}",
            "labels": {"product": product, "agent": None},
        }
        for number, product in itertools.product(range(count), PRODUCTS)
    ]


def split(lines: Iterable[Mapping[str, Any]], *, seed: int = 1) -> list[dict[str, Any]]:
    """The lines with an id, a source, a license and a split, unless they have them already."""
    lines = list(lines)
    splits = np.random.default_rng(seed).choice(SPLITS, size=len(lines)).tolist()
    return [
        {"id": str(number), "source": "made up", "license": "MIT", "split": part} | dict(line)
        for number, (line, part) in enumerate(zip(lines, splits, strict=True))
    ]


def write(file: Path, lines: Iterable[Mapping[str, Any]]) -> Path:
    """Write the lines as NDJSON. It is compressed if the name of the file ends in ``.gz``."""
    data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    if file.suffix == ".gz":
        data = gzip.compress(data)
    file.write_bytes(data)
    return file


def to_rows(
    lines: Iterable[Mapping[str, Any]],
    axes: Mapping[str, str] | None = None,
    *,
    unsplit: Unsplit = "train",
) -> list[LabelledRow]:
    """The rows that training reads from these lines. A line without an id gets one."""
    numbered = [{"id": str(number)} | dict(line) for number, line in enumerate(lines)]
    with tempfile.TemporaryDirectory() as directory:
        return read_rows([write(Path(directory) / "rows.jsonl", numbered)], axes, unsplit=unsplit)
