"""Reads a CTranslate2 encoder back from its `model.bin`, to store it again in another type."""

import struct
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from ctranslate2.specs import common_spec, model_spec, transformer_spec

from inference.errors import ModelError

TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)
"""The array types, each at the index that the file uses for it.

The file format has a sixth type, bfloat16, which NumPy lacks.
"""

Variables = dict[str, npt.NDArray[Any]]


def restore(directory: Path) -> Any:
    """Read the CTranslate2 model in a directory. It can be optimized and saved again.

    The weights must be stored in float32, because CTranslate2 quantizes them from there. This
    function does not check it.

    Raises:
        ModelError: the files cannot be read as a CTranslate2 encoder.
    """
    try:
        variables = _read_variables(memoryview((directory / "model.bin").read_bytes()))
        config = msgspec.json.decode((directory / "config.json").read_bytes(), type=dict[str, Any])
        tokens = msgspec.json.decode((directory / "vocabulary.json").read_bytes(), type=list[str])
        spec = _build(variables)
        spec.register_vocabulary(tokens)
        spec.validate()
    except (
        OSError,
        struct.error,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        msgspec.DecodeError,
    ) as error:
        raise ModelError(
            f"the encoder in {directory} cannot be read ({error}); convert its source again"
        ) from None
    for name, value in config.items():
        setattr(spec.config, name, value)
    return spec


def _build(variables: Variables) -> Any:
    layers = {name.split("/")[1] for name in variables if name.startswith("encoder/layer_")}
    embeddings = sum(
        name.startswith("encoder/embeddings_") and name.endswith("/weight") for name in variables
    )
    merge = variables.get("encoder/embeddings_merge", np.int8(common_spec.EmbeddingsMerge.CONCAT))
    encoder = transformer_spec.TransformerEncoderSpec(
        len(layers),
        int(variables["encoder/num_heads"]),
        pre_norm=False,
        layernorm_embedding=True,
        num_source_embeddings=embeddings,
        embeddings_merge=common_spec.EmbeddingsMerge(int(merge)),
    )
    spec = transformer_spec.TransformerEncoderModelSpec(encoder, pooling_layer=False)
    for name, value in variables.items():
        scope, _, key = name.rpartition("/")
        setattr(model_spec.index_spec(spec, scope), key, value)
    return spec


def _read_variables(file: memoryview) -> Variables:
    """The arrays by name.

    The file has a format version, the name of the model class, a model revision, the number of
    arrays, and then each array as name, rank, shape, type, size in bytes and bytes.
    """
    _, at = _unpack(file, "I", 0)
    _, at = _read_string(file, at)
    _, at = _unpack(file, "I", at)
    (count,), at = _unpack(file, "I", at)
    variables: Variables = {}
    for _ in range(count):
        name, at = _read_string(file, at)
        (rank,), at = _unpack(file, "B", at)
        shape, at = _unpack(file, f"{rank}I", at)
        (kind, size), at = _unpack(file, "=BI", at)
        array = np.frombuffer(file[at : at + size], dtype=TYPES[kind])
        variables[name] = array.reshape(shape).copy()
        at += size
    return variables


def _unpack(file: memoryview, layout: str, at: int) -> tuple[tuple[int, ...], int]:
    """The values of a `struct` layout at a position, and the position after them."""
    return struct.unpack_from(layout, file, at), at + struct.calcsize(layout)


def _read_string(file: memoryview, at: int) -> tuple[str, int]:
    """The string at a position, without its final zero byte, and the position after it."""
    (size,), at = _unpack(file, "H", at)
    return bytes(file[at : at + size - 1]).decode(), at + size
