"""Sends verdicts by their ids, and says what became of them."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer

from agents.cases import Known, place_of
from agents.reviewers import REVIEWER_HEADER, REVIEWER_SIGNATURE_HEADER, Reviewer
from agents.verdict_checks import check_labels
from inference.errors import ConfigError
from inference.labels.renames import NO_RENAMES, Renames
from inference.model.artifact import load_manifest
from schemas.codec import encode_short
from schemas.deadletter import DeadLetterHeaders
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS, Domain
from schemas.triaged import LabelSets, TriagedEvent, Verdict
from streams.cases.view import CaseView
from streams.config import Settings
from streams.errors import StreamError
from streams.kafka.producer import Producer
from streams.kafka.reader import reading, seek_recent
from streams.kafka.record import Record, from_record
from streams.topics import Topics
from streams.wiring.model import model_directory, open_labels, public_key

POLL_MS = 200


@dataclass(frozen=True, slots=True)
class Refused:
    """A verdict that no worker has taken, and why."""

    verdict: Verdict
    reason: str


def served_labels(settings: Settings) -> tuple[LabelSets, Renames]:
    """The labels that a verdict may name, and old names of them; the model is not loaded.

    Raises:
        ConfigError: the labels file cannot be used.
        ModelError: the model directory is missing, damaged or not signed as configured.
    """
    file = open_labels(settings)
    manifest = load_manifest(model_directory(settings), public_key=public_key(settings))
    labels: dict[Domain, dict[str, tuple[str, ...]]] = {}
    for domain in DOMAINS:
        if domain in manifest.domains:
            axes = {axis: spec.labels for axis, spec in manifest.domains[domain].axes.items()}
            labels[domain] = file.renames.axes(domain, axes)
    return labels, file.renames


def check_verdict_labels(
    verdict: Verdict, labels: LabelSets, renames: Renames = NO_RENAMES
) -> None:
    """Refuse a verdict whose labels the worker would refuse, by the same check.

    Without a domain, its labels must be those of one of the domains.

    Raises:
        InvalidEvent: the message says what is allowed.
    """
    domains = [verdict.domain] if verdict.domain else [each for each in DOMAINS if each in labels]
    refusals: list[InvalidEvent] = []
    for domain in domains:
        try:
            check_labels(renames.chosen(domain, verdict.labels), domain, labels)
        except InvalidEvent as error:
            refusals.append(error)
        else:
            return
    raise refusals[0]


def reviewer_for(settings: Settings, verdict: Verdict) -> Reviewer | None:
    """Whose key signs a verdict: that of the reviewer whom it names, or of the only one.

    None if no reviewers are configured.

    Raises:
        ConfigError: there are several, and none of them is named; or a key cannot be read.
    """
    sections = settings.reviewers
    if not sections:
        return None
    named = [section for section in sections if section.name == verdict.by] or sections
    if len(named) > 1:
        names = ", ".join(section.name for section in sections)
        raise ConfigError(
            f"names several ({names}), and none of them is {verdict.by[:100]!r}; give the verdict "
            "in the name of one of them",
            key="reviewers",
        )
    return named[0].reviewer()


def record_of(verdict: Verdict, topic: str, reviewer: Reviewer | None) -> Record:
    """The record of a verdict, signed by a reviewer if there is one.

    Raises:
        InvalidEvent: the verdict names no id.
    """
    id_ = verdict.id if verdict.triaged is None else verdict.triaged.id
    if id_ is None:
        raise InvalidEvent("the verdict names no event; give it an id", stage="validate")
    value = encode_short(verdict)
    headers: list[tuple[str, bytes | None]] = []
    if reviewer is not None:
        signature = hmac.digest(reviewer.key, value, "sha256").hex().encode()
        headers = [
            (REVIEWER_HEADER, reviewer.name.encode()),
            (REVIEWER_SIGNATURE_HEADER, signature),
        ]
    return Record(topic, id_.encode(), value, headers)


async def send_verdicts(
    settings: Settings,
    verdicts: Sequence[Verdict],
    *,
    producer: Producer,
    labels: LabelSets | None = None,
    renames: Renames = NO_RENAMES,
) -> list[str]:
    """Write verdicts to the feedback topic, when all of them have passed the check of the labels.

    Args:
        settings: name the topics and the reviewers.
        verdicts: with the id of the event each.
        producer: was started.
        labels: what a verdict may name; without it, the labels of the configured model are read.
        renames: old names of `labels`.

    Returns:
        The place of each verdict on its topic, ``TOPIC[PARTITION]@OFFSET``.

    Raises:
        InvalidEvent: a verdict would be refused; nothing was sent.
        ConfigError: no key can be found to sign a verdict with.
        StreamError: the broker did not take all of them.
    """
    if labels is None:
        served, renames = await asyncio.to_thread(served_labels, settings)
    else:
        served = labels
    topic = Topics(settings.topics.prefix).feedback
    for verdict in verdicts:
        check_verdict_labels(verdict, served, renames)
    records = [record_of(each, topic, reviewer_for(settings, each)) for each in verdicts]
    receipts = [await producer.hand_over(record) for record in records]
    await producer.confirm(receipts)
    metadata = [await receipt for receipt in receipts]
    return [place_of(each.topic, each.partition, each.offset) for each in metadata]


class DeadLetterWatch:
    """The dead letters of verdicts that come from now on, by the place of the verdict."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.reasons: dict[str, str] = {}

    async def read(self) -> None:
        """Read what has come."""
        batches = await self._consumer.getmany(timeout_ms=POLL_MS)
        for batch in batches.values():
            for record in batch:
                headers = DeadLetterHeaders.read(from_record(record).headers)
                place = f"{headers.topic}[{headers.partition}]@{headers.offset}"
                self.reasons[place] = headers.message


