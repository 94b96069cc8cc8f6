"""The worker process: it starts, works, and ends without losing an event."""

import asyncio
import logging
import signal
from collections.abc import Collection, Coroutine, Iterator
from functools import partial
from typing import Any

from aiokafka.errors import KafkaError

from inference.model import language
from inference.rules.ruling import Rules
from streams.app import build
from streams.audit.trail import AuditTrail
from streams.cases.view import CaseView
from streams.config import AgentName, Settings
from streams.enrichment import EnrichmentAgent
from streams.errors import BrokerUnreachable, StreamError, TopicsMissing
from streams.http import HttpServer
from streams.kafka.admin import check_topics
from streams.kafka.producer import Producer
from streams.learning.process import LearnerProcess
from streams.metrics import Metrics
from streams.models.served import ServedModels
from streams.models.shadow import Shadow
from streams.pipeline.consumer import GroupConsumer
from streams.problems import Problem
from streams.promise import PromiseWatch
from streams.stalls import (
    leave_full_collections_to_the_watchdog,
    let_the_loop_in_soon,
    watch_stalls,
)
from streams.topics import Topics
from streams.trust import Trust, unprotected
from streams.wiring.model import open_rules, open_served, open_shadow, require_registry
from streams.wiring.traces import open_traces

log = logging.getLogger(__name__)

STARTUP_PATIENCE_S = 60.0
RETRY_S = 1.0
# With the drain, the last commit and the producer this makes less than ten seconds.
STOP_TIMEOUT_S = 3.0
TOPICS_CHECK_S = 60.0
"""How often the topics are checked while the worker runs.

Somebody may delete one, and a broker that creates topics by itself makes it again with its own
retention.
"""


async def wait_for_topics(settings: Settings, patience_s: float = STARTUP_PATIENCE_S) -> None:
    """Return when the broker answers and has every topic; it may take `patience_s` to start.

    Raises:
        BrokerUnreachable: no broker answered in time.
        TopicsMissing: a broker answered, but a topic is missing or not as it must be.
    """
    deadline_s = asyncio.get_running_loop().time() + patience_s
    while True:
        try:
            problems = await check_topics(settings)
        except BrokerUnreachable as error:
            if asyncio.get_running_loop().time() > deadline_s:
                raise
            log.warning("%s; waiting", error)
            await asyncio.sleep(RETRY_S)
            continue
        if problems:
            raise TopicsMissing(problems[0])
        return


def _is_idle(consumer: GroupConsumer) -> bool:
    """Whether no event is in hand."""
    return not any(consumer.offsets.progress_age_s().values())


def _log_failure(task: asyncio.Task[None]) -> None:
    """Say that something beside the pipeline has failed; the events go on."""
    if not task.cancelled() and (error := task.exception()):
        log.error("a task of the worker failed, and goes on after a restart: %r", error)


