"""Properties of the prompt and of `parse_answer`, for any event and any answer.

There is one fence, and labels come from their sets or there are none.
"""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from inference.llm.client.failure import LlmFailure
from inference.llm.prompt.answer import parse_answer
from inference.llm.prompt.event_text import event_text
from inference.llm.prompt.prompt import (
    MAX_RATIONALE_CHARS,
    MAX_SUMMARY_CHARS,
    Prompt,
    Quotation,
)
from schemas.event import Event
from tests.property.strategies import documents, json_values

NONCE = "0123456789abcdef"
LABELS = {"queue": ("cloud", "out_of_scope"), "severity": ("low", "high")}
PROMPT = Prompt(labels=LABELS, estimates={}, event="x")

any_text = st.text(st.characters(), max_size=60)
fragments = st.sampled_from([
    *(NONCE, NONCE[:8], NONCE[8:], NONCE.upper(), f"<event-{NONCE}>", f"</event-{NONCE}>"),
    *("<event-", "</", "<", ">", "[INST]", "[", "INST", "]", "<|im_start|>"),
    *("\u200b", "\u202e", "\U000e0041", "\x00", "\r", "\n", " "),
])  # fmt: skip
hostile = st.lists(any_text | fragments, max_size=12).map("".join)

labels = st.dictionaries(
    st.sampled_from(["queue", "severity"]) | any_text,
    st.sampled_from(["cloud", "Out of Scope", "low", "HIGH", "critical"]) | json_values,
    max_size=4,
)
near_answers = st.fixed_dictionaries(
    {},
    optional={
        "labels": labels | json_values,
        "decidable": st.booleans() | json_values,
        "summary": hostile | json_values,
        "rationale": hostile | json_values,
    },
).map(json.dumps)
answers = st.lists(
    near_answers
    | any_text
    | st.sampled_from(["```json\n", "```", "{", "}", '{"', "<think>", "</think>"]),
    max_size=4,
).map("".join)


@given(hostile, hostile, hostile)
def test_text_never_leaves_its_fence(event: str, id_: str, passage: str) -> None:
    """Otherwise an event could write outside its fence, where words are read as ours."""
    message = Prompt(LABELS, {}, event, [Quotation(id_, passage)]).messages(NONCE)[1]["content"]
    for name in ("event", "quotation"):
        assert message.count(f"<{name}-{NONCE}>") == message.count(f"</{name}-{NONCE}>") == 1
    # Once in the first line and twice for each fence, and nowhere else in any case.
    assert message.lower().count(NONCE) == 5
    assert message.count("<") == message.count(">") == 4
    assert "[INST]" not in message
    message.encode()


@given(hostile, documents, st.integers(200, 400))
def test_event_text_is_bounded_for_every_event(
    text: str, document: dict[str, object], max_chars: int
) -> None:
    """Otherwise an event could stop the agent, or make a prompt of any cost."""
    shown = event_text(
        Event(id="x", kind="alert", text=text, body=text[:5], event=document, source=text),
        max_chars,
    )
    assert len(shown) <= max_chars
    shown.encode()


@given(answers)
@example(
    '{"labels":{"queue":"cloud","severity":"LOW"},"decidable":false,'
    '"summary":"\\ud800","rationale":""}'
)
def test_labels_come_from_their_sets_or_there_are_none(content: str) -> None:
    """Otherwise an answer could cause an unknown label, or an error that nobody catches."""
    try:
        answer = parse_answer(content, PROMPT)
    except LlmFailure:
        return
    assert set(answer.labels) == set(LABELS)
    assert all(answer.labels[axis] in values for axis, values in LABELS.items())
    assert isinstance(answer.decidable, bool)
    assert len(answer.summary) <= MAX_SUMMARY_CHARS
    assert len(answer.rationale) <= MAX_RATIONALE_CHARS
    assert (answer.summary + answer.rationale + "x").isprintable()
