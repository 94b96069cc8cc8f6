"""What the workers count of a candidate: a small file of each worker, in the registry."""

import os
import re
import socket
from collections.abc import Collection
from pathlib import Path

import msgspec

from inference.errors import ModelError
from inference.learning.agreement import Agreement, together
from inference.model.files import read_bounded
from schemas.codec import prepared
from schemas.event import Domain
from streams.disk import write_atomically

FOLDER = "agreement"
MAX_BYTES = 1 << 20


class AgreementFile(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker has counted of one candidate.

    `current` names the models that it was compared with, by domain; None is that of `[model] path`.
    """

    candidate: str
    current: dict[Domain, str | None]
    domains: dict[Domain, Agreement]


def worker_name() -> str:
    """A name for this process among those that share a registry."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", f"{socket.gethostname()[:60]}-{os.getpid()}")


def write(directory: Path, candidate: str, data: bytes) -> None:
    """Write what this worker has counted of a candidate: an encoded `AgreementFile`.

    Raises:
        OSError: the registry cannot be written.
    """
    folder = directory / FOLDER
    folder.mkdir(exist_ok=True)
    write_atomically(folder / f"{candidate}.{worker_name()}.json", data)


def remove_others(directory: Path, candidates: Collection[str]) -> None:
    """Remove what was counted of models that are no candidates any more."""
    for file in (directory / FOLDER).glob("*.json"):
        if file.name.partition(".")[0] not in candidates:
            file.unlink(missing_ok=True)


def read(
    directory: Path, candidate: str, current: dict[Domain, str | None]
) -> dict[Domain, Agreement]:
    """What all workers have counted of a candidate beside the models that are served now."""
    by_domain: dict[Domain, list[Agreement]] = {}
    for file in sorted((directory / FOLDER).glob("*.json")):
        if not file.name.startswith(f"{candidate}."):
            continue
        try:
            document = msgspec.json.decode(
                read_bounded(file, MAX_BYTES), type=prepared(AgreementFile)
            )
        except (OSError, ModelError, msgspec.DecodeError, RecursionError):
            continue  # it is being replaced, or is none
        for domain, agreement in document.domains.items():
            if document.current.get(domain) == current.get(domain):
                by_domain.setdefault(domain, []).append(agreement)
    return {domain: together(agreements) for domain, agreements in by_domain.items()}
