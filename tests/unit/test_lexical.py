"""Lexical features: exact tokens, the same for ever, and a table that is small without being wrong."""

import hashlib
import itertools
import time
from typing import Any

import numpy as np
import pytest

from inference.model.ngrams import BUCKETS, TEXT_BUCKETS, WHOLE, Features, NgramHead
from inference.training.ngram_fit import fit_ngram_head, kept, quantized
from schemas.event import Event
from tests.labelled import WORDS, alerts, to_rows

READER = NgramHead(
    np.ones(BUCKETS, np.float32), np.zeros((BUCKETS, 0), np.int8), np.zeros(0), np.zeros(0), {}
)

CLOUDTRAIL: dict[str, Any] = {
    "eventSource": "iam.amazonaws.com",
    "eventName": "CreateUser",
    "userIdentity": {"type": "IAMUser", "userName": "someone@example.com"},
}


def alert(text: str | None = None, document: dict[str, Any] | None = None, **fields: Any) -> Event:
    """One alert."""
    return Event(id="a-1", kind="alert", text=text, event=document, **fields)


def told(event: Event) -> dict[int, float]:
    """Bucket to value."""
    features = READER.read(event)
    return dict(zip(features.buckets.tolist(), features.values.tolist(), strict=True))


def readings(event: Event) -> list[dict[int, float]]:
    """Of the text, of the document and of both."""
    bounds = [0, TEXT_BUCKETS, WHOLE, BUCKETS]
    return [
        {bucket - first: value for bucket, value in told(event).items() if first <= bucket < last}
        for first, last in itertools.pairwise(bounds)
    ]


def test_features_are_the_same_for_ever() -> None:
    """Another hash, on another machine or after an upgrade, would give every shipped lexical head other words."""
    features = READER.read(alert("Mimikatz read lsass.exe\nEvent 4625, twice: 4625", CLOUDTRAIL))
    digest = hashlib.sha256(features.buckets.tobytes() + features.values.round(9).tobytes())
    assert (len(features.buckets), digest.hexdigest()[:16]) == (351, "746a962885758671")


def test_features_of_an_event_are_its_own() -> None:
    """A redelivered event would be decided otherwise."""
    event = alert("AssumeRole from a new country", CLOUDTRAIL)
    first, again = (
        READER.read(event),
        READER.read(alert("AssumeRole from a new country", dict(CLOUDTRAIL))),
    )
    assert first.buckets.tobytes() == again.buckets.tobytes()
    assert first.values.tobytes() == again.values.tobytes()
    assert np.all(np.diff(first.buckets) > 0)


def test_exact_tokens_are_told_apart() -> None:
    """What the encoder blurs is what these features are for: a failed logon (4625) is not a good one (4624)."""
    failed, good = told(alert("logon 4625")), told(alert("logon 4624"))
    assert set(failed) - set(good)
    assert set(good) - set(failed)
    assert set(failed) & set(good)


@pytest.mark.parametrize(
    ("one", "other"),
    [("lsass.exe was read", "LSASS.EXE was READ"), ("a  b\tc", "a b c"), ("one\ntwo", "one two")],
    ids=["case", "blanks", "lines"],
)
def test_spelling_that_means_nothing_is_not_read(one: str, other: str) -> None:
    """The same alert through another producer would be another."""
    assert told(alert(one)) == told(alert(other))


def test_text_and_document_never_share_a_feature() -> None:
    """A word in the text would speak for a field of the document, whose words are of another kind."""
    text, document = alert("CreateUser iam amazonaws com"), alert(None, CLOUDTRAIL)
    both = readings(alert("CreateUser iam amazonaws com", CLOUDTRAIL))
    assert both[:2] == [readings(text)[0], readings(document)[1]], (
        "neither changes what the other says"
    )
    assert readings(text)[1:] == [{}, {}], "and a text alone is read once"


