"""A Hugging Face encoder as it lies on disk: its hyperparameters and its weights."""

import importlib
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from ctranslate2.specs import common_spec
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from inference.errors import ModelError

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
# RoBERTa and its kin count positions from the padding id on.
COUNTS_FROM_PADDING = frozenset({"roberta", "camembert", "xlm-roberta"})

SAFETENSORS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLE = "pytorch_model.bin"
WORDS = "embeddings.word_embeddings.weight"


class BertConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a `config.json` that decides the arithmetic, for BERT and the encoders built like it."""

    num_hidden_layers: int
    num_attention_heads: int
    hidden_size: int
    vocab_size: int
    model_type: str
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    max_position_embeddings: int = 512

    @property
    def skipped_positions(self) -> int:
        """How many rows of the position table no token ever has."""
        return self.pad_token_id + 1 if self.model_type in COUNTS_FROM_PADDING else 0

    @property
    def max_positions(self) -> int:
        """How many tokens the encoder takes."""
        return self.max_position_embeddings - self.skipped_positions


class _Written(msgspec.Struct, frozen=True):
    """`config.json`; DistilBERT has names of its own."""

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
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = None
    max_position_embeddings: int = 512
    position_embedding_type: str | None = None


def read_config(source: Path) -> BertConfig:
    """The encoder's hyperparameters.

    Raises:
        ModelError: no readable `config.json`, or not an encoder that can be converted.
    """
    try:
        written = msgspec.json.decode((source / "config.json").read_bytes(), type=_Written)
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(
            f"no usable config.json in {source}: {error}; give a Hugging Face encoder directory"
        ) from None
    if written.model_type not in MODEL_TYPES:
        raise ModelError(
            f"{source} holds a {written.model_type}; only {', '.join(MODEL_TYPES)} can be converted"
        )
    if written.position_embedding_type not in {None, "absolute"}:
        raise ModelError(
            f"{source} has {written.position_embedding_type} positions; give an encoder with absolute ones"
        )
    layers = written.num_hidden_layers or written.n_layers
    heads = written.num_attention_heads or written.n_heads
    width = written.hidden_size or written.dim
    if not layers or not heads or not width:
        raise ModelError(
            f"config.json in {source} does not say layers, heads and width; fetch the encoder again"
        )
    activation = written.hidden_act or written.activation or "gelu"
    if activation not in ACTIVATIONS:
        raise ModelError(
            f"{source} uses {activation}; only {', '.join(ACTIVATIONS)} can be converted"
        )
    pad = written.pad_token_id
    return BertConfig(
        num_hidden_layers=layers,
        num_attention_heads=heads,
        hidden_size=width,
        vocab_size=written.vocab_size,
        model_type=written.model_type,
        hidden_act=activation,
        # DistilBERT has the constant in its code.
        layer_norm_eps=1e-12 if written.model_type == "distilbert" else written.layer_norm_eps,
        pad_token_id=(1 if written.model_type in COUNTS_FROM_PADDING else 0)
        if pad is None
        else pad,
        max_position_embeddings=written.max_position_embeddings,
    )


def read_weights(source: Path) -> Weights:
    """The encoder's arrays in float32, by their names inside the encoder.

    Raises:
        ModelError: no readable weights, or none of an encoder among them.
    """
    stored = {_modern(name): value for name, value in _read_stored(source).items()}
    # Checkpoints saved with a task head carry their encoder under "bert.", "roberta." and the like.
    prefix = next((name.removesuffix(WORDS) for name in stored if name.endswith(WORDS)), None)
    if prefix is None:
        raise ModelError(f"the weights in {source} lack {WORDS}; give an encoder")
    return {
        name.removeprefix(prefix): value
        for name, value in stored.items()
        if name.startswith(prefix)
    }


def _read_stored(source: Path) -> Weights:
    if (source / SAFETENSORS).is_file() or not any(
        (source / name).is_file() for name in (INDEX, PICKLE)
    ):
        return _read_safetensors(source / SAFETENSORS)
    if (source / INDEX).is_file():
        return _read_shards(source)
    return _read_pickle(source / PICKLE)


def _read_shards(source: Path) -> Weights:
    try:
        index = msgspec.json.decode((source / INDEX).read_bytes())
        files = sorted({str(name) for name in index["weight_map"].values()})
    except (OSError, msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"no usable {INDEX} in {source}: {error}; fetch the encoder again"
        ) from None
    return {
        name: value
        for file in files
        for name, value in _read_safetensors(source / Path(file).name).items()
    }


def _read_safetensors(file: Path) -> Weights:
    try:
        tensors = cast("Any", deserialize)(file.read_bytes())
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"no usable {file.name} in {file.parent}: {error}; fetch the encoder again"
        ) from None
    # Position ids and other integers are no weights.
    return {name: _to_float32(one) for name, one in tensors if one["dtype"] in FLOATS}


FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}


def _to_float32(tensor: dict[str, Any]) -> NDArray[np.float32]:
    found = np.frombuffer(tensor["data"], dtype=FLOATS[tensor["dtype"]]).reshape(tensor["shape"])
    if tensor["dtype"] == "BF16":  # NumPy has no bfloat16: it is the upper half of a float32
        return (found.astype(np.uint32) << 16).view(np.float32)
    return found.astype(np.float32)


def _read_pickle(file: Path) -> Weights:
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        raise ModelError(
            f"{file.parent} has its weights as {PICKLE} only, which torch alone reads; install torch or get a "
            f"{SAFETENSORS}"
        ) from None
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
        return {
            name: value.float().numpy()
            for name, value in stored.items()
            if value.is_floating_point()
        }
    except Exception as error:  # noqa: BLE001 - torch raises whatever the bytes make it raise
        raise ModelError(
            f"no usable {PICKLE} in {file.parent}: {error}; fetch the encoder again"
        ) from None


def _modern(name: str) -> str:
    """Names of before 2019 call the two arrays of a layer norm gamma and beta."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )
