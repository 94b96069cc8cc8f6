"""Which bootstrap address is used, how long that may take, and how often a login is tried."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
)

from streams.config import KafkaSection
from streams.errors import AccessRefused, BrokerUnreachable
from streams.kafka import bootstrap, logins
from streams.kafka.bootstrap import reachable_connection
from streams.kafka.diagnosis import Address, diagnose
from streams.kafka.logins import LoginPacer

THREE = KafkaSection(bootstrap_servers="one:1,two:2,three:3")
HERE = Address("127.0.0.1", 9092)


class Cluster:
    """Answers for the addresses: an error that is raised, None for an answer, or silence."""

    def __init__(self, *answers: BaseException | type[asyncio.Event] | None) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.cut_off = 0

    async def ask(self, address: Address, _: dict[str, Any]) -> None:
        """Answer the next address, whichever it is: aiokafka shuffles them."""
        self.asked.append(address.text)
        answer = self.answers.pop(0)
        if answer is asyncio.Event:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cut_off += 1
                raise
        if isinstance(answer, BaseException):
            raise answer


@pytest.fixture(autouse=True)
def addresses_answer() -> None:
    """Ask the addresses: these tests are about the answers."""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cluster]:
    """A function that makes a cluster with these answers the one that is asked."""

    def use(*answers: BaseException | type[asyncio.Event] | None) -> Cluster:
        made = Cluster(*answers)
        monkeypatch.setattr(bootstrap, "_ask", made.ask)
        monkeypatch.setattr(logins, "pacer", LoginPacer())
        return made

    return use


async def within_s(limit_s: float, awaited: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """The result, which must come in time."""
    async with asyncio.timeout(limit_s):
        return await awaited


async def test_silent_addresses_do_not_hold_up_the_one_that_answers(
    cluster: Callable[..., Cluster],
) -> None:
    """One silent address of two kept a worker from starting for ten minutes."""
    asked = cluster(asyncio.Event, asyncio.Event, None)
    arguments = await within_s(6, reachable_connection(THREE))
    assert arguments["bootstrap_servers"] == [asked.asked[2]]
    assert asked.cut_off == 2


async def test_an_address_that_fails_is_followed_by_the_next_at_once(
    cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster with a broker that is down, or has an old certificate, could not be used."""
    monkeypatch.setattr(bootstrap, "HEAD_START_S", 600.0)
    expired = ssl.SSLCertVerificationError()
    expired.verify_code, expired.verify_message = 10, "certificate has expired"
    asked = cluster(ConnectionRefusedError(), expired, None)
    arguments = await within_s(10, reachable_connection(THREE))
    assert arguments["bootstrap_servers"] == [asked.asked[2]]


async def test_a_refused_login_is_not_tried_at_every_address(
    cluster: Callable[..., Cluster],
) -> None:
    """A wrong password would be counted once per broker, and lock the account."""
    asked = cluster(SaslAuthenticationFailed("no"), None, None)
    with pytest.raises(AccessRefused, match=r"kafka\.sasl_username"):
        await reachable_connection(THREE)
    assert len(asked.asked) == 1


async def test_the_error_of_a_broker_that_answers_is_told(cluster: Callable[..., Cluster]) -> None:
    """A user would start a broker that runs, instead of mending the certificate."""
    expired = ssl.SSLCertVerificationError()
    expired.verify_code, expired.verify_message = 10, "certificate has expired"
    cluster(ConnectionRefusedError(), expired, socket.gaierror())
    with pytest.raises(AccessRefused, match="has expired"):
        await reachable_connection(THREE)
    cluster(ConnectionRefusedError(), TimeoutError(), socket.gaierror())
    with pytest.raises(
        BrokerUnreachable, match=r"connection refused, silent, unknown name"
    ) as info:
        await reachable_connection(THREE)
    assert not isinstance(info.value, AccessRefused)


async def test_an_error_of_our_own_is_not_taken_for_the_broker(
    cluster: Callable[..., Cluster],
) -> None:
    """A fault in the program would be reported as a broker that is down."""
    cluster(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await reachable_connection(KafkaSection())


async def test_a_refused_login_is_noted_and_an_accepted_one_forgets_it(
    cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pauses would never begin, or never end."""
    monkeypatch.setattr(logins, "FIRST_PAUSE_S", 0.0)
    cluster(SaslAuthenticationFailed("no"), SaslAuthenticationFailed("no"), None)
    for refusals in (1, 2):
        with pytest.raises(AccessRefused):
            await reachable_connection(THREE)
        ((noted, _),) = logins.pacer._refused.values()
        assert noted == refusals
    await reachable_connection(THREE)
    assert logins.pacer._refused == {}


@pytest.fixture
def silent() -> Iterator[int]:
    """A port on which connections are accepted, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


async def test_an_address_that_accepts_and_says_nothing_is_given_up(
    silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker waited two minutes for it, and Faust twenty."""
    monkeypatch.setattr(bootstrap, "ADDRESS_TIMEOUT_S", 0.05)
    with pytest.raises(BrokerUnreachable, match=r"no Kafka broker answers at .*silent"):
        await within_s(
            10, reachable_connection(KafkaSection(bootstrap_servers=f"127.0.0.1:{silent}"))
        )


def alert(reason: str) -> KafkaConnectionError:
    """What aiokafka raises if a broker refuses our certificate."""
    error = KafkaConnectionError("Connection at 127.0.0.1:9092 closed")
    error.__cause__ = ssl.SSLError(1, reason)
    error.__cause__.reason = reason
    return error


def unverified(code: int, words: str) -> ssl.SSLCertVerificationError:
    """What ssl raises if a certificate cannot be verified."""
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, words
    return error


CERTIFIED = {"ssl_certfile": "c.pem", "security_protocol": "SSL"}


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({}, unverified(10, "x"), "has expired"),
        ({}, unverified(9, "x"), "not valid yet"),
        ({}, unverified(62, "Hostname mismatch"), "is for another name"),
        ({}, unverified(64, "IP address mismatch"), "is for another name"),
        ({}, unverified(20, "unable to get local issuer"), "set kafka.ssl_cafile"),
        ({}, alert("SSLV3_ALERT_BAD_CERTIFICATE"), "asks for a client certificate"),
        (CERTIFIED, alert("TLSV1_ALERT_UNKNOWN_CA"), "refuses our client certificate"),
        (CERTIFIED, alert("TLSV1_ALERT_PROTOCOL_VERSION"), "check its versions of TLS"),
        ({"sasl_mechanism": "OAUTHBEARER"}, AuthenticationFailedError("x"), "refuses the token"),
        (
            {"sasl_mechanism": "OAUTHBEARER"},
            AuthenticationFailedError("kafka.oauth_token_file: the file cannot be read"),
            "kafka.oauth_token_file: the file",
        ),
        ({}, OSError(113, "No route to host"), "No route to host"),
        ({}, ConnectionRefusedError(), "connection refused"),
        ({}, TimeoutError(), "silent"),
    ],
)
async def test_each_failure_is_named(
    options: dict[str, Any], error: BaseException, sentence: str
) -> None:
    """Each of these was "no Kafka broker answers", and a user looked in the wrong place."""
    diagnosis = await diagnose(KafkaSection(**options), HERE, error)
    assert sentence in diagnosis.sentence
    assert "\n" not in diagnosis.sentence


async def test_a_server_that_is_no_broker_is_named(unused_port: int) -> None:
    """A web server at the address would be reported as a broker that is down."""

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", unused_port):
        with pytest.raises(AccessRefused, match="check that it is a Kafka broker"):
            await reachable_connection(KafkaSection(bootstrap_servers=f"127.0.0.1:{unused_port}"))


@pytest.fixture
def unused_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_address_of_ipv6_is_written_with_brackets() -> None:
    """Aiokafka would take a part of the address for the port."""
    assert Address("::1", 9092).text == "[::1]:9092"