@asynccontextmanager
async def watching_dead_letters(settings: Settings) -> AsyncIterator[DeadLetterWatch]:
    """Watch the dead letters; open it before the verdicts are sent.

    Raises:
        BrokerUnreachable: no broker answers.
    """
    topic = Topics(settings.topics.prefix).deadletter
    async with reading(settings.kafka, [topic], from_beginning=False) as consumer:
        await seek_recent(consumer, 0)
        yield DeadLetterWatch(consumer)


async def decide(
    settings: Settings,
    verdict: Verdict,
    *,
    view: CaseView,
    producer: Producer,
    timeout_s: float,
    labels: LabelSets | None = None,
    renames: Renames = NO_RENAMES,
) -> TriagedEvent | Refused:
    """Send one verdict, and wait until a worker has taken or refused it.

    Returns:
        The revision that it has made, or why it was refused.

    Raises:
        InvalidEvent: it would be refused; nothing was sent.
        StreamError: the broker does not answer, or no worker has within `timeout_s`.
    """
    async with watching_dead_letters(settings) as letters:
        (place,) = await send_verdicts(
            settings, [verdict], producer=producer, labels=labels, renames=renames
        )
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    await letters.read()
                    if place in letters.reasons:
                        return Refused(verdict, letters.reasons[place])
                    known = await view.find(
                        str(verdict.id), domain=verdict.domain, tenant=verdict.tenant
                    )
                    made = _made_by(verdict, place, known, renames)
                    if made is not None:
                        return made
        except TimeoutError:
            raise StreamError(
                f"the verdict was sent ({place}), but no worker has answered in {timeout_s:.0f} s; "
                "check that a worker with the agent feedback is running"
            ) from None


def _made_by(
    verdict: Verdict, place: str, known: Known | None, renames: Renames
) -> TriagedEvent | None:
    """The revision that a verdict has made; None if it has made none yet.

    Of a verdict that somebody sent twice, it is the revision that the first one made.
    """
    if known is None:
        return None
    for revision in known.revisions:
        if known.verdicts.get(revision.revision) == place:
            return revision
    current = known.current
    labels = {axis: label.value for axis, label in current.labels.items()}
    chosen = renames.chosen(current.domain, verdict.labels)
    by = f"decided by {verdict.by}"
    reason = current.reasons[-1] if current.reasons else ""
    same = current.decided_by == "human" and chosen and chosen.items() <= labels.items()
    return current if same and _is_by(reason, by, verdict.comment) else None


def _is_by(reason: str, by: str, comment: str | None) -> bool:
    if comment:
        return reason.startswith(by) and reason.endswith(f": {comment}")
    return reason == by or reason.startswith(f"{by}, signed by ")
