"""The enrichment agent as a worker runs it: opened from the configuration, fed from the topics."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from aiokafka.errors import KafkaError
from msgspec.structs import replace

from agents.enrich import enrich
from agents.outcomes import Incoming, Outcome
from inference.errors import ConfigError
from inference.llm.budget import Budget
from inference.llm.cascade import Cascade
from inference.llm.consultant import Consultant
from inference.rules.ruling import Rules
from inference.serving import Served
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS
from schemas.triaged import Case, TriagedEvent
from streams.answered import Answered
from streams.config import PipelineSection, Settings
from streams.errors import StreamError
from streams.kafka.reader import follow
from streams.metrics import Metrics
from streams.topics import Topics
from streams.traces import NO_TRACES, Traces
from streams.trust import Trust
from streams.wiring.llm import (
    max_usd_per_event,
    open_cascade,
    open_consultant,
    open_library,
)

log = logging.getLogger(__name__)

REMEMBERED_S = 30 * 86_400.0
"""When a worker starts, the library reads settled events of this many seconds back."""
RETRY_S = 5.0


class EnrichmentAgent:
    """The enrichment agent with everything it needs.

    Without tiers it sends every case to review. `backlog` says how many cases are waiting on the
    enrichment topic, and `trust` which records of the topics are believed. `traces` follow the
    calls of endpoints.
    """

    def __init__(
        self,
        settings: Settings,
        classifier: Served,
        rules: Rules,
        backlog: Callable[[], int],
        trust: Trust | None = None,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._settings = settings
        self._trust = trust or Trust()
        self._renames = classifier.renames
        self._kept = settings.learning.rows_kept()
        self._topics = Topics(settings.topics.prefix)
        self._following: asyncio.Task[None] | None = None
        self.budget = Budget(settings.llm.budget, claimed=settings.topics.claimed)
        self.answered = Answered(settings.kafka, self._topics, self._trust)
        self.cascade: Cascade | None = None
        self.consultant: Consultant | None = None
        self.max_usd_per_event = 0.0
        if settings.llm.tiers:
            self._library = open_library(settings, classifier)
            self.cascade = open_cascade(settings, self.budget, traces)
            self.max_usd_per_event = max_usd_per_event(settings, classifier, self.cascade)
            self.consultant = open_consultant(
                settings, classifier, rules, self.cascade, self._library, backlog=backlog
            )

    @property
    def pipeline(self) -> PipelineSection:
        """One case per batch, and as many batches at once as the endpoints take.

        So no case waits for the slow answer about another. Without tiers, cases are batched as
        events are.
        """
        if not self._settings.llm.tiers:
            return self._settings.pipeline
        at_once = sum(
            self._settings.llm.endpoints[name].concurrency for name in self._settings.llm.tiers
        )
        return replace(
            self._settings.pipeline,
            max_batch_events=1,
            max_batch_wait_ms=0,
            batches_in_flight=max(1, at_once),
        )

    def observe(self, metrics: Metrics) -> None:
        """Set the gauges of the LLM tier."""
        if self.cascade is not None:
            breakers = {tier.name: tier.endpoint.state for tier in self.cascade.tiers}
            metrics.observe_llm(
                breakers, self.budget.spent_usd(), self._settings.llm.budget.usd_per_day
            )

    async def __call__(self, batch: Sequence[Incoming]) -> list[Outcome]:
        """End a batch of cases."""
        return await enrich(
            batch,
            consultant=self.consultant,
            memory=self.answered,
            limits=self._settings.limits,
            renames=self._renames,
            kept=self._kept,
        )

    def start(self) -> None:
        """Start to fill the library in the background: no case waits for what might be quoted."""
        if self.cascade and self._settings.retrieval.similar:
            self._following = asyncio.create_task(self._fill())
            self._following.add_done_callback(_warn)

    async def stop(self) -> None:
        """Stop filling the library, and close the connections of the endpoints."""
        if self._following is not None:
            self._following.cancel()
        if self.cascade is not None:
            await self.cascade.close()

    async def _fill(self) -> None:
        while True:
            try:
                await self._read()
            except (StreamError, ConfigError, KafkaError) as error:
                log.warning(
                    "settled events cannot be read (%s); trying again", type(error).__name__
                )
            await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        triaged = {self._topics.triaged(domain) for domain in DOMAINS}
        names = [*triaged, self._topics.enrichment, self._topics.review]
        limits, renames = self._settings.limits, self._renames
        async for record in follow(self._settings.kafka, names, time.time() - REMEMBERED_S):
            if not self._trust.believes(record):
                continue
            value = record.value or b""
            try:
                if record.origin.topic in triaged:
                    await self._library.see(renames.triaged(decode(value, TriagedEvent, limits)))
                else:
                    await self._library.see(renames.case(decode(value, Case, limits)))
            except InvalidEvent:
                continue  # nothing that could be quoted


def _warn(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.warning("settled events are no longer quoted to the LLM: %s", error)
