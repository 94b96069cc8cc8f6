"""N-gram features: they separate exact tokens, never change, and fit in a small table."""

import hashlib
import itertools
from typing import Any

import numpy as np
import pytest

from inference.model.input_text import read_content
from inference.model.ngrams import BUCKETS, TEXT_BUCKETS, WHOLE, Features, NgramHead
from inference.training.ngram_fit import fit_ngram_head, kept, quantized
from schemas.event import Event
from tests.labelled import WORDS, alerts, to_rows
from tests.patience import within_cpu_s

WITHOUT_COLUMNS = NgramHead(
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


def features_of(event: Event, ngram_head: NgramHead = WITHOUT_COLUMNS) -> Features:
    """The features of an event."""
    return ngram_head.features(read_content(event))


def weights_of(event: Event) -> dict[int, float]:
    """The weight of each bucket."""
    features = features_of(event)
    return dict(zip(features.buckets.tolist(), features.values.tolist(), strict=True))


def groups_of(event: Event) -> list[dict[int, float]]:
    """The weights of the text, of the document, and of both together."""
    weights = weights_of(event)
    return [
        {bucket - first: weight for bucket, weight in weights.items() if first <= bucket < last}
        for first, last in itertools.pairwise([0, TEXT_BUCKETS, WHOLE, BUCKETS])
    ]


def test_features_never_change() -> None:
    """With another hash, after an upgrade for example, every shipped n-gram head would be wrong."""
    features = features_of(alert("Mimikatz read lsass.exe\nEvent 4625, twice: 4625", CLOUDTRAIL))
    digest = hashlib.sha256(features.buckets.tobytes() + features.values.round(9).tobytes())
    assert (len(features.buckets), digest.hexdigest()[:16]) == (347, "c3112dc6252e1448")


def test_fields_that_a_mapping_chose_are_read_like_a_document() -> None:
    """A mapping names what tells something, also where the table was made without documents."""
    text, chosen = alert("Root login"), alert("Root login", key_fields={"api": "StopLogging"})
    assert weights_of(chosen) != weights_of(text)
    empty = np.zeros((TEXT_BUCKETS, 0), np.int8)
    table = NgramHead(np.ones(TEXT_BUCKETS, np.float32), empty, np.zeros(0), np.zeros(0), {})
    read = [features_of(event, table).buckets.tolist() for event in (text, chosen)]
    assert set(read[0]) < set(read[1])


def test_equal_events_have_equal_features() -> None:
    """Otherwise a redelivered event could get another decision."""
    first = features_of(alert("AssumeRole from a new country", CLOUDTRAIL))
    again = features_of(alert("AssumeRole from a new country", dict(CLOUDTRAIL)))
    assert first.buckets.tobytes() == again.buckets.tobytes()
    assert first.values.tobytes() == again.values.tobytes()
    assert np.all(np.diff(first.buckets) > 0)


def test_exact_tokens_have_different_features() -> None:
    """Otherwise a failed logon (4625) would look like a successful one (4624)."""
    failed, good = weights_of(alert("logon 4625")), weights_of(alert("logon 4624"))
    assert set(failed) - set(good)
    assert set(good) - set(failed)
    assert set(failed) & set(good)


@pytest.mark.parametrize(
    ("text", "other"),
    [("lsass.exe was read", "LSASS.EXE was READ"), ("a  b\tc", "a b c"), ("one\ntwo", "one two")],
    ids=["case", "blanks", "lines"],
)
def test_case_and_white_space_do_not_matter(text: str, other: str) -> None:
    """Otherwise the same alert from another producer would have other features."""
    assert weights_of(alert(text)) == weights_of(alert(other))


def test_text_and_document_never_share_a_feature() -> None:
    """Otherwise a word in the text would count as a field of the document."""
    text, document = alert("CreateUser iam amazonaws com"), alert(None, CLOUDTRAIL)
    both = groups_of(alert("CreateUser iam amazonaws com", CLOUDTRAIL))
    assert both[:2] == [groups_of(text)[0], groups_of(document)[1]]
    assert groups_of(text)[1:] == [{}, {}], "a text alone has only the first group"


def test_a_word_has_one_feature_in_text_and_document_together() -> None:
    """Otherwise nothing would be known about the words in the fields of an unknown vendor."""
    document = {"requestParameters": {"bucket_policy": "public"}}
    together = groups_of(alert("bucket was made public", document))[2]
    text = groups_of(alert("bucket was made public request parameters bucket policy public"))[0]
    assert together.keys() < text.keys(), "the text has one more pair, where the two parts meet"
    known = groups_of(alert("policy of request parameters"))[0]
    assert len(together.keys() & known.keys()) > len(known) / 2
    assert not groups_of(alert("policy of request parameters", {}))[2], "an empty document is none"


def test_every_group_has_length_one() -> None:
    """Otherwise a long document would outweigh the text."""
    document = {f"field{n}": f"value {n}x" for n in range(60)}
    for group in groups_of(alert("a bucket is public", document)):
        assert np.linalg.norm(list(group.values())) == pytest.approx(1)


def test_a_repeated_word_weighs_more_but_not_in_proportion() -> None:
    """Otherwise one word that occurs a hundred times would decide the event."""
    once = weights_of(alert("alpha")).values()
    often = weights_of(alert("alpha omega " * 100)).values()
    assert max(once) == min(once)
    assert 1 < max(often) / min(often) < 7


def test_ids_sender_and_tenant_are_not_read() -> None:
    """A head that reads them would learn the data set instead of the work."""
    plain = weights_of(alert("New user", CLOUDTRAIL))
    assert plain == weights_of(
        alert("New user", CLOUDTRAIL, source="vendor", tenant="acme", attributes={"a": "b"})
    )
    other = CLOUDTRAIL | {"eventID": "11111111-2222-3333-4444-555555555555"}
    known = CLOUDTRAIL | {"eventID": "66666666-7777-8888-9999-000000000000"}
    assert weights_of(alert("New user", known)) == weights_of(alert("New user", other)), (
        "the key of an id may be read, but not the id"
    )


def test_an_event_without_words_has_no_features() -> None:
    """Otherwise a division by zero would put NaN on the output topic."""
    assert weights_of(alert(" \n\t", {"a": None})) == {}
    assert weights_of(alert("...", None)) == {}


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
    """Otherwise one event would block the stream."""
    features_of(event)
    with within_cpu_s(0.1):
        features = features_of(event)
    assert len(features.buckets) < BUCKETS
    assert np.isfinite(features.values).all()


LONE_SURROGATE = "\ud800"


@pytest.mark.parametrize(
    "event",
    [
        alert(LONE_SURROGATE),
        alert(f"a{LONE_SURROGATE}b"),
        alert(None, {LONE_SURROGATE: "value"}),
        alert(None, {f"key{LONE_SURROGATE}": f"value {LONE_SURROGATE}"}),
    ],
    ids=["text", "word", "key", "both"],
)
def test_lone_surrogates_are_read(event: Event) -> None:
    """They have no UTF-8; one such key would fail the whole batch on every redelivery."""
    assert np.isfinite(features_of(event).values).all()


def test_int8_weights_give_the_logits_of_float_weights() -> None:
    """Otherwise the small table would give wrong answers."""
    generator = np.random.default_rng(2)
    weights = np.zeros((BUCKETS, 5), np.float32)
    used = generator.choice(BUCKETS, 4_000, replace=False)
    weights[used] = generator.normal(size=(4_000, 5)) * np.array([0.1, 1, 10, 1, 3])
    bias = generator.normal(size=5)
    labels = {"queue": ("a", "b"), "tactic": ("c", "d", "e")}
    ngram_head = quantized(WITHOUT_COLUMNS.idf, weights, bias, labels)
    assert ngram_head.columns == {"queue": slice(0, 2), "tactic": slice(2, 5)}
    for _ in range(50):
        buckets = np.sort(generator.choice(used, 80, replace=False))
        features = Features(buckets, generator.random(80) / 9)
        exact = features.values @ weights[buckets].astype(np.float64) + bias
        # Rounding changes a weight by at most half a step. A step is 1/127 of the largest weight
        # of the column.
        bound = np.abs(weights).max(axis=0) / 127 / 2 * features.values.sum() + 1e-4
        assert (np.abs(ngram_head.logits(features) - exact) <= bound).all()


def test_an_axis_keeps_its_logits_when_others_are_removed() -> None:
    """Otherwise removing an unused axis would mix up the columns of the others."""
    rows = to_rows(alerts())
    labels = {
        "queue": tuple(sorted(WORDS)),
        "tactic": ("execution", "impact"),
        "severity": ("high", "low"),
    }
    ngram_head = fit_ngram_head(rows, labels, seed=0)
    features = features_of(rows[0].event, ngram_head)
    all_logits = ngram_head.logits(features)
    for axes in (["severity"], ["queue", "severity"], ["severity", "tactic"], []):
        reduced = kept(ngram_head, axes)
        assert list(reduced.columns) == axes
        logits = reduced.logits(features)
        for axis in axes:
            expected = all_logits[ngram_head.columns[axis]]
            assert np.array_equal(logits[reduced.columns[axis]], expected)


def test_an_ngram_head_learns() -> None:
    """With mixed up columns, labels or buckets, it would not be better than chance."""
    rows = to_rows(alerts())
    names = tuple(sorted(WORDS))
    ngram_head = fit_ngram_head(rows[::2], {"queue": names}, seed=0)
    right = []
    for row in rows[1::2]:
        logits = ngram_head.logits(features_of(row.event, ngram_head))
        right.append(names[int(logits.argmax())] in row.gold["queue"])
    assert np.mean(right) == 1.0


def test_an_axis_with_too_many_labels_has_no_columns() -> None:
    """The table of a thousand labels would be twice as large as the encoder."""
    lines = [
        {"kind": "ticket", "text": f"word{n} twice", "labels": {"intent": f"i{n % 300}"}}
        for n in range(600)
    ]
    ngram_head = fit_ngram_head(
        to_rows(lines), {"intent": tuple(f"i{n}" for n in range(300))}, seed=0
    )
    assert (ngram_head.columns, ngram_head.weights.shape) == ({}, (TEXT_BUCKETS, 0))


def test_a_head_trained_without_documents_reads_none() -> None:
    """Otherwise its table would be twice as large, and reading slower, for weights of zero."""
    lines = [
        {"kind": "ticket", "text": f"{word} {n}", "labels": {"queue": word}}
        for word in "ab"
        for n in range(20)
    ]
    ngram_head = fit_ngram_head(to_rows(lines), {"queue": ("a", "b")}, seed=0)
    assert ngram_head.weights.shape == (TEXT_BUCKETS, 2)
    without, with_document = (
        features_of(Event(id="1", kind="ticket", text="a 7", event=document), ngram_head)
        for document in (None, CLOUDTRAIL)
    )
    assert np.array_equal(without.buckets, with_document.buckets)
    assert np.array_equal(ngram_head.logits(without), ngram_head.logits(with_document))
