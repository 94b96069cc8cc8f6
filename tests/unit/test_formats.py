"""Records in every format we read, and the ones we refuse."""

import base64
import json
from typing import Any

import msgspec
import pytest

from schemas.errors import InvalidEvent
from schemas.event import MAX_ID_CHARS, Event, Kind, Origin
from schemas.formats import Mapping, read_event
from schemas.formats.document import MAX_DEPTH
from schemas.formats.instants import to_rfc3339
from schemas.formats.paths import find

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
    """The event in a document or in bytes."""
    data = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    return read_event(data, headers=headers, origin=ORIGIN, kind=kind, mappings=mappings)


def refusal(value: object, **options: Any) -> InvalidEvent:
    """The error that a document or bytes are refused with."""
    with pytest.raises(InvalidEvent) as caught:
        read(value, **options)
    return caught.value


def test_native_event_is_read_as_written() -> None:
    """The contract's own format would lose a field."""
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
    """An event without id or kind would be lost, or get another id when redelivered."""
    event = read({"text": "hello"}, kind="ticket")
    assert (event.id, event.kind, event.tenant) == (DERIVED_ID, "ticket", "default")
    assert read({"event": {"a": 1}}).event == {"a": 1}


def test_own_kind_wins_over_the_topic() -> None:
    """A ticket misrouted to the alerts topic would be labelled with tactics."""
    assert read({"kind": "Ticket", "text": "x"}, kind="alert").kind == "ticket"


@pytest.mark.parametrize(
    ("sent", "read_as"), [(7, "7"), ("", DERIVED_ID), (" \n", DERIVED_ID), (None, DERIVED_ID)]
)
def test_ids_are_text(sent: object, read_as: str) -> None:
    """Ticket systems number their tickets; an empty id would make unrelated events supersede each other."""
    assert read({"id": sent, "text": "x"}).id == read_as


def test_unknown_fields_are_kept() -> None:
    """A vendor's field next to ours would be dropped, or would overwrite an attribute of the same name."""
    event = read({"text": "x", "severity": "high", "host": 1, "attributes": {"host": 2}})
    assert event.attributes == {"severity": "high", "host": 2, "document.host": 1}


def test_unusable_extras_never_refuse_an_event() -> None:
    """A wrong clock or a structured source would cost an alert."""
    event = read(
        {"text": "x", "occurred_at": "yesterday", "source": {"name": "edr"}, "attributes": [1]}
    )
    assert (event.occurred_at, event.source) == (None, None)
    assert event.attributes == {
        "occurred_at": "yesterday",
        "source": {"name": "edr"},
        "attributes": [1],
    }


def test_numbers_are_plain_enough_for_text() -> None:
    """A title that a producer wrote as a number would dead-letter the event."""
    assert read({"title": 404, "body": 1.5}).title == "404"


@pytest.mark.parametrize(
    "document",
    [
        {"id": "x", "kind": "alert", "text": {"a": 1}},
        {"id": "x", "title": ["a", "b"], "text": "x"},
        {"id": "x", "kind": "alert", "event": ["a"]},
        {"id": "x", "kind": "invoice", "text": "x"},
        {"id": "x", "kind": 1, "text": "x"},
        {"id": {"a": 1}, "text": "x"},
        {"id": True, "text": "x"},
        {"id": 10**30, "text": "x"},
        {"id": "x" * (MAX_ID_CHARS + 1), "text": "x"},
        {"tenant": 5, "text": "x"},
        {"tenant": "t" * 129, "text": "x"},
    ],
)
def test_impossible_fields_are_refused(document: dict[str, Any]) -> None:
    """What we cannot read would be guessed at instead of reaching a person as a dead letter."""
    assert refusal(document).stage == "validate"


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
    """An event without words would be triaged on noise."""
    assert refusal(document).stage == "validate"


@pytest.mark.parametrize("value", [b"null", b"3", b'"text"', b"[]", b"true"])
def test_only_objects_are_events(value: bytes) -> None:
    """A bare JSON value would crash an adapter."""
    assert refusal(value).stage == "recognise"


@pytest.mark.parametrize(
    "value", [None, b"", b"{", b"\xff", b'{"a":NaN}', rb'{"text":"\ud800"}', b"[" * 100_000]
)
def test_what_is_not_json_is_refused(value: bytes | None) -> None:
    """Broken bytes would raise something a worker does not expect."""
    assert refusal(value).stage == "decode"


def test_byte_order_mark_is_no_obstacle() -> None:
    """Tools that write UTF-8 with a byte order mark would have every event dead-lettered."""
    assert read(b'\xef\xbb\xbf{"text":"x"}').text == "x"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_bounded_by_what_can_be_written(opening: bytes, closing: bytes) -> None:
    """A document that can be read but not written again would stop the worker after triage."""
    deep = b'{"a":' + opening * (MAX_DEPTH - 1) + b"1" + closing * (MAX_DEPTH - 1) + b"}"
    assert read(deep).event
    assert refusal(b'{"a":' + deep + b"}").stage == "decode"


def test_confluent_framed_json_is_read() -> None:
    """Producers with a schema registry could not send to us."""
    assert read(b'\x00\x00\x00\x00\x2a{"id":"r-1","text":"x"}').id == "r-1"


def test_confluent_framed_avro_names_the_schema_id() -> None:
    """Whoever reads the dead letter would not learn which schema to change."""
    error = refusal(b"\x00\x00\x00\x00\x2a\x06abc")
    assert error.stage == "decode"
    assert "schema id 42" in str(error)
    assert refusal(b"\x00\x00\x00").stage == "decode"


