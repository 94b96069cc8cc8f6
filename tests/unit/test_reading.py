"""From a record to its events: each with its place, and with what its dead letter would carry."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.admission import Admission
from agents.outcomes import DeadLettered, Incoming, in_our_format
from agents.reading import read
from inference.model.input_text import render
from schemas import formats
from schemas.audit.record import sha256
from schemas.event import DOMAINS, Event
from schemas.formats import Rejected, read_event, read_events
from schemas.limits import Limits
from tests.doubles import incoming

GOOD = {"id": "a-1", "kind": "alert", "text": "login from a new country"}
BAD = {"id": "a-2", "kind": "alert"}
NAMELESS = {"kind": "alert", "text": "no id of its own"}


def record(value: object, **fields: Any) -> Incoming:
    """A record with this JSON."""
    return incoming(7, orjson.dumps(value), **fields)


async def events_of(value: object, **options: Any) -> list[Incoming]:
    """The events of a record with this JSON."""
    return await read(record(value), **{"kind": "alert", "domains": DOMAINS} | options)


def content(event: Incoming) -> Event | DeadLettered:
    """What was read."""
    assert event.element is not None
    return event.element.content


def event_in(part: Incoming) -> Event:
    """The event that was read."""
    event = content(part)
    assert isinstance(event, Event), event
    return event


def letter_of(part: Incoming) -> DeadLettered:
    """Why an event could not be read."""
    letter = content(part)
    assert isinstance(letter, DeadLettered)
    return letter


async def test_each_event_has_its_place_and_an_id_of_its_own() -> None:
    """Two events would replace each other downstream, or none could be told from the other."""
    parts = await events_of([GOOD, NAMELESS, NAMELESS])
    assert [part.position for part in parts] == [0, 1, 2]
    ids = [event_in(part).id for part in parts]
    assert ids == ["a-1", "triage.alerts.v1-2-7#1", "triage.alerts.v1-2-7#2"]
    assert ids == [event_in(part).id for part in await events_of([GOOD, NAMELESS, NAMELESS])]


async def test_the_digest_is_that_of_the_whole_record() -> None:
    """An auditor could not check an audit record against the topic."""
    (first, second) = await events_of([GOOD, NAMELESS])
    assert first.element is not None
    assert second.element is not None
    assert first.element.record_digest == second.element.record_digest
    assert first.element.record_digest == sha256(orjson.dumps([GOOD, NAMELESS]))


async def test_an_element_that_cannot_be_read_leaves_the_others_alone() -> None:
    """One bad row of an export would cost all of them."""
    first, bad, last = await events_of([GOOD, BAD, NAMELESS])
    assert event_in(first).id == "a-1"
    assert event_in(last)
    assert (letter_of(bad).stage, letter_of(bad).disposition) == ("validate", "poison")
    assert bad.original() == orjson.dumps(BAD)
    assert bad.position == 1


@pytest.mark.parametrize("value", [GOOD, [GOOD], BAD, [BAD], 17])
async def test_a_record_of_one_event_is_its_own_dead_letter(value: object) -> None:
    """A dead letter of a record with one event would not have the bytes that were sent."""
    (only,) = await events_of(value)
    assert only.position is None
    assert only.original() == orjson.dumps(value)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"split": False}, "formats.split"),
        ({"max_events": 2}, "formats.max_events_per_record"),
    ],
)
async def test_too_many_events_are_one_dead_letter(options: dict[str, Any], key: str) -> None:
    """A thousand dead letters would say the same, or none would say which key to change."""
    value = [GOOD, NAMELESS, NAMELESS]
    (whole,) = await events_of(value, **options)
    assert key in letter_of(whole).message
    assert letter_of(whole).disposition == "poison"
    assert whole.original() == orjson.dumps(value)
    assert whole.position is None


async def test_admission_is_asked_about_each_event() -> None:
    """One ticket among alerts would shut out the alerts, or come in with them."""
    ticket = {"id": "t-1", "kind": "ticket", "text": "card lost", "tenant": "bank"}
    admission = Admission(tenant="acme", kinds=["alert"])
    alert, refused = await events_of([GOOD, ticket], admission=admission)
    assert event_in(alert).tenant == "acme"
    assert "takes no ticket" in letter_of(refused).message
    again = read_event(refused.original(), origin=refused.origin, kind="alert")
    assert (again.id, again.kind, again.tenant) == ("t-1", "ticket", "bank")


async def test_a_domain_without_a_model_is_the_dead_letter_of_its_events_alone() -> None:
    """A replay after the model has learned tickets would send the alerts a second time."""
    ticket = {"id": "t-1", "kind": "ticket", "text": "card lost"}
    alert, refused = await events_of([GOOD, ticket], domains=("alerts",))
    assert event_in(alert).id == "a-1"
    assert (letter_of(refused).stage, letter_of(refused).disposition) == ("classify", "retryable")
    assert orjson.loads(refused.original() or b"")["id"] == "t-1"


async def test_key_and_headers_are_not_copied_without_bound() -> None:
    """A record of a megabyte would become a gigabyte of dead letters."""
    limits = Limits(max_event_bytes=10_000)
    shared = {"headers": [("x-long", b"x" * 5_000)], "key": b"k" * 4_000}
    many, few = record([BAD] * 10, **shared), record([BAD] * 8, **shared)
    (whole,) = await read(many, kind="alert", domains=DOMAINS, limits=limits)
    assert "its key, its headers" in letter_of(whole).message
    assert whole.original() == many.value
    assert len(await read(few, kind="alert", domains=DOMAINS, limits=limits)) == 8


async def test_an_envelope_is_not_copied_without_bound() -> None:
    """A few kilobytes around a thousand events would become as many megabytes of cases."""
    event = {"kind": "alert", "text": "x"}
    wrapped = {
        "specversion": "1.0",
        "type": "batch",
        "source": "s",
        "id": "c-1",
        "extension": "x" * 5_000,
        "data": {"Records": [event] * 20},
    }
    options = {"limits": Limits(max_event_bytes=10_000)}
    (whole,) = await events_of(wrapped, **options)
    assert "envelope" in letter_of(whole).message
    assert whole.original() == orjson.dumps(wrapped)
    parts = await events_of(wrapped | {"data": {"Records": [event] * 5}}, **options)
    assert len(parts) == 5


DOCUMENTS: dict[str, object] = {
    "ours": GOOD | {"source": "siem", "tenant": "acme", "occurred_at": "2026-01-02T03:04:05Z"},
    "ours, with fields of others": GOOD | {"severity": "high", "host": "web-1", "tags": ["a"]},
    "ours, with a vendor's document": {
        "id": "a-3",
        "kind": "alert",
        "title": "Malware blocked",
        "event": {"rule": {"name": "EICAR"}, "severity": "critical"},
    },
    "of nobody we know": {
        "alertName": "Impossible travel",
        "description": "Two logins within an hour",
        "severity": "high",
        "when": "2026-01-02T03:04:05Z",
        "actor": {"user": "jo"},
    },
    "of ECS": {
        "@timestamp": "2026-01-02T03:04:05Z",
        "ecs": {"version": "8.0"},
        "event": {"kind": "alert", "id": "e-1"},
        "message": "Process injected into lsass",
        "host": {"name": "pc-7"},
    },
    "with markup": {"kind": "ticket", "title": "Card", "body": "<p>It is &lt;gone&gt;</p>"},
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
async def test_an_event_in_our_format_is_read_as_the_same_event(document: object) -> None:
    """The replay of one event of a record would be triaged as another one, or get another id."""
    _, part = await events_of([GOOD, document])
    event = event_in(part)
    again = read_event(in_our_format(event), origin=incoming(99).origin, kind="ticket")
    fields = ("id", "kind", "tenant", "source", "occurred_at", "event", "title", "body", "text")
    for name in (*fields, "stated", "link", "key_fields"):
        assert getattr(again, name) == getattr(event, name), name
    assert render(again) == render(event)


def sample_records() -> list[bytes]:
    """Every record of the samples that ship with the formats."""
    files = sorted((Path(formats.__file__).parent / "samples").glob("*.json"))
    records = [row["record"] for file in files for row in orjson.loads(file.read_bytes())]
    return [
        record.encode() if isinstance(record, str) else orjson.dumps(record) for record in records
    ]


def test_every_shipped_sample_can_be_replayed_alone() -> None:
    """The replay of one event of a batch would be read as something else than the first time."""
    origin, other = incoming(7).origin, incoming(99).origin
    events = [
        event
        for record in sample_records()
        for event in read_events(record, origin=origin, kind="alert")
        if isinstance(event, Event)
    ]
    assert len(events) > 100
    for event in events:
        again = read_event(in_our_format(event), origin=other, kind="alert")
        for name in ("id", "kind", "tenant", "source", "occurred_at", "link", "key_fields"):
            assert getattr(again, name) == getattr(event, name), (event.id, name)
        assert render(again) == render(event), event.id


async def test_a_large_record_is_read_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand events would hold up the heartbeats of the worker for a second."""
    threads: list[int] = []

    def note(*arguments: Any, **options: Any) -> list[Event | Rejected]:
        threads.append(threading.get_ident())
        return read_events(*arguments, **options)

    monkeypatch.setattr("agents.reading.read_events", note)
    await events_of(GOOD)
    await events_of([NAMELESS] * 1000)
    await events_of(GOOD | {"body": "x" * 10_000})
    ours = threading.get_ident()
    assert [thread == ours for thread in threads] == [True, False, False]


async def test_the_event_loop_goes_on_while_a_large_record_is_read() -> None:
    """The worker would be taken for dead in the middle of a record."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    parts = await events_of([{"kind": "alert", "text": "x" * 500}] * 1000)
    counting.cancel()
    assert len(parts) == 1000
    assert turns > 3
