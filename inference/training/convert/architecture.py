"""The same weights under CTranslate2's names."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ctranslate2.specs import common_spec, transformer_spec

from inference.errors import ModelError
from inference.training.convert.checkpoint import ACTIVATIONS, WORDS, BertConfig, Weights

TOKEN_TYPES = "embeddings.token_type_embeddings.weight"  # noqa: S105 - the name of an array
POSITIONS = "embeddings.position_embeddings.weight"


@dataclass(frozen=True, slots=True)
class Names:
    """What the parts of a layer are called."""

    layers: str
    projections: tuple[str, str, str]
    mixed: str
    mixed_norm: str
    widen: str
    narrow: str
    norm: str


BERT = Names(
    layers="encoder.layer",
    projections=("attention.self.query", "attention.self.key", "attention.self.value"),
    mixed="attention.output.dense",
    mixed_norm="attention.output.LayerNorm",
    widen="intermediate.dense",
    narrow="output.dense",
    norm="output.LayerNorm",
)
DISTILBERT = Names(
    layers="transformer.layer",
    projections=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    mixed="attention.out_lin",
    mixed_norm="sa_layer_norm",
    widen="ffn.lin1",
    narrow="ffn.lin2",
    norm="output_layer_norm",
)


def build(config: BertConfig, weights: Weights) -> Any:
    """The CTranslate2 model, without its vocabulary.

    Raises:
        ModelError: an array is missing, or not of the shape `config` says.
    """
    distilled = config.model_type == "distilbert"
    encoder = transformer_spec.TransformerEncoderSpec(
        config.num_hidden_layers,
        config.num_attention_heads,
        pre_norm=False,
        activation=ACTIVATIONS[config.hidden_act],
        layernorm_embedding=True,
        num_source_embeddings=1 if distilled else 2,
        embeddings_merge=common_spec.EmbeddingsMerge.CONCAT
        if distilled
        else common_spec.EmbeddingsMerge.ADD,
    )
    names = DISTILBERT if distilled else BERT
    try:
        _fill_embeddings(encoder, config, weights)
        for index, layer in enumerate(encoder.layer):
            _fill_layer(layer, weights, names, f"{names.layers}.{index}.")
    except KeyError as error:
        raise ModelError(
            f"the weights lack {error}; give a plain {config.model_type} encoder"
        ) from None
    return transformer_spec.TransformerEncoderModelSpec(encoder, pooling_layer=False)


def _fill_embeddings(encoder: Any, config: BertConfig, weights: Weights) -> None:
    words, positions = weights[WORDS], weights[POSITIONS]
    expected = (
        (config.vocab_size, config.hidden_size),
        (config.max_position_embeddings, config.hidden_size),
    )
    if (words.shape, positions.shape) != expected:
        raise ModelError(
            f"the embeddings have shapes {words.shape} and {positions.shape}, config.json says {expected[0]} and "
            f"{expected[1]}; fetch the encoder again"
        )
    encoder.scale_embeddings = False
    encoder.embeddings[0].weight = words
    if config.model_type != "distilbert":
        encoder.embeddings[1].weight = weights[TOKEN_TYPES]
    encoder.position_encodings.encodings = np.ascontiguousarray(
        positions[config.skipped_positions :]
    )
    _fill_norm(encoder.layernorm_embedding, weights, "embeddings.LayerNorm")


def _fill_layer(layer: Any, weights: Weights, names: Names, prefix: str) -> None:
    projection = layer.self_attention.linear
    for kind in ("weight", "bias"):
        fused = np.concatenate([weights[f"{prefix}{name}.{kind}"] for name in names.projections])
        setattr(projection[0], kind, fused)
    _fill_linear(projection[1], weights, prefix + names.mixed)
    _fill_norm(layer.self_attention.layer_norm, weights, prefix + names.mixed_norm)
    _fill_linear(layer.ffn.linear_0, weights, prefix + names.widen)
    _fill_linear(layer.ffn.linear_1, weights, prefix + names.narrow)
    _fill_norm(layer.ffn.layer_norm, weights, prefix + names.norm)


def _fill_linear(spec: Any, weights: Weights, prefix: str) -> None:
    spec.weight = weights[prefix + ".weight"]
    spec.bias = weights[prefix + ".bias"]


def _fill_norm(spec: Any, weights: Weights, prefix: str) -> None:
    spec.gamma = weights[prefix + ".weight"]
    spec.beta = weights[prefix + ".bias"]
