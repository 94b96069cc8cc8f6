"""What a record may cost: its bytes, values and levels are counted before it is decoded."""

import base64
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decided import Decided
from agents.enrich import enrich
from agents.feedback import apply_feedback
from agents.outcomes import DeadLettered, Incoming
from agents.verdict_checks import VerdictChecks
from inference.rules.options import ImpactOptions
from inference.rules.ruling import Rules
from schemas.codec import decode, decode_json, encode
from schemas.errors import LimitExceeded
from schemas.event import Event, Origin
from schemas.formats import read_event
from schemas.limits import LIMITS, Limits, refuse_oversized
from schemas.triaged import Case, TriagedEvent, Verdict
from streams.files import key_of, kind_of
from tests.doubles import KnownCases
from tests.triage import classify

SMALL = Limits(max_event_bytes=10_000, max_event_nodes=100, max_event_depth=8)
ORIGIN = Origin(topic="t", partition=0, offset=0)

TOO_LONG = orjson.dumps({"text": "x" * 10_001})
TOO_MANY = orjson.dumps({"text": "x", "list": list(range(101))})
TOO_DEEP = b'{"text":"x","deep":' + b"[" * 8 + b"]" * 8 + b"}"
OVERSIZED = {"bytes": TOO_LONG, "values": TOO_MANY, "levels": TOO_DEEP}

documents = st.recursive(
    st.none() | st.integers(0, 9) | st.text(alphabet='",[]{}\\:a\n'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='"[,\\a'), inner),
    max_leaves=60,
)


def depth_of(document: object) -> int:
    """How deep objects and arrays are nested; 0 for a scalar."""
    if isinstance(document, dict):
        return 1 + max(map(depth_of, document.values()), default=0)
    if isinstance(document, list):
        return 1 + max(map(depth_of, document), default=0)
    return 0


def nodes_of(document: object) -> int:
    """Commas and opening brackets outside strings."""
    if isinstance(document, dict):
        children = list(document.values())
    elif isinstance(document, list):
        children = document
    else:
        return 0
    return 1 + max(0, len(children) - 1) + sum(map(nodes_of, children))


def refusal(data: bytes, limits: Limits) -> str:
    """Why the bytes are refused; empty if they are not."""
    try:
        refuse_oversized(data, limits)
    except LimitExceeded as error:
        return str(error)
    return ""


@given(documents, st.booleans())
def test_values_and_levels_are_counted_exactly(document: object, spaced: bool) -> None:
    """A limit that counts too little lets a stall through, one that counts too much loses events.

    Strings with quotes, backslashes, commas and brackets must not count.
    """
    data = orjson.dumps(document, option=orjson.OPT_INDENT_2 if spaced else 0)
    nodes, depth = nodes_of(document), depth_of(document)
    for nodes_allowed in (nodes - 1, nodes):
        for depth_allowed in (depth - 1, depth):
            limits = Limits(max_event_nodes=nodes_allowed, max_event_depth=depth_allowed)
            is_refused = bool(refusal(data, limits))
            assert is_refused == (nodes_allowed < nodes or 0 < depth > depth_allowed)


@pytest.mark.parametrize(("limit", "data"), OVERSIZED.items())
def test_a_record_beyond_a_limit_is_refused_with_a_sentence(limit: str, data: bytes) -> None:
    """The reader of the dead letter would not know which limit to raise."""
    key = {"bytes": "max_event_bytes", "values": "max_event_nodes", "levels": "max_event_depth"}
    assert key[limit] in refusal(data, SMALL)
    assert not refusal(data, LIMITS)


def test_a_long_text_with_many_commas_is_no_large_document() -> None:
    """A ticket with a long list in its text would be lost as too large."""
    assert not refusal(orjson.dumps({"text": 'a "quoted" [list], ' * 20_000}), LIMITS)


def test_a_hundred_findings_of_security_hub_are_within_the_limits() -> None:
    """A batch of an ordinary size would become a dead letter."""
    resource = {"Type": "AwsEc2Instance", "Id": "arn:aws:ec2:eu-west-1:1:instance/i-0", "Details": {
        "AwsEc2Instance": {f"Field{n}": f"value, {n}" for n in range(60)}}}  # fmt: skip
    finding = {f"Field{n}": {"A": "x", "B": ["y", "z"]} for n in range(20)} | {
        "Resources": [resource], "Description": "A sentence, with commas, " * 40}  # fmt: skip
    batch = orjson.dumps({"detail": {"findings": [finding] * 100}})
    assert 300_000 < len(batch) < LIMITS.max_event_bytes
    assert not refusal(batch, LIMITS)


