"""A Hugging Face BERT directory to an int8 CTranslate2 one, without torch or transformers.

CTranslate2's own converter loads the model through transformers, several gigabytes for what is a renaming of
arrays; the weights are in `model.safetensors`, so they are renamed here.
"""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from ctranslate2.specs import common_spec, transformer_spec
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from inference.errors import ModelError

Weights = dict[str, NDArray[np.float32]]

ACTIVATIONS = {
    "gelu": common_spec.Activation.GELU,
    "gelu_new": common_spec.Activation.GELUTanh,
    "relu": common_spec.Activation.RELU,
}


class BertConfig(msgspec.Struct, frozen=True):
    """The part of a Hugging Face `config.json` that decides the arithmetic."""

    num_hidden_layers: int
    num_attention_heads: int
    hidden_size: int
    vocab_size: int
    model_type: str
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0


def convert(source: Path, out: Path, *, compute_type: str = "int8") -> None:
    """Write `source` (Hugging Face BERT: safetensors, config, vocabulary) to `out` as a CTranslate2 encoder.

    `compute_type` is the storage type: ``int8`` or ``float32``. `sentencepiece.model` is copied beside it.

    Raises:
        ModelError: a file is missing or unreadable, or the model is not a BERT this knows how to rename.
    """
    config = read_config(source)
    weights = _read_weights(source)
    if not (source / "sentencepiece.model").is_file():
        raise ModelError(f"{source} has no sentencepiece.model; put the encoder's tokenizer there")
    spec = _build(config, weights)
    spec.register_vocabulary(read_vocabulary(source))
    spec.config.unk_token = "[UNK]"  # noqa: S105 - the name of a token in a vocabulary
    spec.config.layer_norm_epsilon = config.layer_norm_eps
    spec.validate()
    spec.optimize(quantization=compute_type)
    out.mkdir(parents=True, exist_ok=True)
    spec.save(str(out))
    shutil.copyfile(source / "sentencepiece.model", out / "sentencepiece.model")


def read_config(source: Path) -> BertConfig:
    """The encoder's hyperparameters.

    Raises:
        ModelError: no readable `config.json`, or not a BERT with a known activation.
    """
    try:
        config = msgspec.json.decode((source / "config.json").read_bytes(), type=BertConfig)
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"no usable config.json in {source}: {error}; give a Hugging Face BERT directory") from None
    if config.model_type != "bert" or config.hidden_act not in ACTIVATIONS:
        raise ModelError(
            f"{source} holds a {config.model_type} encoder with {config.hidden_act}; only BERT with one of "
            f"{', '.join(ACTIVATIONS)} can be converted"
        )
    return config


def read_vocabulary(source: Path) -> list[str]:
    """The tokens in id order, from `vocab.txt` or `vocabulary.json`.

    Raises:
        ModelError: neither file is there.
    """
    if (source / "vocab.txt").is_file():
        return (source / "vocab.txt").read_text("utf-8").rstrip("\n").split("\n")
    try:
        return msgspec.json.decode((source / "vocabulary.json").read_bytes(), type=list[str])
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"no usable vocabulary in {source}: {error}; it needs a vocab.txt") from None


def _read_weights(source: Path) -> Weights:
    try:
        stored = load_file(source / "model.safetensors")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"no usable model.safetensors in {source}: {error}; fetch the encoder again") from None
    # Checkpoints saved with a task head carry their encoder under "bert."
    return {name.removeprefix("bert."): value.astype(np.float32) for name, value in stored.items()}


def _build(config: BertConfig, weights: Weights) -> Any:
    encoder = transformer_spec.TransformerEncoderSpec(
        config.num_hidden_layers,
        config.num_attention_heads,
        pre_norm=False,
        activation=ACTIVATIONS[config.hidden_act],
        layernorm_embedding=True,
        num_source_embeddings=2,
        embeddings_merge=common_spec.EmbeddingsMerge.ADD,
    )
    spec = transformer_spec.TransformerEncoderModelSpec(encoder, pooling_layer=False)
    try:
        _fill_embeddings(encoder, weights)
        for index, layer in enumerate(encoder.layer):
            _fill_layer(layer, weights, f"encoder.layer.{index}.")
    except KeyError as error:
        raise ModelError(f"the weights lack {error}; give a plain BERT encoder") from None
    return spec


def _fill_embeddings(encoder: Any, weights: Weights) -> None:
    encoder.scale_embeddings = False
    encoder.embeddings[0].weight = weights["embeddings.word_embeddings.weight"]
    encoder.embeddings[1].weight = weights["embeddings.token_type_embeddings.weight"]
    encoder.position_encodings.encodings = weights["embeddings.position_embeddings.weight"]
    _fill_norm(encoder.layernorm_embedding, weights, "embeddings.LayerNorm")


def _fill_layer(layer: Any, weights: Weights, prefix: str) -> None:
    attention = prefix + "attention."
    parts = [f"{attention}self.{name}." for name in ("query", "key", "value")]
    projection = layer.self_attention.linear
    projection[0].weight = np.concatenate([weights[part + "weight"] for part in parts])
    projection[0].bias = np.concatenate([weights[part + "bias"] for part in parts])
    _fill_linear(projection[1], weights, attention + "output.dense")
    _fill_norm(layer.self_attention.layer_norm, weights, attention + "output.LayerNorm")
    _fill_linear(layer.ffn.linear_0, weights, prefix + "intermediate.dense")
    _fill_linear(layer.ffn.linear_1, weights, prefix + "output.dense")
    _fill_norm(layer.ffn.layer_norm, weights, prefix + "output.LayerNorm")


def _fill_linear(spec: Any, weights: Weights, prefix: str) -> None:
    spec.weight = weights[prefix + ".weight"]
    spec.bias = weights[prefix + ".bias"]


def _fill_norm(spec: Any, weights: Weights, prefix: str) -> None:
    spec.gamma = weights[prefix + ".weight"]
    spec.beta = weights[prefix + ".bias"]
