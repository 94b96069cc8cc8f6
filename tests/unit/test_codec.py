"""Conversion between bytes and typed objects."""

import pytest

from schemas.codec import decode, decode_json, encode
from schemas.errors import InvalidEvent, SchemaError
from schemas.event import Event, Origin
from schemas.triaged import Case

EVENT = Event(
    id="é-1", kind="alert", event={"a": [1, 2.5, None, {"b": "\x00"}]}, attributes={"n": 2**64 - 1}
)


def test_an_encoded_event_is_decoded_unchanged() -> None:
    """A case on the enrichment topic would be read back as a different event."""
    assert decode(encode(EVENT), Event) == EVENT


def test_defaults_are_not_sent() -> None:
    """Every event would carry many nulls, and a new optional field would change all our bytes."""
    assert (
        encode(Event(id="1", kind="ticket", text="é"))
        == '{"id":"1","kind":"ticket","text":"é"}'.encode()
    )


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"NaN", b"1e999", b"[" * 2000, rb'"\ud800"', b"{} {}"]
)
def test_bytes_that_are_not_json_are_refused(data: bytes) -> None:
    """The decoder's own exception would reach the worker."""
    with pytest.raises(InvalidEvent, match=r"not JSON.*send one UTF-8 JSON object") as caught:
        decode_json(data)
    assert caught.value.stage == "decode"
    assert isinstance(caught.value, SchemaError)


@pytest.mark.parametrize(
    "data",
    [b"[]", b"{}", b'{"topic":1}', b'{"topic":"t","offset":"7"}', b'{"topic":"t","extra":1}'],
)
def test_our_own_types_are_strict(data: bytes) -> None:
    """A damaged record of ours would be accepted as a good one."""
    with pytest.raises(InvalidEvent) as caught:
        decode(data, Origin)
    assert caught.value.stage == "validate"


def test_a_case_too_deep_to_be_written_again_is_refused() -> None:
    """Such a record on the enrichment topic would stop its agent, again after every restart."""
    deep = (
        b'{"event":{"id":"x","kind":"alert","event":' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}}"
    )
    with pytest.raises(InvalidEvent, match="nested deeper"):
        decode(deep, Case)
