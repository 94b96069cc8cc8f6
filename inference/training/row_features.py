"""Rows as serving reads them: the served view, tokenizer, int8 encoder and lexical features."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.arrays import Floats, Vectors
from inference.labelled import Row
from inference.model.artifact import EncoderSpec
from inference.model.encoder import open_tokenizer, start_encoder
from inference.model.input_text import read
from inference.model.ngrams import Features, Lexicon
from inference.progress import Progress

CHUNK_ROWS = 512


@dataclass(frozen=True, slots=True)
class Read:
    """What serving sees of n rows: embeddings (n, width), lexical features, and surplus pieces (n,)."""

    vectors: Vectors
    features: list[Features]
    surplus_pieces: Floats


def embed_rows(
    rows: Sequence[Row], directory: Path, spec: EncoderSpec, progress: Progress, stage: str
) -> tuple[Vectors, Floats]:
    """The int8 encoder's vectors of the rows, float32 of shape (rows, width), and their surplus pieces."""
    tokenizer, encoder = open_tokenizer(directory, spec), start_encoder(directory, spec)
    ids, surplus_pieces = tokenizer.encode_counted([read(row.event) for row in rows])
    vectors = np.zeros((len(rows), spec.width), dtype=np.float32)
    for start in range(0, len(rows), CHUNK_ROWS):
        vectors[start : start + CHUNK_ROWS] = encoder.embed(ids[start : start + CHUNK_ROWS])
        progress(stage, min(start + CHUNK_ROWS, len(rows)), len(rows))
    return vectors, np.asarray(surplus_pieces)


def read_all(
    rows: Sequence[Row],
    directory: Path,
    spec: EncoderSpec,
    lexicon: Lexicon,
    progress: Progress,
    stage: str,
) -> Read:
    """Everything serving sees of the rows."""
    vectors, surplus_pieces = embed_rows(rows, directory, spec, progress, stage)
    return Read(vectors, [lexicon.read(row.event) for row in rows], surplus_pieces)
