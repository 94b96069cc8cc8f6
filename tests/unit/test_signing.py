"""Signatures of the workers: what they cover, how they are refused, and how a key is replaced."""

from typing import Any

import msgspec
import orjson
import pytest

from schemas.codec import encode
from schemas.signing import DECISION_HEADER, SIGNATURE_HEADER, WorkerKeys, header
from schemas.triaged import TriagedEvent
from tests.records import provisional, triaged

KEY, OTHER = b"k" * 32, b"o" * 32
TOPIC = "triage.tickets.triaged.v1"


def headers(keys: WorkerKeys, value: bytes = b"{}", key: bytes | None = b"t-1") -> Any:
    """The headers of a record on `TOPIC` that carries the decision `provisional`."""
    return keys.headers(TOPIC, key, value, keys.sign_decision(provisional()))


def test_a_record_of_a_worker_is_believed() -> None:
    """Workers with the same key would refuse each other's records."""
    signed = headers(WorkerKeys(KEY))
    assert [name for name, _ in signed] == [SIGNATURE_HEADER, DECISION_HEADER]
    assert WorkerKeys(KEY).record_refusal(TOPIC, b"t-1", b"{}", signed) is None


@pytest.mark.parametrize(
    ("topic", "key", "value"),
    [
        ("triage.enrichment.v1", b"t-1", b"{}"),
        (TOPIC, b"t-2", b"{}"),
        (TOPIC, None, b"{}"),
        (TOPIC, b"t-1", b"{ }"),
        (TOPIC, b"t-1", b""),
        (TOPIC, b"t-1", None),
        (f"{TOPIC}t", b"-1", b"{}"),
    ],
)
def test_another_record_does_not_have_that_signature(
    topic: str, key: bytes | None, value: bytes | None
) -> None:
    """A signature could be moved to another topic, another event or another text."""
    keys = WorkerKeys(KEY)
    assert keys.record_refusal(topic, key, value, headers(keys)) == "wrong_signature"


def test_no_key_and_an_empty_key_are_different() -> None:
    """A record without a key could pass for one with an empty key."""
    keys = WorkerKeys(KEY)
    assert keys.record_refusal(TOPIC, b"", b"{}", headers(keys, key=None)) == "wrong_signature"


def test_a_record_without_a_signature_is_unsigned() -> None:
    """A forged record would be believed if its headers were left out, or written twice."""
    keys = WorkerKeys(KEY)
    assert keys.record_refusal(TOPIC, b"t-1", b"{}", []) == "unsigned"
    assert keys.record_refusal(TOPIC, b"t-1", b"{}", [(SIGNATURE_HEADER, None)]) == "unsigned"
    assert keys.record_refusal(TOPIC, b"t-1", b"{}", headers(keys) * 2) == "unsigned"


def test_one_signature_does_not_pass_for_the_other() -> None:
    """Whoever has a decision with its signature could write records in the name of a worker."""
    keys = WorkerKeys(KEY)
    decision = keys.sign_decision(provisional())
    value = encode(provisional())
    forged: Any = [(SIGNATURE_HEADER, decision)]
    assert keys.record_refusal(TOPIC, b"t-1", value, forged) == "wrong_signature"
    signature = header(keys.headers(TOPIC, b"t-1", value, decision), SIGNATURE_HEADER)
    assert keys.decision_refusal(provisional(), signature) == "wrong_signature"


def test_a_key_is_replaced_without_losing_records() -> None:
    """Records that were signed before the key was replaced would be refused."""
    old, new, rotating = WorkerKeys(KEY), WorkerKeys(OTHER), WorkerKeys(OTHER, previous=KEY)
    assert rotating.record_refusal(TOPIC, b"t-1", b"{}", headers(old)) is None
    assert rotating.decision_refusal(provisional(), old.sign_decision(provisional())) is None
    assert headers(rotating) == headers(new), "the previous key signs nothing"
    assert new.record_refusal(TOPIC, b"t-1", b"{}", headers(old)) == "wrong_signature"


def test_unsigned_records_are_believed_until_a_day() -> None:
    """Cases that wait when the key is introduced would become dead letters."""
    now_s = 99.0
    keys = WorkerKeys(KEY, unsigned_until_s=100.0, clock=lambda: now_s)
    assert keys.record_refusal(TOPIC, b"t-1", b"{}", []) is None
    assert keys.decision_refusal(provisional(), None) is None
    forged = headers(WorkerKeys(OTHER))
    assert keys.record_refusal(TOPIC, b"t-1", b"{}", forged) == "wrong_signature"
    now_s = 100.0
    assert keys.record_refusal(TOPIC, b"t-1", b"{}", []) == "unsigned"


def test_without_a_key_nothing_is_signed_and_nothing_refused() -> None:
    """A fresh installation would refuse its own records."""
    keys = WorkerKeys()
    assert not keys.configured
    assert headers(keys) == []
    assert keys.record_refusal(TOPIC, b"t-1", b"{}", [(SIGNATURE_HEADER, b"v1=00")]) is None
    assert keys.decision_refusal(provisional(), None) is None


def rewritten(decision: TriagedEvent, **changes: Any) -> TriagedEvent:
    """The decision as a program sends it back that sorts keys and writes 1 for 1.0."""
    document = orjson.loads(encode(decision)) | changes
    text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)
    text = text.replace(b'"total_s": 1.0', b'"total_s": 1')
    return msgspec.convert(orjson.loads(text), TriagedEvent)


def test_a_decision_may_be_written_another_way() -> None:
    """A verdict by a program in another language would be refused."""
    keys = WorkerKeys(KEY)
    signature = keys.sign_decision(provisional())
    assert keys.decision_refusal(rewritten(provisional()), signature) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"revision": 3},
        {"tenant": "other"},
        {"source": None},
        {"id": "t-2"},
        {"labels": {}},
        {"input_digest": "0" * 64},
        {"title": "another title"},
        {"stated": {"priority": "urgent"}},
        {"stated": None},
        {"link": "https://elsewhere.example.com/t-1"},
        {"origin": {"topic": "triage.tickets.v1", "partition": 1, "offset": 8}},
    ],
)
def test_another_decision_does_not_have_that_signature(changes: dict[str, Any]) -> None:
    """A signed decision could be changed before the verdict about it is sent."""
    keys = WorkerKeys(KEY)
    signature = keys.sign_decision(provisional())
    changed = rewritten(provisional(), **changes)
    assert keys.decision_refusal(changed, signature) == "wrong_signature"
    assert keys.decision_refusal(changed, None) == "unsigned"


def test_a_field_that_a_later_version_adds_changes_no_signature() -> None:
    """Verdicts about decisions from before an update would be refused."""
    without = WorkerKeys(KEY).sign_decision(triaged())
    document = {name: part for name, part in orjson.loads(encode(triaged())).items() if part}
    needed = {name: getattr(triaged(), name) for name in ("source", "enrichment", "cost_usd")}
    fewer = msgspec.convert(document | needed | {"revision": 0}, TriagedEvent)
    assert WorkerKeys(KEY).decision_refusal(fewer, without) is None
