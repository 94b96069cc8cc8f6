"""Which records of the internal topics a worker believes, and how many it did not believe."""

import logging
from collections.abc import Sequence

from agents.outcomes import DeadLettered, Incoming, Outcome, refused
from schemas.errors import InvalidEvent
from schemas.signing import SIGNATURE_HEADER, WorkerKeys
from streams.config import Settings
from streams.pipeline.failures import Process
from streams.refusals import OnRefused, ignore

log = logging.getLogger(__name__)

WITHOUT_KEY = (
    "no worker key is configured: whoever can write to an internal topic can forge decisions, "
    "cases and answers, so rely on the ACLs of the broker or set security.worker_key_env"
)
WITHOUT_REVIEWERS = (
    "no reviewers are configured: whoever can write to the feedback topic can decide as any person"
)


class Trust:
    """Tells the records of our workers from others.

    Without a key every record is believed. `on_refused` is called for each that is not.
    """

    def __init__(self, keys: WorkerKeys | None = None, on_refused: OnRefused = ignore) -> None:
        self.keys = keys or WorkerKeys()
        self.on_refused = on_refused

    def believes(self, record: Incoming) -> bool:
        """Whether a worker wrote this record to its topic."""
        topic = record.origin.topic
        reason = self.keys.record_refusal(topic, record.key, record.value, record.headers)
        if reason is not None:
            self.on_refused(topic, reason)
        return reason is None

    def guard(self, process: Process) -> Process:
        """The same process, with a dead letter for each record that is not believed."""
        if not self.keys.configured:
            return process

        async def believed_only(batch: Sequence[Incoming]) -> list[Outcome]:
            believed = [self.believes(record) for record in batch]
            known = [record for record, ours in zip(batch, believed, strict=True) if ours]
            outcomes = iter(await process(known) if known else [])
            return [next(outcomes) if ours else _unsigned() for ours in believed]

        return believed_only


def unprotected(settings: Settings) -> list[str]:
    """What the configuration leaves open, one sentence each."""
    sentences = []
    if not settings.security.read_keys().configured:
        sentences.append(WITHOUT_KEY)
    if not settings.reviewers:
        sentences.append(WITHOUT_REVIEWERS)
    return sentences


def _unsigned() -> DeadLettered:
    return refused(
        InvalidEvent(
            f"no worker has signed this record (header {SIGNATURE_HEADER}); find out who writes to "
            "its topic, or configure the key of the worker that wrote it",
            stage="authenticate",
        )
    )
