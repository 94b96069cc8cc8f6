"""A thin wrapper around `ctranslate2.Encoder`: token ids in, one pooled vector a text out."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import ctranslate2
import numpy as np
import numpy.typing as npt

from inference.errors import InferenceError, InvalidTokens, ModelError
from inference.model.artifact import Artifact, EncoderSpec
from inference.model.batching import DEFAULT_MAX_BATCH_TOKENS, plan
from inference.model.tokenizer import Tokenizer

Pooling = Literal["mean", "cls"]
Vectors = npt.NDArray[np.float32]

MAX_POSITIONS = 512


class Encoder:
    """An int8 encoder on the CPU.

    `replicas` and `threads_per_replica` are CTranslate2's inter and intra threads: replicas multiply throughput at
    no cost in memory worth naming, threads shorten one forward pass where the cores are really free.
    """

    def __init__(
        self,
        directory: Path,
        *,
        width: int,
        vocab_size: int,
        pad_id: int,
        pooling: Pooling,
        replicas: int = 2,
        threads_per_replica: int = 1,
        compute_type: str = "int8",
    ) -> None:
        self.width = width
        self.vocab_size = vocab_size
        self.replicas = replicas
        self._pad_id = pad_id
        self._pooling = pooling
        try:
            self._model = ctranslate2.Encoder(
                str(directory),
                device="cpu",
                compute_type=compute_type,
                inter_threads=replicas,
                intra_threads=threads_per_replica,
            )
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"{directory} holds no encoder CTranslate2 can load ({error}); convert it again"
            ) from None
        self.compute_type = str(self._model.compute_type)

    def check(self, ids: Sequence[int]) -> None:
        """Refuse what the C++ engine answers with a signal instead of an exception.

        Raises:
            InvalidTokens: no ids, more than 512, or an id outside the vocabulary.
        """
        if not 0 < len(ids) <= MAX_POSITIONS:
            raise InvalidTokens(
                f"a text has {len(ids)} tokens; the encoder takes 1 to {MAX_POSITIONS}"
            )
        if min(ids) < 0 or max(ids) >= self.vocab_size:
            raise InvalidTokens(
                f"a token id lies outside 0..{self.vocab_size - 1}; tokenizer and model do not match"
            )

    def forward(self, ids: Sequence[Sequence[int]], padded: int) -> Vectors:
        """One forward pass over checked ids, all padded to `padded` tokens. Releases the GIL; call it off the loop.

        Returns:
            float32 of shape (len(ids), width).

        Raises:
            InferenceError: CTranslate2 could not run the pass.
        """
        tokens = np.full((len(ids), padded), self._pad_id, dtype=np.int32)
        for row, text in enumerate(ids):
            tokens[row, : len(text)] = text
        lengths = np.asarray([len(text) for text in ids], dtype=np.int32)
        try:
            output = self._model.forward_batch(
                ctranslate2.StorageView.from_array(tokens),
                ctranslate2.StorageView.from_array(lengths),
            )
        except (RuntimeError, MemoryError) as error:
            raise InferenceError(
                f"the encoder failed on {len(ids)} texts ({error}); restart with more memory"
            ) from None
        hidden = np.asarray(output.last_hidden_state)
        if self._pooling == "cls":
            return np.array(hidden[:, 0], dtype=np.float32)
        # Row by row: pad positions are not zero in the output, and a row's mean must not depend on its neighbours.
        return np.stack(
            [hidden[row, :length].mean(axis=0) for row, length in enumerate(lengths)]
        ).astype(np.float32)

    def embed(
        self, ids: Sequence[Sequence[int]], *, max_batch_tokens: int = DEFAULT_MAX_BATCH_TOKENS
    ) -> Vectors:
        """Embed any number of texts, blocking; for training, evaluation and self-tests.

        Returns:
            float32 of shape (len(ids), width), in the order given.
        """
        for text in ids:
            self.check(text)
        vectors = np.zeros((len(ids), self.width), dtype=np.float32)
        batches = plan([len(text) for text in ids], max_batch_tokens)
        with ThreadPoolExecutor(self.replicas) as pool:
            passes = pool.map(
                lambda b: self.forward([ids[row] for row in b.rows], b.padded_length), batches
            )
            for batch, output in zip(batches, passes, strict=True):
                vectors[list(batch.rows)] = output
        return vectors


def open_encoder(artifact: Artifact, *, replicas: int, threads_per_replica: int) -> Encoder:
    """The encoder of a verified model directory, on that many threads."""
    return start_encoder(
        artifact.directory,
        artifact.manifest.encoder,
        replicas=replicas,
        threads_per_replica=threads_per_replica,
    )


def start_encoder(
    directory: Path, spec: EncoderSpec, *, replicas: int = 2, threads_per_replica: int = 1
) -> Encoder:
    """The encoder in a directory that need not hold a whole model yet."""
    return Encoder(
        directory,
        width=spec.width,
        vocab_size=spec.vocab_size,
        pad_id=spec.pad_id,
        pooling=spec.pooling,
        replicas=replicas,
        threads_per_replica=threads_per_replica,
        compute_type=spec.compute_type,
    )


def open_tokenizer(directory: Path, spec: EncoderSpec) -> Tokenizer:
    """The tokenizer of a model directory."""
    return Tokenizer(
        directory / "sentencepiece.model",
        max_tokens=spec.max_tokens,
        vocab_size=spec.vocab_size,
        prefix_ids=spec.prefix_ids,
        suffix_ids=spec.suffix_ids,
    )
