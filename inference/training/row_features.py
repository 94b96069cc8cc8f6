"""Labelled rows as serving reads them.

Training uses the same input text, tokenizer, int8 encoder and n-gram features as serving.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.arrays import Vectors
from inference.labelled import LabelledRow
from inference.model.encoder import open_tokenizer, start_encoder
from inference.model.input_text import read_content
from inference.model.manifest import EncoderSpec
from inference.model.model_input import ModelInput, input_text, read_inputs
from inference.model.ngrams import Features, NgramHead
from inference.progress import Progress

CHUNK_ROWS = 512
"""How many rows are embedded between two reports of progress."""


@dataclass(frozen=True, slots=True)
class RowFeatures:
    """What the heads read of n rows.

    `vectors` has shape (n, width). `ngram_features` and `inputs` have one element per row.
    """

    vectors: Vectors
    ngram_features: list[Features]
    inputs: list[ModelInput]


def embed_rows(
    rows: Sequence[LabelledRow], directory: Path, spec: EncoderSpec, progress: Progress, stage: str
) -> tuple[Vectors, list[ModelInput]]:
    """The int8 encoder's vectors, float32 of shape (rows, width), and what it read of each row.

    Raises:
        ModelError: `directory` holds no encoder or no tokenizer that can be loaded.
    """
    tokenizer, encoder = open_tokenizer(directory, spec), start_encoder(directory, spec)
    inputs = read_inputs(tokenizer, [input_text(read_content(row.event)) for row in rows])
    ids = [model_input.ids for model_input in inputs]
    vectors = np.zeros((len(rows), spec.width), dtype=np.float32)
    for start in range(0, len(rows), CHUNK_ROWS):
        vectors[start : start + CHUNK_ROWS] = encoder.embed(ids[start : start + CHUNK_ROWS])
        progress(stage, min(start + CHUNK_ROWS, len(rows)), len(rows))
    return vectors, inputs


def read_features(
    rows: Sequence[LabelledRow],
    directory: Path,
    spec: EncoderSpec,
    ngram_head: NgramHead,
    progress: Progress,
    stage: str,
) -> RowFeatures:
    """Everything that the heads read of the rows.

    Raises:
        ModelError: as `embed_rows`.
    """
    vectors, inputs = embed_rows(rows, directory, spec, progress, stage)
    ngram_features = [ngram_head.features(read_content(row.event)) for row in rows]
    return RowFeatures(vectors, ngram_features, inputs)
