"""Records in every format that we read, and records that we refuse."""

import base64
import json
from typing import Any

import msgspec
import pytest

from schemas.errors import InvalidEvent
from schemas.event import MAX_ID_CHARS, Event, Kind, Origin
from schemas.formats import Mapping, read_event
from schemas.formats.instants import to_rfc3339
from schemas.formats.paths import find
from schemas.limits import LIMITS

ORIGIN = Origin(topic="triage.alerts.v1", partition=3, offset=17)
DERIVED_ID = "triage.alerts.v1-3-17"

OCSF = {
    "class_uid": 2004,
    "time": 1767323045000,
    "finding_info": {"uid": "f-1", "title": "Root login", "desc": "Root signed in without MFA."},
    "metadata": {"product": {"name": "Cloud Guard", "vendor_name": "Acme"}, "tenant_uid": "acme"},
}
ECS = {
    "@timestamp": "2026-01-02T03:04:05.678Z",
    "event": {"kind": "alert", "id": "e-1", "module": "endpoint"},
    "rule": {"name": "Ransom note written"},
    "message": "README.txt written to 200 folders",
}
KIBANA = {
    "@timestamp": "2026-01-02T03:04:05.678Z",
    "kibana.alert.uuid": "k-1",
    "kibana.alert.rule.name": ["Impossible travel"],
    "kibana.alert.reason": "two countries within ten minutes",
    "event.kind": "signal",
}
CLOUDEVENT = {
    "specversion": "1.0",
    "id": "c-1",
    "type": "com.example.alert",
    "source": "/sensors/7",
    "time": "2026-01-02T04:04:05+01:00",
    "severity": "high",
    "data": {"text": "door forced open"},
}
NOTABLE = Mapping(
    name="splunk-notable",
    when={"search_name": True, "result.kind": "notable"},
    fields={
        "id": "result.event_id",
        "title": "result.rule_title",
        "tenant": "result.org",
        "occurred_at": "result.at",
    },
)


def read(
    value: object, *, kind: Kind = "alert", headers: Any = (), mappings: tuple[Mapping, ...] = ()
) -> Event:
    """The event in a document, or in the bytes of a record."""
    if not isinstance(value, bytes | None):
        value = json.dumps(value).encode()
    return read_event(value, headers=headers, origin=ORIGIN, kind=kind, mappings=mappings)


def refusal(value: object, **options: Any) -> InvalidEvent:
    """The error with which a document or bytes are refused."""
    with pytest.raises(InvalidEvent) as caught:
        read(value, **options)
    return caught.value


def test_native_event_is_read_as_written() -> None:
    """An event in our own format would lose a field."""
    document = {
        "id": "a-1",
        "kind": "ticket",
        "text": "t",
        "title": "u",
        "body": "b",
        "event": {"k": [1]},
        "source": "edr",
        "tenant": "acme",
        "occurred_at": "2026-01-02T03:04:05Z",
        "attributes": {"a": 1},
    }
    assert msgspec.to_builtins(read(document)) == document


def test_missing_fields_come_from_the_record() -> None:
    """An event without id or kind would be lost, or would get a new id at redelivery."""
    event = read({"text": "hello"}, kind="ticket")
    assert (event.id, event.kind, event.tenant) == (DERIVED_ID, "ticket", "default")
    assert read({"event": {"a": 1}}).event == {"a": 1}


def test_kind_of_the_event_overrides_the_topic() -> None:
    """A ticket on the alerts topic would be labelled with attack tactics."""
    assert read({"kind": "Ticket", "text": "x"}, kind="alert").kind == "ticket"


@pytest.mark.parametrize(
    ("value", "id_"), [(7, "7"), ("", DERIVED_ID), (" \n", DERIVED_ID), (None, DERIVED_ID)]
)
def test_ids_are_text(value: object, id_: str) -> None:
    """A ticket's number would be refused, or events with empty ids would replace each other."""
    assert read({"id": value, "text": "x"}).id == id_


def test_unknown_fields_are_kept() -> None:
    """An unknown field would be lost, or would overwrite an attribute of the same name."""
    document = {"text": "x", "severity": "high", "host": 1, "attributes": {"host": 2}}
    event = read({**document, "kind": "alert"})
    assert event.attributes == {"severity": "high", "host": 2, "document.host": 1}
    event = read(document)
    assert (event.event, event.attributes) == (document, {"host": 2})


