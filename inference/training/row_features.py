"""Rows as serving reads them: the served view, tokenizer, int8 encoder and lexical features."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.arrays import Floats, Vectors
from inference.labelled import LabelledRow
from inference.model.artifact import EncoderSpec
from inference.model.encoder import open_tokenizer, start_encoder
from inference.model.input_text import render
from inference.model.ngrams import Features, NgramHead
from inference.progress import Progress

CHUNK_ROWS = 512


@dataclass(frozen=True, slots=True)
class RowFeatures:
    """What serving sees of n rows: embeddings (n, width), lexical features, and surplus pieces (n,)."""

    vectors: Vectors
    features: list[Features]
    excess_tokens: Floats


def embed_rows(
    rows: Sequence[LabelledRow], directory: Path, spec: EncoderSpec, progress: Progress, stage: str
) -> tuple[Vectors, Floats]:
    """The int8 encoder's vectors of the rows, float32 of shape (rows, width), and their surplus pieces."""
    tokenizer, encoder = open_tokenizer(directory, spec), start_encoder(directory, spec)
    ids, excess_tokens = tokenizer.encode_with_excess([render(row.event) for row in rows])
    vectors = np.zeros((len(rows), spec.width), dtype=np.float32)
    for start in range(0, len(rows), CHUNK_ROWS):
        vectors[start : start + CHUNK_ROWS] = encoder.embed(ids[start : start + CHUNK_ROWS])
        progress(stage, min(start + CHUNK_ROWS, len(rows)), len(rows))
    return vectors, np.asarray(excess_tokens)


def read_features(
    rows: Sequence[LabelledRow],
    directory: Path,
    spec: EncoderSpec,
    ngram_head: NgramHead,
    progress: Progress,
    stage: str,
) -> RowFeatures:
    """Everything serving sees of the rows."""
    vectors, excess_tokens = embed_rows(rows, directory, spec, progress, stage)
    return RowFeatures(vectors, [ngram_head.read(row.event) for row in rows], excess_tokens)
