"""The mapping language: what it can say, and what it refuses."""

from typing import Any

import msgspec
import orjson
import pytest

from schemas.event import Event, Origin
from schemas.formats import Mapping, Reading, Rejected, read_record
from schemas.formats.shipped import FormatIndex

ORIGIN = Origin(topic="in", partition=2, offset=7)
HOSTILE: list[Any] = [None, True, 7, 1.5, "", "x" * 5_000, [], ["a"], {}, {"a": {"b": []}}]


def mapping(**fields: Any) -> Mapping:
    """A mapping for documents with a field `vendor`, as it would be read from a file."""
    return msgspec.convert({"name": "m", "when": {"vendor": True}, "fields": fields}, Mapping)


def readings(document: Any, *mappings: Mapping) -> list[Reading]:
    """How a record is read with these mappings."""
    value = orjson.dumps(document)
    return read_record(value, origin=ORIGIN, kind="alert", mappings=mappings)


def read(document: dict[str, Any], *mappings: Mapping) -> Event:
    """The one event in a document of the vendor."""
    (reading,) = readings({"vendor": "v", **document}, *mappings)
    assert isinstance(reading.event, Event)
    return reading.event


def test_the_first_path_with_a_text_is_taken() -> None:
    """A vendor that names a field in two ways would need two mappings."""
    titled = mapping(title=["a.title", "b", {"literal": "nameless"}])
    assert read({"a": {"title": " "}, "b": "second"}, titled).title == "second"
    assert read({"a": {"title": "first"}, "b": "second"}, titled).title == "first"
    assert read({}, titled).title == "nameless"


def test_parts_are_joined_and_absent_parts_left_out() -> None:
    """A title of several fields would have gaps, or be missing with one of them."""
    joined = mapping(title={"join": ["who", "what", {"literal": "today"}], "with": ": "})
    assert read({"who": "root", "what": "login"}, joined).title == "root: login: today"
    assert read({"what": "login"}, joined).title == "login: today"


def test_an_id_needs_all_of_its_parts() -> None:
    """Two events whose repository is missing would share an id."""
    composed = mapping(id={"join": ["repository", "number"], "with": "#"})
    assert read({"repository": "acme/shop", "number": 12}, composed).id == "acme/shop#12"
    assert read({"number": 12}, composed).id == "in-2-7"


@pytest.mark.parametrize(
    ("value", "level"),
    [(9.5, "critical"), ("8", "high"), (4, "medium"), (0, None), ("no number", None)],
)
def test_numbers_become_levels(value: Any, level: str | None) -> None:
    """A scale of numbers would not be understood, or be read in the wrong direction."""
    scale = {"path": "score", "at_least": {"critical": 9, "high": 7, "medium": 4, "low": 1}}
    stated = read({"score": value}, mapping(severity=scale)).stated
    assert stated is not None
    assert (stated.severity, stated.original["severity"]) == (level, str(value))


def test_words_become_levels_and_the_senders_word_is_kept() -> None:
    """A vendor's own words would be lost, or its usual ones would need a table."""
    words = {"path": "grade", "map": {"A1": "critical", "2": "high"}}
    for value, level in (("a1", "critical"), (2, "high"), ("Medium", "medium"), ("odd", None)):
        stated = read({"grade": value}, mapping(severity=words)).stated
        assert stated is not None
        assert (stated.severity, stated.original) == (level, {"severity": str(value)})
    assert read({}, mapping(severity=words)).stated is None


@pytest.mark.parametrize(
    ("value", "form", "instant"),
    [
        ("3/24/2031 2:42:35 PM", "%m/%d/%Y %I:%M:%S %p", "2031-03-24T14:42:35Z"),
        ("24.03.2031 14:42 +0200", "%d.%m.%Y %H:%M %z", "2031-03-24T12:42:00Z"),
        ("24/03/31", "%m/%d/%y", None),
        (7, "%m/%d/%y", None),
    ],
)
def test_a_time_in_the_vendors_form_is_read(value: Any, form: str, instant: str | None) -> None:
    """The time of such an event would be that of its arrival."""
    event = read({"when": value}, mapping(occurred_at={"path": "when", "format": form}))
    assert event.occurred_at == instant