def test_unusable_extras_never_refuse_an_event() -> None:
    """A wrong clock or a source that is an object would cost an alert."""
    event = read(
        {"text": "x", "occurred_at": "yesterday", "source": {"name": "edr"}, "attributes": [1]}
    )
    assert (event.occurred_at, event.source) == (None, None)
    assert event.attributes == {
        "occurred_at": "yesterday",
        "source": {"name": "edr"},
        "attributes": [1],
    }


def test_numbers_are_accepted_as_text() -> None:
    """An event whose title is a number would become a dead letter."""
    assert read({"title": 404, "body": 1.5}).title == "404"


@pytest.mark.parametrize(
    "document",
    [
        {"id": "x", "kind": "alert", "text": {"a": 1}},
        {"id": "x", "kind": "alert", "event": ["a", "b"]},
        {"id": 10**30, "text": "x"},
        {"id": "x" * (MAX_ID_CHARS + 1), "text": "x"},
        {"tenant": "t" * 129, "text": "x"},
    ],
)
def test_impossible_fields_are_refused(document: dict[str, Any]) -> None:
    """We would guess a field that we cannot read, and no person would see a dead letter."""
    assert refusal(document).stage == "validate"


@pytest.mark.parametrize(
    "field",
    [
        {"title": ["a", "b"]},
        {"kind": "invoice"},
        {"kind": 1},
        {"id": {"a": 1}},
        {"id": True},
        {"tenant": {"id": 7}},
        {"event": ["a", "b"]},
    ],
)
def test_a_foreign_field_with_one_of_our_names_is_kept(field: dict[str, Any]) -> None:
    """A vendor's own `kind` or `tenant` would cost the alert."""
    event = read({"text": "x", **field})
    assert (event.text, event.kind, event.tenant) == ("x", "alert", "default")
    assert event.id == field.get("x", DERIVED_ID)
    assert event.attributes == field


def test_an_object_with_a_single_text_is_read_as_that_text() -> None:
    """An id of MongoDB, or a tenant with its number, would not be read."""
    event = read({"text": "x", "id": {"$oid": "65f0"}, "tenant": {"id": 7, "name": "acme"}})
    assert (event.id, event.tenant) == ("65f0", "acme")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"id": "x", "kind": "alert"},
        {"id": "x", "text": ""},
        {"id": "x", "text": None, "event": None},
        {"id": "x", "text": " \t\r\n\x00\x1b\u200b\ufeff\u202e"},
        {"id": "x", "event": {}},
    ],
)
def test_nothing_to_read_is_refused(document: dict[str, Any]) -> None:
    """An event without any text would be triaged at random."""
    assert refusal(document).stage == "validate"


@pytest.mark.parametrize("value", [b"null", b"3", b"[]", b"true"])
def test_only_objects_are_events(value: bytes) -> None:
    """A JSON value that is not an object would crash an adapter."""
    assert refusal(value).stage == "recognise"


@pytest.mark.parametrize(
    "value",
    [None, b"", b"{", b"\xff", b'"text"', b'{"a":NaN}', rb'{"text":"\ud800"}', b"[" * 100_000],
)
def test_what_is_not_json_is_refused(value: bytes | None) -> None:
    """Broken bytes would raise an error that the worker does not expect."""
    assert refusal(value).stage == "decode"


def test_byte_order_mark_is_ignored() -> None:
    """Every event of a tool that writes a byte order mark would become a dead letter."""
    assert read(b'\xef\xbb\xbf{"text":"x"}').text == "x"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_bounded_by_what_can_be_written(opening: bytes, closing: bytes) -> None:
    """A document that can be read but not written again would stop the worker after its triage."""
    depth = LIMITS.max_event_depth
    deep = b'{"a":' + opening * (depth - 1) + b"1" + closing * (depth - 1) + b"}"
    assert read(deep).event
    assert refusal(b'{"a":' + deep + b"}").stage == "decode"


def test_confluent_framed_json_is_read() -> None:
    """Producers that use a schema registry could not send events."""
    assert read(b'\x00\x00\x00\x00\x2a{"id":"r-1","text":"x"}').id == "r-1"


def test_confluent_framed_avro_names_the_schema_id() -> None:
    """The reader of the dead letter would not know which schema to change."""
    error = refusal(b"\x00\x00\x00\x00\x2a\x06abc")
    assert error.stage == "decode"
    assert "schema id 42" in str(error)
    assert refusal(b"\x00\x00\x00").stage == "decode"


