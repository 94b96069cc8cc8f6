"""Every way to connect to a real Kafka, and one true sentence for every way to fail."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.config import KafkaSection, Settings, TopicsSection
from streams.errors import AccessRefused, BrokerUnreachable
from streams.kafka import logins
from streams.kafka.admin import check_topics, create_topics
from streams.kafka.bootstrap import reachable_connection
from streams.kafka.connection import connection, consumer_options, member_options
from streams.kafka.logins import LoginPacer, credentials_of
from streams.kafka.producer import Producer
from streams.kafka.record import Record
from streams.topics import Topics
from tests.certificates import KEY_PASSWORD, Certificates
from tests.conftest import WITHOUT_KAFKA
from tests.secure_kafka import (
    PASSWORD,
    POWERLESS,
    POWERLESS_PASSWORD,
    USER,
    SecureKafka,
    token,
)

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(
        WITHOUT_KAFKA is not None and not os.environ.get("CI"), reason=str(WITHOUT_KAFKA)
    ),
]

PREFIX = "secure"
SASL: dict[str, Any] = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_username": USER,
    "sasl_password_env": "GOOD_PASSWORD",
}
BAD_PASSWORD = SASL | {"sasl_password_env": "BAD_PASSWORD"}
NO_RIGHTS = SASL | {"sasl_username": POWERLESS, "sasl_password_env": "POWERLESS_PASSWORD"}
TLS: dict[str, Any] = {"security_protocol": "SSL", "ssl_cafile": "ca.pem"}
CLIENT = {"ssl_certfile": "client.pem", "ssl_keyfile": "client.key"}
LOCKED = {"ssl_keyfile": "client-locked.key", "ssl_key_password_env": "KEY_PASSWORD"}
STRANGER = {"ssl_certfile": "other-ca.pem", "ssl_keyfile": "other-ca.key"}
SASL_TLS = TLS | SASL | {"security_protocol": "SASL_SSL"}
TOKEN: dict[str, Any] = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER"}
SCRAM_256, SCRAM_512 = {"sasl_mechanism": "SCRAM-SHA-256"}, {"sasl_mechanism": "SCRAM-SHA-512"}


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """A node whose listeners ask for certificates, passwords or tokens."""
    directory = tmp_path_factory.mktemp("certificates")
    cluster = SecureKafka(Certificates.make(directory))
    (directory / "token").write_text(token())
    (directory / "expired-token").write_text(token(valid_s=-600))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that hold the secrets; no pauses between refused logins."""
    for name, secret in {
        "GOOD_PASSWORD": PASSWORD,
        "BAD_PASSWORD": "not-the-password",
        "POWERLESS_PASSWORD": POWERLESS_PASSWORD,
        "KEY_PASSWORD": KEY_PASSWORD,
    }.items():
        monkeypatch.setenv(name, secret)
    monkeypatch.setattr(logins, "pacer", LoginPacer())


def forget_refusals() -> None:
    """Let the next login wait for nothing."""
    logins.pacer._refused.clear()


def section(kafka: SecureKafka, listener: str, options: dict[str, Any]) -> KafkaSection:
    """The configuration for a listener; files are those of the certificates."""
    paths: dict[str, Any] = {
        key: kafka.certificates.path(value) if key.endswith("file") else value
        for key, value in options.items()
    }
    return KafkaSection(bootstrap_servers=kafka.servers(listener), **paths)


async def send_and_read(kafka: KafkaSection, topic: str) -> bytes | None:
    """Send a record and read it again, as a member of a group."""
    producer = Producer(kafka)
    await producer.start()
    try:
        await producer.confirm([await producer.send(Record(topic, b"k", b"v", []))])
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(
        topic, **connection(kafka), **member_options(kafka), auto_offset_reset="earliest"
    )
    async with consumer, asyncio.timeout(60):
        record = await consumer.getone()
    value: bytes | None = record.value
    return value