def test_a_path_opens_json_in_a_string() -> None:
    """The fields of a vendor that wraps its alert in a string could not be named."""
    inner = orjson.dumps({"alert": {"title": "inside"}}).decode()
    assert read({"body": inner}, mapping(title="body.alert.title")).title == "inside"
    assert read({"body": "{broken"}, mapping(title="body.alert.title")).title is None


def test_jmespath_says_what_paths_cannot() -> None:
    """The value of a tag could not be read."""
    tagged = mapping(title={"jmespath": "tags[?key=='title'].value | [0]"})
    tags = [{"key": "x", "value": "no"}, {"key": "title", "value": "yes"}]
    assert read({"tags": tags}, tagged).title == "yes"
    assert read({"tags": 7}, tagged).title is None


def test_the_fields_to_read_have_names_and_bounds() -> None:
    """The model would read a value without knowing what it is, or a text of a megabyte."""
    event = read(
        {"a": {"kind": "trojan"}, "list": ["x", "y"], "long": "z" * 5_000},
        mapping(read=["a.kind", {"name": "files", "path": "list"}, "long", "absent"]),
    )
    assert event.key_fields == {"kind": "trojan", "files": "x, y", "long": "z" * 400}


def test_the_model_reads_which_product_an_alert_comes_from() -> None:
    """The model would not know that a vendor watches mail and not clouds."""
    fields = {"source": {"literal": "mail-guard"}, "read": ["a"]}
    assert read({"a": "x"}, mapping(**fields)).key_fields == {"product": "mail-guard", "a": "x"}
    desk = msgspec.convert(
        {"name": "m", "when": {"vendor": True}, "fields": fields, "kind": "ticket"}, Mapping
    )
    assert read({"a": "x", "title": "y"}, desk).key_fields == {"a": "x"}
    value = orjson.dumps({"vendor": "v", "a": "x"})
    (reading,) = read_record(value, origin=ORIGIN, kind="ticket", mappings=[mapping(**fields)])
    assert isinstance(reading.event, Event)
    assert reading.event.key_fields == {"a": "x"}


@pytest.mark.parametrize("link", ["javascript:alert(1)", "//x.example", "https://u:p@x.example/"])
def test_only_web_addresses_are_links(link: str) -> None:
    """A page would make a link of what an attacker wrote."""
    assert read({"url": link}, mapping(link="url")).link is None
    assert read({"url": "https://x.example/a?b=1"}, mapping(link="url")).link is not None


@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        ("v", "v", "w"),
        (True, 0, None),
        ({"prefix": "ab"}, "abc", "cab"),
        ({"contains": "b"}, "abc", 7),
        ({"any": ["x", 1]}, 1, True),
        ({"absent": True}, None, "x"),
    ],
)
def test_conditions(condition: Any, holds: Any, fails: Any) -> None:
    """A format would be recognised in the documents of another vendor."""
    tested = msgspec.convert({"name": "m", "when": {"a.b": condition}, "fields": {}}, Mapping)
    assert tested.recognises({"a": {"b": holds}})
    assert not tested.recognises({"a": {"b": fails}})


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"when": {}}, "empty `when`"),
        ({"fields": {"colour": "a"}}, "fills colour, which no mapping can fill"),
        ({"open": "a", "split": "b"}, "opens and splits"),
        ({"fields": {"read": list("abcdefghi")}}, "more than 8 fields"),
        ({"fields": {"title": {"map": {}}}}, "needs one of path, literal, jmespath and join"),
        ({"fields": {"title": {"path": "a", "literal": "b"}}}, "needs one of"),
        ({"fields": {"title": {"jmespath": "a["}}}, "JMESPath 'a\\[' is wrong"),
        ({"when": {"a": {"prefix": "x", "contains": "y"}}}, "needs one of prefix"),
        ({"fields": {"title": {"path": "a", "colour": 1}}}, "unknown field"),
    ],
)
def test_a_wrong_mapping_is_refused(document: dict[str, Any], message: str) -> None:
    """A mistake in a configuration would be seen only as events without a title."""
    whole = {"name": "m", "when": {"a": True}, "fields": {}} | document
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(whole, Mapping)


ENVELOPE = msgspec.convert(
    {
        "name": "bus",
        "when": {"bus": True},
        "open": "payload",
        "fields": {"id": "message", "occurred_at": "sent", "source": "bus"},
    },
    Mapping,
)


