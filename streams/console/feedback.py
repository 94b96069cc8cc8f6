"""Sends the verdicts of the console to the feedback topic."""

from collections.abc import Sequence

from agents.reviewers import Reviewer
from inference.errors import ConfigError
from schemas.errors import InvalidEvent
from schemas.triaged import Verdict
from streams.cases.decide import check_verdict_labels, record_of, reviewer_for
from streams.config import Settings
from streams.console.check import check_reviewer
from streams.console.journal import GivenVerdict
from streams.errors import StreamError
from streams.kafka.producer import Producer
from streams.models.served import ServedModels
from streams.topics import Topics


class Feedback:
    """The producer of the console, which connects when it is needed, and again after a fault.

    Raises:
        ConfigError: `console.reviewer` is none of the reviewers.
    """

    def __init__(self, settings: Settings, models: ServedModels) -> None:
        self._settings = settings
        self._topic = Topics(settings.topics.prefix).feedback
        self._labels = models.allowed_labels
        self._renames = models.serving.renames
        self._producer: Producer | None = None
        self._sections = {section.name: section for section in settings.reviewers}
        check_reviewer(settings)

    def check(self, given: GivenVerdict) -> None:
        """Refuse a verdict that the feedback agent would refuse for its labels or its signature.

        Raises:
            InvalidEvent: the message says what is allowed.
        """
        verdict = verdict_of(given)
        check_verdict_labels(verdict, self._labels, self._renames)
        try:
            self._reviewer_for(verdict)
        except ConfigError as error:
            raise InvalidEvent(str(error), stage="authenticate") from None

    async def send(self, given: Sequence[GivenVerdict]) -> None:
        """Put verdicts on the feedback topic; returns when the broker has them all.

        Raises:
            StreamError: it has not.
            ConfigError: a key cannot be read any more.
        """
        verdicts = [verdict_of(each) for each in given]
        records = [record_of(each, self._topic, self._reviewer_for(each)) for each in verdicts]
        if self._producer is None:
            producer = Producer(self._settings.kafka)
            await producer.start()
            self._producer = producer
        try:
            receipts = [await self._producer.send(record) for record in records]
            await self._producer.confirm(receipts)
        except StreamError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()

    def _reviewer_for(self, verdict: Verdict) -> Reviewer | None:
        """Whose key signs a verdict: that of the person, or that of the console."""
        configured = self._settings.console.reviewer
        if configured is None or verdict.by in self._sections:
            return reviewer_for(self._settings, verdict)
        return self._sections[configured].reviewer()


def verdict_of(given: GivenVerdict) -> Verdict:
    """The record of a verdict on the feedback topic."""
    return Verdict(
        id=given.id,
        domain=given.domain,
        tenant=given.tenant,
        labels=given.labels,
        by=given.by,
        comment=given.comment,
        about=given.about,
    )
