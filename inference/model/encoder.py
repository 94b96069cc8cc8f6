"""A wrapper around `ctranslate2.Encoder`: from token ids to one pooled vector per text."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np

from inference.arrays import Vectors
from inference.errors import InferenceError, InvalidTokens, ModelError
from inference.model.artifact import Artifact
from inference.model.batching import DEFAULT_MAX_BATCH_TOKENS, Batch, plan
from inference.model.manifest import EncoderSpec
from inference.model.tokenizer import Tokenizer

Pooling = Literal["mean", "cls"]

MAX_POSITIONS = 512


class Encoder:
    """An int8 encoder on the CPU.

    `replicas` and `threads_per_replica` are CTranslate2's inter and intra threads. More replicas
    multiply the throughput and need almost no more memory. More threads make one forward pass
    faster, but only if the cores are idle.

    Raises:
        ModelError: CTranslate2 cannot load an encoder from `directory`.
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
        # Only now: once it is loaded, the instructions of the processor cannot be chosen any more.
        import ctranslate2  # noqa: PLC0415

        self._view = ctranslate2.StorageView.from_array
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
                f"{directory} holds no encoder that CTranslate2 can load ({error}); "
                "convert it again"
            ) from None
        self.compute_type = str(self._model.compute_type)

    def check(self, ids: Sequence[int]) -> None:
        """Refuse ids that would end the process: the C++ engine raises a signal for them.

        Raises:
            InvalidTokens: There are no ids, more than 512, or an id outside the vocabulary.
        """
        if not 0 < len(ids) <= MAX_POSITIONS:
            raise InvalidTokens(
                f"a text has {len(ids)} tokens; the encoder takes 1 to {MAX_POSITIONS}"
            )
        if min(ids) < 0 or max(ids) >= self.vocab_size:
            raise InvalidTokens(
                f"a token id lies outside 0..{self.vocab_size - 1}; use the tokenizer of this "
                "model, because the two do not match"
            )

    def forward(self, ids: Sequence[Sequence[int]], padded: int) -> Vectors:
        """Run one forward pass over checked ids. Each text is padded to `padded` tokens.

        The call blocks, but it releases the GIL. So call it in a thread, not on the event loop.

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
                self._view(tokens),
                self._view(lengths),
            )
        except (RuntimeError, MemoryError) as error:
            raise InferenceError(
                f"the encoder failed on {len(ids)} texts ({error}); restart with more memory"
            ) from None
        hidden = np.asarray(output.last_hidden_state)
        if self._pooling == "cls":
            return np.array(hidden[:, 0], dtype=np.float32)
        # Each row is averaged by itself. Its padding is not zero in the output, and its mean must
        # not depend on the other rows.
        means = [hidden[row, :length].mean(axis=0) for row, length in enumerate(lengths)]
        return np.stack(means).astype(np.float32)

    def embed(
        self, ids: Sequence[Sequence[int]], *, max_batch_tokens: int = DEFAULT_MAX_BATCH_TOKENS
    ) -> Vectors:
        """Embed any number of texts. The call blocks; training and the self-test use it.

        Returns:
            float32 of shape (len(ids), width), in the order of `ids`.

        Raises:
            InvalidTokens: A text has ids that `check` refuses; nothing was run.
            InferenceError: CTranslate2 could not run a pass.
        """
        for text in ids:
            self.check(text)
        vectors = np.zeros((len(ids), self.width), dtype=np.float32)
        batches = plan([len(text) for text in ids], max_batch_tokens)

        def run_pass(batch: Batch) -> Vectors:
            return self.forward([ids[row] for row in batch.rows], batch.padded_length)

        with ThreadPoolExecutor(self.replicas) as pool:
            for batch, output in zip(batches, pool.map(run_pass, batches), strict=True):
                vectors[list(batch.rows)] = output
        return vectors


def open_encoder(artifact: Artifact, *, replicas: int, threads_per_replica: int) -> Encoder:
    """The encoder of a verified model directory."""
    return start_encoder(
        artifact.directory,
        artifact.manifest.encoder,
        replicas=replicas,
        threads_per_replica=threads_per_replica,
    )


def start_encoder(
    directory: Path, spec: EncoderSpec, *, replicas: int = 2, threads_per_replica: int = 1
) -> Encoder:
    """The encoder of a directory that may lack the other files of a model."""
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
