"""`triage watch`: which events it prints, and how."""

from types import SimpleNamespace
from typing import Any, Self

import orjson
import pytest

from schemas.codec import encode
from schemas.triaged import Label
from streams.kafka import reader
from tests.doubles import TOPICS
from tests.records import triaged
from tests.unit.conftest import Triage

PUBLISHED = [
    encode(triaged("e-1", title="Root login \x1b[2Jwithout MFA")),
    encode(
        triaged(
            "e-2",
            revision=1,
            decided_by="llm",
            labels={
                "queue": Label(value="cloud", confidence=0.9),
                "tactic": Label(value="impact", confidence=0.254),
            },
        )
    ),
    b"{broken",
]


class FakeConsumer:
    """aiokafka's consumer of topics that hold the published events. After them, Ctrl-C comes."""

    def __init__(self, *topics: str, **options: Any) -> None:
        self.topics, self.options = topics, options
        self.running = False
        self._values = iter(PUBLISHED)

    async def start(self) -> None:
        """Connect, as aiokafka does."""
        self.running = True

    async def stop(self) -> None:
        """Disconnect, as aiokafka does."""
        self.running = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return SimpleNamespace(value=next(self._values))
        except StopIteration:
            raise KeyboardInterrupt from None


@pytest.fixture
def consumers(monkeypatch: pytest.MonkeyPatch) -> list[FakeConsumer]:
    """The consumers that were opened."""
    opened: list[FakeConsumer] = []

    def consumer(*topics: str, **options: Any) -> FakeConsumer:
        opened.append(FakeConsumer(*topics, **options))
        return opened[-1]

    monkeypatch.setattr(reader, "AIOKafkaConsumer", consumer)
    return opened


def test_each_event_is_one_line(triage: Triage, consumers: list[FakeConsumer]) -> None:
    """A person could not see which event was decided how and by whom."""
    code, out, err = triage("watch", "--limit", "3")
    first, second, broken = out.splitlines()
    assert (code, err) == (0, "")
    assert first == (r"e-1  r0 final by slm  queue=cloud (0.90)  Root login \u001b[2Jwithout MFA")
    assert second == "e-2  r1 final by llm  queue=cloud (0.90)  tactic=impact (0.25)"
    assert broken.startswith("?  the record is not JSON")


def test_programs_get_the_records_as_they_are(
    triage: Triage, consumers: list[FakeConsumer]
) -> None:
    """A program would lose what the line for people leaves out."""
    code, out, _ = triage("watch", "--limit", "2", "--json")
    assert code == 0
    assert [orjson.loads(line) for line in out.splitlines()] == [
        orjson.loads(value) for value in PUBLISHED[:2]
    ]


def test_without_a_limit_it_ends_with_ctrl_c(triage: Triage, consumers: list[FakeConsumer]) -> None:
    """The connection would be left open, or a person would see a traceback."""
    code, out, err = triage("watch")
    assert (code, len(out.splitlines()), err.lstrip()) == (130, 3, "triage: stopped\n")
    assert not consumers[0].running


@pytest.mark.parametrize(
    ("arguments", "begins"), [([], "latest"), (["--from-beginning"], "earliest")]
)
def test_it_begins_with_the_next_event_or_the_oldest(
    triage: Triage, consumers: list[FakeConsumer], arguments: list[str], begins: str
) -> None:
    """A person who waits for the next event would see a million old ones, or the reverse."""
    assert triage("watch", "--limit", "1", *arguments)[0] == 0
    (consumer,) = consumers
    assert consumer.options["auto_offset_reset"] == begins
    assert consumer.options["group_id"] is None
    assert set(consumer.topics) == {TOPICS.triaged("alerts"), TOPICS.triaged("tickets")}