@pytest.mark.parametrize(
    ("listener", "options"),
    [
        ("TLS", TLS),
        ("MUTUAL", TLS | CLIENT),
        ("MUTUAL", TLS | CLIENT | LOCKED),
        ("SASL", SASL),
        ("SASL", SASL | SCRAM_256),
        ("SASL", SASL | SCRAM_512),
        ("SASLTLS", SASL_TLS | SCRAM_512),
        ("TOKENS", TOKEN | {"oauth_token_file": "token"}),
        ("SASL", SASL | {"group_instance_id": "worker-1"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_every_way_to_connect_works(
    kafka: SecureKafka, listener: str, options: dict[str, Any]
) -> None:
    """A cluster that asks for this could not be used."""
    configured = section(kafka, listener, options)
    prefix = f"{PREFIX}{time.monotonic_ns()}"
    settings = Settings(kafka=configured, topics=TopicsSection(prefix=prefix, partitions=1))
    assert len(await create_topics(settings)) > 5
    assert await check_topics(settings) == []
    assert await send_and_read(configured, f"{prefix}.alerts.v1") == b"v"


@pytest.mark.parametrize(
    ("listener", "options", "sentence"),
    [
        ("SASL", BAD_PASSWORD, "refuses the login of worker with PLAIN"),
        ("SASL", BAD_PASSWORD | SCRAM_512, "refuses the login of worker with SCRAM-SHA-512"),
        ("TLS", TLS | {"ssl_cafile": "other-ca.pem"}, r"set kafka\.ssl_cafile"),
        ("MISNAMED", TLS, "is for another name"),
        ("EXPIRED", TLS, "has expired"),
        ("MUTUAL", TLS, r"client certificate.*set kafka\.ssl_certfile"),
        ("MUTUAL", TLS | STRANGER, "refuses our client certificate|closes the connection"),
        ("SASL", {}, "speaks SASL_PLAINTEXT, and not PLAINTEXT"),
        ("SASLTLS", {}, "speaks SASL_SSL, and not PLAINTEXT"),
        ("TLS", {}, "speaks SSL, and not PLAINTEXT"),
        ("MUTUAL", {}, "speaks TLS, and not PLAINTEXT"),
        ("PLAINTEXT", TLS, "speaks PLAINTEXT, and not SSL"),
        ("SASL", TLS, "speaks SASL_PLAINTEXT, and not SSL"),
        ("SASLTLS", TLS, "speaks SASL_SSL, and not SSL"),
        ("PLAINTEXT", SASL, "speaks PLAINTEXT, and not SASL_PLAINTEXT"),
        ("TLS", SASL, "speaks SSL, and not SASL_PLAINTEXT"),
        ("TLS", SASL_TLS, "speaks SSL, and not SASL_SSL"),
        ("TOKENS", SASL, "takes no login with PLAIN.*OAUTHBEARER"),
        ("TOKENS", TOKEN | {"oauth_token_file": "expired-token"}, "refuses the token"),
        ("TOKENS", TOKEN | {"oauth_token_file": "ca.pem"}, "no token that can be sent"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_every_failure_is_one_true_sentence(
    kafka: SecureKafka, listener: str, options: dict[str, Any], sentence: str
) -> None:
    """A user was told that no broker answers, and started one."""
    settings = Settings(kafka=section(kafka, listener, options))
    for start in (check_topics(settings), Producer(settings.kafka).start()):
        forget_refusals()
        with pytest.raises(AccessRefused, match=sentence) as caught:
            await start
        assert "\n" not in str(caught.value)
        assert "not-the-password" not in str(caught.value)


async def test_missing_rights_are_named(kafka: SecureKafka) -> None:
    """A user was told to create topics that exist, again and again."""
    settings = Settings(kafka=section(kafka, "SASL", NO_RIGHTS))
    await create_topics(Settings(kafka=section(kafka, "SASL", SASL)))
    problems = await check_topics(settings)
    assert len(problems) == len(list(Topics("any")))
    assert all("grant Describe" in problem for problem in problems)
    assert not any("topics create" in problem for problem in problems)
    with pytest.raises(AccessRefused, match="does not let us create"):
        await create_topics(settings)
    with pytest.raises(AccessRefused, match="grant Write on the output topics"):
        await Producer(settings.kafka).start()


async def test_asking_for_a_missing_topic_does_not_create_it(kafka: SecureKafka) -> None:
    """Where brokers create topics by themselves, a check would create them, wrongly configured."""
    settings = Settings(
        kafka=section(kafka, "PLAINTEXT", {}), topics=TopicsSection(prefix="missing")
    )
    for _ in range(2):
        problems = await check_topics(settings)
        assert len(problems) == len(list(Topics("any")))
        assert all("topics create" in problem for problem in problems)


async def test_a_wrong_password_is_one_login_per_start(kafka: SecureKafka) -> None:
    """Every address and every retry of a start was a login: 47 a minute."""
    address = kafka.servers("SASL")
    options = BAD_PASSWORD | SCRAM_256
    three = KafkaSection(**{**options, "bootstrap_servers": f"{address},{address},{address}"})
    before = kafka.refused_logins()
    with pytest.raises(AccessRefused):
        await reachable_connection(three)
    assert logins.pacer.pause_s(credentials_of(connection(three))) > 1
    async with asyncio.timeout(30):
        while kafka.refused_logins() == before:  # the node writes its log when it likes
            await asyncio.sleep(0.05)
    assert kafka.refused_logins() - before == 1


async def test_a_silent_address_does_not_delay_the_start(kafka: SecureKafka) -> None:
    """With one silent address of two a worker was not ready after ten minutes."""
    good = kafka.servers("PLAINTEXT")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        for servers in (f"{address},{good}", f"{address},{address},{good}"):
            configured = KafkaSection(bootstrap_servers=servers)
            async with asyncio.timeout(20):
                producer = Producer(configured)
                await producer.start()
                await producer.stop()
                await create_topics(Settings(kafka=configured))
        with pytest.raises(BrokerUnreachable, match="silent"):
            async with asyncio.timeout(20):
                await reachable_connection(KafkaSection(bootstrap_servers=address))


@pytest.mark.parametrize(
    ("level", "values"),
    [("read_committed", [b"sent"]), ("read_uncommitted", [b"aborted", b"sent"])],
)
async def test_what_was_aborted_is_read_only_on_request(
    kafka: SecureKafka, level: Any, values: list[bytes]
) -> None:
    """Twenty of twenty aborted records were triaged."""
    configured = KafkaSection(bootstrap_servers=kafka.servers("PLAINTEXT"), isolation_level=level)
    prefix = f"tx{time.monotonic_ns()}"
    settings = Settings(kafka=configured, topics=TopicsSection(prefix=prefix, partitions=1))
    await create_topics(settings)
    topic = f"{prefix}.alerts.v1"
    async with AIOKafkaProducer(**connection(configured), transactional_id=prefix) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"sent")
    consumer = AIOKafkaConsumer(
        topic,
        **connection(configured),
        **consumer_options(configured),
        auto_offset_reset="earliest",
    )
    async with consumer, asyncio.timeout(60):
        assert [(await consumer.getone()).value for _ in values] == values


async def test_a_renewed_token_is_taken_without_a_restart(
    kafka: SecureKafka, tmp_path: Path
) -> None:
    """A worker would be shut out when the token that it started with expires."""
    file = tmp_path / "token"
    file.write_text(token(valid_s=-600))
    configured = KafkaSection(
        bootstrap_servers=kafka.servers("TOKENS"), **TOKEN, oauth_token_file=str(file)
    )
    with pytest.raises(AccessRefused):
        await reachable_connection(configured)
    forget_refusals()
    file.write_text(token())
    await reachable_connection(configured)
