"""Reads a Hugging Face encoder from disk: its hyperparameters and its weights."""

import importlib
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from ctranslate2.specs import common_spec
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from inference.errors import ModelError
from schemas.codec import prepared

Weights = dict[str, NDArray[np.float32]]

ACTIVATIONS = {
    "gelu": common_spec.Activation.GELU,
    "gelu_fast": common_spec.Activation.GELUTanh,
    "gelu_new": common_spec.Activation.GELUTanh,
    "gelu_python": common_spec.Activation.GELU,
    "gelu_pytorch_tanh": common_spec.Activation.GELUTanh,
    "quick_gelu": common_spec.Activation.GELUSigmoid,
    "relu": common_spec.Activation.RELU,
    "silu": common_spec.Activation.SWISH,
    "swish": common_spec.Activation.SWISH,
}
MODEL_TYPES = ("bert", "distilbert", "roberta", "camembert", "xlm-roberta")
# The RoBERTa family numbers positions from the padding id + 1 on.
COUNTS_FROM_PADDING = frozenset({"roberta", "camembert", "xlm-roberta"})
LAYER_NORM_EPS = 1e-12

SAFETENSORS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLE = "pytorch_model.bin"
WORDS = "embeddings.word_embeddings.weight"


class BertConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The values of `config.json` that the computation depends on.

    They are the same for BERT and for all encoders with its architecture.
    """

    num_hidden_layers: int
    num_attention_heads: int
    hidden_size: int
    vocab_size: int
    model_type: str
    hidden_act: str = "gelu"
    layer_norm_eps: float = LAYER_NORM_EPS
    pad_token_id: int = 0
    max_position_embeddings: int = 512

    @property
    def skipped_positions(self) -> int:
        """How many rows at the start of the position table are never used by a token."""
        return self.pad_token_id + 1 if self.model_type in COUNTS_FROM_PADDING else 0

    @property
    def max_positions(self) -> int:
        """How many tokens the encoder can read at once."""
        return self.max_position_embeddings - self.skipped_positions


class _ConfigFile(msgspec.Struct, frozen=True):
    """`config.json`; `n_layers`, `n_heads`, `dim` and `activation` are the names of DistilBERT."""

    model_type: str
    vocab_size: int
    num_hidden_layers: int | None = None
    num_attention_heads: int | None = None
    hidden_size: int | None = None
    hidden_act: str | None = None
    n_layers: int | None = None
    n_heads: int | None = None
    dim: int | None = None
    activation: str | None = None
    layer_norm_eps: float = LAYER_NORM_EPS
    pad_token_id: int | None = None
    max_position_embeddings: int = 512
    position_embedding_type: str | None = None

    def resolved_pad_id(self) -> int:
        if self.pad_token_id is not None:
            return self.pad_token_id
        return 1 if self.model_type in COUNTS_FROM_PADDING else 0

    def resolved_layer_norm_eps(self) -> float:
        # DistilBERT has this constant in its code, not in its config.json.
        return LAYER_NORM_EPS if self.model_type == "distilbert" else self.layer_norm_eps


def read_config(source: Path) -> BertConfig:
    """Read the hyperparameters of the encoder.

    Raises:
        ModelError: there is no readable `config.json`, or the encoder cannot be converted.
    """
    stored = _read_config_file(source)
    layers = stored.num_hidden_layers or stored.n_layers
    heads = stored.num_attention_heads or stored.n_heads
    width = stored.hidden_size or stored.dim
    if not layers or not heads or not width:
        raise ModelError(
            f"config.json in {source} lacks the number of layers, the number of heads or the "
            "width; fetch the encoder again"
        )
    activation = stored.hidden_act or stored.activation or "gelu"
    if activation not in ACTIVATIONS:
        raise ModelError(
            f"{source} uses the activation {activation}; only {', '.join(ACTIVATIONS)} can be "
            "converted"
        )
    return BertConfig(
        num_hidden_layers=layers,
        num_attention_heads=heads,
        hidden_size=width,
        vocab_size=stored.vocab_size,
        model_type=stored.model_type,
        hidden_act=activation,
        layer_norm_eps=stored.resolved_layer_norm_eps(),
        pad_token_id=stored.resolved_pad_id(),
        max_position_embeddings=stored.max_position_embeddings,
    )


def _read_config_file(source: Path) -> _ConfigFile:
    try:
        stored = msgspec.json.decode(
            (source / "config.json").read_bytes(), type=prepared(_ConfigFile)
        )
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(
            f"there is no usable config.json in {source}: {error}; give the directory of a Hugging "
            "Face encoder"
        ) from None
    if stored.model_type not in MODEL_TYPES:
        raise ModelError(
            f"{source} holds a model of type {stored.model_type}; only {', '.join(MODEL_TYPES)} "
            "can be converted"
        )
    if stored.position_embedding_type not in {None, "absolute"}:
        raise ModelError(
            f"{source} has position embeddings of type {stored.position_embedding_type}; give an "
            "encoder with absolute positions"
        )
    return stored


def read_weights(source: Path) -> Weights:
    """Read the arrays of the encoder in float32, by their names inside the encoder.

    Raises:
        ModelError: there are no readable weights, or they hold no encoder.
    """
    stored = {_modern_name(name): value for name, value in _read_arrays(source).items()}
    # Checkpoints with a task head store their encoder under a prefix such as "bert.".
    prefix = next((name.removesuffix(WORDS) for name in stored if name.endswith(WORDS)), None)
    if prefix is None:
        raise ModelError(f"the weights in {source} have no {WORDS}; give an encoder")
    return {
        name.removeprefix(prefix): value
        for name, value in stored.items()
        if name.startswith(prefix)
    }


def _read_arrays(source: Path) -> Weights:
    if (source / SAFETENSORS).is_file():
        return _read_safetensors(source / SAFETENSORS)
    if (source / INDEX).is_file():
        return _read_shards(source)
    if (source / PICKLE).is_file():
        return _read_pickle(source / PICKLE)
    return _read_safetensors(source / SAFETENSORS)  # its error names the file that is expected


def _read_shards(source: Path) -> Weights:
    try:
        index = msgspec.json.decode((source / INDEX).read_bytes())
        files = sorted({str(name) for name in index["weight_map"].values()})
    except (OSError, msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise _unusable(source / INDEX, error) from None
    return {
        name: value
        for file in files
        for name, value in _read_safetensors(source / Path(file).name).items()
    }


def _read_safetensors(file: Path) -> Weights:
    try:
        tensors = cast("Any", deserialize)(file.read_bytes())
    except (OSError, SafetensorError) as error:
        raise _unusable(file, error) from None
    # Integer arrays, such as position ids, are not weights.
    return {name: _to_float32(tensor) for name, tensor in tensors if tensor["dtype"] in FLOATS}


FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}


def _to_float32(tensor: dict[str, Any]) -> NDArray[np.float32]:
    array = np.frombuffer(tensor["data"], dtype=FLOATS[tensor["dtype"]]).reshape(tensor["shape"])
    if tensor["dtype"] == "BF16":
        # NumPy has no bfloat16. It is the upper 16 bits of a float32.
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)


def _read_pickle(file: Path) -> Weights:
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        raise ModelError(
            f"{file.parent} has its weights only as {PICKLE}, which needs torch; install torch or "
            f"get a {SAFETENSORS}"
        ) from None
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
        return {
            name: value.float().numpy()
            for name, value in stored.items()
            if value.is_floating_point()
        }
    except Exception as error:  # noqa: BLE001 - torch raises whatever the bytes make it raise
        raise _unusable(file, error) from None


def _unusable(file: Path, error: Exception) -> ModelError:
    return ModelError(
        f"there is no usable {file.name} in {file.parent}: {error}; fetch the encoder again"
    )


def _modern_name(name: str) -> str:
    """The present name of an array. Before 2019, layer norms had a gamma and a beta."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )
