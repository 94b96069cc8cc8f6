"""The demo: a broker, a worker, the console, the sample events, and a count of the results."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Literal

import aiohttp
from msgspec.structs import replace

from agents.outcomes import Incoming
from inference.llm.options import CostOptions, LlmOptions
from inference.llm.spending import assumed_usd
from inference.record_file import read_lines
from schemas.codec import decode
from schemas.deadletter import DeadLetterHeaders
from schemas.event import DOMAINS, Domain
from schemas.triaged import Identity, TriagedEvent
from streams.config import (
    TEMPORARY,
    ConsoleSection,
    KafkaSection,
    ReviewSection,
    Settings,
    as_environment,
)
from streams.errors import StreamError
from streams.kafka.admin import create_topics
from streams.kafka.reader import reading
from streams.kafka.record import from_record
from streams.local.brokers.embedded import EmbeddedBroker
from streams.local.brokers.loopback import HOST, free_ports
from streams.source import produce
from streams.topics import Topics

SAMPLES = Path(__file__).parent.parent / "samples"
CHARS_PER_TOKEN = 4
WORKER_START_TIMEOUT_S = 60.0
WORKER_STOP_TIMEOUT_S = 15.0
SETTLE_TIMEOUT_S = 60.0

After = Callable[["DemoProgress", str], Awaitable[None]]


@dataclass
class DemoProgress:
    """What has come out on the output topics so far."""

    sent: int = 0
    sent_chars: int = 0
    first: dict[Identity, TriagedEvent] = field(default_factory=dict)
    """Revision 0, by what tells events apart: two of them may have the same id or record."""
    ended: set[str] = field(default_factory=set)
    dead_letters: int = 0
    records: set[tuple[str, str, str]] = field(default_factory=set)
    """Topic, partition and offset of the records of which something has come out."""
    started_s: float = field(default_factory=time.monotonic)
    finished_s: float = 0.0

    def note(self, topics: Topics, record: Incoming) -> None:
        """Count one output record."""
        self.finished_s = time.monotonic()
        if record.origin.topic == topics.deadletter:
            self.dead_letters += 1
            headers = DeadLetterHeaders.read(record.headers)
            self.records.add((headers.topic, headers.partition, headers.offset))
            return
        triaged = decode(record.value or b"", TriagedEvent)
        if triaged.revision == 0:
            origin = triaged.origin
            self.first[triaged.identity] = triaged
            self.records.add((origin.topic, str(origin.partition), str(origin.offset)))
        else:
            self.ended.add(triaged.id)

    @property
    def accepted(self) -> int:
        """Events that the small model decided alone."""
        return sum(triaged.status == "final" for triaged in self.first.values())

    @property
    def escalated(self) -> int:
        """Events that the small model did not decide alone."""
        return len(self.first) - self.accepted

    @property
    def complete(self) -> bool:
        """Whether every record sent has come out, and every escalated event has ended."""
        escalated = {
            triaged.id for triaged in self.first.values() if triaged.status == "provisional"
        }
        return len(self.records) >= self.sent and escalated <= self.ended

    def percentile_s(self, duration: Literal["inference_s", "total_s"], share: float) -> float:
        """A percentile of a duration in the timing of revision 0, in seconds."""
        times: list[float] = sorted(
            getattr(triaged.timing, duration) for triaged in self.first.values()
        )
        if not times:
            return 0.0
        return times[min(len(times) - 1, int(share * len(times)))]

    def events_per_second(self) -> float:
        """Events sent per second, from the first event sent to the last output."""
        return self.sent / max(1e-9, self.finished_s - self.started_s)


def all_llm_cost_usd(cost: CostOptions, progress: DemoProgress) -> float:
    """What an LLM would have cost for every event: list prices, four characters per token."""
    text_usd = progress.sent_chars / CHARS_PER_TOKEN * cost.llm_input_usd_per_million / 1_000_000
    return assumed_usd(cost, progress.sent) + text_usd


async def run(
    settings: Settings,
    *,
    rate: float,
    port: int | None,
    say: Callable[[str], None],
    show: Callable[[DemoProgress], None],
    after: After | None = None,
) -> DemoProgress:
    """Run the demo; every process it started is gone when it returns.

    `say` gets a line about each step, `show` the counts as they change. With `after`, a console is
    started too. `after` is called with the results and the address of the console, and everything
    goes on until it returns.

    Raises:
        StreamError: a step failed, or events were missing at the end.
    """
    say("starting the embedded broker")
    async with _embedded_broker(port) as bootstrap_servers:
        settings = at(settings, bootstrap_servers)
        # This broker has no idempotent producers, which "auto" would find out with an error in the
        # log.
        settings = replace(settings, kafka=replace(settings.kafka, idempotence="off"))
        await create_topics(settings)
        say(f"broker at {bootstrap_servers}; starting the worker")
        async with AsyncExitStack() as processes:
            await processes.enter_async_context(worker(settings))
            if after is not None:
                await processes.enter_async_context(console(settings))
                say(f"console at {url_of(settings)}")
            say(f"worker ready; streaming the samples at {rate:g} events a second")
            progress = await _stream(settings, rate, show)
            if after is not None:
                await after(progress, url_of(settings))
            return progress


@asynccontextmanager
async def _embedded_broker(port: int | None) -> AsyncIterator[str]:
    broker = EmbeddedBroker(port)
    try:
        await asyncio.to_thread(broker.start)
        yield broker.bootstrap_servers
    finally:
        await asyncio.to_thread(broker.stop)


def at(settings: Settings, bootstrap_servers: str) -> Settings:
    """The settings for a broker of our own, free ports on loopback, and no LLM."""
    http, console_ = free_ports(2)
    return replace(
        settings,
        kafka=KafkaSection(bootstrap_servers=bootstrap_servers),
        topics=replace(settings.topics, replication=1),
        http=replace(settings.http, host=HOST, port=http),
        console=ConsoleSection(host=HOST, port=console_),
        llm=LlmOptions(),
        review=ReviewSection(state=TEMPORARY),
    )


async def _stream(
    settings: Settings, rate: float, show: Callable[[DemoProgress], None]
) -> DemoProgress:
    topics = Topics(settings.topics.prefix)
    lines: dict[Domain, list[bytes]] = {
        domain: list(read_lines(str(SAMPLES / f"{domain}.ndjson"))) for domain in DOMAINS
    }
    outputs = [*(topics.triaged(domain) for domain in DOMAINS), topics.deadletter]
    async with reading(settings.kafka, outputs, from_beginning=True) as consumer:
        progress = DemoProgress(
            sent=sum(map(len, lines.values())),
            sent_chars=sum(len(line) for of_domain in lines.values() for line in of_domain),
        )
        rates = {domain: rate * len(lines[domain]) / progress.sent for domain in DOMAINS}
        sending = asyncio.gather(
            *(produce(settings, lines[domain], domain, rate=rates[domain]) for domain in DOMAINS)
        )
        deadline_s = time.monotonic() + progress.sent / rate + SETTLE_TIMEOUT_S
        while not progress.complete and time.monotonic() < deadline_s and not _failed(sending):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    progress.note(topics, from_record(record))
            show(progress)
        await sending
    if not progress.complete:
        missing = progress.sent - len(progress.records)
        raise StreamError(
            f"{missing} of {progress.sent} events did not come out in time; run `triage doctor`"
        )
    return progress


def _failed(sending: "asyncio.Future[list[None]]") -> bool:
    return sending.done() and sending.exception() is not None


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker process with these settings, ready when the block begins and drained when it ends.

    Raises:
        StreamError: it did not start.
    """
    ready = f"http://{settings.http.host}:{settings.http.port}/ready"
    async with _running(settings, "worker", ready) as process:
        yield process


