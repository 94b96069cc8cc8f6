"""Where an encoder lies: a directory here, or a repository of the Hugging Face hub, downloaded when asked for."""

import importlib
import re
from pathlib import Path

from inference.errors import ModelError
from inference.training.convert.checkpoint import PICKLE

FILES = ("*.json", "*.txt", "*.model", "model*.safetensors")
_HUB_ID = re.compile(r"[\w.-]+(?:/[\w.-]+)?")


def find_source(name: str) -> Path:
    """The directory of an encoder, by its path or its id on the hub.

    Raises:
        ModelError: it is no directory here, and the hub package is missing, out of reach, or does not know it.
    """
    if Path(name).is_dir():
        return Path(name)
    if not _HUB_ID.fullmatch(name):
        raise ModelError(
            f"{name} is no directory; give a Hugging Face encoder's directory or its hub id"
        )
    try:
        hub = importlib.import_module("huggingface_hub")
    except ModuleNotFoundError:
        raise ModelError(
            f"{name} is no directory here, and to fetch it from the hub takes huggingface_hub; pip install it, or give "
            "the encoder's directory"
        ) from None
    try:
        found = Path(hub.snapshot_download(name, allow_patterns=list(FILES)))
        if not any(found.glob("model*.safetensors")):
            found = Path(hub.snapshot_download(name, allow_patterns=[*FILES, PICKLE]))
    except Exception as error:  # noqa: BLE001 - the hub's client raises its own, its HTTP library's and the system's
        what = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{name} could not be fetched from the hub ({what}); check the name and the network, or give a directory"
        ) from None
    return found
