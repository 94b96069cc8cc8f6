"""A question no answer can escape from: closed label sets, the event fenced by a nonce, nothing in it an order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.triaged import Label


@dataclass(frozen=True, slots=True)
class Quotation:
    """Something shown beside the event: a settled event or a passage of a runbook, by its id."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about one event; every text has already passed the egress policy.

    `labels` gives each axis' closed set, `opinions` the small model's labels, `event` the text to judge.
    """

    labels: Mapping[str, Sequence[str]]
    opinions: Mapping[str, Label]
    event: str
    quotations: Sequence[Quotation] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A validated answer: every value is of its axis' set; `decidable` is false when the event says too little."""

    labels: Mapping[str, str]
    decidable: bool
    summary: str
    rationale: str