def test_an_envelope_fills_what_the_inner_document_leaves_open() -> None:
    """The id and the time of a message bus would be lost, or stand before the vendor's own."""
    record = {"bus": "b", "message": "m-1", "sent": "2031-05-02T10:00:00Z"}
    (reading,) = readings(record | {"payload": '{"title":"x","text":"y"}'}, ENVELOPE)
    event = reading.event
    assert isinstance(event, Event)
    assert (event.id, event.source, event.title) == ("m-1", "b", "x")
    assert (event.occurred_at, reading.formats) == ("2031-05-02T10:00:00Z", ("bus", "native"))
    (reading,) = readings(record | {"payload": {"id": "own", "title": "x"}}, ENVELOPE)
    assert isinstance(reading.event, Event)
    assert reading.event.id == "own"


def test_base64_in_an_envelope_is_opened() -> None:
    """A message of a cloud's queue would be read as letters."""
    payload = "eyJ0aXRsZSI6ImluIGJhc2U2NCJ9"
    (reading,) = readings({"bus": "b", "payload": payload}, ENVELOPE)
    assert isinstance(reading.event, Event)
    assert reading.event.title == "in base64"


def test_an_envelope_without_a_document_is_an_event_itself() -> None:
    """A message in plain words would be lost."""
    (reading,) = readings({"bus": "b", "payload": "just words", "title": "x"}, ENVELOPE)
    assert isinstance(reading.event, Event)
    assert reading.event.event is not None


def test_only_two_envelopes_are_opened() -> None:
    """A record of a thousand envelopes would be opened a thousand times."""
    document: dict[str, Any] = {"title": "inmost"}
    for _ in range(4):
        document = {"bus": "b", "payload": document}
    (reading,) = readings(document, ENVELOPE)
    assert reading.formats == ("bus", "bus", "bus")


def test_only_two_lists_are_split() -> None:
    """A record of lists in lists would become more events than anybody wants."""
    record = [[[[{"title": "x"}]]]]
    events = [reading.event for reading in readings(record)]
    assert [isinstance(event, Rejected) for event in events] == [True]


def test_a_split_mapping_makes_an_event_of_each_element() -> None:
    """The alerts of a vendor's own envelope would be one event."""
    batch = msgspec.convert(
        {"name": "b", "when": {"batch": True}, "split": "hits", "fields": {"id": "batch"}}, Mapping
    )
    events = [each.event for each in readings({"batch": "7", "hits": [{"title": "x"}] * 2}, batch)]
    assert [event.id for event in events if isinstance(event, Event)] == ["7#0", "7#1"]


def test_a_split_mapping_may_name_several_lists() -> None:
    """Of the four lists that Proofpoint sends, only one would be read."""
    batch = msgspec.convert(
        {"name": "b", "when": {"batch": True}, "split": ["a", "none", "no.list", "c"]}, Mapping
    )
    alerts = [{"id": each, "title": "x"} for each in "123"]
    record = {"batch": "7", "a": alerts[:1], "no": {"list": 1}, "c": alerts[1:]}
    events = [each.event for each in readings(record, batch)]
    assert [event.id for event in events if isinstance(event, Event)] == ["1", "2", "3"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_any_value_anywhere_is_read_or_refused(hostile: Any) -> None:
    """A value of another type would crash a mapping."""
    everything = mapping(
        id=["a", {"join": ["a", "b"]}],
        title={"jmespath": "join(' ', a)"},
        body="a",
        source={"path": "a", "map": {"x": "y"}},
        occurred_at={"path": "a", "format": "%Y"},
        severity={"path": "a", "at_least": {"low": 1}},
        status="a.b",
        link="a",
        read=["a", {"name": "b", "path": "a.0"}],
    )
    assert readings({"vendor": hostile or "v", "a": hostile, "b": hostile}, everything)


def test_the_index_finds_nested_and_dotted_keys() -> None:
    """A format would be overlooked because its first key is written with a dot."""
    first = msgspec.convert({"name": "f", "when": {"a.b": "x"}, "fields": {}}, Mapping)
    second = msgspec.convert({"name": "s", "when": {"c": {"absent": True}}, "fields": {}}, Mapping)
    index = FormatIndex([first, second])
    assert [each.name for each in index.all_of({"a": {"b": "x"}})] == ["f", "s"]
    assert [each.name for each in index.all_of({"a.b": "x", "c": 1})] == ["f"]
    assert index.recognise({"c": 1}) is None
