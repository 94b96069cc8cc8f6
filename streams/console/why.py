"""Why a case is as it is: the words that weighed, the rule, the threshold, and its neighbours."""

import asyncio
import logging
from typing import Any

from inference.classifier import Classifier
from inference.errors import InferenceError
from inference.explanation import Explanation, explain
from inference.retrieval.options import RetrievalOptions
from inference.retrieval.precedents import Precedent, Precedents
from inference.serving import Served
from schemas.event import Domain, Event
from schemas.titles import plain_title
from schemas.triaged import Case, TriagedEvent
from streams.cases.rows import decided_labels

log = logging.getLogger(__name__)

RULE = "rule "
NO_TEXT = "the text of this event is not kept, so nothing can be said about its words"
NO_NEIGHBOURS = "nobody has decided a case like this one yet"


class Why:
    """Explains proposals with the models that are served, and remembers what people have decided.

    Without a model, it says so. Cases are compared by the model that it began with: vectors of two
    encoders cannot be compared.
    """

    def __init__(self, served: Served | None, options: RetrievalOptions) -> None:
        self._first = self._served = served
        self._precedents = Precedents(options)

    def __len__(self) -> int:
        """How many decided cases are remembered."""
        return len(self._precedents)

    def use(self, served: Served) -> None:
        """Explain with other models from now on."""
        self._served = served

    async def of(self, proposal: TriagedEvent, case: Case | None) -> dict[str, Any]:
        """Why the case is there: its words by axis, and the numbers that sent it."""
        words, unavailable = await self._words(proposal, case)
        return {
            "words": words,
            "unavailable": unavailable,
            "rule": _rule(proposal),
            "risk": case.risk if case else None,
            "threshold": proposal.calibration.threshold,
            "escalation": case.escalation if case else None,
            "reasons": proposal.reasons,
        }

    async def neighbours(self, case: Case | None) -> tuple[list[dict[str, Any]], str | None]:
        """The decided cases of the tenant that are most like this one, and why there are none."""
        if case is None:
            return [], NO_TEXT
        vector = await self._vector(case.event)
        if vector is None:
            return [], "the model cannot read this event, so nothing can be compared with it"
        found = self._precedents.similar(case.event, vector)
        return [_neighbour(each) for each in found], None if found else NO_NEIGHBOURS

    async def remember(self, case: Case) -> None:
        """Note an event with the decision of a person about it."""
        vector = await self._vector(case.event)
        if vector is not None:
            self._precedents.add(case, vector)

    def _maker_of(self, proposal: TriagedEvent) -> Classifier | None:
        """The classifier that has made a proposal, if it is loaded."""
        known = [*_classifiers(self._served), *_classifiers(self._first)]
        made_it = (each for each in known if each.model.digest == proposal.model.digest)
        return next(made_it, None)

    async def _vector(self, event: Event) -> Any:
        if self._first is None:
            return None
        try:
            return (await self._first.embed(event.domain, [event]))[0]
        except InferenceError as error:
            log.debug("an event is not compared with others: %s", error)
            return None

    async def _words(
        self, proposal: TriagedEvent, case: Case | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        if case is None:
            return [], NO_TEXT
        if self._served is None:
            return [], "no model is loaded here"
        classifier = self._maker_of(proposal)
        if classifier is None:
            return [], (
                f"the model {proposal.model.name} has made this proposal, and another one is "
                "loaded here"
            )
        try:
            found = await asyncio.to_thread(_explain, classifier, proposal, case.event)
        except InferenceError as error:
            return [], str(error)
        return found, None


def _classifiers(served: Served | None) -> list[Classifier]:
    if served is None:
        return []
    return [served] if isinstance(served, Classifier) else served.classifiers


def _explain(classifier: Classifier, proposal: TriagedEvent, event: Event) -> list[dict[str, Any]]:
    """The words of every axis, the deciding ones first."""
    domain: Domain = proposal.domain
    deciding = classifier.deciding(domain)
    known = classifier.labels(domain)
    explained = []
    for axis in sorted(proposal.labels, key=lambda name: (name not in deciding, name)):
        label = proposal.labels[axis]
        if label.value not in known.get(axis, ()):
            continue  # a rule or the LLM has chosen it under a name that the model does not have
        others = [each.value for each in label.alternatives if each.value in known[axis]]
        explanation = explain(
            classifier, event, axis, label.value, against=others[0] if others else None
        )
        if explanation is not None:
            explained.append(_document(axis, explanation))
    return explained


def _document(axis: str, explanation: Explanation) -> dict[str, Any]:
    return {
        "axis": axis,
        "value": explanation.value,
        "against": explanation.against,
        "total": round(explanation.total, 4),
        "items": [
            {"text": word.text, "field": word.path, "weight": word.weight}
            for word in explanation.words
        ],
    }


def _rule(proposal: TriagedEvent) -> str | None:
    """The reason that names a rule, if one has spoken."""
    return next((reason for reason in proposal.reasons if reason.startswith(RULE)), None)


def _neighbour(precedent: Precedent) -> dict[str, Any]:
    triaged = precedent.triaged
    return {
        "id": triaged.id,
        "domain": triaged.domain,
        "tenant": triaged.tenant,
        "title": triaged.title or plain_title(precedent.event),
        "similarity": precedent.similarity,
        "labels": decided_labels(triaged),
        "decided_by": triaged.decided_by,
        "triaged_at": triaged.timing.triaged_at,
    }


def settled(current: TriagedEvent, case: Case | None) -> Case | None:
    """An event with a person's decision, if both are known."""
    if case is None or current.decided_by != "human":
        return None
    return Case(event=case.event, triaged=current, risk=case.risk, escalation=case.escalation)