def test_structured_cloudevent_is_unwrapped() -> None:
    """The envelope would be triaged instead of what is in it."""
    event = read(
        CLOUDEVENT, headers=[("content-type", b"application/cloudevents+json; charset=UTF-8")]
    )
    assert (event.id, event.text, event.source) == ("c-1", "door forced open", "/sensors/7")
    assert event.occurred_at == "2026-01-02T03:04:05Z"
    assert event.attributes["ce_severity"] == "high"
    assert read(CLOUDEVENT) == event


def test_binary_cloudevent_is_unwrapped() -> None:
    """The same event would get another id when its envelope travels in headers."""
    names = ("specversion", "id", "type", "source", "time", "severity")
    headers = [(f"ce_{name}", str(CLOUDEVENT[name]).encode()) for name in names]
    assert read({"text": "door forced open"}, headers=headers) == read(CLOUDEVENT)


def test_data_inside_a_cloudevent_is_recognised() -> None:
    """A finding forwarded by two gateways would count as two events, or lose its own time and source."""
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
    """CloudEvents written by SDKs that put data in a string or in base64 would be dead-lettered."""
    assert read({**{k: v for k, v in CLOUDEVENT.items() if k != "data"}, **data}).text == text


@pytest.mark.parametrize(
    "data", [{"data": None}, {"data": [1]}, {"data_base64": "%%%"}, {"data_base64": 5}]
)
def test_cloudevents_without_readable_data_are_refused(data: dict[str, Any]) -> None:
    """An empty envelope would be triaged."""
    refusal({**CLOUDEVENT, **data})


def test_binary_cloudevent_of_text() -> None:
    """A text/plain CloudEvent would be dead-lettered as broken JSON."""
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
    """Security Lake's findings would be triaged without title, tenant or time."""
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
    """An ECS alert would be taken for our own format, which has an `event` object too."""
    event = read({**ECS, "id": "not-ecs"})
    assert (event.id, event.title, event.body) == (
        "e-1",
        "Ransom note written",
        "README.txt written to 200 folders",
    )
    assert (event.source, event.occurred_at) == ("endpoint", "2026-01-02T03:04:05.678000Z")


def test_ecs_alert_with_dotted_keys() -> None:
    """Kibana writes dotted keys and arrays of one; its alerts would have no title."""
    event = read(KIBANA)
    assert (event.id, event.title, event.body) == (
        "k-1",
        "Impossible travel",
        "two countries within ten minutes",
    )
    assert event.event == KIBANA


def test_vendor_fields_that_make_no_sense_are_skipped() -> None:
    """A finding whose title is an object would be refused although its document says everything."""
    odd = {
        "class_uid": 2004,
        "time": "soon",
        "finding_info": {"uid": ["a", "b"], "title": {"en": "x"}},
    }
    event = read(odd)
    assert (event.id, event.title, event.event) == (DERIVED_ID, None, odd)
    assert event.attributes == {"occurred_at": "soon"}


def test_unknown_vendor_document_is_kept_whole() -> None:
    """An alert of a vendor nobody configured would be lost."""
    document = {"Records": [{"eventName": "ConsoleLogin"}], "id": "guess", "kind": "admin#reports"}
    event = read(document)
    assert (event.id, event.kind, event.event) == (DERIVED_ID, "alert", document)


def test_mapping_reads_a_vendor_document() -> None:
    """What the configuration says about a vendor would not be followed."""
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
    """Two mappings of one vendor would be chosen between by chance."""
    other = Mapping(
        name="other", when={"result.kind": "other"}, fields={"title": "search_name"}, kind="ticket"
    )
    again = msgspec.structs.replace(other, fields={"title": "nowhere"})
    event = read(
        {"search_name": "x", "result": {"kind": "other"}}, mappings=(NOTABLE, other, again)
    )
    assert (event.title, event.kind, event.id) == ("x", "ticket", DERIVED_ID)


@pytest.mark.parametrize(
    ("wanted", "value", "matches"),
    [
        (True, "x", True),
        (True, None, False),
        (True, False, False),
        (1, True, False),
        (1, 1, True),
        (False, 0, False),
    ],
)
def test_mapping_conditions_compare_json_values(wanted: Any, value: Any, matches: bool) -> None:
    """Python's `True == 1` would let a mapping claim another vendor's documents."""
    mapping = Mapping(name="m", when={"a": wanted}, fields={})
    assert mapping.recognises({"a": value}) is matches


@pytest.mark.parametrize(
    "broken", [{"when": {}}, {"fields": {"queue": "a"}}, {"kind": "invoice"}, {"extra": 1}]
)
def test_broken_mappings_are_refused_when_configured(broken: dict[str, Any]) -> None:
    """A typing error in the configuration would show only as badly read events."""
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
        *(
            (absurd, None)
            for absurd in (0, -5, 10**30, 1e308, 253402300800, True, None, [], {}, "", "yesterday")
        ),
        *(
            (absurd, None)
            for absurd in (
                "0000-01-01T00:00:00Z",
                "9999-12-31T23:59:59-23:59",
                "2026-02-30T00:00:00Z",
            )
        ),
        *(
            (absurd, None)
            for absurd in (
                "0001-01-01T00:00:00+23:00",
                "2026-01-02",
                "9" * 5000,
                "٢٠٢٦-01-02T03:04:05Z",
            )
        ),
    ],
)
def test_instants(value: object, instant: str | None) -> None:
    """A time would be shifted, or an absurd one would raise."""
    assert to_rfc3339(value) == instant


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
    """A mapped field would not be found where Elastic writes it: nested, dotted or a mixture."""
    document = {"a": {"b": {"c": 1}}, "d.e.f": 2, "g": {"h.i": 3}, "l": [{}, {"m": 4}]}
    assert find(document, path) == value
