"""Tickets in the shapes of help desks, trackers and mail services: the words come out again."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import orjson
import pytest

from schemas.errors import InvalidEvent
from schemas.event import Event, Origin
from schemas.formats import Reading, read_event, read_record
from tests.desk_shapes import SHAPES, Shape, Ticket

ORIGIN = Origin(topic="tickets", partition=0, offset=7)
SAMPLES = Path(__file__).parents[2] / "streams" / "samples" / "tickets.ndjson"
MIN_SHAPES = 24
EVERY = 3
"""Every so many of the sample tickets are tried in every shape."""

TICKETS = (
    Ticket(
        4711, "I lost my card", "I left my card on the train.\n\nPlease block it & send another."
    ),
    Ticket(12, "Café <b>€5</b>", "Charged 5 € > 2 € at the café.\nWhy?\n\nThe receipt says 2 €."),
    Ticket(905, None, "the transfer to my landlord was declined twice"),
)

shapes = pytest.mark.parametrize(("name", "shape"), SHAPES.items(), ids=SHAPES.keys())


def reading_of(shape: Shape, ticket: Ticket) -> tuple[Reading, Event]:
    """How the ticket is read in this shape."""
    value = orjson.dumps(shape.document(ticket))
    (reading,) = read_record(value, origin=ORIGIN, kind="ticket")
    assert isinstance(reading.event, Event)
    return reading, reading.event


def words(*texts: str | None) -> list[str]:
    """The words of texts; which white space is between them does not matter."""
    return " ".join(text for text in texts if text).split()


def sample_tickets() -> Iterator[Event]:
    """The tickets of the sample file that are texts alone."""
    for offset, line in enumerate(SAMPLES.read_bytes().splitlines()):
        try:
            origin = Origin(topic="tickets", partition=0, offset=offset)
            event = read_event(line, origin=origin, kind="ticket")
        except InvalidEvent:
            continue  # malformed on purpose
        if event.event is None and not (event.text and event.body):
            yield event


def test_many_desks_have_a_shape() -> None:
    """Few shapes would say little about the desks that people use."""
    assert len({name.split(maxsplit=1)[0] for name in SHAPES}) >= MIN_SHAPES


@shapes
@pytest.mark.parametrize("ticket", TICKETS, ids=lambda ticket: ticket.number)
def test_a_shape_is_read_by_its_format(name: str, shape: Shape, ticket: Ticket) -> None:
    """The id of the desk, the title or the source of a ticket would be lost."""
    reading, event = reading_of(shape, ticket)
    assert reading.formats[-1] == name.split(maxsplit=1)[0]
    if shape.id:
        assert event.id == shape.expected_id(ticket)
    assert event.source
    assert event.kind == "ticket"
    if shape.has_title and "<" not in (ticket.title or ""):
        assert event.title == ticket.title


@shapes
def test_the_words_of_a_ticket_come_out_of_every_shape(name: str, shape: Shape) -> None:
    """The model would read a ticket otherwise than its sender wrote it."""
    for number, plain in enumerate(islice(sample_tickets(), 0, None, EVERY)):
        title = plain.title if shape.has_title else None
        _, event = reading_of(shape, Ticket(number, title, plain.text or plain.body or ""))
        assert words(event.title, event.text, event.body) == words(title, plain.text, plain.body)


@shapes
def test_nothing_but_the_words_is_named_for_the_model(name: str, shape: Shape) -> None:
    """What a desk writes around a ticket would change the decision about it."""
    assert reading_of(shape, TICKETS[0])[1].key_fields == {}
