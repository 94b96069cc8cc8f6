"""The parts of the figures that others know: lag, the promise, learning, and the candidate."""

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.event import DOMAINS
from streams.config import Settings
from streams.console.candidate import candidate_part
from streams.console.figures import Part
from streams.console.learned import learning_part
from streams.errors import StreamError
from streams.kafka.reader import committed_offsets, reading
from streams.models.served import ServedModels
from streams.promise import PromiseWatch
from streams.topics import Topics

LAG_AGE_S = 5.0
LAG_TIMEOUT_S = 5.0
UNCHECKED = "no spot check has been decided yet; see `triage promise`"


def parts(settings: Settings, models: ServedModels, watch: PromiseWatch) -> dict[str, Part]:
    """Each part by its name."""
    return {
        "lag": Lag(settings).read,
        "promise": _promise(models, watch),
        "learning": learning_part(settings, models),
        "candidate": candidate_part(models.registry),
    }


def _promise(models: ServedModels, watch: PromiseWatch) -> Part:
    """The promise of each domain that has checks; of several, the one that is worst kept."""

    async def say() -> tuple[Any, str | None]:
        found = {}
        for domain in models.serving.domains:
            reports = watch.reports_of(domain)
            if reports:
                report, promise = reports[0], models.serving.promise(domain)
                found[domain] = {
                    "state": report.state,
                    "estimate": report.estimate,
                    "low": report.lower,
                    "high": report.upper,
                    "alpha": report.limit,
                    "delta": promise.delta,
                    "checks": report.checks,
                    "wrong": report.wrong,
                    "threshold": report.threshold,
                }
        if not found:
            return None, watch.why_unread or UNCHECKED
        return found, None

    return say


class Lag:
    """How many records the workers have not settled yet, by topic; seldom asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        topics = Topics(settings.topics.prefix)
        inputs = [topics.input(domain) for domain in DOMAINS]
        self._topics = [*inputs, topics.enrichment, topics.feedback]
        self._reading = asyncio.Lock()
        self._read_s = float("-inf")
        self._last: tuple[Any, str | None] = (None, None)

    async def read(self) -> tuple[Any, str | None]:
        """The lag of each topic, or why it cannot be said."""
        async with self._reading:
            if time.monotonic() - self._read_s > LAG_AGE_S:
                try:
                    async with asyncio.timeout(LAG_TIMEOUT_S):
                        self._last = await self._ask(), None
                except (StreamError, TimeoutError) as error:
                    self._last = None, str(error) or "the broker does not answer in time"
                self._read_s = time.monotonic()
            return self._last

    async def _ask(self) -> dict[str, Any]:
        kafka = self._settings.kafka
        async with reading(kafka, self._topics, from_beginning=True) as consumer:
            ends = await _ends(consumer)
        committed = await committed_offsets(kafka, list(ends), kafka.group_id)
        lags = dict.fromkeys(self._topics, 0)
        for partition, end in ends.items():
            lags[partition.topic] += max(0, end - committed[partition])
        rows = [{"topic": topic, "lag": lag} for topic, lag in lags.items()]
        return {"topics": rows, "total": sum(lags.values())}


async def _ends(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    ends: dict[TopicPartition, int] = await consumer.end_offsets(list(consumer.assignment()))
    return ends
