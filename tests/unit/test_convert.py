"""The converter: a converted encoder computes what its source computes."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from inference.errors import ModelError
from inference.model.encoder import Encoder
from inference.training.convert import convert, describe, read_config, read_vocabulary
from inference.training.convert.checkpoint import read_weights
from inference.training.convert.stored import restore
from tests.tiny_encoder import (
    POSITIONS,
    SPECIALS,
    WIDTH,
    Arrays,
    forward,
    weights_file,
    wordpiece_vocabulary,
    write_encoder,
    write_json,
    write_wordpiece,
)

TOKENS = wordpiece_vocabulary(["an account was locked"])
IDS = [3, 7, 9, 23, 12, 4]
TYPES = ("bert", "distilbert", "roberta", "camembert", "xlm-roberta")


def write_bert(directory: Path, *, model_type: str = "bert", prefix: str = "") -> Arrays:
    """A whole Hugging Face directory with a WordPiece vocabulary, and its weights."""
    write_wordpiece(directory, TOKENS)
    return write_encoder(directory, len(TOKENS), model_type=model_type, prefix=prefix)


def embed(directory: Path, compute_type: str) -> Any:
    """The pooled vector of the ids, computed as in serving."""
    encoder = Encoder(
        directory,
        width=WIDTH,
        vocab_size=len(TOKENS),
        pad_id=0,
        pooling="cls",
        compute_type=compute_type,
    )
    return encoder.embed([IDS])[0]


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize(("compute_type", "tolerance"), [("float32", 1e-5), ("int8", 0.05)])
def test_converted_model_computes_what_its_weights_say(
    tmp_path: Path, model_type: str, compute_type: str, tolerance: float
) -> None:
    """A misplaced weight, or positions off by one, would make every embedding meaningless."""
    weights = write_bert(tmp_path, model_type=model_type)
    convert(tmp_path, tmp_path / "out", compute_type=compute_type)
    expected = forward(weights, IDS, model_type)[0]
    assert (
        np.abs(embed(tmp_path / "out", compute_type) - expected).max()
        < tolerance * np.abs(expected).max()
    )


@pytest.mark.parametrize("prefix", ["bert.", "roberta.", "model.distilbert.", "0.auto_model."])
def test_weights_are_found_under_any_prefix(tmp_path: Path, prefix: str) -> None:
    """A checkpoint saved with its task head could not be used."""
    plain = write_bert(tmp_path / "plain")
    write_bert(tmp_path / "prefixed", prefix=prefix)
    assert read_weights(tmp_path / "prefixed").keys() == plain.keys()


def test_task_heads_are_left_out(tmp_path: Path) -> None:
    """The weights of a head would be mixed up with those of the encoder."""
    weights = write_bert(tmp_path)
    stored = {f"bert.{name}": value for name, value in weights.items()}
    save_file(
        stored | {"classifier.weight": np.ones((2, WIDTH), np.float32)}, weights_file(tmp_path)
    )
    assert read_weights(tmp_path).keys() == weights.keys()


@pytest.mark.parametrize(("dtype", "tolerance"), [("F16", 1e-3), ("BF16", 1e-2)])
def test_half_precision_weights_are_read(tmp_path: Path, dtype: str, tolerance: float) -> None:
    """Most checkpoints of today would be refused, or read as noise."""
    weights = write_bert(tmp_path)
    write_half(weights_file(tmp_path), weights, dtype)
    for name, value in read_weights(tmp_path).items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, weights[name], rtol=tolerance, atol=tolerance)


def write_half(file: Path, weights: Arrays, dtype: str) -> None:
    """Write a safetensors file in 16 bits by hand.

    NumPy has no bfloat16. It is the upper 16 bits of a float32.
    """
    header: dict[str, Any] = {}
    data = b""
    for name, value in weights.items():
        if dtype == "BF16":
            narrow = (value.view(np.uint32) >> 16).astype(np.uint16)
        else:
            narrow = value.astype(np.float16).view(np.uint16)
        stored = narrow.tobytes()
        header[name] = {
            "dtype": dtype,
            "shape": value.shape,
            "data_offsets": [len(data), len(data) + len(stored)],
        }
        data += stored
    encoded_header = msgspec.json.encode(header)
    file.write_bytes(len(encoded_header).to_bytes(8, "little") + encoded_header + data)


def test_sharded_weights_are_put_together(tmp_path: Path) -> None:
    """Of a large encoder that is stored in several files, only a part would be read."""
    weights = write_bert(tmp_path)
    names = sorted(weights)
    shards = {
        "model-00001-of-00002.safetensors": names[::2],
        "model-00002-of-00002.safetensors": names[1::2],
    }
    for file, shard in shards.items():
        save_file({name: weights[name] for name in shard}, tmp_path / file)
    weights_file(tmp_path).unlink()
    index = {name: file for file, shard in shards.items() for name in shard}
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": index})
    assert read_weights(tmp_path).keys() == weights.keys()


def test_old_names_of_layer_norms_are_known(tmp_path: Path) -> None:
    """In the original BERT checkpoints, no layer norm would be found."""
    weights = write_bert(tmp_path)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma"): value
        for name, value in weights.items()
    }
    save_file(
        {name.replace("LayerNorm.bias", "LayerNorm.beta"): value for name, value in old.items()},
        weights_file(tmp_path),
    )
    assert read_weights(tmp_path).keys() == weights.keys()


def test_pickled_weights_need_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old checkpoint would end in a traceback about a missing module."""
    write_bert(tmp_path)
    weights_file(tmp_path).rename(tmp_path / "pytorch_model.bin")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match="torch"):
        convert(tmp_path, tmp_path / "out")


