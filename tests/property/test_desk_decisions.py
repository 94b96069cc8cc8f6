"""A ticket is decided alike, whichever help desk it comes from."""

from itertools import islice

import orjson
import pytest

from inference.acceptance.policy import Decision
from inference.classifier import Classifier
from inference.model.artifact import DEFAULT_MODEL, MANIFEST
from inference.model.threads import Threads
from schemas.event import Event, Origin
from schemas.formats import read_event
from tests.desk_shapes import SHAPES, Ticket
from tests.figures import FIGURES
from tests.unit.test_desk_shapes import sample_tickets

ORIGIN = Origin(topic="tickets", partition=0, offset=7)
EVERY = 7
"""Every so many of the sample tickets are tried in every shape."""


def in_shapes(plain: Event, number: int) -> dict[str, Event]:
    """A ticket as each desk sends it. A chat cannot say the title of a ticket."""
    ticket = Ticket(number, plain.title, plain.text or plain.body or "")
    return {
        name: read_event(orjson.dumps(shape.document(ticket)), origin=ORIGIN, kind="ticket")
        for name, shape in SHAPES.items()
        if shape.has_title or not plain.title
    }


def decided(decision: Decision) -> dict[str, object]:
    """What a user sees of a decision."""
    labels = {axis: label.value for axis, label in decision.labels.items()}
    return {**labels, "accepted": decision.accepted}


@pytest.mark.skipif(
    not (DEFAULT_MODEL / MANIFEST).is_file(), reason="the shipped model is not in this checkout"
)
async def test_wrapping_a_ticket_in_a_desk_does_not_change_its_decision() -> None:
    """The same words would go to another queue because of the desk that sends them."""
    classifier = Classifier.open(threads=Threads(2, 1))
    others: list[tuple[str, str]] = []
    tried = 0
    for number, plain in enumerate(islice(sample_tickets(), 0, None, EVERY)):
        wrapped = in_shapes(plain, number + 1)
        expected, *decisions = await classifier.classify("tickets", [plain, *wrapped.values()])
        tried += len(wrapped)
        others += [
            (name, plain.id)
            for name, decision in zip(wrapped, decisions, strict=True)
            if decided(decision) != decided(expected)
        ]
    await classifier.close()
    FIGURES.append(
        f"desk shapes: {tried - len(others)} of {tried} decisions as for the plain ticket"
    )
    assert others == []