@asynccontextmanager
async def console(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """A console process with these settings, which answers when the block begins.

    Raises:
        StreamError: it did not start.
    """
    async with _running(settings, "console", f"{url_of(settings)}/api/v1/session") as process:
        yield process


def url_of(settings: Settings) -> str:
    """The address of the console."""
    return f"http://{settings.console.host}:{settings.console.port}"


@asynccontextmanager
async def _running(
    settings: Settings, command: str, ready: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of ours, from when it answers at `ready` until the end of the block."""
    quiet = replace(settings.log, level="warning", format="plain")
    environment = os.environ | as_environment(replace(settings, log=quiet))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "streams.cli",
        command,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        # What it prints would break the progress bar, and the table of the results.
        stdout=asyncio.subprocess.DEVNULL,
        # Ctrl-C is for the demo, which ends its processes one after the other.
        process_group=0,
    )
    try:
        await _wait_until_ready(command, ready, process)
        yield process
    finally:
        await _end(command, process)


async def _wait_until_ready(command: str, url: str, process: asyncio.subprocess.Process) -> None:
    deadline_s = time.monotonic() + WORKER_START_TIMEOUT_S
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline_s and process.returncode is None:
            try:
                async with session.get(url) as answer:
                    if answer.status == HTTPStatus.OK:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    if process.returncode is not None:
        raise StreamError(
            f"the {command} ended with exit code {process.returncode}; its reason is above"
        )
    raise StreamError(
        f"the {command} was not ready within {WORKER_START_TIMEOUT_S:.0f} s; run `triage doctor`"
    )


async def _end(command: str, process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), WORKER_STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
    if process.returncode:
        raise StreamError(
            f"the {command} ended with exit code {process.returncode}; its reason is above"
        )
