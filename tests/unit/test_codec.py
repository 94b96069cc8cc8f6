"""Bytes on the wire and back."""

import pytest

from schemas.codec import decode, decode_json, encode
from schemas.errors import InvalidEvent, SchemaError
from schemas.event import Event, Origin
from schemas.triaged import Case

EVENT = Event(
    id="é-1", kind="alert", event={"a": [1, 2.5, None, {"b": "\x00"}]}, attributes={"n": 2**64 - 1}
)


def test_an_event_survives_the_wire() -> None:
    """A case on the enrichment topic would come back as another event."""
    assert decode(encode(EVENT), Event) == EVENT


def test_defaults_are_not_sent() -> None:
    """Every event would carry a dozen nulls, and adding an optional field would change every byte we send."""
    assert (
        encode(Event(id="1", kind="ticket", text="é"))
        == '{"id":"1","kind":"ticket","text":"é"}'.encode()
    )


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"NaN", b"1e999", b"[" * 2000, rb'"\ud800"', b"{} {}"]
)
def test_what_is_not_json_says_so(data: bytes) -> None:
    """A decoder's own exception would escape to the worker."""
    with pytest.raises(InvalidEvent, match=r"not JSON.*send one UTF-8 JSON object") as caught:
        decode_json(data)
    assert caught.value.stage == "decode"
    assert isinstance(caught.value, SchemaError)


@pytest.mark.parametrize(
    "data",
    [b"[]", b"{}", b'{"topic":1}', b'{"topic":"t","offset":"7"}', b'{"topic":"t","extra":1}'],
)
def test_our_own_types_are_strict(data: bytes) -> None:
    """A consumer would take a damaged record of ours for a good one."""
    with pytest.raises(InvalidEvent) as caught:
        decode(data, Origin)
    assert caught.value.stage == "validate"


def test_a_case_too_deep_to_be_written_again_is_refused() -> None:
    """One such record on the enrichment topic would stop its agent, and again after every restart."""
    deep = (
        b'{"event":{"id":"x","kind":"alert","event":' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}}"
    )
    with pytest.raises(InvalidEvent, match="nested deeper"):
        decode(deep, Case)
