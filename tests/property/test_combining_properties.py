"""Whatever an attacker makes the LLM say: nothing is lowered, nothing closed, nothing said that is no label."""

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
def opinions(draw: st.DrawFn) -> dict[str, Label]:
    """The small model's labels on some of the axes."""
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


@given(opinions(), answers, deciding_axes)
def test_no_answer_spares_anybody_a_look(
    labels: dict[str, Label], answer: Answer, deciding: list[str]
) -> None:
    """One combination of opinions would let an attacker's text lower a severity, close an event or invent a label."""
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
        assert {small.value, *(one.value for one in small.alternatives)} <= {
            label.value,
            *(one.value for one in label.alternatives),
        }
        if label != small:
            assert label.abstained


@given(opinions(), answers, deciding_axes)
def test_a_confident_model_is_never_overruled_in_silence(
    labels: dict[str, Label], answer: Answer, deciding: list[str]
) -> None:
    """A disagreement with a sure model would be decided by the less reliable of the two."""
    combined = combine(labels, answer, deciding=deciding)
    said = {axis: value for axis, value in answer.labels.items() if axis in labels}
    if any(
        not labels[axis].abstained and labels[axis].value != value for axis, value in said.items()
    ):
        assert combined.needs_person
    if combined.needs_person:
        assert combined.reasons


@given(opinions(), answers, deciding_axes)
def test_combining_twice_changes_nothing_more(
    labels: dict[str, Label], answer: Answer, deciding: list[str]
) -> None:
    """A redelivered answer would otherwise be a second opinion."""
    once = combine(labels, answer, deciding=deciding).labels
    assert combine(once, answer, deciding=deciding).labels == once
