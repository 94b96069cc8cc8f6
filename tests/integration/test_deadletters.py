"""Dead letters on a real broker: counted, shown and replayed as a person does it."""

import orjson
import pytest

from agents.outcomes import DeadLettered
from streams.config import Settings
from streams.kafka.admin import create_topics
from streams.kafka.producer import Producer
from streams.kafka.reader import reading, until_quiet
from streams.kafka.record import Record
from streams.pipeline.records import dead_letter
from streams.topics import Topics
from tests.doubles import incoming
from tests.processes import run_triage

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]


def run(settings: Settings, *arguments: str) -> str:
    """What `triage deadletters` prints; it must end with exit code 0."""
    done = run_triage(settings, "deadletters", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


async def values(settings: Settings, topic: str) -> list[bytes]:
    """The values of all records on a topic, sorted."""
    async with reading(settings.kafka, [topic], from_beginning=True) as consumer:
        return sorted([record.value or b"" async for record in until_quiet(consumer)])


async def test_letters_go_back_to_input_topics_once(settings: Settings) -> None:
    """A forged letter would become a verdict, or a replay would send a letter twice or never."""
    await create_topics(settings)
    topics = Topics(settings.topics.prefix)
    outcome = DeadLettered("deliver", "RecordTooLarge", "too \x1b[31mlarge", "retryable")
    letters = []
    for number, name in enumerate([topics.input("alerts")] * 5 + [topics.feedback, topics.audit]):
        record = dead_letter(outcome, incoming(number, b"v%d" % number, b"k"), topics)
        headers = [
            (header, name.encode() if header.endswith("errors.topic") else value)
            for header, value in record.headers
        ]
        letters.append(Record(record.topic, record.key, record.value, headers))
    producer = Producer(settings.kafka)
    await producer.start()
    await producer.confirm([await producer.send(letter) for letter in letters])
    await producer.stop()

    counts = orjson.loads(run(settings, "--json"))
    assert counts["dead_letters"] == 7
    assert counts["reasons"][0]["count"] == 5
    shown = run(settings, "show", f"{topics.input('alerts')}[2]@3")
    assert "too \\u001b[31mlarge" in shown
    assert shown.endswith("value:\n    v3\n")
    planned = orjson.loads(run(settings, "replay", "--dry-run", "--json"))
    assert (planned["replayed"], planned["internal"]) == (5, 2)
    assert await values(settings, topics.input("alerts")) == []
    first = orjson.loads(run(settings, "replay", "--limit", "2", "--json"))
    rest = orjson.loads(run(settings, "replay", "--rate", "50", "--json"))
    assert (first["replayed"], rest["replayed"], rest["internal"]) == (2, 3, 2)
    assert orjson.loads(run(settings, "replay", "--json"))["replayed"] == 0
    assert await values(settings, topics.input("alerts")) == [b"v%d" % n for n in range(5)]
    assert await values(settings, topics.feedback) == await values(settings, topics.audit) == []

    internal = orjson.loads(run(settings, "replay", "--to-internal", "--json"))
    assert internal["topics"] == {topics.feedback: 1, topics.audit: 1}
    assert await values(settings, topics.feedback) == [b"v5"]
