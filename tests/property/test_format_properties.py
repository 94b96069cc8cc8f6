"""Any bytes are read as an event or refused with InvalidEvent, never with another error."""

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.agreement import input_digest
from schemas.codec import decode, encode
from schemas.errors import InvalidEvent
from schemas.event import MAX_ID_CHARS, Event, Kind, Origin
from schemas.formats import Mapping, read_event
from tests.property.hostile_records import BINARY_HEADERS, SAMPLES, Headers, Record, dump
from tests.property.strategies import documents, fuzz, headers, json_values

ORIGIN = Origin(topic="t", partition=0, offset=1)
MAPPING = Mapping(
    name="any-title",
    when={"title.a": True},
    fields={"id": "id.a", "title": "title.a", "tenant": "tenant", "occurred_at": "occurred_at.0"},
)
kinds: st.SearchStrategy[Kind] = st.sampled_from(["alert", "ticket"])
more = settings(max_examples=150)


def read_or_refuse(record: Record, kind: Kind = "alert") -> Event | None:
    """The event after checks that every consumer relies on, or None if the record was refused."""
    try:
        event = read_event(
            record.value,
            key=record.key,
            headers=record.headers,
            origin=ORIGIN,
            kind=kind,
            mappings=(MAPPING,),
        )
    except InvalidEvent as refused:
        check_refusal(refused)
        return None
    assert 0 < len(event.id) <= MAX_ID_CHARS
    assert event.text or event.title or event.body or event.event
    again = decode(encode(event), Event)
    assert again == event
    assert input_digest(again) == input_digest(event), "its case would be a dead letter"
    return event


def check_refusal(refused: InvalidEvent) -> None:
    """Check that the message fits a dead letter's header, and that the stage is known."""
    assert refused.stage in {"decode", "recognise", "validate"}
    assert "\n" not in str(refused)
    assert len(str(refused)) < 300


@more
@given(st.binary(max_size=200), headers, kinds)
def test_any_bytes(value: bytes, record_headers: Headers, kind: Kind) -> None:
    """Some bytes would crash a worker, again after every restart."""
    read_or_refuse(Record(value, None, record_headers), kind)


@more
@given(json_values | documents, headers)
def test_any_json(value: object, record_headers: Headers) -> None:
    """Some form of JSON would crash an adapter."""
    read_or_refuse(Record(orjson.dumps(value), None, record_headers))


@more
@given(st.sampled_from(SAMPLES), documents, st.booleans())
def test_damaged_samples(
    sample: dict[str, object], damage: dict[str, object], binary: bool
) -> None:
    """A known format with one unusual field would crash its adapter."""
    record_headers = BINARY_HEADERS if binary else []
    read_or_refuse(Record(orjson.dumps({**sample, **damage}), None, record_headers))


@more
@given(documents)
def test_nothing_of_a_document_is_dropped(document: dict[str, object]) -> None:
    """A field of a vendor's document would be missing when a person looks for it."""
    event = read_or_refuse(Record(orjson.dumps(document), None, []))
    if event is None or event.event == document or "specversion" in document:
        return
    lists = [value for value in document.values() if isinstance(value, list)]
    if any(event.event in elements for elements in lists):
        return  # the document wraps the event: `test_hostile_documents` counts what is around it
    kept = {name: getattr(event, name) for name in Event.__struct_fields__} | event.attributes
    assert all(_is_kept(name, value, kept) for name, value in document.items())


def _is_kept(name: str, value: object, kept: dict[str, object]) -> bool:
    blank = value is None or value == {} or (isinstance(value, str) and not kept.get(name))
    normalised = name in Event.__struct_fields__ and bool(kept[name])
    return blank or normalised or kept.get(name) == value or kept.get(f"document.{name}") == value


@more
@given(st.sampled_from(SAMPLES))
def test_the_same_record_is_the_same_event(sample: dict[str, object]) -> None:
    """A redelivered record would become an event with another id."""
    record = Record(dump(sample), None, [])
    assert read_or_refuse(record) == read_or_refuse(record) is not None


def test_fuzz() -> None:
    """One of the usual bad inputs would crash an adapter, or nearly all would be refused."""
    events = [read_or_refuse(record) for record in fuzz(seed=3, count=3_000)]
    read = sum(event is not None for event in events)
    assert 0.2 < read / len(events) < 0.8


def test_the_same_seed_makes_the_same_records() -> None:
    """A failing seed could not be run again."""
    assert list(fuzz(seed=7, count=700)) == list(fuzz(seed=7, count=700))
