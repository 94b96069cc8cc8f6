"""Why the model proposed a label: what the words of an event added to it.

Half of the model is a linear head on words and character sequences (`inference.model.ngrams`). What
each of them adds to the logit of a label is exact, and no estimate: a weight times a value. The
other half is the encoder, whose share cannot be told apart by words, so these words explain a part
of the answer.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from inference.arrays import Floats
from inference.classifier import Classifier
from inference.errors import ModelError
from inference.model.input_text import read_content
from inference.model.ngrams import Features, FeatureSources, NgramHead, Word
from schemas.event import Event

MAX_WORDS = 20
"""So many words for and so many against are named."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one word adds to the log-odds of a label against another one.

    `path` is the field of the document, if the word counts as a word of that field.
    """

    text: str
    path: str | None
    weight: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """The words that weighed most for `value` (weight above 0), and for `against` (below 0).

    The strongest come first. `total` is what all words together add to the log-odds of `value`
    against `against`, with the bias of the head.
    """

    value: str
    against: str
    words: list[Contribution]
    total: float


def explain(
    classifier: Classifier, event: Event, axis: str, value: str, *, against: str | None = None
) -> Explanation | None:
    """What the words of an event say about a label of one axis.

    Args:
        classifier: the model.
        event: the event.
        axis: an axis of the event's domain.
        value: the label that was proposed.
        against: the label that it is compared with; without it, the one that the words favour most
            after `value`.

    Returns:
        None if the axis is decided by the encoder alone, or has only one label.

    Raises:
        ModelError: the model does not have the axis, or not the labels.
    """
    labels = classifier.labels(event.domain).get(axis, ())
    _check(axis, labels, value, against)
    head = classifier.ngram_head(event.domain)
    columns = head.columns.get(axis)
    if columns is None or len(labels) == 1:
        return None
    content = read_content(event)
    features = head.features(content)
    logits = head.logits(features)[columns]
    chosen = labels.index(value)
    other = _runner_up(logits, chosen) if against is None else labels.index(against)
    calibration = classifier.artifact.calibration.domains[event.domain].axes[axis]
    # As `calibrated` does it: the mixture first, then the temperature.
    scale = calibration.ngram_share / calibration.temperature
    first = columns.start
    weights = _difference(head, features, first + chosen, first + other) * scale
    by_word = _by_word(features, weights, head.sources(content))
    return Explanation(
        value=value,
        against=labels[other],
        words=_strongest(by_word),
        total=float(logits[chosen] - logits[other]) * scale,
    )


def _check(axis: str, labels: tuple[str, ...], value: str, against: str | None) -> None:
    for label in (value, against):
        if label is not None and label not in labels:
            raise ModelError(
                f"the model has no label {label[:100]!r} of {axis[:100]!r}; another model has made "
                "this decision"
            )


def _runner_up(logits: Floats, chosen: int) -> int:
    others = np.array(logits)
    others[chosen] = -np.inf
    return int(others.argmax())


def _difference(head: NgramHead, features: Features, chosen: int, other: int) -> Floats:
    """What each feature adds to the logit of one column above that of another one; shape (f,)."""
    rows = head.weights[features.buckets]
    of_chosen = rows[:, chosen] * head.scales[chosen]
    of_other = rows[:, other] * head.scales[other]
    return np.asarray((of_chosen - of_other) * features.values, dtype=np.float64)


def _by_word(
    features: Features, weights: Floats, groups: list[FeatureSources]
) -> dict[Word, float]:
    """The weights by word: a feature is shared by its occurrences, a pair by its two words."""
    by_word: defaultdict[Word, float] = defaultdict(float)
    for group in groups:
        at = np.searchsorted(features.buckets, group.buckets)
        occurrences = np.bincount(at, minlength=len(weights))
        halves = weights[at] / occurrences[at] / 2
        for column in (0, 1):
            of_words = np.bincount(
                group.owners[:, column], weights=halves, minlength=len(group.words)
            )
            for word, weight in zip(group.words, of_words.tolist(), strict=True):
                by_word[word] += weight
    return by_word


def _strongest(by_word: dict[Word, float]) -> list[Contribution]:
    ranked = sorted(by_word.items(), key=lambda item: (-abs(item[1]), item[0].text))
    positive = [item for item in ranked if item[1] > 0][:MAX_WORDS]
    negative = [item for item in ranked if item[1] < 0][:MAX_WORDS]
    chosen = sorted([*positive, *negative], key=lambda item: -abs(item[1]))
    return [Contribution(word.text, word.path, round(weight, 4)) for word, weight in chosen]
