"""How often a refused login is tried again, by whichever client of aiokafka."""

import asyncio
from types import SimpleNamespace
from typing import Any

import aiokafka.client
import pytest
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
)

from streams.kafka import logins
from streams.kafka.logins import LONGEST_PAUSE_S, LoginPacer, credentials_of, paced

LOGIN = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "PLAIN",
    "sasl_plain_username": "worker",
    "sasl_plain_password": "wrong",
}
CREDENTIALS = credentials_of(LOGIN)


class Broker:
    """Refuses logins while it `refuses`; `brokers` is what it answers to a request."""

    def __init__(self) -> None:
        self.refuses: Exception | None = None
        self.brokers = [1]
        self.logins = 0
        self.closed = 0
        self.hangs_up = False

    async def open(self, *_: Any, **__: Any) -> Any:
        """Open a connection."""
        self.logins += 1
        if self.refuses:
            raise self.refuses
        return self

    async def send(self, _: Any) -> Any:
        """Answer a request for the brokers."""
        if self.hangs_up:
            raise KafkaConnectionError
        return SimpleNamespace(brokers=self.brokers)

    def close(self) -> None:
        """Close the connection."""
        self.closed += 1


@pytest.fixture
def slept_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, which the test does not wait for; they move the clock of the pacer."""
    now_s = 0.0
    pauses: list[float] = []

    async def sleep(pause_s: float) -> None:
        nonlocal now_s
        now_s += pause_s
        pauses.append(pause_s)

    monkeypatch.setattr(logins, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(logins, "pacer", LoginPacer(lambda: now_s))
    return pauses


def test_a_refused_login_is_tried_again_ever_more_rarely() -> None:
    """A worker with a wrong password tried 47 logins a minute, and a running one 380."""
    now_s = 0.0
    pacer = LoginPacer(lambda: now_s)
    tried = 0
    while now_s < 60:
        now_s += pacer.pause_s(CREDENTIALS)
        pacer.refused(CREDENTIALS)
        tried += 1
        now_s += 1  # the worker's own pause
    assert tried <= 5
    for _ in range(20):
        pacer.refused(CREDENTIALS)
    assert pacer.pause_s(CREDENTIALS) == LONGEST_PAUSE_S
    assert pacer.pause_s(credentials_of(LOGIN | {"sasl_plain_password": "other"})) == 0
    pacer.accepted(CREDENTIALS)
    assert pacer.pause_s(CREDENTIALS) == 0


@pytest.mark.parametrize(
    "error", [SaslAuthenticationFailed("no"), AuthenticationFailedError("no token")]
)
async def test_a_client_that_runs_makes_pauses(slept_s: list[float], error: Exception) -> None:
    """A running worker whose password was changed would try every tenth of a second."""
    broker = Broker()
    broker.refuses = error
    for _ in range(5):
        with pytest.raises(type(error)):
            await paced(broker.open, "host", 9092, **LOGIN)
    assert slept_s == [0, 5, 10, 20, 40]
    broker.refuses = None
    assert await paced(broker.open, "host", 9092, **LOGIN) is broker
    await paced(broker.open, "host", 9092, **LOGIN)
    assert slept_s[5:] == [60, 0]


async def test_a_failed_connection_is_no_refused_login(slept_s: list[float]) -> None:
    """A worker would wait a minute after a restart of the broker."""
    broker = Broker()
    broker.refuses = ConnectionRefusedError()
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            await paced(broker.open, "host", 9092, **LOGIN)
    assert slept_s == [0, 0, 0]


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_a_refused_token_is_noticed(slept_s: list[float], hangs_up: bool) -> None:
    """Aiokafka takes it for accepted: each request would fail, and a new login follow at once."""
    broker = Broker()
    broker.brokers, broker.hangs_up = [], hangs_up
    arguments = LOGIN | {"sasl_mechanism": "OAUTHBEARER"}
    with pytest.raises(AuthenticationFailedError, match="refused"):
        await paced(broker.open, "host", 9092, **arguments)
    assert broker.closed == 1
    broker.brokers, broker.hangs_up = [1], False
    assert await paced(broker.open, "host", 9092, **arguments) is broker
    assert slept_s == [0, 5]


async def test_every_client_of_aiokafka_is_paced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the start would be paced, or each installation pause once more."""
    assert aiokafka.client.create_conn.is_paced
    logins.install()
    broker = Broker()
    monkeypatch.setattr(aiokafka.client, "create_conn", broker.open)
    logins.install()
    once = aiokafka.client.create_conn
    logins.install()
    assert aiokafka.client.create_conn is once
    assert await once("host", 9092, security_protocol="PLAINTEXT") is broker
    await asyncio.sleep(0)
