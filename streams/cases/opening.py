"""Where the file of the view is, and the store in it."""

import hashlib
import logging
import os
from pathlib import Path

from streams.cases.store import CaseStore
from streams.cases.tables import VERSION
from streams.config import TEMPORARY, Settings
from streams.errors import StreamError
from streams.topics import Topics
from streams.trust import Trust

log = logging.getLogger(__name__)

NAME_CHARS = 16


def state_path(settings: Settings) -> Path:
    """The configured file, or one in `$XDG_CACHE_HOME/triage` or `~/.cache/triage`.

    Raises:
        StreamError: none is configured, and the user has no home directory.
    """
    if settings.review.state is not None:
        return Path(settings.review.state)
    servers = ",".join(sorted(settings.kafka.bootstrap_servers.replace(" ", "").split(",")))
    name = hashlib.sha256(f"{servers}\0{settings.topics.prefix}".encode()).hexdigest()
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise StreamError("the user has no home directory; set review.state to a file") from None
    # Two releases on one machine would make each other's file again.
    return cache / "triage" / f"cases-{name[:NAME_CHARS]}-{VERSION}.sqlite"


def open_store(settings: Settings, trust: Trust | None = None) -> CaseStore:
    """The store of these settings, in a temporary file if the default place cannot be written.

    A container may have neither a home nor a disk, and its worker must start nevertheless.

    Raises:
        ConfigError: a key of the workers cannot be read.
        StreamError: the configured file cannot be used.
    """
    trust = trust or Trust.of(settings)
    topics = Topics(settings.topics.prefix)
    if settings.review.state == TEMPORARY:
        return CaseStore(None, topics, trust, settings.limits)
    try:
        return CaseStore(state_path(settings), topics, trust, settings.limits)
    except StreamError as error:
        if settings.review.state is not None:
            raise
        log.warning("%s; it is kept in a temporary file and made again at every start", error)
        return CaseStore(None, topics, trust, settings.limits)
