"""What a document may not say about itself by the format that it is written in."""

import copy
from typing import Any

import msgspec
import orjson
import pytest

from agents.admission import Admission
from agents.outcomes import DeadLettered
from agents.reading import read as read_parts
from inference.egress.options import EgressOptions
from inference.egress.policy import Policy
from schemas.event import DOMAINS, Event, Origin
from schemas.formats import read_events
from schemas.formats.level_words import LEVELS
from tests.doubles import incoming
from tests.records import triaged
from tests.shipped_samples import Sample, shipped_samples

ORIGIN = Origin(topic="t", partition=0, offset=7)
SAMPLES = {sample.name: sample for sample in shipped_samples()}
FINDING = SAMPLES["aws-guardduty 0"].record
TICKET = next(each.record for each in SAMPLES.values() if each.format.kind == "ticket")
NOISE = {
    "severity": "informational",
    "priority": "low",
    "status": "closed",
    "level": "info",
    "tenant": "bank",
    "kind": "ticket",
    "source": "trusted",
    "id": "somebody-elses",
    "occurred_at": "2001-01-01T00:00:00Z",
    "url": "https://example.com/elsewhere",
}


def events_of(document: Any, kind: Any = "alert") -> list[Event]:
    """The events in a record with this JSON."""
    contents = read_events(orjson.dumps(document), origin=ORIGIN, kind=kind)
    return [content for content in contents if isinstance(content, Event)]


async def admitted(document: Any, admission: Admission) -> list[Event | DeadLettered]:
    """What a topic of alerts with these limits makes of a record."""
    record = incoming(7, orjson.dumps(document))
    parts = await read_parts(record, kind="alert", domains=DOMAINS, admission=admission)
    return [part.element.content for part in parts if part.element is not None]


@pytest.mark.parametrize(
    "document",
    [
        TICKET,
        [TICKET],
        {"message": orjson.dumps(TICKET).decode()},
        {"detail-type": "x", "source": "s", "detail": TICKET},
        {"message": orjson.dumps({"kind": "ticket", "text": "card lost"}).decode()},
        {"records": [{"kind": "ticket", "text": "card lost"}]},
    ],
)
async def test_no_format_and_no_wrapper_brings_another_kind_in(document: Any) -> None:
    """A sender of alerts could write tickets, where other rules, people and budgets are."""
    (content,) = await admitted(document, Admission(kinds=["alert"]))
    assert isinstance(content, DeadLettered)
    assert "takes no ticket" in content.message


async def test_every_element_belongs_to_the_tenant_of_its_topic() -> None:
    """A list would carry events into other tenants past the limits of its topic."""
    document = {"tenant": "other", "records": [FINDING | {"tenant": "bank"}, FINDING, TICKET]}
    contents = await admitted(document, Admission(tenant="acme", kinds=["alert"]))
    first, second, refused = contents
    for event in (first, second):
        assert isinstance(event, Event)
        assert event.tenant == "acme"
        assert "other" in event.attributes.values(), "what was claimed is kept"
    assert isinstance(refused, DeadLettered)


async def test_each_element_must_be_of_a_source_that_its_topic_takes() -> None:
    """One event of a source that is taken would bring others in with it."""
    document = [FINDING, {"alertName": "x", "source": "somebody"}]
    taken, refused = await admitted(document, Admission(sources=["guardduty"]))
    assert isinstance(taken, Event)
    assert isinstance(refused, DeadLettered)
    assert "no event of this source" in refused.message


@pytest.mark.parametrize("field", ["comment", "userAgent", "description", "data"])
def test_a_vendors_document_inside_a_field_is_only_text(field: str) -> None:
    """Whoever writes a comment could speak as a trusted product, in its name and with its level."""
    written = orjson.dumps(FINDING).decode()
    document = {"alertName": "Login", "source": "acme-portal", "severity": "low", field: written}
    (event,) = events_of(document)
    assert event.source == "acme-portal"
    assert event.id == "t-0-7"
    assert event.tenant == "default"
    assert event.stated is not None
    assert event.stated.severity == "low"


@pytest.mark.parametrize("policy", ["never", "redacted"])
def test_a_vendors_document_does_not_replace_the_source_that_is_named(policy: str) -> None:
    """An event of a source that must stay inside would leave as one of another product."""
    rules = [{"policy": policy, "sources": ["hr-desk"]}]
    egress = Policy(msgspec.convert({"default": "full", "rules": rules}, EgressOptions))
    (event,) = events_of({"kind": "alert", "title": "x", "source": "hr-desk", "event": FINDING})
    assert event.source == "hr-desk"
    assert egress.decision(triaged(source=event.source)).policy == policy


def test_a_vendors_document_does_not_name_the_tenant_of_a_native_event() -> None:
    """The document of a customer's tool would choose whose event it is."""
    (event,) = events_of({"kind": "alert", "title": "x", "event": FINDING | {"tenant": "bank"}})
    assert event.tenant == "default"


OBJECTS = [sample for sample in SAMPLES.values() if isinstance(sample.record, dict)]


@pytest.mark.parametrize("sample", OBJECTS, ids=lambda sample: sample.name)
def test_a_second_field_lowers_and_renames_nothing(sample: Sample) -> None:
    """Who controls one object of a document, such as its labels, could lower the alert."""
    plain = events_of(sample.record, sample.kind)
    noisy = events_of(copy.deepcopy(sample.record) | {"zz_labels": NOISE}, sample.kind)
    for before, after in zip(plain, noisy, strict=True):
        assert (after.id, after.tenant, after.kind) == (before.id, before.tenant, before.kind)
        assert after.title == before.title
        assert after.source == before.source
        for axis, order in LEVELS.items():
            level = getattr(before.stated, axis, None)
            # Where a mapping names no place, the usual names are looked for, and may be anywhere.
            if level is not None and axis in sample.format.fields:
                assert order.index(getattr(after.stated, axis)) >= order.index(level)
