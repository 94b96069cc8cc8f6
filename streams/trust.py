"""Which records of the internal topics a worker believes, and how many it did not believe."""

from collections.abc import Sequence
from typing import Self

from agents.outcomes import DeadLettered, Incoming, Outcome, refused
from agents.reviewers import Reviewer
from schemas.errors import InvalidEvent
from schemas.signing import SIGNATURE_HEADER, WorkerKeys
from streams.config import Settings
from streams.pipeline.failures import Process
from streams.refusals import OnRefused, ignore

WITHOUT_KEY = (
    "no worker key is configured: whoever can write to an internal topic can forge decisions, "
    "cases and answers, so rely on the ACLs of the broker or set security.worker_key_env"
)
UNSIGNED_UNTIL = (
    "records without a signature are still believed until the end of security.unsigned_until: "
    "whoever can write to an internal topic can forge them"
)
WITHOUT_REVIEWERS = (
    "no reviewers are configured: whoever can write to the feedback topic can decide as any person"
)


class Trust:
    """Tells the records of our workers from others.

    Without a key every record is believed. `on_refused` is called for each that is not.
    `reviewers` are those whose verdicts are believed; without any, everybody's are.
    """

    def __init__(
        self,
        keys: WorkerKeys | None = None,
        on_refused: OnRefused = ignore,
        reviewers: Sequence[Reviewer] = (),
    ) -> None:
        self.keys = keys or WorkerKeys()
        self.reviewers = reviewers
        self._on_refused = on_refused

    @classmethod
    def of(cls, settings: Settings, on_refused: OnRefused = ignore) -> Self:
        """Trust as the configuration asks for it.

        Raises:
            ConfigError: a key cannot be read.
        """
        reviewers = [section.reviewer() for section in settings.reviewers]
        return cls(settings.security.read_keys(), on_refused, reviewers)

    def believes(self, record: Incoming) -> bool:
        """Whether a worker wrote this record to its topic."""
        topic = record.origin.topic
        reason = self.keys.record_refusal(topic, record.key, record.value, record.headers)
        if reason is not None:
            self._on_refused(topic, reason)
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
    """What the configuration leaves open, one sentence each.

    Raises:
        ConfigError: a key cannot be read.
    """
    trust = Trust.of(settings)
    keys = trust.keys
    open_to_all = {
        WITHOUT_KEY: not keys.configured,
        UNSIGNED_UNTIL: keys.configured and keys.accepts_unsigned,
        WITHOUT_REVIEWERS: not trust.reviewers,
    }
    return [sentence for sentence, is_open in open_to_all.items() if is_open]


def _unsigned() -> DeadLettered:
    return refused(
        InvalidEvent(
            f"no worker has signed this record (header {SIGNATURE_HEADER}); find out who writes to "
            "its topic, or configure the key of the worker that wrote it",
            stage="authenticate",
        )
    )
