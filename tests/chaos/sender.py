"""Sends events at a steady rate, and knows which of them the brokers have taken."""

import asyncio
import random
from collections.abc import Sequence

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.event import DOMAINS, Domain
from streams.config import Settings
from streams.kafka.connection import connection
from streams.topics import Topics

WORDS = ("card", "payment", "refund", "login", "malware", "bucket", "phishing", "token", "fee")
DELIVERY_TIMEOUT_S = 120.0


class Sender:
    """A producer of known events, connected to every broker directly.

    Attributes:
        acknowledged: when the brokers took an event, by its id, on the clock of the event loop.
        refused: the ids of events of which no broker said that it has them. They may be there.
        paused: while it is set, no event is sent; what is then due is never sent.
    """

    def __init__(self, settings: Settings, rate: float) -> None:
        self._topics = Topics(settings.topics.prefix)
        self._rate = rate
        self._rng = random.Random(11)
        self._number = 0
        self._waiting: set[asyncio.Task[None]] = set()
        self._producer = AIOKafkaProducer(
            **connection(settings.kafka),
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=int(DELIVERY_TIMEOUT_S * 1000),
            metadata_max_age_ms=2_000,
        )
        self.acknowledged: dict[str, float] = {}
        self.refused: list[str] = []
        self.paused = False

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def run(self) -> None:
        """Send steadily until it is cancelled."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s += 1 / self._rate
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            if not self.paused:
                await self.send_one()

    async def send_one(self, domain: Domain | None = None, partition: int | None = None) -> str:
        """Send one event, and return its id without waiting for the brokers."""
        domain = domain or DOMAINS[self._number % len(DOMAINS)]
        id_ = f"{domain}-{self._number}"
        self._number += 1
        await self.send_value(domain, id_, self.event(id_), partition)
        return id_

    async def send_value(
        self, domain: Domain, id_: str, value: bytes | None, partition: int | None = None
    ) -> None:
        """Send a value for an id; the id counts as sent once the brokers have taken it."""
        topic = self._topics.input(domain)
        receipt = await self._producer.send(topic, value, key=id_.encode(), partition=partition)
        task = asyncio.create_task(self._note(id_, receipt))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    def event(self, id_: str) -> bytes:
        """An event with some words."""
        text = " ".join(self._rng.choices(WORDS, k=self._rng.randint(2, 30)))
        return orjson.dumps({"id": id_, "text": text})

    async def flush(self) -> None:
        """Wait until the brokers have taken, or refused, everything that was sent."""
        while self._waiting:
            await asyncio.wait(tuple(self._waiting))

    async def stop(self) -> None:
        """Disconnect."""
        await self._producer.stop()

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all events that the brokers have taken."""
        return tuple(self.acknowledged)

    async def _note(self, id_: str, receipt: asyncio.Future[object]) -> None:
        try:
            await receipt
        except KafkaError:
            self.refused.append(id_)
        else:
            self.acknowledged[id_] = asyncio.get_running_loop().time()