def test_a_word_is_the_same_in_text_and_document_of_the_whole() -> None:
    """Nobody knows the fields of a vendor never seen, but the words in them others have used in their texts."""
    whole = readings(
        alert("bucket was made public", {"requestParameters": {"bucket_policy": "public"}})
    )[2]
    said = readings(alert("bucket was made public request parameters bucket policy public"))[0]
    assert whole.keys() < said.keys(), "which also has the pair where the two meet"
    known = readings(alert("policy of request parameters"))[0]
    assert len(whole.keys() & known.keys()) > len(known) / 2
    assert not readings(alert("policy of request parameters", {}))[2], "an empty document is none"


def test_every_reading_has_length_one() -> None:
    """A long document would drown the text."""
    for part in readings(
        alert("a bucket is public", {f"field{n}": f"value {n}x" for n in range(60)})
    ):
        assert np.linalg.norm(list(part.values())) == pytest.approx(1)


def test_a_word_counts_more_where_it_is_repeated_but_not_as_often() -> None:
    """One word said a hundred times would decide the event."""
    once, often = READER.read(alert("alpha")), READER.read(alert("alpha omega " * 100))
    spoken = dict(zip(often.buckets.tolist(), often.values.tolist(), strict=True))
    assert max(once.values) == min(once.values)
    assert 1 < max(spoken.values()) / min(spoken.values()) < 7


def test_ids_sender_and_tenant_are_not_read() -> None:
    """A head that reads them learns the data set instead of the work."""
    plain = told(alert("New user", CLOUDTRAIL))
    assert plain == told(
        alert("New user", CLOUDTRAIL, source="vendor", tenant="acme", attributes={"a": "b"})
    )
    other = CLOUDTRAIL | {"eventID": "11111111-2222-3333-4444-555555555555"}
    known = CLOUDTRAIL | {"eventID": "66666666-7777-8888-9999-000000000000"}
    assert told(alert("New user", known)) == told(alert("New user", other)), (
        "that there is an id may be told, not which"
    )


def test_an_event_of_nothing_has_no_features() -> None:
    """Division by its length would put NaN on the output topic."""
    assert told(alert(" \n\t", {"a": None})) == {}
    assert told(alert("...", None)) == {}


@pytest.mark.parametrize(
    "event",
    [
        alert("x" * 5_000_000),
        alert("word " * 1_000_000),
        alert("é\u202e\x00 " * 500_000),
        alert("a b " * 500_000, title="c d " * 500_000, body="e f " * 500_000),
        alert(None, {str(n): {"x": f"value{n} " * 9} for n in range(100_000)}),
        alert(None, {"k" * 1_000_000: "v" * 1_000_000}),
        alert(None, {"a": [["deep " * 100_000] * 9] * 100_000}),
        alert(None, {f"key{n}": "word " * 100_000 for n in range(64)}),
    ],
    ids=[
        "one word",
        "many words",
        "unreadable",
        "three parts",
        "wide",
        "long",
        "lists",
        "long values",
    ],
)
def test_hostile_events_cost_no_more_than_long_ones(event: Event) -> None:
    """One event would hold up the stream."""
    READER.read(event)
    started_s = time.perf_counter()
    features = READER.read(event)
    assert time.perf_counter() - started_s < 0.1
    assert len(features.buckets) < BUCKETS
    assert np.isfinite(features.values).all()


LONE = "\ud800"


@pytest.mark.parametrize(
    "event",
    [
        alert(LONE),
        alert(f"a{LONE}b"),
        alert(None, {LONE: "value"}),
        alert(None, {f"key{LONE}": f"value {LONE}"}),
    ],
    ids=["text", "word", "key", "both"],
)
def test_lone_surrogates_are_read(event: Event) -> None:
    """They have no UTF-8: one such key would fail the whole batch, and again on every redelivery."""
    assert np.isfinite(READER.read(event).values).all()