def test_pickled_weights_are_read_as_data_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint from the hub could run code on this machine."""
    weights = write_bert(tmp_path)
    weights_file(tmp_path).rename(tmp_path / "pytorch_model.bin")
    torch = ModuleType("torch")
    weights_only: list[Any] = []

    class Tensor:
        def __init__(self, value: Any) -> None:
            self.value = value

        def is_floating_point(self) -> bool:
            return bool(self.value.dtype.kind == "f")

        def float(self) -> "Tensor":
            return self

        def numpy(self) -> Any:
            return self.value

    def load(_: Path, **options: Any) -> dict[str, Tensor]:
        weights_only.append(options["weights_only"])
        return {name: Tensor(value) for name, value in weights.items()} | {
            "position_ids": Tensor(np.arange(9))
        }

    monkeypatch.setattr(torch, "load", load, raising=False)
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert read_weights(tmp_path).keys() == weights.keys()
    assert weights_only == [True]


@pytest.mark.parametrize("missing", ["config.json", "vocab.txt", "model.safetensors"])
def test_missing_file_is_one_sentence(tmp_path: Path, missing: str) -> None:
    """A person who gives the wrong directory would see a traceback instead of what to do."""
    write_bert(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ModelError) as caught:
        convert(tmp_path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"model_type": "deberta"},
        {"position_embedding_type": "relative_key"},
        {"hidden_act": "mish"},
        {"num_hidden_layers": None},
        {"vocab_size": 4096},
        {"max_position_embeddings": 512},
    ],
)
def test_what_cannot_be_converted_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    """An unsupported encoder would be converted to a model that computes noise."""
    write_bert(tmp_path)
    config = msgspec.json.decode((tmp_path / "config.json").read_bytes())
    write_json(tmp_path / "config.json", config | changed)
    with pytest.raises(ModelError):
        convert(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    "lost", ["encoder.layer.1.output.dense.weight", "embeddings.token_type_embeddings.weight"]
)
def test_incomplete_weights_are_refused(tmp_path: Path, lost: str) -> None:
    """A checkpoint without a layer would fail in the library, without the name of the layer."""
    write_bert(tmp_path)
    weights = load_file(weights_file(tmp_path))
    weights.pop(lost)
    save_file(weights, weights_file(tmp_path))
    with pytest.raises(ModelError, match=lost):
        convert(tmp_path, tmp_path / "out")


def test_the_source_is_never_overwritten(tmp_path: Path) -> None:
    """CTranslate2's config.json would replace the one of Hugging Face: the encoder is lost."""
    write_bert(tmp_path)
    with pytest.raises(ModelError, match="another directory"):
        convert(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("model_type", "positions"),
    [("bert", POSITIONS), ("distilbert", POSITIONS), ("roberta", POSITIONS - 2)],
)
def test_facts_say_how_an_encoder_is_fed(tmp_path: Path, model_type: str, positions: int) -> None:
    """Training would put wrong ids around every text, or use more tokens than positions."""
    write_bert(tmp_path, model_type=model_type)
    facts = describe(tmp_path)
    assert (facts.prefix_ids, facts.suffix_ids, facts.pad_id) == ([3], [4], 0)
    assert (facts.width, facts.vocab_size, facts.max_positions) == (WIDTH, len(TOKENS), positions)


