"""One run: a cluster, workers of one group, a steady load, one fault, and the account."""

import asyncio
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from streams.config import Settings
from streams.kafka.admin import create_topics
from streams.local.brokers.java import KAFKA_VERSION
from streams.topics import Topics
from tests.chaos.cluster import BROKERS, ChaosCluster
from tests.chaos.observer import SAMPLE_EVERY_S, LagMeter, Observer, Sample
from tests.chaos.proxy import Proxy
from tests.chaos.row import Row, Span
from tests.chaos.sender import Sender
from tests.conftest import settings_for
from tests.processes import WorkerProcess

RATE = 20.0
BEFORE_S = 4.0
AFTER_S = 6.0
IDLE_TIMEOUT_S = 20.0
"""How long the group may take to commit once nothing is missing any more."""
WAIT_TIMEOUT_S = 120.0

Act = Callable[["Run"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fault, and what it is injected into.

    Attributes:
        name: of the scenario, for the command line and for file names.
        what: what happens, for the report.
        inject: the fault. It returns when the fault is over.
        prepare: what is done before the topics are made and the workers started.
        workers: how many workers run when the fault begins.
        partitions: of each topic.
        proxied: whether the workers reach the brokers through the proxy only.
        short: whether it belongs to the short form.
        settle_s: how long after the load everything may take to arrive.
        rate: events per second.
        kafka_version: of the brokers when they start. A version of its own is a cluster of its own.
    """

    name: str
    what: str
    inject: Act
    prepare: Act | None = None
    workers: int = 2
    partitions: int = 4
    proxied: bool = False
    short: bool = False
    settle_s: float = 150.0
    rate: float = RATE
    kafka_version: str = KAFKA_VERSION


@dataclass
class Run:
    """What a fault can reach.

    `settings` reach the brokers directly. A fault calls `expect_lost` for what it takes away
    itself, and adds to `problems` what should not be so.
    """

    scenario: Scenario
    cluster: ChaosCluster
    settings: Settings
    folder: Path
    model: Path
    proxy: Proxy
    sender: Sender = field(init=False)
    observer: Observer = field(init=False)
    environ: dict[str, str] = field(default_factory=dict)
    """What is added to the environment of the workers."""
    workers: list[WorkerProcess] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    restarts: int = 0
    expected_lost: int = 0
    lost_because: str = ""
    two_models: bool = False
    """Whether workers with different models run, whose answers may differ."""
    started_s: float = 0.0
    fault_s: Span = (0.0, 0.0)

    def __post_init__(self) -> None:
        self.sender = Sender(self.settings, self.scenario.rate)
        self.observer = Observer(self.settings)

    @property
    def topics(self) -> Topics:
        """The topics of this run."""
        return Topics(self.settings.topics.prefix)

    def add_worker(self) -> WorkerProcess:
        """Start one more worker."""
        kafka = self.settings.kafka
        if self.scenario.proxied:
            kafka = msgspec.structs.replace(kafka, bootstrap_servers=self.cluster.proxied_servers)
        settings = msgspec.structs.replace(self.settings, kafka=kafka)
        log_file = self.folder / f"worker{len(self.workers)}.log"
        worker = WorkerProcess(settings, log_file, environ=self.environ)
        self.workers.append(worker)
        worker.start()
        return worker

    async def until(
        self, condition: Callable[[], bool], what: str, timeout_s: float = WAIT_TIMEOUT_S
    ) -> bool:
        """Wait until a condition holds, which may block for a moment; else it is a problem."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not await asyncio.to_thread(condition):
                    await asyncio.sleep(0.3)
                return True
        self.problems.append(f"{what}: not within {timeout_s:.0f} s")
        return False

    async def ready(self, worker: WorkerProcess) -> bool:
        """Wait until a worker is ready."""
        name = worker.log_file.stem
        return await self.until(lambda: worker.get("/ready")[0] == 200, f"{name} is ready")

    async def out(self, ids: Iterable[str], what: str) -> bool:
        """Wait until the brokers have all that was sent, and these ids are out."""
        await self.sender.flush()
        awaited = set(ids)
        return await self.until(lambda: awaited <= self.observer.seen_at_s.keys(), what)

    async def restart(self, worker: WorkerProcess) -> None:
        """Let a worker drain and end, and start it again."""
        await self.end(worker)
        worker.start()
        await self.ready(worker)

    async def end(self, worker: WorkerProcess) -> None:
        """Let a worker drain and end."""
        code = await asyncio.to_thread(worker.end)
        if code:
            self.problems.append(f"{worker.log_file.stem} ended with {code} after SIGTERM")

    def expect_lost(self, count: int, because: str) -> None:
        """Note that the fault itself takes so many events away, and why."""
        self.expected_lost += count
        self.lost_because = because

    async def execute(self) -> Row:
        """Send, inject the fault, let everything arrive, and make the account."""
        if self.scenario.prepare is not None:
            await self.scenario.prepare(self)
        await create_topics(self.settings)
        meter = LagMeter(self.settings)
        background: list[asyncio.Task[None]] = []
        try:
            await self._begin(background, meter)
            await self._inject()
            await asyncio.sleep(AFTER_S)
            background[-1].cancel()
            await self.sender.flush()
            await self._settle()
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await self._end(meter)
        return self._row()

    async def _begin(self, background: list[asyncio.Task[None]], meter: LagMeter) -> None:
        for _ in range(self.scenario.workers):
            self.add_worker()
        await self.sender.start()
        for worker in tuple(self.workers):
            await self.ready(worker)
        self.started_s = asyncio.get_running_loop().time()
        works = (
            self.observer.follow(),
            self._sample(meter),
            self._supervise(),
            self.sender.run(),
        )
        background.extend(asyncio.create_task(work) for work in works)
        if self.workers:
            await self.until(lambda: bool(self.observer.seen_at_s), "a first output")
        await asyncio.sleep(BEFORE_S)

    async def _inject(self) -> None:
        begin_s = self._now_s()
        self.fault_s = (begin_s, begin_s)
        try:
            await self.scenario.inject(self)
        except Exception as error:  # noqa: BLE001 - the account must be made all the same
            self.problems.append(f"the fault could not be injected to its end: {error!r}")
        finally:
            self.sender.paused = False
            await asyncio.to_thread(self.cluster.heal)
        self.fault_s = (begin_s, self._now_s())

    async def _settle(self) -> None:
        """Wait until nothing is missing, then until the group has committed it."""
        account, loop = self.observer.account, asyncio.get_running_loop()
        deadline_s = loop.time() + self.scenario.settle_s
        while loop.time() < deadline_s and (self._lost() > self.expected_lost):
            await asyncio.sleep(0.5)
        deadline_s = loop.time() + IDLE_TIMEOUT_S
        while loop.time() < deadline_s and self.samples[-1].lag != 0:
            await asyncio.sleep(0.5)
        if not await self.observer.read_to_end():
            self.problems.append("the outputs could not be read to their ends")
        if account.unended():
            self.problems.append(f"{len(account.unended())} escalated events never ended")

    async def _end(self, meter: LagMeter) -> None:
        for worker in self.workers:
            if worker.process is not None and worker.alive:
                worker.process.send_signal(signal.SIGCONT)
                await asyncio.to_thread(worker.kill)
        for stop in (self.sender.stop, self.observer.stop, meter.stop):
            with suppress(Exception):
                await asyncio.wait_for(stop(), 15)

    async def _supervise(self) -> None:
        """Start a worker again if it ended with exit code 1, as a service manager would."""
        while True:
            for worker in self.workers:
                if worker.process is not None and worker.process.poll() == 1:
                    self.restarts += 1
                    worker.start()
            await asyncio.sleep(0.5)

    async def _sample(self, meter: LagMeter) -> None:
        while True:
            lag = await meter.measure()
            out = len(self.observer.seen_at_s)
            self.samples.append(Sample(self._now_s(), len(self.sender.acknowledged), out, lag))
            await asyncio.sleep(SAMPLE_EVERY_S)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time() - self.started_s

    def _lost(self) -> int:
        """How many events have no output, or were escalated and never ended."""
        seen = self.observer.seen_at_s
        return sum(id_ not in seen for id_ in self.sender.ids) + len(
            self.observer.account.unended()
        )

    def _row(self) -> Row:
        account, seen_at_s = self.observer.account, self.observer.seen_at_s
        begin_s, end_s = self.fault_s
        sent_at_s = self.sender.acknowledged
        waits_s = [seen_at_s[id_] - at_s for id_, at_s in sent_at_s.items() if id_ in seen_at_s]
        after_s = [
            seen_at_s[id_] - self.started_s - begin_s
            for id_, at_s in sent_at_s.items()
            if id_ in seen_at_s and at_s - self.started_s >= begin_s
        ]
        disagreeing = len(account.disagreeing())
        return Row(
            scenario=self.scenario.name,
            what=self.scenario.what,
            workers=self.scenario.workers,
            events_in=len(sent_at_s),
            events_out=sum(id_ in seen_at_s for id_ in sent_at_s),
            lost=self._lost(),
            lost_because=self.lost_because,
            duplicated=account.duplicates() - disagreeing,
            disagreeing=disagreeing,
            dead_lettered=len(set(self.observer.dead_ids)),
            refused=len(self.sender.refused),
            worker_restarts=self.restarts,
            fault_s=round(end_s - begin_s, 1),
            first_output_s=round(min(after_s, default=-1.0), 1),
            recovered_s=recovery_s(self.samples, self.fault_s, 2 * self.scenario.rate),
            longest_wait_s=round(max(waits_s, default=-1.0), 1),
            notes=tuple(self.notes),
            problems=(*self.problems, *self._unexpected(disagreeing)),
        )

    def _unexpected(self, disagreeing: int) -> list[str]:
        found = []
        if self._lost() != self.expected_lost:
            found.append(f"{self._lost()} events are lost, not {self.expected_lost}")
        if self.observer.dead_ids:
            found.append(f"{len(set(self.observer.dead_ids))} dead letters")
        if disagreeing and not self.two_models:
            found.append(f"{disagreeing} ids have copies that disagree")
        return found


def recovery_s(samples: list[Sample], fault_s: Span, usual_lag: float) -> float | None:
    """Seconds from the fault's begin until the lag is usual and stays so; None if it never is.

    A lag that no broker tells is not usual. The lag before the fault counts as usual, too.
    """
    begin_s, _ = fault_s
    before = [sample.lag for sample in samples if sample.at_s < begin_s and sample.lag is not None]
    usual_lag = max([usual_lag, *before])
    recovered_at_s: float | None = None
    for sample in samples:
        if sample.at_s < begin_s:
            continue
        if sample.lag is None or sample.lag > usual_lag:
            recovered_at_s = None
        elif recovered_at_s is None:
            recovered_at_s = sample.at_s
    return None if recovered_at_s is None else round(recovered_at_s - begin_s, 1)


async def run_scenario(
    scenario: Scenario, cluster: ChaosCluster, model: Path, folder: Path
) -> tuple[Row, Run]:
    """Run one scenario on a cluster that runs, with topics and a group of its own."""
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier run
    folder.mkdir(parents=True)
    settings = settings_for(cluster.bootstrap_servers, model, partitions=scenario.partitions)
    topics = msgspec.structs.replace(settings.topics, replication=BROKERS)
    kafka = msgspec.structs.replace(settings.kafka, idempotence="on")
    settings = msgspec.structs.replace(settings, topics=topics, kafka=kafka)
    proxy = Proxy(cluster.routes if scenario.proxied else ())
    await proxy.start()
    try:
        run = Run(scenario, cluster, settings, folder, model, proxy)
        return await run.execute(), run
    finally:
        await proxy.stop()
