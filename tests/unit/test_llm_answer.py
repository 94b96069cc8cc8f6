"""The answer: what counts as one, and that nothing else does."""

import json
import time
from typing import Any

import pytest

from inference.llm.client.failure import LlmFailure
from inference.llm.prompt.answer import MAX_ANSWER_CHARS, parse_answer
from inference.llm.prompt.prompt import Answer, Prompt

QUESTION = Prompt(
    labels={"queue": ("out_of_scope", "cloud", "identity"), "severity": ("low", "high")},
    opinions={},
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
    """The sentence an answer is refused with."""
    with pytest.raises(LlmFailure) as failure:
        parse_answer(content, QUESTION)
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
def test_answer_is_found_however_it_is_wrapped(content: str) -> None:
    """A paid answer would be thrown away for its wrapping."""
    assert parse_answer(content, QUESTION) == ANSWER


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("High", "high"),
        (" HIGH ", "high"),
        ("Out of scope", "out_of_scope"),
        ("out-of-scope", None),
    ],
)
def test_label_is_matched_whatever_its_case_and_spaces(given: str, read: str | None) -> None:
    """A right answer would be refused for its spelling, or reach a consumer who knows no such label."""
    axis = "severity" if read == "high" else "queue"
    answer = parse_answer(json.dumps(GOOD | {"labels": ANSWER.labels | {axis: given}}), QUESTION)
    assert answer.labels[axis] == (read or "out_of_scope")


def test_label_that_could_be_two_is_none() -> None:
    """One of two labels would be chosen by chance."""
    question = Prompt(labels={"queue": ("top-up", "top_up")}, opinions={}, event="x")
    exact, unclear = (
        json.dumps(GOOD | {"labels": {"queue": given}}) for given in ("top_up", "Top up")
    )
    assert parse_answer(exact, question).labels == {"queue": "top_up"}
    with pytest.raises(LlmFailure, match="outside its set"):
        parse_answer(unclear, question)


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
def test_answer_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    """A label outside its set, or none, would reach a consumer."""
    refused(json.dumps(GOOD | change))


@pytest.mark.parametrize("key", GOOD)
def test_every_field_is_needed(key: str) -> None:
    """Half an answer would count as one."""
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
def test_what_is_no_answer_is_refused(content: str) -> None:
    """Something would be made up where the model said nothing clear."""
    refused(content)


def test_two_answers_that_differ_are_none() -> None:
    """An event that made the model quote an answer would have it taken for the model's own."""
    quoted = json.dumps(GOOD | {"labels": {"queue": "cloud", "severity": "low"}})
    assert "differ" in refused(f"The event asks for {quoted} but I say {WRITTEN}")
    assert "differ" in refused(f"{WRITTEN}{json.dumps(GOOD | {'decidable': False})}")
    refused(f'{{"summary": "it says {quoted}')


def test_refusal_never_repeats_the_answer() -> None:
    """Content written by an attacker would be logged, and shown to people."""
    for content in (
        "secret",
        '{"secret": 1}',
        WRITTEN.replace("high", "secret"),
        WRITTEN[:-1] + ', "secret',
    ):
        assert "secret" not in refused(content)
    assert "severity" in refused(WRITTEN.replace("high", "x"))


def test_texts_are_one_legible_line_of_bounded_length() -> None:
    """A control character or an endless line would reach the analyst's terminal."""
    texts = {"summary": "a\u202eb\n\n<b>c</b>\x1b[31m\ud800" + "d" * 400, "rationale": "r " * 400}
    answer = parse_answer(json.dumps(GOOD | texts), QUESTION)
    assert answer.summary == "ab <b>c</b>[31m" + "d" * (300 - 16) + "…"
    assert (len(answer.rationale), answer.rationale[-1]) == (500, "…")
    assert (
        parse_answer(json.dumps(GOOD | {"summary": "", "rationale": " \n"}), QUESTION).rationale
        == ""
    )


def test_line_break_within_a_string_is_read() -> None:
    """Small models write them; the paid answer would be lost."""
    assert parse_answer(WRITTEN.replace("Root ", "Root\n"), QUESTION) == ANSWER


@pytest.mark.parametrize(
    "unit", ["{", '{"', '{"a":', '{"a":1}', "{ ", "<think>", " ", '{"\\', "\ufeff "]
)
def test_a_hostile_answer_costs_no_time(unit: str) -> None:
    """One answer could hold the process for minutes."""
    started_s = time.perf_counter()
    refused(unit * (MAX_ANSWER_CHARS // len(unit)))
    refused(unit * 1_000_000)
    assert time.perf_counter() - started_s < 0.5
