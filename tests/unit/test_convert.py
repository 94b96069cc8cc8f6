"""The converter against the arithmetic it claims to carry over."""

import math
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file, save_file

from inference.encoder import Encoder
from inference.errors import ModelError
from inference.training.convert import convert

LAYERS, WIDTH, HEADS, HIDDEN, VOCABULARY = 2, 32, 4, 64, 50
IDS = [1, 7, 9, 23, 42, 2]

Array = npt.NDArray[np.float64]
Arrays = dict[str, npt.NDArray[np.float32]]


def write_bert(directory: Path) -> Arrays:
    """A Hugging Face BERT directory of random weights, every array of it different from zero and one."""
    generator = np.random.default_rng(7)
    shapes = {
        "embeddings.word_embeddings.weight": (VOCABULARY, WIDTH),
        "embeddings.position_embeddings.weight": (64, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        **norm("embeddings.LayerNorm"),
    }
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."
        for name in ("query", "key", "value"):
            shapes |= linear(f"{prefix}attention.self.{name}", WIDTH, WIDTH)
        shapes |= linear(f"{prefix}attention.output.dense", WIDTH, WIDTH) | norm(f"{prefix}attention.output.LayerNorm")
        shapes |= linear(f"{prefix}intermediate.dense", HIDDEN, WIDTH) | linear(f"{prefix}output.dense", WIDTH, HIDDEN)
        shapes |= norm(f"{prefix}output.LayerNorm")
    weights = {name: (generator.normal(size=shape) * 0.2).astype(np.float32) for name, shape in shapes.items()}
    config = {
        "model_type": "bert",
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "hidden_size": WIDTH,
        "vocab_size": VOCABULARY,
        "layer_norm_eps": 1e-12,
    }
    (directory / "config.json").write_bytes(msgspec.json.encode(config))
    (directory / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", *map(str, range(VOCABULARY - 2))]) + "\n")
    (directory / "sentencepiece.model").write_bytes(b"copied as it is")
    save_file(weights, directory / "model.safetensors")
    return weights


def linear(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    """The shapes of one linear layer."""
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def norm(name: str) -> dict[str, tuple[int, ...]]:
    """The shapes of one layer norm."""
    return {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}


def forward(weights: Arrays, ids: list[int]) -> Array:
    """BERT as in the paper (Devlin et al., 2019), in float64: hidden states of shape (ids, width)."""
    wide = {name: value.astype(np.float64) for name, value in weights.items()}

    def apply(name: str, x: Array) -> Array:
        return x @ wide[f"{name}.weight"].T + wide[f"{name}.bias"]

    def normalise(name: str, x: Array) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * wide[f"{name}.weight"] + wide[f"{name}.bias"]

    def split(x: Array) -> Array:
        return x.reshape(len(ids), HEADS, -1).transpose(1, 0, 2)

    x = wide["embeddings.word_embeddings.weight"][ids] + wide["embeddings.token_type_embeddings.weight"][0]
    x = normalise("embeddings.LayerNorm", x + wide["embeddings.position_embeddings.weight"][: len(ids)])
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."
        query, key, value = (split(apply(f"{prefix}attention.self.{name}", x)) for name in ("query", "key", "value"))
        scores = np.exp(query @ key.transpose(0, 2, 1) / math.sqrt(WIDTH / HEADS))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ value
        attended = apply(f"{prefix}attention.output.dense", mixed.transpose(1, 0, 2).reshape(len(ids), WIDTH))
        x = normalise(f"{prefix}attention.output.LayerNorm", x + attended)
        hidden = apply(f"{prefix}intermediate.dense", x)
        active = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
        x = normalise(f"{prefix}output.LayerNorm", x + apply(f"{prefix}output.dense", active))
    return np.asarray(x)


@pytest.mark.parametrize(("compute_type", "tolerance"), [("float32", 1e-5), ("int8", 0.05)])
def test_converted_model_computes_what_its_weights_say(tmp_path: Path, compute_type: str, tolerance: float) -> None:
    """A weight renamed to the wrong place would make every embedding, and every head on it, meaningless."""
    weights = write_bert(tmp_path)
    convert(tmp_path, tmp_path / "out", compute_type=compute_type)
    encoder = Encoder(
        tmp_path / "out", width=WIDTH, vocab_size=VOCABULARY, pad_id=0, pooling="cls", compute_type=compute_type
    )
    expected = forward(weights, IDS)[0]
    assert np.abs(encoder.embed([IDS])[0] - expected).max() < tolerance * np.abs(expected).max()


def test_tokenizer_travels_with_the_encoder(tmp_path: Path) -> None:
    """A converted directory without its tokenizer cannot be served."""
    write_bert(tmp_path)
    convert(tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / "sentencepiece.model").read_bytes() == b"copied as it is"


@pytest.mark.parametrize("missing", ["config.json", "vocab.txt", "model.safetensors", "sentencepiece.model"])
def test_missing_file_is_one_sentence(tmp_path: Path, missing: str) -> None:
    """A person who points at the wrong directory would see a traceback instead of what to do."""
    write_bert(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ModelError) as caught:
        convert(tmp_path, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    """An encoder of another kind would be converted into noise."""
    write_bert(tmp_path)
    config = msgspec.json.decode((tmp_path / "config.json").read_bytes())
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(config | {"model_type": "roberta"}))
    with pytest.raises(ModelError, match="roberta"):
        convert(tmp_path, tmp_path / "out")


def test_incomplete_weights_are_refused(tmp_path: Path) -> None:
    """A checkpoint that lacks a layer would fail deep in the library instead of by name."""
    write_bert(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("encoder.layer.1.output.dense.weight")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"encoder\.layer\.1\.output\.dense\.weight"):
        convert(tmp_path, tmp_path / "out")
