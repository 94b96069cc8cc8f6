"""The streams of events that the desks live through, with the vectors of a general encoder."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from inference.arrays import Vectors
from inference.labelled import LabelledRow, read_rows
from inference.model.manifest import EncoderSpec
from inference.model.out_of_distribution import OUT_OF_SCOPE
from inference.training.recipe import TrainingOptions, prepare_encoder
from inference.training.row_features import embed_rows
from schemas.event import Domain

LEFT_OUT = "panther-labs/panther-analysis"
"""The vendor of the alerts: its rows are raw events, and those of the other sources are rules."""


@dataclass(frozen=True, slots=True)
class Desk:
    """A desk: which rows come to it, what it decides, and how much it gets and reviews.

    `history` is whether the rows of all other sources are known, with labels, from the beginning.
    `strengths` are the inverse regularisation strengths of the heads that are tried.
    """

    name: str
    file: str
    domain: Domain
    axis: str
    events_a_day: int
    reviews_a_day: int
    verdicts: int
    history: bool = False
    strengths: tuple[float, ...] = (1.0,)


DESKS = (
    Desk("CLINC, 150 intents", "tickets_clinc_dev.jsonl.gz", "tickets", "intent", 500, 50, 2_000),
    Desk(
        "banking, 77 intents", "tickets_banking_dev.jsonl.gz", "tickets", "intent", 300, 50, 2_000
    ),
    Desk(
        "complaints, 8 products",
        "tickets_complaints_dev.jsonl.gz",
        "tickets",
        "product",
        95,
        50,
        2_000,
        strengths=(0.03, 0.1, 0.3),
    ),
    Desk(
        "alerts of a new vendor",
        "alerts_dev.jsonl.gz",
        "alerts",
        "queue",
        115,
        50,
        1_000,
        history=True,
        strengths=(0.3,),
    ),
)


@dataclass(frozen=True, slots=True)
class Stream:
    """The labelled rows of a desk, and the vector of each; shape (rows, width).

    The rows of `known` are there from the beginning. Those of `coming` come in a random order.
    """

    desk: Desk
    labels: tuple[str, ...]
    known: list[LabelledRow]
    known_vectors: Vectors
    coming: list[LabelledRow]
    coming_vectors: Vectors


def open_stream(desk: Desk, data: Path, encoder: Path, cache: Path) -> Stream:
    """Read the rows of a desk and embed them, or take the vectors from the cache."""
    rows = read_rows([data / desk.file], {desk.axis: desk.axis})
    rows = [
        replace(row, gold={desk.axis: row.gold[desk.axis]}, cluster=row.event.id)
        for row in rows
        if desk.axis in row.gold and OUT_OF_SCOPE not in row.gold[desk.axis]
    ]
    vectors = _embedded(rows, encoder, cache)
    known = np.array([desk.history and row.source != LEFT_OUT for row in rows], dtype=np.bool_)
    labels = tuple(sorted({row.gold[desk.axis][0] for row in rows}))
    return Stream(
        desk,
        labels,
        [replace(row, part="train") for row, is_known in zip(rows, known, strict=True) if is_known],
        vectors[known],
        [
            replace(row, part="both")
            for row, is_known in zip(rows, known, strict=True)
            if not is_known
        ],
        vectors[~known],
    )


def _embedded(rows: Sequence[LabelledRow], encoder: Path, cache: Path) -> Vectors:
    """The vectors of the rows; they are kept under the digest of the rows and of the encoder."""
    digest = hashlib.sha256(encoder.name.encode())
    for row in rows:
        digest.update(f"{row.event.id}\n{row.event.text}\n".encode())
    file = cache / f"{digest.hexdigest()[:24]}.npy"
    if not file.is_file():
        directory = cache / encoder.name
        directory.mkdir(parents=True, exist_ok=True)
        spec: EncoderSpec = prepare_encoder(encoder, directory, TrainingOptions(name="learning"))
        vectors, _ = embed_rows(rows, directory, spec, lambda *_: None, "reading")
        np.save(file, vectors)
    loaded: Vectors = np.load(file)
    return loaded
