"""Labelled rows that say their labels in their words, made up: something a tiny model can learn."""

import gzip
import itertools
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from inference.labelled import LabelledRow, Split, read_rows

WORDS = {
    "cloud": "bucket policy changed in aws",
    "email": "phishing message with an attachment",
    "endpoint": "powershell process started on a host",
}
PRODUCTS = {"mortgage": "my home loan payment", "card": "my credit card bill"}
SPLITS = ("train", "train", "val", "val", "val", "test")


def alerts(count: int = 60) -> list[dict[str, Any]]:
    """Alerts whose queue is in their words, `count` of each, with two tactics now and then."""
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
    """Tickets of two queues."""
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
    """Tickets with an axis of somebody's own, of two labels, and none of the contract's."""
    return [
        {
            "kind": "ticket",
            "text": f"{PRODUCTS[product]} {number}",
            "labels": {"product": product, "agent": None},
        }
        for number, product in itertools.product(range(count), PRODUCTS)
    ]


def split(lines: Iterable[Mapping[str, Any]], *, seed: int = 1) -> list[dict[str, Any]]:
    """The rows with ids, a source and a split of their own."""
    lines = list(lines)
    splits = np.random.default_rng(seed).choice(SPLITS, size=len(lines)).tolist()
    return [
        {"id": str(number), "source": "made up", "license": "MIT", "split": part} | dict(line)
        for number, (line, part) in enumerate(zip(lines, splits, strict=True))
    ]


def write(file: Path, lines: Iterable[Mapping[str, Any]]) -> Path:
    """The rows as NDJSON, compressed if the name says so."""
    data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)
    return file


def to_rows(
    lines: Iterable[Mapping[str, Any]],
    axes: Mapping[str, str] | None = None,
    *,
    unsplit: Split = "train",
) -> list[LabelledRow]:
    """What training reads of these lines, which may lack an id."""
    numbered = [{"id": str(number)} | dict(line) for number, line in enumerate(lines)]
    with tempfile.TemporaryDirectory() as directory:
        return read_rows([write(Path(directory) / "rows.jsonl", numbered)], axes, unsplit=unsplit)
