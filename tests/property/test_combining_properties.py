"""Properties of combining, for any answer that an attacker could make the LLM give.

Nothing is lowered, nothing is closed, and every label comes from its set.
"""

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from inference.llm.combining import combine
from inference.llm.options import LimitOptions
from inference.llm.prompt.prompt import Answer
from schemas.triaged import Alternative, Label

(CLOSING,) = LimitOptions().closing
ORDERED = LimitOptions().orders

SETS: Mapping[str, Sequence[str]] = {
    **ORDERED,
    "queue": ("cloud", "email", "top_up", CLOSING),
    "tactic": ("impact", "execution", "discovery"),
}
probabilities = st.floats(0, 1)


@st.composite
def small_model_labels(draw: st.DrawFn) -> dict[str, Label]:
    """Labels of the small model on some of the axes."""
    labels = {}
    for axis in draw(st.lists(st.sampled_from(sorted(SETS)), unique=True)):
        value, *others = draw(st.permutations(SETS[axis]))
        kept = others[: draw(st.integers(0, len(others)))]
        alternatives = [Alternative(value=other, confidence=draw(probabilities)) for other in kept]
        confidence, abstained = draw(probabilities), draw(st.booleans())
        labels[axis] = Label(
            value=value, confidence=confidence, alternatives=alternatives, abstained=abstained
        )
    return labels


def values_of(label: Label) -> set[str]:
    """The value of a label and those of its alternatives."""
    return {label.value, *(alternative.value for alternative in label.alternatives)}


answers = st.builds(
    Answer,
    labels=st.fixed_dictionaries(
        {}, optional={axis: st.sampled_from(values) for axis, values in SETS.items()}
    ),
    decidable=st.booleans(),
    summary=st.just(""),
    rationale=st.just(""),
)
deciding_axes = st.lists(st.sampled_from(sorted(SETS)), unique=True)


@given(small_model_labels(), answers, deciding_axes)
def test_no_answer_spares_a_person_a_look(
    labels: dict[str, Label], answer: Answer, deciding: list[str]
) -> None:
    """Otherwise a text could lower a severity, close an event or invent a label."""
    combined = combine(labels, answer, deciding=deciding)
    assert list(combined.labels) == list(labels)
    for axis, small in labels.items():
        label = combined.labels[axis]
        assert label.value in SETS[axis]
        assert label.value in (small.value, answer.labels.get(axis))
        if axis in ORDERED:
            assert ORDERED[axis].index(label.value) >= ORDERED[axis].index(small.value)
        assert (label.value == CLOSING) <= (small.value == CLOSING)
        closed_alone = label.value == CLOSING and small.abstained and axis in answer.labels
        assert not closed_alone or combined.needs_person
        assert values_of(small) <= values_of(label)
        if label != small:
            assert label.abstained


@given(small_model_labels(), answers, deciding_axes)
def test_a_confident_model_is_never_overruled_without_a_person(
    labels: dict[str, Label], answer: Answer, deciding: list[str]
) -> None:
    """Otherwise the less reliable model would decide against a confident small model."""
    combined = combine(labels, answer, deciding=deciding)
    values = {axis: value for axis, value in answer.labels.items() if axis in labels}
    if any(
        not labels[axis].abstained and labels[axis].value != value for axis, value in values.items()
    ):
        assert combined.needs_person
    if combined.needs_person:
        assert combined.reasons


@given(small_model_labels(), answers, deciding_axes)
def test_combining_twice_changes_nothing_more(
    labels: dict[str, Label], answer: Answer, deciding: list[str]
) -> None:
    """Otherwise a redelivered answer would change the result."""
    once = combine(labels, answer, deciding=deciding).labels
    assert combine(once, answer, deciding=deciding).labels == once