def test_facts_travel_with_a_converted_encoder(tmp_path: Path) -> None:
    """Training on a converted directory would not know which ids start and end a text."""
    write_bert(tmp_path)
    expected = msgspec.structs.replace(describe(tmp_path), compute_type="int8")
    assert convert(tmp_path, tmp_path / "out") == describe(tmp_path / "out") == expected


def test_a_converted_encoder_is_taken_as_it_is(tmp_path: Path) -> None:
    """Training on a converted directory would try to convert it a second time."""
    write_bert(tmp_path)
    convert(tmp_path, tmp_path / "out")
    facts = convert(tmp_path / "out", tmp_path / "again")
    assert facts.compute_type == "int8"
    for file in (tmp_path / "out").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()
    with pytest.raises(ModelError, match="already converted"):
        convert(tmp_path / "out", tmp_path / "wide", compute_type="float32")


def test_a_stored_encoder_is_requantized_bit_for_bit(tmp_path: Path) -> None:
    """A stored float32 encoder would give another int8 model than its source gives."""
    write_bert(tmp_path)
    convert(tmp_path, tmp_path / "wide", compute_type="float32")
    convert(tmp_path, tmp_path / "narrow", compute_type="int8")
    spec = restore(tmp_path / "wide")
    spec.optimize(quantization="int8")
    (tmp_path / "again").mkdir()
    spec.save(str(tmp_path / "again"))
    again, narrow = tmp_path / "again", tmp_path / "narrow"
    for name in ("model.bin", "config.json"):
        assert (again / name).read_bytes() == (narrow / name).read_bytes()
    tokens = [
        msgspec.json.decode((each / "vocabulary.json").read_bytes()) for each in (again, narrow)
    ]
    assert tokens[0] == tokens[1]


def test_the_vocabulary_of_a_converted_encoder_is_short(tmp_path: Path) -> None:
    """A line and an escape for each token would be a third more bytes in every model."""
    write_bert(tmp_path)
    convert(tmp_path, tmp_path / "out")
    data = (tmp_path / "out" / "vocabulary.json").read_bytes()
    assert data == msgspec.json.encode(msgspec.json.decode(data))


@pytest.mark.parametrize("content", [b"", b"\x06\x00\x00\x00", b"no model" * 9])
def test_a_damaged_stored_encoder_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    """A truncated model.bin would end in a traceback."""
    write_bert(tmp_path)
    convert(tmp_path, tmp_path / "out", compute_type="float32")
    (tmp_path / "out" / "model.bin").write_bytes(content)
    with pytest.raises(ModelError, match="cannot be read"):
        restore(tmp_path / "out")


def test_spare_embeddings_are_kept(tmp_path: Path) -> None:
    """An encoder whose embeddings are padded to a round number of rows would be refused."""
    write_wordpiece(tmp_path, TOKENS)
    write_encoder(tmp_path, len(TOKENS) + 5)
    assert convert(tmp_path, tmp_path / "out").vocab_size == len(TOKENS) + 5
    vocabulary = msgspec.json.decode((tmp_path / "out" / "vocabulary.json").read_bytes())
    assert len(vocabulary) == len(TOKENS) + 5


def test_too_large_a_vocabulary_is_refused(tmp_path: Path) -> None:
    """An id outside the embeddings would end the process with a signal."""
    write_wordpiece(tmp_path, [*TOKENS, "more"])
    write_encoder(tmp_path, len(TOKENS))
    with pytest.raises(ModelError, match=r"vocab\.txt"):
        convert(tmp_path, tmp_path / "out")


def test_configuration_and_vocabulary_can_be_read_alone(tmp_path: Path) -> None:
    """Training, which needs both before any weight, would have to load the weights."""
    write_bert(tmp_path)
    assert read_config(tmp_path).hidden_size == WIDTH
    assert read_vocabulary(tmp_path)[: len(SPECIALS)] == list(SPECIALS)
