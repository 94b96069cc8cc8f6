"""Finds an encoder: a directory on this machine, or a repository of the Hugging Face hub."""

import importlib
import re
from pathlib import Path
from typing import Any

from inference.errors import ModelError
from inference.training.convert.checkpoint import PICKLE

FILES = ("*.json", "*.txt", "*.model", "model*.safetensors")
_HUB_ID = re.compile(r"[\w.-]+(?:/[\w.-]+)?")


def find_source(name: str) -> Path:
    """The directory of an encoder, by its path or its hub id. A hub id is downloaded.

    Raises:
        ModelError: there is no such directory, and the hub cannot be used: its package is not
            installed, it cannot be reached, or it does not know the id.
    """
    if Path(name).is_dir():
        return Path(name)
    if not _HUB_ID.fullmatch(name):
        raise ModelError(
            f"{name} is not a directory; give the directory of a Hugging Face encoder or its hub id"
        )
    hub = _import_hub(name)
    try:
        return _download(hub, name)
    except Exception as error:  # noqa: BLE001 - errors of the hub client, HTTP and the system
        raise ModelError(
            f"{name} could not be downloaded from the hub ({_first_line(error)}); check the name "
            "and the network, or give a directory"
        ) from None


def _import_hub(name: str) -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ModuleNotFoundError:
        raise ModelError(
            f"{name} is not a directory, and a download from the hub needs huggingface_hub; "
            "install it with pip, or give the directory of the encoder"
        ) from None


def _download(hub: Any, name: str) -> Path:
    """Download an encoder. The pickled weights are downloaded only if there are no others."""
    directory = Path(hub.snapshot_download(name, allow_patterns=list(FILES)))
    if any(directory.glob("model*.safetensors")):
        return directory
    return Path(hub.snapshot_download(name, allow_patterns=[*FILES, PICKLE]))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
