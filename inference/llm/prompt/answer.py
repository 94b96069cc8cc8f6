"""From whatever a model wrote to labels of the closed sets and two lines of plain text, or to a failure."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import msgspec

from inference.llm.client.failure import LlmFailure
from inference.llm.prompt.prompt import MAX_RATIONALE_CHARS, MAX_SUMMARY_CHARS, Answer, Prompt
from inference.llm.visible_text import one_line

MAX_ANSWER_CHARS = 32_768
"""Many times what is asked for; what is longer is not read."""

_THOUGHTS = re.compile(r"\A[\s\ufeff]*<think>.*?</think>", re.DOTALL)
_OBJECT_START = re.compile(r'\{\s*"')


class _Reply(msgspec.Struct):
    labels: dict[str, str]
    decidable: bool
    summary: str
    rationale: str


def parse_answer(content: str, question: Prompt) -> Answer:
    """Read an answer: JSON alone, in a code fence or with prose round it.

    A value is matched whatever its case, spaces and hyphens, and is always one of its axis' set afterwards; summary
    and rationale become one legible line each. What does not belong to the answer is ignored.

    Raises:
        LlmFailure: ``invalid_answer``; no JSON, the wrong shape, an axis missing, a label outside its set, or two
            answers that differ. The sentence names axes and never a word of the content.
    """
    if len(content) > MAX_ANSWER_CHARS:
        _refuse(
            f"the model answered with more than {MAX_ANSWER_CHARS} characters; lower max_answer_tokens"
        )
    answers = [_answer(reply, question) for reply in _replies(_THOUGHTS.sub("", content))]
    if not answers:
        _refuse(
            "the model did not answer with the JSON that was asked for; try another response_mode or model"
        )
    # One of two may be what the event told the model to say.
    if any(
        (one.labels, one.decidable) != (answers[0].labels, answers[0].decidable) for one in answers
    ):
        _refuse("the model gave two answers that differ; try another response_mode or model")
    return answers[0]


def _replies(text: str) -> Iterator[_Reply]:
    for document in _objects(text):
        try:
            yield msgspec.convert(document, _Reply)
        except msgspec.ValidationError:
            continue


def _objects(text: str) -> Iterator[Any]:
    """Every JSON object in a text; one that begins and is none ends it, so that no text is read twice.

    Nor is anything inside a broken object taken for an answer: it may be the event, quoted.
    """
    start = _OBJECT_START.search(text)
    while start:
        try:
            document, end = _DECODER.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            _refuse(
                "the model answered with broken JSON; raise max_answer_tokens or try another response_mode"
            )
        yield document
        start = _OBJECT_START.search(text, end)


def _answer(reply: _Reply, question: Prompt) -> Answer:
    return Answer(
        labels={
            axis: _value(axis, values, reply.labels) for axis, values in question.labels.items()
        },
        decidable=reply.decidable,
        summary=one_line(reply.summary, MAX_SUMMARY_CHARS),
        rationale=one_line(reply.rationale, MAX_RATIONALE_CHARS),
    )


def _value(axis: str, values: Sequence[str], given: dict[str, str]) -> str:
    if axis not in given:
        _refuse(f"the model gave no {axis}; try another response_mode or model")
    if given[axis] in values:
        return given[axis]
    alike = [value for value in values if _folded(value) == _folded(given[axis])]
    if len(alike) != 1:
        _refuse(
            f"the model gave a {axis} outside its set; set response_mode to json_schema or try another model"
        )
    return alike[0]


def _folded(label: str) -> str:
    return re.sub(r"[\W_]+", "", label).casefold()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key twice: either value could be meant")
    return document


def _refuse_number(_: str) -> NoReturn:
    raise ValueError("NaN and the infinities are no JSON")


def _refuse(message: str) -> NoReturn:
    raise LlmFailure("invalid_answer", message)


# Not strict about line breaks within strings: small models write them, and they are collapsed anyway.
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_number, strict=False)
