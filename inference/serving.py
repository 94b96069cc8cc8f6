"""The classifiers that are served together: each domain has the one of its model."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from inference.acceptance.guarantee import Promise
from inference.acceptance.policy import Decision, Tightening
from inference.arrays import Vectors
from inference.classifier import Classifier
from inference.errors import ModelError
from inference.in_order import in_order
from inference.labels.renames import Renames
from schemas.event import DOMAINS, Domain, Event
from schemas.triaged import CalibrationInfo, LabelSets, ModelInfo


class Serving:
    """A classifier for each domain. It never changes; another choice of models is another one.

    A model that was learned from verdicts knows only the axes that people have decided. The
    classifier in `beside` gives an event of its domain the labels of all other axes. It decides
    nothing: the deciding axes are those of the domain's own classifier.

    Raises:
        ModelError: there is no domain to serve.
    """

    def __init__(
        self,
        classifiers: Mapping[Domain, Classifier],
        beside: Mapping[Domain, Classifier] | None = None,
    ) -> None:
        if not classifiers:
            raise ModelError("there is no model to serve; promote one, or set [model] path")
        self._classifiers = dict(classifiers)
        self.domains = tuple(domain for domain in DOMAINS if domain in classifiers)
        self._beside = {
            domain: other
            for domain, other in (beside or {}).items()
            if domain in self.domains and self._missing(domain, other)
        }

    @property
    def classifiers(self) -> list[Classifier]:
        """Each classifier once."""
        return list(dict.fromkeys([*self._classifiers.values(), *self._beside.values()]))

    @property
    def renames(self) -> Renames:
        """The names that labels have today; all classifiers have the same labels file."""
        return self.classifiers[0].renames

    @property
    def label_sets(self) -> LabelSets:
        """The labels of every domain."""
        return {domain: self.labels(domain) for domain in self.domains}

    @property
    def truncated(self) -> dict[Domain, int]:
        """How many events of each domain had more text than the encoder reads."""
        return {domain: self.of(domain).truncated[domain] for domain in self.domains}

    def of(self, domain: Domain) -> Classifier:
        """The classifier of a domain.

        Raises:
            ModelError: no model has heads for the domain.
        """
        if domain not in self._classifiers:
            raise ModelError(
                f"no model that is served has heads for {domain}; promote one that was trained on "
                "such rows"
            )
        return self._classifiers[domain]

    def model_of(self, domain: Domain) -> ModelInfo:
        """The model that decides events of a domain, as the output topic has it."""
        return self.of(domain).model

    def calibration(self, domain: Domain, tenant: str = "") -> CalibrationInfo:
        """As `Classifier.calibration`."""
        return self.of(domain).calibration(domain, tenant)

    def promise(self, domain: Domain) -> Promise:
        """As `Classifier.promise`."""
        return self.of(domain).promise(domain)

    def promises(self, domain: Domain) -> list[Promise]:
        """As `Classifier.promises`."""
        return self.of(domain).promises(domain)

    def tighten(self, domain: Domain, tightening: Tightening) -> bool:
        """As `Classifier.tighten`."""
        return domain in self.domains and self.of(domain).tighten(domain, tightening)

    def queue_axis(self, domain: Domain) -> str:
        """As `Classifier.queue_axis`."""
        return self.of(domain).queue_axis(domain)

    def usual_queues(self) -> dict[Domain, dict[str, float]]:
        """As `Classifier.usual_queues`."""
        return {domain: self.of(domain).usual_queues()[domain] for domain in self.domains}

    def labels(self, domain: Domain) -> dict[str, tuple[str, ...]]:
        """As `Classifier.labels`."""
        labels = self.of(domain).labels(domain)
        if other := self._beside.get(domain):
            return {**other.labels(domain), **labels}
        return labels

    def descriptions(self, domain: Domain) -> dict[str, dict[str, str]]:
        """As `Classifier.descriptions`."""
        descriptions = self.of(domain).descriptions(domain)
        if other := self._beside.get(domain):
            return {**other.descriptions(domain), **descriptions}
        return descriptions

    def deciding(self, domain: Domain) -> tuple[str, ...]:
        """As `Classifier.deciding`."""
        return self.of(domain).deciding(domain)

    async def embed(self, domain: Domain, events: Sequence[Event]) -> Vectors:
        """As `Classifier.embed`."""
        return await self.of(domain).embed(domain, events)

    async def classify(self, domain: Domain, events: Sequence[Event]) -> list[Decision]:
        """As `Classifier.classify`."""
        return await in_order(self.classify_each(domain, events), len(events))

    async def classify_each(
        self, domain: Domain, events: Sequence[Event]
    ) -> AsyncGenerator[tuple[int, Decision], None]:
        """As `Classifier.classify_each`.

        With a classifier beside the domain's own, the events of a batch end together.
        """
        classifier, other = self.of(domain), self._beside.get(domain)
        if other is None:
            async with aclosing(classifier.classify_each(domain, events)) as decided:
                async for row, decision in decided:
                    yield row, decision
            return
        decisions, others = await asyncio.gather(
            classifier.classify(domain, events), other.classify(domain, events)
        )
        axes = self._missing(domain, other)
        for row, decision in enumerate(decisions):
            yield row, _with_axes(decision, others[row], axes)

    async def close(self) -> None:
        """Close every classifier."""
        for classifier in self.classifiers:
            await classifier.close()

    def _missing(self, domain: Domain, other: Classifier) -> list[str]:
        """The axes that only the other classifier has."""
        own = self.of(domain).labels(domain)
        return [axis for axis in other.labels(domain) if axis not in own]


def _with_axes(decision: Decision, other: Decision, axes: Collection[str]) -> Decision:
    """The decision with the labels that another model gives to these axes.

    What that model says against ending the event without a person holds too.
    """
    return replace(
        decision,
        labels={**decision.labels, **{axis: other.labels[axis] for axis in axes}},
        inference_s=max(decision.inference_s, other.inference_s),
        note=decision.note or other.note,
        person=decision.person or other.person,
    )


Served = Classifier | Serving
"""What decides events: one model for all domains, or one for each."""
