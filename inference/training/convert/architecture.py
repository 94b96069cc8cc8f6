"""Puts the weights of a checkpoint under the names that CTranslate2 gives them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ctranslate2.specs import common_spec, transformer_spec
from numpy.typing import NDArray

from inference.errors import ModelError
from inference.training.convert.checkpoint import ACTIVATIONS, WORDS, BertConfig, Weights

TOKEN_TYPES = "embeddings.token_type_embeddings.weight"  # noqa: S105 - the name of an array
POSITIONS = "embeddings.position_embeddings.weight"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the parts of one transformer layer in a checkpoint.

    Attributes:
        layers: the list of layers.
        projections: query, key and value of the attention.
        attention_output: the linear layer after the attention.
        attention_norm: the layer norm after the attention.
        widen: the first linear layer of the feed-forward part.
        narrow: the second linear layer of the feed-forward part.
        norm: the layer norm after the feed-forward part.
    """

    layers: str
    projections: tuple[str, str, str]
    attention_output: str
    attention_norm: str
    widen: str
    narrow: str
    norm: str


BERT = Names(
    layers="encoder.layer",
    projections=("attention.self.query", "attention.self.key", "attention.self.value"),
    attention_output="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    widen="intermediate.dense",
    narrow="output.dense",
    norm="output.LayerNorm",
)
DISTILBERT = Names(
    layers="transformer.layer",
    projections=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    attention_output="attention.out_lin",
    attention_norm="sa_layer_norm",
    widen="ffn.lin1",
    narrow="ffn.lin2",
    norm="output_layer_norm",
)


def build(config: BertConfig, weights: Weights) -> Any:
    """Build the CTranslate2 model, without its vocabulary.

    Raises:
        ModelError: an array is missing, or its shape differs from the one in `config`.
    """
    encoder = _empty_encoder(config)
    names = DISTILBERT if config.model_type == "distilbert" else BERT
    try:
        _fill_embeddings(encoder, config, weights)
        for index, layer in enumerate(encoder.layer):
            _fill_layer(layer, weights, names, f"{names.layers}.{index}.")
    except KeyError as error:
        raise ModelError(
            f"the weights lack {error}; give a complete {config.model_type} encoder"
        ) from None
    return transformer_spec.TransformerEncoderModelSpec(encoder, pooling_layer=False)


def _empty_encoder(config: BertConfig) -> Any:
    # DistilBERT has no token type embeddings, so there is nothing to add to the word embeddings.
    if config.model_type == "distilbert":
        sources, merge = 1, common_spec.EmbeddingsMerge.CONCAT
    else:
        sources, merge = 2, common_spec.EmbeddingsMerge.ADD
    return transformer_spec.TransformerEncoderSpec(
        config.num_hidden_layers,
        config.num_attention_heads,
        pre_norm=False,
        activation=ACTIVATIONS[config.hidden_act],
        layernorm_embedding=True,
        num_source_embeddings=sources,
        embeddings_merge=merge,
    )


def _fill_embeddings(encoder: Any, config: BertConfig, weights: Weights) -> None:
    words, positions = weights[WORDS], weights[POSITIONS]
    _check_shape("word", words, (config.vocab_size, config.hidden_size))
    _check_shape("position", positions, (config.max_position_embeddings, config.hidden_size))
    encoder.scale_embeddings = False
    encoder.embeddings[0].weight = words
    if config.model_type != "distilbert":
        encoder.embeddings[1].weight = weights[TOKEN_TYPES]
    encoder.position_encodings.encodings = np.ascontiguousarray(
        positions[config.skipped_positions :]
    )
    _fill_norm(encoder.layernorm_embedding, weights, "embeddings.LayerNorm")


def _check_shape(kind: str, array: NDArray[np.float32], expected: tuple[int, int]) -> None:
    if array.shape != expected:
        raise ModelError(
            f"the {kind} embeddings have shape {array.shape}, but config.json gives {expected}; "
            "fetch the encoder again"
        )


def _fill_layer(layer: Any, weights: Weights, names: Names, prefix: str) -> None:
    projection = layer.self_attention.linear
    for kind in ("weight", "bias"):
        fused = np.concatenate([weights[f"{prefix}{name}.{kind}"] for name in names.projections])
        setattr(projection[0], kind, fused)
    _fill_linear(projection[1], weights, prefix + names.attention_output)
    _fill_norm(layer.self_attention.layer_norm, weights, prefix + names.attention_norm)
    _fill_linear(layer.ffn.linear_0, weights, prefix + names.widen)
    _fill_linear(layer.ffn.linear_1, weights, prefix + names.narrow)
    _fill_norm(layer.ffn.layer_norm, weights, prefix + names.norm)


def _fill_linear(spec: Any, weights: Weights, prefix: str) -> None:
    spec.weight = weights[prefix + ".weight"]
    spec.bias = weights[prefix + ".bias"]


def _fill_norm(spec: Any, weights: Weights, prefix: str) -> None:
    spec.gamma = weights[prefix + ".weight"]
    spec.beta = weights[prefix + ".bias"]
