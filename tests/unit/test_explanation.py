"""Why a label was proposed: what each word adds to its log-odds."""

from pathlib import Path

import numpy as np
import pytest

from inference.classifier import Classifier
from inference.errors import ModelError
from inference.explanation import MAX_WORDS, explain
from inference.model.artifact import DEFAULT_MODEL
from inference.model.input_text import read_content
from inference.model.ngrams import NgramHead
from inference.model.threads import Threads
from schemas.event import Event

ALERT = Event(
    id="a-1",
    kind="alert",
    title="LSASS memory read by procdump",
    text="procdump.exe dumped lsass.exe; procdump.exe was started by powershell",
    event={"process": {"name": "procdump.exe", "pid": 4711}, "host": {"name": "WIN-7"}},
)
TICKET = Event(
    id="t-1", kind="ticket", text="my card was declined twice, why was my card declined?"
)
BARE = Event(id="a-2", kind="alert", text="..")


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """The shipped model."""
    return Classifier.open(DEFAULT_MODEL, threads=Threads(1, 1))


def head_of(classifier: Classifier, event: Event) -> NgramHead:
    """The n-gram head for an event."""
    return classifier.ngram_head(event.domain)


@pytest.mark.parametrize("event", [ALERT, TICKET, BARE], ids=["alert", "ticket", "no words"])
def test_every_feature_of_an_event_has_the_words_that_it_is_made_of(
    classifier: Classifier, event: Event
) -> None:
    """The explanation would be about other words than those that the model has read."""
    head, content = head_of(classifier, event), read_content(event)
    groups = head.sources(content)
    buckets = np.unique(np.concatenate([group.buckets for group in groups]))
    assert buckets.tolist() == head.features(content).buckets.tolist()
    for group in groups:
        assert group.owners.shape == (len(group.buckets), 2)
        assert not len(group.owners) or group.owners.max() < len(group.words)


@pytest.mark.parametrize("event", [ALERT, TICKET], ids=["alert", "ticket"])
def test_the_words_add_up_to_the_difference_of_the_logits(
    classifier: Classifier, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A weight beside a word would be a guess, not what the word has added."""
    monkeypatch.setattr("inference.explanation.MAX_WORDS", 10_000)
    axis = "queue"
    value, against = classifier.labels(event.domain)[axis][:2]
    explanation = explain(classifier, event, axis, value, against=against)
    assert explanation is not None
    head = head_of(classifier, event)
    calibration = classifier.artifact.calibration.domains[event.domain].axes[axis]
    first = head.columns[axis].start
    bias = (head.bias[first] - head.bias[first + 1]) * (
        calibration.ngram_share / calibration.temperature
    )
    of_words = sum(word.weight for word in explanation.words)
    assert of_words + bias == pytest.approx(explanation.total, abs=0.01)
    assert len(explanation.words) > 5


def test_the_words_of_the_event_are_named_with_their_fields(classifier: Classifier) -> None:
    """A reviewer could not find in the event what is shown to have weighed."""
    explanation = explain(classifier, ALERT, "queue", "endpoint")
    assert explanation is not None
    assert explanation.against in set(classifier.labels("alerts")["queue"]) - {"endpoint"}
    assert explanation.total > 0
    named = {(word.text, word.path) for word in explanation.words}
    assert ("procdump", None) in named
    assert any(path == "process.name" for _, path in named)
    assert len(explanation.words) <= 2 * MAX_WORDS
    assert explain(classifier, ALERT, "queue", "network").total < 0  # type: ignore[union-attr]


def test_an_axis_or_label_that_the_model_lacks_is_refused(classifier: Classifier) -> None:
    """A decision of another model would be explained with a label that this model does not know."""
    with pytest.raises(ModelError, match="another model"):
        explain(classifier, ALERT, "queue", "no such queue")
    with pytest.raises(ModelError, match="another model"):
        explain(classifier, ALERT, "queue", "endpoint", against="no such queue")
    with pytest.raises(ModelError, match="another model"):
        explain(classifier, ALERT, "no such axis", "endpoint")


def test_an_axis_that_the_encoder_decides_alone_has_no_words(tiny_model: Path) -> None:
    """Nothing would be shown as if it had been counted."""
    tiny = Classifier.open(tiny_model, threads=Threads(1, 1))
    without = [
        axis for axis in tiny.labels("alerts") if axis not in tiny.ngram_head("alerts").columns
    ]
    for axis in without:
        assert explain(tiny, ALERT, axis, tiny.labels("alerts")[axis][0]) is None
    assert without
