"""The files of a model directory: their digests, their verification and their arrays."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from inference.errors import ModelError

REMEDY = "reinstall the package or point [model] path at a whole model directory"


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        OSError: The file cannot be read.
    """
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digests_of(directory: Path, names: Iterable[str]) -> dict[str, str]:
    """The SHA-256 of each of these files of a directory.

    Raises:
        OSError: A file cannot be read.
    """
    return {name: sha256_of(directory / name) for name in names}


def verify_file(file: Path, expected: str, *, listed_in: str, remedy: str = REMEDY) -> None:
    """Check that a file has the expected digest, which the file `listed_in` gives.

    Raises:
        ModelError: The file is missing or has another digest. The message ends with `remedy`.
    """
    try:
        actual = sha256_of(file)
    except OSError:
        raise ModelError(f"the model file {file} is missing; {remedy}") from None
    if actual != expected:
        raise ModelError(
            f"the model file {file} is damaged: its digest differs from the one in {listed_in}; "
            f"{remedy}"
        )


def read_tensors(file: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a safetensors file, by name.

    Raises:
        ModelError: The file cannot be read as safetensors.
    """
    try:
        return load_file(file)
    except (OSError, SafetensorError, ValueError):
        raise ModelError(f"{file} cannot be read as safetensors; {REMEDY}") from None