def test_structured_cloudevent_is_unwrapped() -> None:
    """The envelope would be triaged instead of its data."""
    event = read(
        CLOUDEVENT, headers=[("content-type", b"application/cloudevents+json; charset=UTF-8")]
    )
    assert (event.id, event.text, event.source) == ("c-1", "door forced open", "/sensors/7")
    assert event.occurred_at == "2026-01-02T03:04:05Z"
    assert event.attributes["ce_severity"] == "high"
    assert read(CLOUDEVENT) == event


def test_binary_cloudevent_is_unwrapped() -> None:
    """The same event would get another id if its envelope is in the headers."""
    names = ("specversion", "id", "type", "source", "time", "severity")
    headers = [(f"ce_{name}", str(CLOUDEVENT[name]).encode()) for name in names]
    assert read({"text": "door forced open"}, headers=headers) == read(CLOUDEVENT)


def test_data_inside_a_cloudevent_is_recognised() -> None:
    """A finding from two gateways would become two events, or lose its time and source."""
    event = read({**CLOUDEVENT, "data": OCSF})
    assert (event.id, event.title, event.source) == ("f-1", "Root login", "Cloud Guard")
    assert event.event == OCSF
    assert event.attributes["ce_id"] == "c-1"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"data": '{"text":"as JSON"}'}, "as JSON"),
        ({"data": "plain words"}, "plain words"),
        ({"data_base64": base64.b64encode(b'{"text":"as base64"}').decode()}, "as base64"),
        ({"data_base64": "d29yZHM=", "datacontenttype": "text/plain"}, "words"),
    ],
)
def test_cloudevent_data_in_its_other_forms(data: dict[str, str], text: str) -> None:
    """A CloudEvent with its data in a string or in base64 would become a dead letter."""
    envelope = {name: value for name, value in CLOUDEVENT.items() if name != "data"}
    assert read({**envelope, **data}).text == text


@pytest.mark.parametrize(
    "data", [{"data": None}, {"data": [1]}, {"data_base64": "%%%"}, {"data_base64": 5}]
)
def test_cloudevents_without_readable_data_are_refused(data: dict[str, Any]) -> None:
    """An empty envelope would be triaged."""
    refusal({**CLOUDEVENT, **data})


def test_binary_cloudevent_of_text() -> None:
    """A text/plain CloudEvent would become a dead letter because it is not JSON."""
    headers = [
        ("ce_id", b"c-9"),
        ("ce_odd", None),
        ("ce_raw", b"\xff"),
        ("content-type", b"text/plain"),
    ]
    event = read(b"plain words", headers=headers)
    assert (event.id, event.text) == ("c-9", "plain words")
    assert refusal(b"\xff", headers=headers).stage == "decode"


def test_ocsf_finding() -> None:
    """The findings of Security Lake would be triaged without title, tenant or time."""
    event = read(OCSF)
    assert (event.id, event.title, event.body) == (
        "f-1",
        "Root login",
        "Root signed in without MFA.",
    )
    assert (event.source, event.tenant, event.occurred_at) == (
        "Cloud Guard",
        "acme",
        "2026-01-02T03:04:05Z",
    )
    assert event.event == OCSF


def test_ecs_alert_nested() -> None:
    """An ECS alert would be read as our own format, which has an `event` object too."""
    event = read({**ECS, "id": "not-ecs"})
    assert (event.id, event.title, event.body) == (
        "e-1",
        "Ransom note written",
        "README.txt written to 200 folders",
    )
    assert (event.source, event.occurred_at) == ("endpoint", "2026-01-02T03:04:05.678000Z")


def test_a_line_that_a_beat_ships_is_read_as_the_vendor_writes_it() -> None:
    """Every line that Filebeat ships would be an ECS alert without an id and a title."""
    line = {"rule": {"level": 3, "description": "x"}, "agent": {"id": "7"}, "id": "1.2"}
    beat = {"@timestamp": "2026-03-04T05:06:07Z", "ecs": {"version": "8.0.0"}}
    assert read({**beat, "message": json.dumps(line)}).title == "x"
    assert read({**beat, **line}).source == "wazuh"
    alert = read({**beat, **line, "event": {"kind": "alert"}, "message": "words"})
    assert alert.body == "words"


def test_ecs_alert_with_dotted_keys() -> None:
    """Kibana's alerts, with dotted keys and arrays of one element, would have no title."""
    event = read(KIBANA)
    assert (event.id, event.title, event.body) == (
        "k-1",
        "Impossible travel",
        "two countries within ten minutes",
    )
    assert event.event == KIBANA


