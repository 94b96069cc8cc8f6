"""Reads the answer of a model: labels from the closed sets and two lines of plain text.

Everything else is a failure.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import msgspec

from inference.llm.client.failure import LlmFailure
from inference.llm.prompt.prompt import MAX_RATIONALE_CHARS, MAX_SUMMARY_CHARS, Answer, Prompt
from schemas.codec import prepared
from schemas.visible_text import one_line, without_formula

MAX_ANSWER_CHARS = 32_768
"""A longer answer is not read. This is many times the length that is asked for."""

_THOUGHTS = re.compile(r"\A[\s\ufeff]*<think>.*?</think>", re.DOTALL)
_OBJECT_START = re.compile(r'\{\s*"')


class _Reply(msgspec.Struct):
    labels: dict[str, str]
    decidable: bool
    summary: str
    rationale: str


def parse_answer(content: str, prompt: Prompt) -> Answer:
    """Read an answer: JSON alone, in a code fence, or with prose around it.

    Case, spaces and hyphens of a value do not matter; the result is always a value from the set of
    the axis. Summary and rationale become one line of visible text each,
    which no spreadsheet takes for a formula. Anything else in the
    content is ignored.

    Raises:
        LlmFailure: ``invalid_answer``: there is no JSON, it has the wrong shape, an axis is
            missing, a label is not in its set, or two answers differ. The message names axes, and
            never repeats a word of the content.
    """
    if len(content) > MAX_ANSWER_CHARS:
        _refuse(
            f"the model answered with more than {MAX_ANSWER_CHARS} characters; "
            "lower max_answer_tokens"
        )
    answers = [_answer(reply, prompt) for reply in _replies(_THOUGHTS.sub("", content))]
    if not answers:
        _refuse(
            "the model did not answer with the JSON that was asked for; "
            "try another response_mode or model"
        )
    first, *others = answers
    # One of two answers may be the one that the event asked the model to give.
    if any((other.labels, other.decidable) != (first.labels, first.decidable) for other in others):
        _refuse("the model gave two answers that differ; try another response_mode or model")
    return first


def _replies(text: str) -> Iterator[_Reply]:
    for document in _objects(text):
        try:
            yield msgspec.convert(document, prepared(_Reply))
        except msgspec.ValidationError:
            continue


def _objects(text: str) -> Iterator[Any]:
    """Yield every JSON object in a text.

    A broken object ends the search, so that no part of the text is read twice. Nothing inside a
    broken object counts as an answer, because it may be a quotation of the event.
    """
    start = _OBJECT_START.search(text)
    while start:
        try:
            document, end = _DECODER.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            _refuse(
                "the model answered with broken JSON; "
                "raise max_answer_tokens or try another response_mode"
            )
        yield document
        start = _OBJECT_START.search(text, end)


def _answer(reply: _Reply, prompt: Prompt) -> Answer:
    return Answer(
        labels={axis: _value(axis, values, reply.labels) for axis, values in prompt.labels.items()},
        decidable=reply.decidable,
        summary=_text(reply.summary, MAX_SUMMARY_CHARS),
        rationale=_text(reply.rationale, MAX_RATIONALE_CHARS),
    )


def _text(text: str, max_chars: int) -> str:
    """A text of the model. People export it to spreadsheets, so it must not begin a formula."""
    return without_formula(one_line(text, max_chars))


def _value(axis: str, values: Sequence[str], labels: dict[str, str]) -> str:
    """The value from the set of an axis that the model means; `labels` is what it wrote."""
    if axis not in labels:
        _refuse(f"the model gave no {axis}; try another response_mode or model")
    label = labels[axis]
    if label in values:
        return label
    matching = [value for value in values if _folded(value) == _folded(label)]
    if len(matching) != 1:
        _refuse(
            f"the model gave a {axis} outside its set; "
            "set response_mode to json_schema or try another model"
        )
    return matching[0]


def _folded(label: str) -> str:
    return re.sub(r"[\W_]+", "", label).casefold()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key occurs twice, and either value could be meant")
    return document


def _refuse_number(_: str) -> NoReturn:
    raise ValueError("NaN and the infinities are not JSON")


def _refuse(message: str) -> NoReturn:
    raise LlmFailure("invalid_answer", message)


# Line breaks inside strings are accepted: small models write them, and they become spaces anyway.
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_number, strict=False)
