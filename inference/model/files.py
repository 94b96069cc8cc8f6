"""The files of a model directory: how they are opened, their digests and their arrays.

A model directory may come from anywhere, so nothing in it is opened before it is known to be a
regular file of bounded size inside the directory.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from inference.errors import ModelError

REMEDY = "reinstall the package or point [model] path at a whole model directory"


MAX_FILE_BYTES = 4 << 30
"""The largest encoders that CTranslate2 loads here have a tenth of this."""
MAX_JSON_BYTES = 64 << 20
"""A vocabulary of a million tokens fits."""
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
"""The name of a file that lies in the directory itself, and is safe to print."""


def is_plain_name(name: str) -> bool:
    """Whether a manifest may list this name: no path, no hidden file, no unusual character."""
    return PLAIN_NAME.fullmatch(name) is not None


def open_file(file: Path, max_bytes: int | None = None) -> BufferedReader:
    """Open a file of a model directory to read it.

    Links may lead to other files below the directory, which is how Kubernetes mounts a volume.

    Raises:
        OSError: The file cannot be read.
        ModelError: A link leads out of the directory, or it is a pipe, a socket, a device or a
            directory, or it is larger than `max_bytes`.
    """
    # Not `Path.resolve`: before Python 3.13 it raises RuntimeError for links in a circle.
    real = Path(os.path.realpath(file, strict=True))
    if not real.is_relative_to(os.path.realpath(file.parent, strict=True)):
        raise ModelError(f"the model file {file} is a link out of its directory; {REMEDY}")
    # Before it is opened: to open a pipe would wait for ever, to open a device may change it.
    _check_kind(file, real.stat(), max_bytes)
    stream = open(os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")  # noqa: PTH123, SIM115
    try:
        # Again, because another file may have taken its name meanwhile.
        _check_kind(file, os.fstat(stream.fileno()), max_bytes)
    except BaseException:
        stream.close()
        raise
    return stream


def read_bounded(file: Path, max_bytes: int = MAX_JSON_BYTES) -> bytes:
    """The bytes of a file of a model directory; raises what `open_file` raises."""
    with open_file(file, max_bytes) as stream:
        return stream.read(max_bytes)


def _check_kind(file: Path, status: os.stat_result, max_bytes: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"the model file {file} is no regular file; {REMEDY}")
    if max_bytes is None:
        max_bytes = MAX_JSON_BYTES if file.suffix == ".json" else MAX_FILE_BYTES
    if status.st_size > max_bytes:
        raise ModelError(
            f"the model file {file} has {status.st_size} bytes, but at most {max_bytes} are read; "
            f"{REMEDY}"
        )


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        OSError: The file cannot be read.
        ModelError: It is not a file that `open_file` opens.
    """
    with open_file(file) as stream:
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
        ModelError: The file is missing, cannot be read, has another digest, or is not a file that
            `open_file` opens. The message ends with `remedy` if another file is needed.
    """
    try:
        actual = sha256_of(file)
    except OSError as error:
        require_readable(error, file)
        raise ModelError(f"the model file {file} is missing; {remedy}") from None
    if actual != expected:
        raise ModelError(
            f"the model file {file} is damaged: its digest differs from the one in {listed_in}; "
            f"{remedy}"
        )


def require_readable(error: OSError, file: Path) -> None:
    """Return if `error` says that the file is not there.

    Raises:
        ModelError: The file is there and cannot be read.
    """
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise ModelError(
            f"the model file {file} cannot be read ({error.strerror}); "
            "make it readable for the user that runs this program"
        ) from None


def read_tensors(file: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a safetensors file, by name.

    Raises:
        ModelError: The file cannot be read as safetensors.
    """
    try:
        return load_file(file)
    except (OSError, SafetensorError, ValueError):
        raise ModelError(f"{file} cannot be read as safetensors; {REMEDY}") from None
