"""A decision depends on the event and the model alone, so a redelivered event gets the same."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inference.acceptance.policy import Decision
from inference.classifier import Classifier
from inference.model.artifact import DEFAULT_MODEL, MANIFEST, load_artifact
from inference.model.input_text import read_content, render
from inference.model.ngrams import BUCKETS, TEXT_BUCKETS, WHOLE, NgramHead
from inference.model.threads import Threads
from inference.training.recipe import TrainingOptions, train
from schemas.event import DOMAINS, KIND_OF_DOMAIN, Domain, Event
from tests.labelled import alerts, split, tickets, write
from tests.property.strategies import documents
from tests.tiny_model import sample_events

Serving = tuple[asyncio.Runner, Classifier]

# A producer can send any string that Python can hold, lone surrogates too.
any_text = st.none() | st.text(max_size=200) | st.text(st.characters(), max_size=50)
random_events = st.builds(
    Event,
    id=st.text(max_size=8),
    kind=st.sampled_from(list(KIND_OF_DOMAIN.values())),
    text=any_text,
    title=any_text,
    body=any_text,
    event=st.none()
    | documents
    | st.dictionaries(st.text(st.characters(), max_size=9), any_text, max_size=5),
    tenant=st.sampled_from(["default", "acme", "\ud800"]),
)
shipped_events = [event for domain in DOMAINS for event in sample_events(domain)]
events = random_events | st.sampled_from(shipped_events)
batches = st.lists(st.lists(events, max_size=8), min_size=1, max_size=5)

NGRAM_HEAD = NgramHead(
    np.ones(BUCKETS, np.float32),
    np.ones((BUCKETS, 2), np.int8),
    np.ones(2),
    np.zeros(2),
    {"queue": slice(0, 2)},
)


@pytest.fixture(scope="module", params=["tiny", "trained"])
def serving(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """A classifier and its event loop: with random heads, then with fitted heads and limits."""
    model = tiny_model
    if request.param == "trained":
        model = tmp_path_factory.mktemp("decisions")
        data = write(model / "rows.jsonl", split([*alerts(), *tickets()]))
        model = train(
            tiny_model, [data], model / "model", TrainingOptions(name="trained"), lambda *_: None
        ).directory
    with asyncio.Runner() as runner:
        # Without a cache: with one, an event would be compared with its own first answer.
        classifier = Classifier.open(model, threads=Threads(2, 1), max_waiting=6, max_cached=0)
        yield runner, classifier
        runner.run(classifier.close())


@pytest.fixture(scope="module")
def cached(serving: Serving) -> Iterator[Classifier]:
    """The same model with a cache of a few texts."""
    runner, classifier = serving
    directory = classifier.artifact.directory
    with_cache = Classifier.open(directory, threads=Threads(2, 1), max_waiting=6, max_cached=5)
    yield with_cache
    runner.run(with_cache.close())


def without_time(decision: Decision) -> Decision:
    """The decision without its wall time."""
    return replace(decision, inference_s=0.0)


def test_both_kinds_of_heads_count(tiny_model: Path) -> None:
    """Without n-gram logits, the properties below would test only the encoder's heads."""
    artifact = load_artifact(tiny_model)
    for domain, spec in artifact.manifest.domains.items():
        axes = artifact.calibration.domains[domain].axes
        with_ngrams = [axis for axis, axis_spec in spec.axes.items() if axis_spec.ngrams]
        assert any(0 < axes[axis].ngram_share < 1 for axis in with_ngrams)


@settings(max_examples=60)
@given(st.sampled_from(DOMAINS), batches)
def test_a_decision_is_identical_alone_and_among_any_callers(
    serving: Serving, domain: Domain, calls: list[list[Event]]
) -> None:
    """Consumers deduplicate by id, so all copies of an event must have one decision."""
    runner, classifier = serving

    async def together() -> list[list[Decision]]:
        return await asyncio.gather(*(classifier.classify(domain, call) for call in calls))

    answers = runner.run(together())
    assert [len(answer) for answer in answers] == [len(call) for call in calls]
    for call, answer in zip(calls, answers, strict=True):
        for event, decision in zip(call, answer, strict=True):
            (alone,) = runner.run(classifier.classify(domain, [event]))
            assert without_time(decision) == without_time(alone)


