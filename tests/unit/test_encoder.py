"""The encoder: it refuses what would crash it, and a vector depends on its text alone."""

from collections.abc import Sequence
from pathlib import Path

import ctranslate2
import numpy as np
import pytest

from inference.errors import InferenceError, InvalidTokens, ModelError
from inference.model.artifact import load_artifact
from inference.model.batching import PAD_MULTIPLE
from inference.model.encoder import MAX_POSITIONS, Encoder
from tests.tiny_model import BEGIN_ID, END_ID, PAD_ID, PIECES, WIDTH, open_tiny_encoder


@pytest.fixture(scope="module")
def encoder(tiny_model: Path) -> Encoder:
    """The tiny model's encoder."""
    return open_tiny_encoder(tiny_model)


REFUSED: dict[str, list[int]] = {
    "no tokens (SIGFPE)": [],
    "an id past the vocabulary (SIGSEGV)": [BEGIN_ID, PIECES, END_ID],
    "a negative id (SIGSEGV)": [BEGIN_ID, -1, END_ID],
    "an id far past the vocabulary": [2**31 - 1],
    "an id that no int32 holds": [2**40],
    "more tokens than positions": [5] * (MAX_POSITIONS + 1),
}


@pytest.mark.parametrize("ids", REFUSED.values(), ids=REFUSED.keys())
def test_bad_ids_are_refused_before_the_engine(encoder: Encoder, ids: list[int]) -> None:
    """Otherwise one such event would kill the worker with a signal, on every redelivery again."""
    with pytest.raises(InvalidTokens):
        encoder.check(ids)
    with pytest.raises(InvalidTokens):
        encoder.embed([[BEGIN_ID, END_ID], ids])


def test_no_texts_give_no_vectors(encoder: Encoder) -> None:
    """Otherwise an empty batch would end the process: `forward_batch([])` raises SIGFPE."""
    assert encoder.embed([]).shape == (0, WIDTH)


@pytest.mark.parametrize(
    "ids", [[PAD_ID], [PIECES - 1], [7] * MAX_POSITIONS], ids=["lowest", "highest", "longest"]
)
def test_the_extreme_allowed_ids_run(encoder: Encoder, ids: list[int]) -> None:
    """A bound that is wrong by one would crash the process or refuse good events."""
    vectors = encoder.embed([ids])
    assert vectors.shape == (1, WIDTH)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize("budget", [1, 64, 512, 100_000])
def test_vectors_are_in_the_order_of_the_texts(encoder: Encoder, budget: int) -> None:
    """Passes are sorted by length and run in parallel; a mistake would mix up events' labels."""
    texts = [[BEGIN_ID, *range(4, 4 + n), END_ID] for n in (40, 1, 17, 100, 2, 33, 1)]
    alone = [encoder.embed([text])[0] for text in texts]
    together = encoder.embed(texts, max_batch_tokens=budget)
    assert [vector.tobytes() for vector in together] == [vector.tobytes() for vector in alone]


def test_replicas_do_not_change_a_vector(tiny_model: Path, encoder: Encoder) -> None:
    """Otherwise two workers with different thread counts could disagree about one event."""
    texts = [[BEGIN_ID, *range(4, 4 + n), END_ID] for n in range(1, 40)]
    single = open_tiny_encoder(tiny_model, replicas=1)
    assert single.embed(texts).tobytes() == encoder.embed(texts).tobytes()


def test_padding_is_not_part_of_the_mean(encoder: Encoder) -> None:
    """The output is not zero at pad positions; in the mean, they would make short texts alike."""
    text = [BEGIN_ID, 9, END_ID]
    padded = np.array([text + [PAD_ID] * (PAD_MULTIPLE - len(text))], dtype=np.int32)
    lengths = np.array([len(text)], dtype=np.int32)
    hidden = encoder._model.forward_batch(
        ctranslate2.StorageView.from_array(padded), ctranslate2.StorageView.from_array(lengths)
    ).last_hidden_state
    (positions,) = np.array(hidden)
    assert np.any(positions[len(text) :])
    assert np.allclose(encoder.embed([text])[0], positions[: len(text)].mean(axis=0), atol=1e-6)


def test_cls_pooling_reads_the_first_position(tiny_model: Path) -> None:
    """Otherwise a model that was trained on its first vector would be served on the mean."""
    spec = load_artifact(tiny_model).manifest.encoder
    encoders = [
        Encoder(
            tiny_model,
            width=spec.width,
            vocab_size=spec.vocab_size,
            pad_id=spec.pad_id,
            pooling=pooling,
        )
        for pooling in ("cls", "mean")
    ]
    one_token, many_tokens = [[BEGIN_ID], [BEGIN_ID, 8, 9, END_ID]]
    cls, mean = (encoder.embed([one_token, many_tokens]) for encoder in encoders)
    assert np.allclose(cls[0], mean[0])
    assert not np.allclose(cls[1], mean[1])


def test_a_directory_without_encoder_is_refused(tmp_path: Path) -> None:
    """Otherwise a wrong [model] path would end in an exception of CTranslate2."""
    with pytest.raises(ModelError, match=r"holds no encoder .*convert it again"):
        Encoder(tmp_path, width=WIDTH, vocab_size=PIECES, pad_id=PAD_ID, pooling="mean")


class Broken:
    """A CTranslate2 model that fails on every batch."""

    def forward_batch(self, *_: object) -> object:
        """Fail like CTranslate2."""
        raise RuntimeError("failed to allocate memory")


def test_a_failure_of_ctranslate2_is_an_inference_error(tiny_model: Path) -> None:
    """Otherwise a caller that handles `InferenceError` would end in a traceback."""
    encoder = open_tiny_encoder(tiny_model)
    encoder._model = Broken()
    texts: Sequence[Sequence[int]] = [[BEGIN_ID, END_ID]]
    with pytest.raises(InferenceError, match="failed to allocate memory"):
        encoder.embed(texts)