def test_int8_says_what_float_says() -> None:
    """A table a quarter of the size would be paid for with wrong answers."""
    generator = np.random.default_rng(2)
    weights = np.zeros((BUCKETS, 5), np.float32)
    used = generator.choice(BUCKETS, 4_000, replace=False)
    weights[used] = generator.normal(size=(4_000, 5)) * np.array([0.1, 1, 10, 1, 3])
    bias = generator.normal(size=5)
    labels = {"queue": ("a", "b"), "tactic": ("c", "d", "e")}
    ngram_head = quantized(READER.idf, weights, bias, labels)
    assert ngram_head.columns == {"queue": slice(0, 2), "tactic": slice(2, 5)}
    for _ in range(50):
        buckets = np.sort(generator.choice(used, 80, replace=False))
        features = Features(buckets, generator.random(80) / 9)
        exact = features.values @ weights[buckets].astype(np.float64) + bias
        # Rounding moves a weight by half a step at most, and a step is a 127th of the column's largest.
        bound = np.abs(weights).max(axis=0) / 127 / 2 * features.values.sum() + 1e-4
        assert (np.abs(ngram_head.logits(features) - exact) <= bound).all()


def test_an_axis_keeps_its_scores_when_others_are_left_out() -> None:
    """Leaving out a head that does not earn its bytes would shift the columns of the ones that do."""
    rows = to_rows(alerts())
    labels = {
        "queue": tuple(sorted(WORDS)),
        "tactic": ("execution", "impact"),
        "severity": ("high", "low"),
    }
    ngram_head = fit_ngram_head(rows, labels, seed=0)
    features = ngram_head.read(rows[0].event)
    whole = ngram_head.logits(features)
    for axes in (["severity"], ["queue", "severity"], ["severity", "tactic"], []):
        some = kept(ngram_head, axes)
        assert list(some.columns) == axes
        logits = some.logits(features)
        for axis in axes:
            assert np.array_equal(logits[some.columns[axis]], whole[ngram_head.columns[axis]])


def test_lexical_heads_learn() -> None:
    """Columns, labels or buckets mixed up would leave them no better than chance."""
    rows = to_rows(alerts())
    names = tuple(sorted(WORDS))
    ngram_head = fit_ngram_head(rows[::2], {"queue": names}, seed=0)
    values = [
        names[int(ngram_head.logits(ngram_head.read(row.event)).argmax())] for row in rows[1::2]
    ]
    assert (
        np.mean([value in row.gold["queue"] for value, row in zip(values, rows[1::2], strict=True)])
        == 1.0
    )


def test_too_many_labels_have_no_lexical_head() -> None:
    """The table of a thousand labels would be twice the size of the encoder."""
    lines = [
        {"kind": "ticket", "text": f"word{n} twice", "labels": {"intent": f"i{n % 300}"}}
        for n in range(600)
    ]
    ngram_head = fit_ngram_head(
        to_rows(lines), {"intent": tuple(f"i{n}" for n in range(300))}, seed=0
    )
    assert (ngram_head.columns, ngram_head.weights.shape) == ({}, (TEXT_BUCKETS, 0))


def test_what_was_taught_by_no_document_reads_none() -> None:
    """Its table would be twice the size, and its events read thrice, for weights that are nought."""
    lines = [
        {"kind": "ticket", "text": f"{word} {n}", "labels": {"queue": word}}
        for word in "ab"
        for n in range(20)
    ]
    ngram_head = fit_ngram_head(to_rows(lines), {"queue": ("a", "b")}, seed=0)
    assert ngram_head.weights.shape == (TEXT_BUCKETS, 2)
    bare, dressed = (
        Event(id="1", kind="ticket", text="a 7"),
        Event(id="1", kind="ticket", text="a 7", event=CLOUDTRAIL),
    )
    assert np.array_equal(ngram_head.read(bare).buckets, ngram_head.read(dressed).buckets)
    assert np.array_equal(
        ngram_head.logits(ngram_head.read(bare)), ngram_head.logits(ngram_head.read(dressed))
    )
