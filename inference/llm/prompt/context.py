"""From a case to a question: what the egress policy lets out of it, and what is quoted beside it."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from inference.egress.normalization import PLACEHOLDER
from inference.egress.policy import EgressDecision, Policy
from inference.egress.redaction import Redaction
from inference.llm.prompt.prompt import Prompt, Quotation, event_text
from inference.llm.visible_text import visible_text
from inference.retrieval.library import Library
from inference.retrieval.precedents import Precedent, describe_precedent
from inference.retrieval.runbooks import Passage
from schemas.event import Event
from schemas.triaged import Case, LabelSets

LINK = re.compile(r"(?:[a-z][a-z0-9+.-]*:/|www\.)\S*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PromptContext:
    """A question that may leave, and how to read its answer at home; no `redaction` where policy lets all out.

    `quoted` holds the ids of what is quoted as they are at home: the question has placeholders in some of them.
    """

    question: Prompt
    redaction: Redaction | None
    quoted: Sequence[str]

    def restored(self, text: str) -> str:
        """An answer's text with the values that were replaced in the event itself, but for secrets.

        Another event's, which was quoted, stay out, and so does everything within a link: the text came from a
        stranger, who could have a reader's click carry it away.
        """
        redaction = self.redaction
        if redaction is None:
            return text
        links = [link.span() for link in LINK.finditer(text)]

        def value(placeholder: re.Match[str]) -> str:
            linked = any(start <= placeholder.start() < end for start, end in links)
            own = placeholder[0] in self.question.event
            return redaction.restore(placeholder[0]) if own and not linked else placeholder[0]

        return PLACEHOLDER.sub(value, text)


class PromptWriter:
    """Prepares questions; nothing an LLM is shown comes by another way."""

    def __init__(
        self,
        labels: LabelSets,
        policy: Policy,
        library: Library,
        *,
        max_event_chars: int,
        phone_regions: Sequence[str],
    ) -> None:
        self._labels = labels
        self._policy = policy
        self._library = library
        self._max_event_chars = max_event_chars
        self._phone_regions = phone_regions

    async def brief(self, case: Case, decision: EgressDecision) -> PromptContext:
        """A question about a case that `verdict` lets out.

        Raises:
            RedactionFailed: something that must not leave would; nothing is to be sent.
        """
        precedents = [
            one
            for one in await self._library.precedents(case.event)
            if self._quotable(one, decision)
        ]
        # In a thread: a large document takes a while to read, and other calls are in flight.
        return await asyncio.to_thread(self._write, case, decision, precedents)

    def _quotable(self, precedent: Precedent, decision: EgressDecision) -> bool:
        """A settled event leaves under its own policy or not at all, and never less redacted than it asks."""
        own = self._policy.decision(precedent.triaged)
        return own.policy == "full" or (
            own.policy == decision.policy == "redacted" and own.keep >= decision.keep
        )

    def _write(
        self, case: Case, decision: EgressDecision, precedents: Sequence[Precedent]
    ) -> PromptContext:
        redaction = (
            None
            if decision.policy == "full"
            else Redaction(decision.keep, regions=self._phone_regions)
        )
        passages = self._library.passages(case.event)
        whole = _shortened(case.event, 4 * self._max_event_chars)  # as much as `event_text` reads
        if redaction:
            redaction.learn(
                whole, *(one.event for one in precedents), *(passage.text for passage in passages)
            )
        event = redaction.event(whole) if redaction else whole
        question = Prompt(
            labels={axis: self._labels[event.domain][axis] for axis in case.triaged.labels},
            opinions=case.triaged.labels,
            event=event_text(event, self._max_event_chars),
            quotations=[
                *(_precedent(one, redaction) for one in precedents),
                *(_passage(one, redaction) for one in passages),
            ],
        )
        if redaction:
            # What is checked is what is sent: `legible` takes out characters that could have hidden a value.
            redaction.verify(
                "\n".join([question.event, *(f"{q.id}\n{q.text}" for q in question.quotations)])
            )
        quoted = [*(one.event.id for one in precedents), *(passage.id for passage in passages)]
        return PromptContext(question, redaction, quoted)


def _shortened(event: Event, max_chars: int) -> Event:
    """The event without the ends of texts nobody is shown: a pattern over a megabyte holds up every other call.

    It is cut between words, for half a secret would not be recognised.
    """
    texts = {name: getattr(event, name) for name in ("title", "text", "body")}
    long = {
        name: text for name, text in texts.items() if text is not None and len(text) > max_chars
    }
    return replace(
        event,
        **{name: (text[:max_chars].rsplit(None, 1) or [""])[0] for name, text in long.items()},
    )


def _precedent(precedent: Precedent, redaction: Redaction | None) -> Quotation:
    event = redaction.event(precedent.event) if redaction else precedent.event
    return _quotation(
        event.id,
        describe_precedent(Precedent(event, precedent.triaged, precedent.similarity)),
        redaction,
    )


def _passage(passage: Passage, redaction: Redaction | None) -> Quotation:
    return _quotation(
        passage.id, redaction.text(passage.text) if redaction else passage.text, redaction
    )


def _quotation(id_: str, text: str, redaction: Redaction | None) -> Quotation:
    return Quotation(visible_text(redaction.text(id_) if redaction else id_), visible_text(text))
