"""Writes the prompt about a case: what the egress policy lets out of it, and what is quoted."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from inference.egress.policy import EgressDecision, Policy
from inference.egress.redaction import Redaction
from inference.egress.restoration import restore_alone
from inference.labels.file import Descriptions
from inference.llm.prompt.event_text import event_text
from inference.llm.prompt.prompt import Prompt, Quotation
from inference.retrieval.library import Library
from inference.retrieval.precedents import Precedent, describe_precedent
from inference.retrieval.runbooks import Passage
from schemas.event import Domain, Event
from schemas.triaged import Case, LabelSets
from schemas.visible_text import visible_text

_TEXT_FIELDS = ("title", "text", "body")
MAX_LEAF_CHARS = 16_384
"""How much of one text in a document is read. `event_text` shows a thirtieth of that."""


@dataclass(frozen=True, slots=True)
class PromptContext:
    """A prompt that may leave, and what is needed to read its answer.

    `redaction` is None if the policy lets out everything. `quoted_ids` holds the ids of what is
    quoted. In the prompt, some of them may have placeholders.
    """

    prompt: Prompt
    redaction: Redaction | None
    quoted_ids: Sequence[str]

    @property
    def redactions(self) -> dict[str, int]:
        """How many values of each kind were replaced."""
        return dict(self.redaction.counts) if self.redaction else {}

    def restored(self, text: str) -> str:
        """Return a text of the answer with the values of the event itself, but without secrets.

        Values of other events, which were quoted, are not put back. Nor is a value that a link or
        a markup could contain (`inference/egress/restoration.py`).
        """
        redaction = self.redaction
        if redaction is None:
            return text

        def value_of(placeholder: str) -> str:
            if placeholder not in self.prompt.event:
                return placeholder
            return redaction.restore(placeholder)

        return restore_alone(text, value_of)


class PromptWriter:
    """Writes prompts; everything that an LLM is shown of a case goes through here.

    Args:
        labels: the values of each axis of each domain.
        policy: the egress policy.
        library: what can be quoted.
        max_event_chars: how much of the event is shown, in characters.
        phone_regions: ISO 3166 codes of the countries whose national telephone numbers are
            recognised.
        descriptions: what labels of each domain mean, by axis.
    """

    def __init__(
        self,
        labels: LabelSets,
        policy: Policy,
        library: Library,
        *,
        max_event_chars: int,
        phone_regions: Sequence[str],
        descriptions: Mapping[Domain, Descriptions] | None = None,
    ) -> None:
        self._labels = labels
        self._policy = policy
        self._library = library
        self._max_event_chars = max_event_chars
        self._phone_regions = phone_regions
        self._descriptions = descriptions or {}

    async def write(self, case: Case, decision: EgressDecision) -> PromptContext:
        """Write the prompt about a case that `decision` lets out.

        Raises:
            RedactionFailed: something that must not leave was still there. Send nothing.
        """
        precedents = [
            precedent
            for precedent in await self._library.precedents(case.event)
            if self._is_quotable(precedent, decision)
        ]
        # A large document takes a while to read. In a thread, it does not delay other calls.
        return await asyncio.to_thread(self._write, case, decision, precedents)

    def _is_quotable(self, precedent: Precedent, decision: EgressDecision) -> bool:
        """Whether a settled event may be quoted.

        It is quoted only if its own policy lets it out, and never less redacted than its own policy
        says.
        """
        own_decision = self._policy.strictest(precedent.event, precedent.triaged)
        if own_decision.policy == "full":
            return True
        if own_decision.policy == decision.policy == "redacted":
            return own_decision.keep >= decision.keep
        return False

    def _write(
        self, case: Case, decision: EgressDecision, precedents: Sequence[Precedent]
    ) -> PromptContext:
        passages = self._library.passages(case.event)
        redaction = None
        if decision.policy != "full":
            redaction = Redaction(decision.keep, regions=self._phone_regions)
        # `event_text` reads no more than this of a text.
        event = _shortened(case.event, 4 * self._max_event_chars)
        if redaction:
            redaction.learn(
                event,
                *(precedent.event for precedent in precedents),
                *(passage.text for passage in passages),
            )
        shown = event_text(_redacted_event(event, redaction), self._max_event_chars)
        labels = {axis: self._labels[event.domain][axis] for axis in case.triaged.labels}
        quotations = [
            *(_quoted_precedent(precedent, redaction) for precedent in precedents),
            *(_quoted_passage(passage, redaction) for passage in passages),
        ]
        descriptions = self._descriptions.get(event.domain, {})
        prompt = Prompt(labels, case.triaged.labels, shown, quotations, descriptions)
        if redaction:
            redaction.verify(_outgoing_text(prompt))
        quoted_ids = [
            *(precedent.event.id for precedent in precedents),
            *(passage.id for passage in passages),
        ]
        return PromptContext(prompt, redaction, quoted_ids)


def _shortened(event: Event, max_chars: int) -> Event:
    """Return the event with long texts cut, because the end of a long text is not shown.

    To search a megabyte for patterns would delay every other call. A text is cut between words,
    because half of a secret would not be recognised.
    """
    texts = {name: getattr(event, name) for name in _TEXT_FIELDS}
    cut = {
        name: _cut(text, max_chars)
        for name, text in texts.items()
        if text is not None and len(text) > max_chars
    }
    return replace(
        event,
        **cut,
        event=_with_short_leaves(event.event),
        key_fields=_with_short_leaves(event.key_fields),
        attributes=_with_short_leaves(event.attributes),
    )


def _with_short_leaves(node: Any) -> Any:
    """The document with its long texts cut, keys too; what is short stays the same object."""
    if isinstance(node, str):
        return _cut(node, MAX_LEAF_CHARS)
    if isinstance(node, dict):
        return {_cut(key, MAX_LEAF_CHARS): _with_short_leaves(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_with_short_leaves(value) for value in node]
    return node


def _cut(text: str, max_chars: int) -> str:
    if len(text) <= max_chars:
        return text
    return (text[:max_chars].rsplit(None, 1) or [""])[0]


def _outgoing_text(prompt: Prompt) -> str:
    """Everything in the prompt that comes from events and runbooks, exactly as it is sent.

    In particular, without the invisible characters that could have hidden a value.
    """
    quoted = [f"{quotation.id}\n{quotation.text}" for quotation in prompt.quotations]
    return "\n".join([prompt.event, *quoted])


def _quoted_precedent(precedent: Precedent, redaction: Redaction | None) -> Quotation:
    event = _redacted_event(precedent.event, redaction)
    redacted = Precedent(event, precedent.triaged, precedent.similarity)
    return _quotation(event.id, describe_precedent(redacted), redaction)


def _quoted_passage(passage: Passage, redaction: Redaction | None) -> Quotation:
    return _quotation(passage.id, _redacted_text(passage.text, redaction), redaction)


def _quotation(id_: str, text: str, redaction: Redaction | None) -> Quotation:
    return Quotation(visible_text(_redacted_text(id_, redaction)), visible_text(text))


def _redacted_event(event: Event, redaction: Redaction | None) -> Event:
    return redaction.event(event) if redaction else event


def _redacted_text(text: str, redaction: Redaction | None) -> str:
    return redaction.text(text) if redaction else text
