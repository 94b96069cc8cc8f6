"""Tests of `parse_answer`: what counts as an answer, and that nothing else does."""

import json
from typing import Any

import pytest

from inference.llm.client.failure import LlmFailure
from inference.llm.prompt.answer import MAX_ANSWER_CHARS, parse_answer
from inference.llm.prompt.prompt import Answer, Prompt
from tests.patience import within_cpu_s

PROMPT = Prompt(
    labels={"queue": ("out_of_scope", "cloud", "identity"), "severity": ("low", "high")},
    estimates={},
    event="x",
)
GOOD: dict[str, Any] = {
    "summary": "Root signed in.",
    "rationale": "As in a-7.",
    "labels": {"queue": "cloud", "severity": "high"},
    "decidable": True,
}
ANSWER = Answer(
    {"queue": "cloud", "severity": "high"},
    decidable=True,
    summary="Root signed in.",
    rationale="As in a-7.",
)
WRITTEN = json.dumps(GOOD)


def refused(content: str) -> str:
    """The sentence that an answer is refused with."""
    with pytest.raises(LlmFailure) as failure:
        parse_answer(content, PROMPT)
    assert (failure.value.status, failure.value.retryable, failure.value.healthy) == (
        "invalid_answer",
        False,
        True,
    )
    return str(failure.value)


@pytest.mark.parametrize(
    "content",
    [
        WRITTEN,
        "\ufeff" + WRITTEN + "\n",
        json.dumps(GOOD, indent=2),
        f"```json\n{WRITTEN}\n```",
        f"Here is {{my}} answer:\n{WRITTEN}\nI hope {{this}} helps.",
        f'<think>Perhaps {{"severity" low?}}</think>\n{WRITTEN}',
        f"{WRITTEN}\n{WRITTEN}",
        f'{{"note": "for you"}} {WRITTEN}',
        json.dumps(GOOD | {"confidence": 0.99, "labels": GOOD["labels"] | {"mood": "grim"}}),
    ],
    ids=[
        "bare",
        "bom",
        "pretty",
        "fence",
        "prose",
        "thoughts",
        "twice",
        "other object",
        "extra keys",
    ],
)
def test_an_answer_is_found_inside_other_text(content: str) -> None:
    """Otherwise an answer that was paid for would be lost because of the text around it."""
    assert parse_answer(content, PROMPT) == ANSWER


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("High", "high"),
        (" HIGH ", "high"),
        ("Out of scope", "out_of_scope"),
        ("out-of-scope", None),
    ],
)
def test_case_and_spaces_of_a_label_do_not_matter(written: str, label: str | None) -> None:
    """Otherwise a right answer would be refused, or an unknown label would reach a consumer."""
    axis = "severity" if label == "high" else "queue"
    answer = parse_answer(json.dumps(GOOD | {"labels": {**ANSWER.labels, axis: written}}), PROMPT)
    assert answer.labels[axis] == (label or "out_of_scope")


def test_a_label_that_fits_two_values_is_refused() -> None:
    """Otherwise one of two labels would be chosen by chance."""
    prompt = Prompt(labels={"queue": ("top-up", "top_up")}, estimates={}, event="x")
    exact, unclear = (
        json.dumps(GOOD | {"labels": {"queue": written}}) for written in ("top_up", "Top up")
    )
    assert parse_answer(exact, prompt).labels == {"queue": "top_up"}
    with pytest.raises(LlmFailure, match="outside its set"):
        parse_answer(unclear, prompt)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"queue": "cloud", "severity": "harmless"}},
        {"labels": {"queue": "cloud", "severity": ""}},
        {"labels": {"queue": "cloud"}},
        {"labels": {"queue": "cloud", "severity": ["high"]}},
        {"labels": {"queue": "cloud", "severity": None}},
        {"labels": "high"},
        {"decidable": "true"},
        {"decidable": 1},
        {"summary": None},
        {"summary": ["text"]},
        {"rationale": {"text": "x"}},
    ],
)
def test_an_answer_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    """Otherwise a label outside its set, or no label, would reach a consumer."""
    refused(json.dumps(GOOD | change))


@pytest.mark.parametrize("key", GOOD)
def test_every_field_is_required(key: str) -> None:
    """Otherwise an incomplete answer would count."""
    refused(json.dumps({name: value for name, value in GOOD.items() if name != key}))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "severity: high",
        "[]",
        "null",
        WRITTEN[:-1],
        WRITTEN[:-1] + ', "decidable": false}',
        WRITTEN[:-1] + ', "score": NaN}',
        WRITTEN[:-1] + ', "score": ' + "9" * 5000 + "}",
        '{"a":' * 5_000,
        '{"a":[' + "[" * 20_000,
        json.dumps({"answer": GOOD}),
    ],
    ids=[
        "empty",
        "prose",
        "list",
        "null",
        "cut",
        "key twice",
        "nan",
        "number",
        "nested",
        "lists",
        "wrapped",
    ],
)
def test_what_is_not_an_answer_is_refused(content: str) -> None:
    """Otherwise labels would be invented although the model gave none."""
    refused(content)


def test_two_answers_that_differ_are_refused() -> None:
    """Otherwise an answer that the model quotes from the event would count as its own."""
    quoted = json.dumps(GOOD | {"labels": {"queue": "cloud", "severity": "low"}})
    assert "differ" in refused(f"The event asks for {quoted} but I say {WRITTEN}")
    assert "differ" in refused(f"{WRITTEN}{json.dumps(GOOD | {'decidable': False})}")
    refused(f'{{"summary": "it says {quoted}')


def test_a_refusal_never_repeats_the_answer() -> None:
    """Otherwise text of an attacker would be logged, and shown to people."""
    for content in (
        "secret",
        '{"secret": 1}',
        WRITTEN.replace("high", "secret"),
        WRITTEN[:-1] + ', "secret',
    ):
        assert "secret" not in refused(content)
    assert "severity" in refused(WRITTEN.replace("high", "x"))


def test_texts_become_one_visible_line_of_limited_length() -> None:
    """Otherwise a control character or an endless line would reach the terminal of an analyst."""
    texts = {"summary": "a\u202eb\n\n<b>c</b>\x1b[31m\ud800" + "d" * 400, "rationale": "r " * 400}
    answer = parse_answer(json.dumps(GOOD | texts), PROMPT)
    assert answer.summary == "ab <b>c</b>[31m" + "d" * (300 - 16) + "…"
    assert (len(answer.rationale), answer.rationale[-1]) == (500, "…")
    blank = parse_answer(json.dumps(GOOD | {"summary": "", "rationale": " \n"}), PROMPT)
    assert blank.rationale == ""


def test_a_line_break_inside_a_string_is_accepted() -> None:
    """Otherwise answers of small models, which write them, would be lost."""
    assert parse_answer(WRITTEN.replace("Root ", "Root\n"), PROMPT) == ANSWER


@pytest.mark.parametrize(
    "unit", ["{", '{"', '{"a":', '{"a":1}', "{ ", "<think>", " ", '{"\\', "\ufeff "]
)
def test_a_hostile_answer_takes_little_time(unit: str) -> None:
    """Otherwise one answer could block the process for minutes."""
    with within_cpu_s(1):
        refused(unit * (MAX_ANSWER_CHARS // len(unit)))
        refused(unit * 1_000_000)