WRAPPINGS: dict[str, Callable[[bytes], tuple[bytes, list[tuple[str, bytes | None]]]]] = {
    "plain": lambda data: (data, []),
    "framed by Confluent": lambda data: (b"\x00\x00\x00\x00\x07" + data, []),
    "binary CloudEvent": lambda data: (data, [("ce_id", b"1"), ("ce_specversion", b"1.0")]),
    "structured CloudEvent": lambda data: (
        b'{"specversion":"1.0","type":"t","data":' + data + b"}",
        [],
    ),
    "CloudEvent in base64": lambda data: (
        orjson.dumps({"specversion": "1.0", "data_base64": base64.b64encode(data).decode()}),
        [],
    ),
    "headers": lambda data: (b'{"text":"x"}', [("h", data * 400)]),
    "many headers": lambda _: (b'{"text":"x"}', [("h", b"")] * 101),
}


@pytest.mark.parametrize("data", OVERSIZED.values(), ids=OVERSIZED.keys())
@pytest.mark.parametrize("wrapping", WRAPPINGS.values(), ids=WRAPPINGS.keys())
def test_every_wrapping_of_an_event_is_limited(
    wrapping: Callable[[bytes], tuple[bytes, list[tuple[str, bytes | None]]]], data: bytes
) -> None:
    """A sender would put the large document into the envelope that is not checked."""
    value, headers = wrapping(data)
    with pytest.raises(LimitExceeded):
        read_event(value, headers=headers, origin=ORIGIN, kind="alert", limits=SMALL)


@pytest.mark.parametrize("data", [TOO_MANY, TOO_DEEP])
def test_json_in_a_string_beyond_the_limits_stays_text(data: bytes) -> None:
    """A document inside a string would be decoded without a limit."""
    value = orjson.dumps({"specversion": "1.0", "type": "t", "data": data.decode()})
    event = read_event(value, origin=ORIGIN, kind="alert", limits=SMALL)
    assert event.text == data.decode()


@pytest.mark.parametrize("type_", [Case, Verdict, TriagedEvent, Event])
@pytest.mark.parametrize("data", [b"[" + b"{}," * 500_000 + b"{}]", b"[" * 99 + b"]" * 99])
def test_records_of_our_own_are_limited_before_they_are_decoded(
    type_: type, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write to an internal topic could stop the worker with one record."""

    def loads(_: bytes) -> object:
        raise AssertionError("decoded")

    monkeypatch.setattr("orjson.loads", loads)
    with pytest.raises(LimitExceeded):
        decode(data, type_)


def test_a_case_with_the_largest_event_can_be_read() -> None:
    """The case of a legal event would become a dead letter at the enrichment topic."""
    long = '{"message":"' + "x" * 9_000 + '","n":[' + ",".join(["1e15"] * 90) + "]}"
    event = read_event(long.encode(), origin=ORIGIN, kind="alert", limits=SMALL)
    copied = Event(id="1", kind="alert", title=long, text=long, body=long, event=event.event)
    assert decode(encode(copied), Event, SMALL) == copied


def test_lines_of_files_are_limited() -> None:
    """`triage classify` and `triage send` read files that strangers have written, too."""
    for data in OVERSIZED.values():
        with pytest.raises(LimitExceeded):
            kind_of(data, None, SMALL)
        assert key_of(data, "alert", SMALL) is None
        with pytest.raises(LimitExceeded):
            decode_json(data, SMALL)


class NoModel:
    """Stands for a classifier that no event reaches."""

    domains = ()


@pytest.mark.parametrize(
    "data",
    [orjson.dumps({"text": "x" * 2_000_000}), b"[" + b"0," * 20_000 + b"0]", b"[" * 20 + b"]" * 20],
    ids=["bytes", "values", "levels"],
)
async def test_every_agent_makes_a_dead_letter_of_it(data: bytes) -> None:
    """The record would be read again for ever, or stop the worker."""
    batch = [Incoming(data, None, (), ORIGIN, 0.0)]
    rules = Rules.of([], ImpactOptions(), {})
    nothing: Any = NoModel()
    outcomes = [
        *await classify(batch, kind="alert", classifier=nothing, rules=rules, limits=SMALL),
        *await apply_feedback(
            batch, checks=VerdictChecks({}), cases=KnownCases(), decided=Decided(), limits=SMALL
        ),
        *await enrich(batch, consultant=None, memory=nothing, limits=SMALL),
    ]
    for outcome in outcomes:
        assert isinstance(outcome, DeadLettered)
        assert outcome.stage == "decode"
        assert outcome.error == "LimitExceeded"
        assert outcome.disposition == "poison"