class Worker:
    """Runs the pipeline until it is told to stop, or until an error that must stop it."""

    def __init__(self, settings: Settings, agents: Collection[AgentName]) -> None:
        self._settings = settings
        self._agents = agents
        self._ended = asyncio.Event()
        self._failure: BaseException | None = None
        self._consumer: GroupConsumer | None = None
        self._producer = Producer(settings.kafka)
        self._topic_problems: list[str] = []
        self._topics = Topics(settings.topics.prefix)
        self._traces = open_traces(settings)

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, then drain.

        Raises:
            StreamError, InferenceError: the worker could not start, or could not continue.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._ended.set)
        if "learn" in self._agents:
            require_registry(self._settings)
        models = open_served(self._settings)
        rules = open_rules(self._settings, models.serving)
        metrics = Metrics(models.serving.usual_queues())
        trust = Trust.of(self._settings, metrics.note_refused)
        promise = PromiseWatch(self._settings, models.serving, trust)
        models.on_change.append(promise.use)
        http = HttpServer(self._settings.http, metrics, self._why_not_ready, promise.notes)
        producer = self._producer
        try:
            await http.start()
            if await self._stopped_before(wait_for_topics(self._settings)):
                return
            await producer.start()
            await self._work(models, rules, producer, metrics, promise)
        finally:
            await producer.stop()
            await self._traces.stop()
            await http.stop()
            await models.close()
        if self._failure is not None:
            raise self._failure

    def fail(self, error: BaseException) -> None:
        """Stop the worker because of `error`; only the first error counts."""
        if self._failure is None:
            self._failure = error
            log.error("stopping, nothing undelivered is acked: %s", error)
        self._ended.set()

    async def _stopped_before(self, waiting: Coroutine[Any, Any, None]) -> bool:
        """Wait for `waiting` to end; true if the worker was told to stop before that."""
        stop, wait = asyncio.create_task(self._ended.wait()), asyncio.create_task(waiting)
        await asyncio.wait((stop, wait), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not wait.done():
            wait.cancel()
            return True
        wait.result()
        return False

    async def _work(
        self,
        models: ServedModels,
        rules: Rules,
        producer: Producer,
        metrics: Metrics,
        promise: PromiseWatch,
    ) -> None:
        audit = AuditTrail(self._settings, on_refused=metrics.note_refused)
        shadow = open_shadow(self._settings, models)
        models.on_decided.append(shadow.offer)
        cases = CaseView(self._settings, Trust.of(self._settings, metrics.note_refused))
        self._consumer, enrichment = consumer, _ = build(
            self._settings,
            agents=self._agents,
            models=models,
            rules=rules,
            producer=producer,
            audit=audit,
            metrics=metrics,
            cases=cases,
            fail=self.fail,
            traces=self._traces,
        )
        self._show(metrics, models, enrichment, shadow)
        background = self._start_background(models, shadow, consumer, metrics)
        try:
            # This reads where each tenant's chain ends, and what is spent of today's budget.
            on_spend = enrichment.budget.note if self._settings.llm.tiers else None
            await audit.start(on_spend, max_usd=enrichment.max_usd_per_event)
            enrichment.start()
            if "feedback" in self._agents:
                await cases.start()
            if "classify" in self._agents:
                # What was accepted too often before a restart must not be accepted after it.
                metrics.when_rendered(promise.observe)
                if await self._stopped_before(promise.start()):
                    return
            # A worker that only learns reads no topic of the group.
            joining = consumer.start() if consumer.agent_pipelines else asyncio.sleep(0)
            if not await self._stopped_before(joining):
                log.info("working: agents %s", ", ".join(self._agents))
                for sentence in unprotected(self._settings):
                    log.warning("%s", sentence)
                await self._ended.wait()
        finally:
            for task in background:
                task.cancel()
            await self._end(consumer)
            await asyncio.gather(*background, return_exceptions=True)
            await shadow.close()
            await enrichment.stop()
            await promise.stop()
            await audit.stop()
            await cases.stop()

    def _show(
        self,
        metrics: Metrics,
        models: ServedModels,
        enrichment: EnrichmentAgent,
        shadow: Shadow,
    ) -> None:
        """Let the metrics show what these know when somebody asks for them."""
        models.on_change.append(lambda next_: metrics.expect_queues(next_.usual_queues()))
        metrics.when_rendered(enrichment.observe)
        metrics.when_rendered(lambda metrics: metrics.observe_truncated(models.truncated))
        metrics.when_rendered(lambda metrics: metrics.observe_encoded(models.encoded_texts))
        metrics.when_rendered(lambda metrics: metrics.observe_candidate(shadow.agreement))
        metrics.when_rendered(lambda metrics: metrics.observe_problems(self._problems()))

    def _start_background(
        self, models: ServedModels, shadow: Shadow, consumer: GroupConsumer, metrics: Metrics
    ) -> list[asyncio.Task[None]]:
        """Start what runs beside the pipeline. If one of these fails, the events go on."""
        leave_full_collections_to_the_watchdog()
        let_the_loop_in_soon()
        is_idle = partial(_is_idle, consumer)
        work = [
            watch_stalls(metrics.loop_stall.observe, is_idle),
            self._watch_topics(),
            models.watch(),
            shadow.run(),
        ]
        if "classify" in self._agents:
            # Otherwise the first event in another language would wait for it.
            work.append(asyncio.to_thread(language.load))
        if "learn" in self._agents:
            work.append(LearnerProcess(self._settings).run())
        tasks = [asyncio.create_task(each) for each in work]
        for task in tasks:
            task.add_done_callback(_log_failure)
        return tasks

    async def _watch_topics(self) -> None:
        while True:
            await asyncio.sleep(TOPICS_CHECK_S)
            try:
                found = await check_topics(self._settings)
            except (StreamError, KafkaError) as error:
                log.debug("the topics cannot be checked (%s)", type(error).__name__)
                continue  # that the broker is away is told elsewhere
            if found and found != self._topic_problems:
                log.error("%s", found[0])
            self._topic_problems = found

    async def _end(self, consumer: GroupConsumer) -> None:
        if self._failure is None:
            if await consumer.drain():
                log.info("drained")
            else:
                log.info("drained in part; the rest will be read again")
        # Not `wait_for`: that waits for ever if Faust loses the cancellation.
        stopping = asyncio.create_task(consumer.stop())
        await asyncio.wait((stopping,), timeout=STOP_TIMEOUT_S)
        if stopping.done():
            stopping.result()
        else:
            stopping.cancel()
            log.warning("the consumer did not stop in %.0f s; leaving it", STOP_TIMEOUT_S)

    def _problems(self) -> Iterator[Problem]:
        """What keeps the worker from its events, or the events from their topics."""
        if self._consumer is not None:
            yield from self._consumer.problems()
        for sentence in self._topic_problems:
            yield Problem("topics", None, sentence)
        for partition in self._producer.leaderless():
            sentence = f"{partition} has no leader, and its outputs wait; start its brokers"
            yield Problem("leaderless", partition, sentence)

    def _why_not_ready(self) -> str | None:
        if self._ended.is_set():
            return "the worker is stopping"
        if self._consumer is None:
            return "waiting for the broker and its topics"
        for problem in self._problems():
            return problem.sentence
        if not self._consumer.assigned and self._consumer.agent_pipelines:
            return "no partitions are assigned yet"
        for partition, age_s in self._consumer.offsets.progress_age_s().items():
            if age_s > self._patience_s(partition.topic):
                return f"an event has been in hand for {age_s:.0f} s; offsets are not progressing"
        return None

    def _patience_s(self, topic: str) -> float:
        """How long an event of a topic may be in hand.

        A case for the LLM may wait for its turn, and then take all of its time.
        """
        patience_s = self._settings.http.progress_timeout_s
        if topic == self._topics.enrichment:
            patience_s += 2 * self._settings.llm.patience_s
        return patience_s
