"""The text of an accepted event, looked for when a person corrects it."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from agents.outcomes import DeadLettered, Incoming, Outcome, Triaged
from schemas.event import Event, Origin
from schemas.triaged import TriagedEvent
from streams import input_events
from streams.config import Settings
from streams.errors import BrokerUnreachable
from streams.input_events import InputEvents, add_texts
from tests.doubles import incoming
from tests.records import triaged
from tests.unit.test_labels_topic import EVENT, row

LETTER = DeadLettered("validate", "InvalidEvent", "no")
FOUND = Event(id="t-2", kind="ticket", text="found")


class Shelf(InputEvents):
    """Finds the same event for everybody but one."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def find(self, decisions: Sequence[TriagedEvent]) -> list[Event | None]:
        """Note the ids, and find."""
        self.asked.append([each.id for each in decisions])
        return [None if each.id == "gone" else FOUND for each in decisions]


async def completed(*outcomes: Outcome) -> tuple[list[Outcome], list[list[str]]]:
    """The outcomes with their texts, and the events that were looked for."""

    async def process(_: Sequence[Incoming]) -> list[Outcome]:
        return list(outcomes)

    shelf = Shelf()
    return await add_texts([incoming()], process=process, events=shelf), shelf.asked


async def test_only_rows_without_text_are_looked_for() -> None:
    """Every verdict would wait for the input topic, or another row would get the text."""
    bare, whole, gone = row("t-2", event=None), row("t-1"), row("gone", event=None)
    outcomes: list[Outcome] = [
        LETTER,
        Triaged(triaged("t-1"), whole),
        Triaged(triaged("t-2"), bare),
        Triaged(triaged("t-3")),
        Triaged(triaged("gone"), gone),
    ]
    given, asked = await completed(*outcomes)
    assert asked == [["t-2", "gone"]]
    assert given == [
        *outcomes[:2],
        Triaged(triaged("t-2"), replace(bare, event=FOUND)),
        *outcomes[3:],
    ]
    given, asked = await completed(LETTER, Triaged(triaged("t-1"), row(event=EVENT)))
    assert asked == []


@pytest.mark.parametrize(
    "origin",
    [
        Origin(topic="triage.audit.v1", partition=0, offset=0),
        Origin(topic="__consumer_offsets", partition=0, offset=0),
        Origin(topic="triage.alerts.v1", partition=0, offset=-1),
    ],
)
async def test_no_other_topic_is_read(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forged decision could have any topic read, and its content kept as a text."""
    opened: list[Any] = []
    monkeypatch.setattr(input_events, "reading", lambda *args, **_: opened.append(args))
    found = await InputEvents(Settings(), lambda: None).find([triaged(origin=origin)])  # type: ignore[arg-type, return-value]
    assert (found, opened) == ([None], [])


async def test_a_broker_that_is_away_costs_the_text_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A verdict would become a dead letter because its text cannot be read."""

    def reading(*_: Any, **__: Any) -> Any:
        raise BrokerUnreachable("nobody answers")

    monkeypatch.setattr(input_events, "reading", reading)
    origin = Origin(topic="triage.alerts.v1", partition=0, offset=0)
    events = InputEvents(Settings(), lambda: None)  # type: ignore[arg-type, return-value]
    assert await events.find([triaged(origin=origin)] * 2) == [None, None]