def test_vendor_fields_of_a_wrong_type_are_skipped() -> None:
    """A finding whose title is an object would be refused, although its document is complete."""
    odd = {
        "class_uid": 2004,
        "time": "soon",
        "finding_info": {"uid": ["a", "b"], "title": {"en": "x"}},
    }
    event = read(odd)
    assert (event.id, event.title, event.event) == (DERIVED_ID, None, odd)
    assert event.attributes == {"occurred_at": "soon"}


def test_unknown_vendor_document_is_kept_whole() -> None:
    """An alert of a vendor that nobody configured would be lost."""
    document = {"parameters": [{"eventName": "Login"}], "id": "own", "kind": "admin#reports"}
    event = read(document)
    assert (event.id, event.kind, event.event) == ("own", "alert", document)


def test_mapping_reads_a_vendor_document() -> None:
    """A configured mapping would have no effect."""
    result = {
        "kind": "notable",
        "event_id": "n-1",
        "rule_title": "Brute force",
        "org": "acme",
        "at": "1767323045",
    }
    document = {"search_name": "x", "result": result}
    event = read(document, mappings=(NOTABLE,))
    assert (event.id, event.title, event.tenant) == ("n-1", "Brute force", "acme")
    assert (event.occurred_at, event.event) == ("2026-01-02T03:04:05Z", document)


def test_first_mapping_that_matches_wins_and_absent_paths_are_absent() -> None:
    """If two mappings match, the choice between them would be random."""
    other = Mapping(
        name="other", when={"result.kind": "other"}, fields={"title": "search_name"}, kind="ticket"
    )
    again = msgspec.structs.replace(other, fields={"title": "nowhere"})
    event = read(
        {"search_name": "x", "result": {"kind": "other"}}, mappings=(NOTABLE, other, again)
    )
    assert (event.title, event.kind, event.id) == ("x", "ticket", DERIVED_ID)


@pytest.mark.parametrize(
    ("expected", "value", "matches"),
    [
        (True, "x", True),
        (True, None, False),
        (True, False, False),
        (1, True, False),
        (1, 1, True),
        (False, 0, False),
    ],
)
def test_mapping_conditions_compare_json_values(expected: Any, value: Any, matches: bool) -> None:
    """With Python's `True == 1`, a mapping would match the documents of another vendor."""
    mapping = Mapping(name="m", when={"a": expected}, fields={})
    assert mapping.recognises({"a": value}) is matches


@pytest.mark.parametrize(
    "broken", [{"when": {}}, {"fields": {"queue": "a"}}, {"kind": "invoice"}, {"extra": 1}]
)
def test_broken_mappings_are_refused_when_configured(broken: dict[str, Any]) -> None:
    """A mistake in the configuration would only show as events that are read wrongly."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(
            {"name": "m", "when": {"a": True}, "fields": {"title": "a"}, **broken}, Mapping
        )


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02t05:04:05.5+02:00", "2026-01-02T03:04:05.500000Z"),
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05Z"),
        (1767323045, "2026-01-02T03:04:05Z"),
        (1767323045123, "2026-01-02T03:04:05.123000Z"),
        (1767323045000000000, "2026-01-02T03:04:05Z"),
        ("1767323045", "2026-01-02T03:04:05Z"),
    ],
)
def test_instants(value: object, instant: str) -> None:
    """The time of an event would be shifted."""
    assert to_rfc3339(value) == instant


@pytest.mark.parametrize(
    "value",
    [
        0,
        -5,
        10**30,
        1e308,
        253402300800,
        True,
        None,
        [],
        {},
        "",
        "yesterday",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "2026-02-30T00:00:00Z",
        "0001-01-01T00:00:00+23:00",
        "2026-01-02",
        "9" * 5000,
        "٢٠٢٦-01-02T03:04:05Z",
    ],
)
def test_values_that_are_no_instant_are_ignored(value: object) -> None:
    """An impossible time would raise, or would be taken for a real one."""
    assert to_rfc3339(value) is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b.c", 1),
        ("d.e.f", 2),
        ("g.h.i", 3),
        ("l.1.m", 4),
        ("l.9.m", None),
        ("l.-1.m", None),
        ("a.b.x", None),
    ],
)
def test_paths(path: str, value: int | None) -> None:
    """A mapped field would not be found if its keys are nested, dotted or a mixture."""
    document = {"a": {"b": {"c": 1}}, "d.e.f": 2, "g": {"h.i": 3}, "l": [{}, {"m": 4}]}
    assert find(document, path) == value