@settings(max_examples=60)
@given(st.sampled_from(DOMAINS), batches)
def test_a_decision_is_identical_with_a_cache(
    serving: Serving, cached: Classifier, domain: Domain, calls: list[list[Event]]
) -> None:
    """The answer about an event would depend on whether its text was seen before."""
    runner, classifier = serving

    async def together() -> list[list[Decision]]:
        return await asyncio.gather(*(cached.classify(domain, call) for call in calls * 2))

    for call, answer in zip(calls * 2, runner.run(together()), strict=True):
        expected = runner.run(classifier.classify(domain, call))
        assert [without_time(each) for each in answer] == [without_time(each) for each in expected]


@settings(max_examples=60)
@given(events, st.lists(events, max_size=40), st.integers(0, 40))
def test_the_rest_of_the_batch_does_not_matter(
    serving: Serving, event: Event, neighbours: list[Event], place: int
) -> None:
    """Otherwise an event would get another decision at another place of a batch."""
    runner, classifier = serving
    (alone,) = runner.run(classifier.classify(event.domain, [event]))
    batch = [*neighbours[:place], event, *neighbours[place:]]
    together = runner.run(classifier.classify(event.domain, batch))
    assert without_time(together[min(place, len(neighbours))]) == without_time(alone)


@settings(max_examples=60)
@given(events)
def test_any_event_is_decided_and_can_be_sent(serving: Serving, event: Event) -> None:
    """A failing event would fail its batch on every redelivery, and JSON has no NaN."""
    runner, classifier = serving
    (decision,) = runner.run(classifier.classify(event.domain, [event]))
    numbers = [
        decision.risk,
        decision.ood_score,
        *(label.confidence for label in decision.labels.values()),
    ]
    assert all(0.0 <= number <= 1.0 for number in numbers)
    assert decision.accepted == (not decision.escalation)
    assert msgspec.json.decode(msgspec.json.encode(decision.labels), type=dict[str, Any])


@given(events, st.text(max_size=9), st.text(max_size=9))
def test_sender_id_and_time_do_not_matter(event: Event, name: str, other: str) -> None:
    """A model that reads them would learn the data set instead of the work."""
    changed = msgspec.structs.replace(
        event, id=name, source=other, tenant=name, occurred_at=other, attributes={name: other}
    )
    assert render(changed) == render(event)
    features, same = (NGRAM_HEAD.features(read_content(copy)) for copy in (event, changed))
    assert features.buckets.tobytes() == same.buckets.tobytes()
    assert features.values.tobytes() == same.values.tobytes()


@given(events)
@example(Event(id="a", kind="alert", event={"\ud800": "x", "y": "\udfff"}))
@example(Event(id="a", kind="alert", text="\ud800\ud800"))
def test_any_event_has_valid_features(event: Event) -> None:
    """An unreadable key, or a bucket outside the table, would fail the whole batch."""
    features = NGRAM_HEAD.features(read_content(event))
    assert len(features.buckets) == len(features.values)
    assert np.all(np.diff(features.buckets) > 0)
    assert all(0 <= bucket < BUCKETS for bucket in features.buckets.tolist())
    ends = np.searchsorted(features.buckets, [TEXT_BUCKETS, WHOLE])
    for group in np.split(features.values, ends):
        assert len(group) == 0 or np.linalg.norm(group) == pytest.approx(1)
    assert np.isfinite(NGRAM_HEAD.logits(features)).all()


EXAMPLES: Sequence[Event] = (
    Event(id="1", kind="ticket", text=""),
    Event(id="2", kind="ticket", text="I have lost my card"),
    Event(
        id="3",
        kind="alert",
        text="PowerShell started by winword.exe with an encoded command",
        event={
            "CommandLine": "powershell.exe -enc",
            "EventID": 4688,
            "Image": "C:\\Windows\\powershell.exe",
        },
    ),
    Event(id="4", kind="ticket", text="where is my money " * 60),
    Event(id="5", kind="ticket", text="\u2603 \U0001f4b3 ¿dónde está mi tarjeta?"),
    Event(id="6", kind="alert", text="a"),
)


@pytest.mark.skipif(
    not (DEFAULT_MODEL / MANIFEST).is_file(), reason="the shipped model is not in this checkout"
)
@pytest.mark.parametrize("domain", DOMAINS)
async def test_the_shipped_model_decides_alike_in_any_batch(domain: Domain) -> None:
    """The shipped model has more layers than the tiny one, and trained heads."""
    classifier = Classifier.open(threads=Threads(2, 1))
    alone = [(await classifier.classify(domain, [event]))[0] for event in EXAMPLES]
    together = await classifier.classify(domain, [*EXAMPLES, *reversed(EXAMPLES)])
    expected = [without_time(decision) for decision in (*alone, *reversed(alone))]
    assert [without_time(decision) for decision in together] == expected
    await classifier.close()
