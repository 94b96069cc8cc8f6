"""What is around an event: its fields, its tenant, and what goes wrong inside it."""

import base64
from typing import Any

import orjson
import pytest

from schemas.errors import InvalidEvent
from schemas.event import Event, Headers, Origin
from schemas.formats import Mapping, Rejected, read_events
from schemas.formats.paths import without

ORIGIN = Origin(topic="t", partition=0, offset=7)
ALERT = {"alertName": "Impossible travel", "description": "Two logins within an hour"}


def read(document: Any, headers: Headers = (), **options: Any) -> list[Event | Rejected]:
    """What is in a record with this JSON."""
    value = orjson.dumps(document)
    return read_events(value, headers=headers, origin=ORIGIN, kind="alert", **options)


def events(document: Any, headers: Headers = (), **options: Any) -> list[Event]:
    """The events in a record, all of which can be read."""
    contents = read(document, headers, **options)
    assert all(isinstance(content, Event) for content in contents), contents
    return [content for content in contents if isinstance(content, Event)]


def in_json(document: Any) -> str:
    """The document as JSON in a string."""
    return orjson.dumps(document).decode()


WRAPPED: dict[str, tuple[Any, dict[str, Any]]] = {
    "eventbridge": (
        {"detail-type": "x", "source": "s", "account": "123456789012", "detail": ALERT},
        {"detail-type": "x", "source": "s", "account": "123456789012"},
    ),
    "sns": (
        {"Type": "Notification", "MessageId": "m", "TopicArn": "a", "Message": in_json(ALERT)},
        {"Type": "Notification", "MessageId": "m", "TopicArn": "a"},
    ),
    "pub/sub, a part of an object": (
        {
            "message": {
                "data": base64.b64encode(in_json(ALERT).encode()).decode(),
                "messageId": "m",
                "attributes": {"region": "eu"},
            },
            "subscription": "s",
        },
        {"message": {"messageId": "m", "attributes": {"region": "eu"}}, "subscription": "s"},
    ),
    "a list": ({"records": [ALERT, ALERT], "region": "eu"}, {"region": "eu"}),
    "lists of envelopes": (
        {"next": "n", "value": [{"message": in_json(ALERT), "stream": "stdout"}]},
        {"next": "n", "stream": "stdout"},
    ),
    "a name that is taken": (
        {"region": "eu", "value": [{"message": in_json(ALERT), "region": "us"}]},
        {"region": "eu", "document.region": "us"},
    ),
    "a CloudEvent with two data": (
        {"specversion": "1.0", "data": {"n": 1}, "data_base64": "eyJhIjoxfQ=="},
        {"ce_specversion": "1.0", "ce_data": {"n": 1}},
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_what_is_around_an_event_is_kept(name: str) -> None:
    """The account, the region or the topic of an alert would be nowhere in what is decided."""
    document, kept = WRAPPED[name]
    for event in events(document):
        assert event.attributes == kept


def test_what_several_cloudevents_say_is_kept() -> None:
    """The sender inside a gateway's batch would replace what the gateway says, or be lost."""
    headers = [("ce_id", b"outer"), ("ce_region", b"eu"), ("ce_source", b"gateway")]
    inner = {"specversion": "1.0", "type": "t", "id": "inner", "data": ALERT}
    (event,) = events([inner], headers)
    assert event.id == "inner"
    assert event.source == "gateway"
    assert event.attributes["ce_region"] == "eu"
    assert event.attributes["ce_id"] == "outer"
    assert event.attributes["document.ce_id"] == "inner"


CLAIM = ALERT | {"tenant": "bank"}
CLAIMS: dict[str, Any] = {
    "a list": {"tenant": "acme", "records": [CLAIM, ALERT]},
    "an envelope": {"tenant": "acme", "message": in_json(CLAIM)},
    "a list in an envelope": {"tenant": "acme", "message": in_json({"alerts": [CLAIM, ALERT]})},
    "an envelope in a list": {"tenant": "acme", "value": [{"message": in_json(CLAIM)}]},
    "the outer of two": {
        "tenant": "acme",
        "value": [{"tenant": "bank", "message": in_json(CLAIM)}],
    },
    "a batch": [{"specversion": "1.0", "type": "t", "tenant": "acme", "data": CLAIM}],
    "a batch in a list": {
        "tenant": "acme",
        "events": [{"specversion": "1.0", "type": "t", "tenant": "bank", "data": CLAIM}],
    },
}


@pytest.mark.parametrize("name", CLAIMS)
def test_the_tenant_of_a_wrapper_stands_before_those_inside(name: str) -> None:
    """Somebody who only writes a message could put it into another tenant's data and budget."""
    assert {event.tenant for event in events(CLAIMS[name])} == {"acme"}


def test_the_tenant_of_a_gateway_holds_for_a_batch() -> None:
    """A batch inside a gateway's CloudEvent would name any tenant, or fall to the default one."""
    batch = [
        {"specversion": "1.0", "type": "t", "data": ALERT},
        {"specversion": "1.0", "type": "t", "tenant": "bank", "data": ALERT},
        CLAIM,
    ]
    headers = [("ce_id", b"1"), ("ce_tenant", b"acme")]
    assert {event.tenant for event in events(batch, headers)} == {"acme"}


def test_a_mapping_says_where_the_tenant_of_a_wrapper_is() -> None:
    """A wrapper could not name its tenant by another name, and its content could."""
    mapping = Mapping(name="m", when={"bus": True}, split="rows", fields={"tenant": "customer"})
    document = {"bus": 1, "customer": "acme", "rows": [CLAIM, ALERT]}
    assert {event.tenant for event in events(document, mappings=[mapping])} == {"acme"}


def test_an_element_that_is_read_again_has_the_tenant_of_its_wrapper() -> None:
    """A dead letter of a tenant would be replayed as one of the default tenant, or of another."""
    bad = {"kind": "alert", "id": "a-2"}
    for element in (bad, bad | {"tenant": "bank"}):
        rejected, _ = read({"tenant": "acme", "records": [element, ALERT]})
        assert isinstance(rejected, Rejected)
        assert orjson.loads(rejected.value)["tenant"] == "acme"


BAD_ELEMENTS: dict[str, Any] = {
    "a CloudEvent without data": {"specversion": "1.0", "type": "t", "data": None},
    "a CloudEvent of bad base64": {"specversion": "1.0", "type": "t", "data_base64": "%"},
    "an empty list": [],
    "a list of numbers": [1, 2],
    "a wrapper with an id that is too long": {
        "Type": "Notification",
        "MessageId": "m" * 600,
        "Message": in_json(ALERT),
    },
}


@pytest.mark.parametrize("name", BAD_ELEMENTS)
def test_an_element_that_cannot_be_unwrapped_leaves_the_others_alone(name: str) -> None:
    """One bad CloudEvent of a batch would cost all of the others."""
    first, bad, last = read([ALERT, BAD_ELEMENTS[name], ALERT])
    assert isinstance(first, Event)
    assert isinstance(last, Event)
    assert (first.id, last.id) == ("t-0-7#0", "t-0-7#2")
    assert isinstance(bad, Rejected)
    assert orjson.loads(bad.value) == BAD_ELEMENTS[name]


def test_too_many_events_are_refused_wherever_they_are() -> None:
    """The first thousand events would be triaged and the rest be lost."""
    for document in ([[ALERT] * 3, [ALERT] * 3], {"value": [{"value": [ALERT] * 6}]}, [ALERT] * 5):
        with pytest.raises(InvalidEvent, match=r"formats\.max_events_per_record"):
            read(document, max_events=4)


def test_only_two_cloudevents_are_opened() -> None:
    """A record could be nested as deep as its limits allow, each level read anew."""
    document: Any = {"text": "innermost"}
    for number in range(9):
        document = {"specversion": "1.0", "type": "t", "id": str(number), "data": document}
    (event,) = events([document])
    assert event.event is not None
    assert (event.event["specversion"], event.event["id"]) == ("1.0", "6")


@pytest.mark.parametrize("text", ["<p></p>", "&lt;p&gt;", "<script>x</script>", "<!-- -->"])
@pytest.mark.parametrize("field", ["text", "title", "body", "event"])
def test_a_text_without_words_is_refused(field: str, text: str) -> None:
    """An event with nothing to read would be decided."""
    for kind in ("alert", "ticket"):
        try:
            read_events(orjson.dumps({field: text, "kind": kind}), origin=ORIGIN, kind="alert")
        except InvalidEvent as error:
            assert "nothing to read" in str(error)  # noqa: PT017 - some are texts about markup


@pytest.mark.parametrize(
    ("document", "path", "rest"),
    [
        ({"a": 1, "b": 2}, "a", {"b": 2}),
        ({"a": {"b": 1, "c": 2}}, "a.b", {"a": {"c": 2}}),
        ({"a": {"b": 1}}, "a.b", {}),
        ({"a.b": 1, "a": {"b": 2}}, "a.b", {"a": {"b": 2}}),
        ({"a": [{"b": 1}, {"b": 2, "c": 3}]}, "a.1.b", {"a": [{"b": 1}, {"c": 3}]}),
        ({"a": [{"b": 1}, 2]}, "a.0.b", {"a": [{}, 2]}),
        ({"a": '{"b": 1, "c": 2}'}, "a.b", {"a": {"c": 2}}),
        ({"a": "words"}, "a.b", {"a": "words"}),
        ({"a": 0}, "a.b", {"a": 0}),
        ({"a": 1}, "b.c", {"a": 1}),
    ],
)
def test_a_document_without_what_it_wraps(
    document: dict[str, Any], path: str, rest: dict[str, Any]
) -> None:
    """The wrapped document would be kept a second time, or something beside it be lost."""
    before = orjson.dumps(document)
    assert without(document, path) == rest
    assert orjson.dumps(document) == before
