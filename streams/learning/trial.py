"""The trial of a candidate: it and the served model answer what people have decided since."""

import asyncio
from collections.abc import Sequence

from inference.acceptance.policy import Decision, Tightening
from inference.classifier import Classifier
from inference.errors import ModelError
from inference.learning.comparison import Compared, Comparison, compare
from inference.learning.rows import fingerprint
from inference.serving import Serving
from schemas.event import Domain
from schemas.label_record import LabelRecord
from streams.config import Settings
from streams.learning.schedule import breaches_in
from streams.models.registry import Registry
from streams.promise import tightening_of
from streams.wiring.model import open_candidate, open_labels, open_served

BATCH_EVENTS = 64
MAX_EVENTS = 5_000
"""The newest so many decisions are compared."""


Tightenings = tuple[Tightening, ...]
_Answering = tuple[str, str, Tightenings]
"""The digests of a model and of its promise, and how the acceptance is tightened."""


class Trial:
    """Compares candidates with what is served; what a model has answered is kept for the next time.

    The registry is that of the `settings`.
    """

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._renames = open_labels(settings).renames
        self._answers: dict[_Answering, dict[bytes, Decision]] = {}

    async def compare(
        self, name: str, domain: Domain, records: Sequence[LabelRecord]
    ) -> Comparison:
        """Compare a model of the registry with the one that is served, in one domain.

        Only rows count that people have decided after the model was made: it never saw them. If the
        promise of the served model is broken, it accepts as little as it does in a worker.

        Raises:
            ModelError: one of the two cannot be opened, or has no heads for the domain.
        """
        facts = self._registry.facts(name)
        if facts is None or facts.learned_until is None:
            raise ModelError(
                f"{name} was not learned from labelled rows here, so nobody knows which rows it "
                "never saw; compare it with triage evaluate"
            )
        served = open_served(self._settings)
        breaches = breaches_in(self._settings, records, self._renames)
        tightened = tuple(tightening_of(live) for live in breaches if live.key.domain == domain)
        for tightening in tightened:
            served.serving.of(domain).tighten(domain, tightening)
        try:
            candidate = await asyncio.to_thread(open_candidate, self._settings, name, [domain])
            try:
                unseen = self._unseen(domain, records, facts.learned_until, served.serving)
                return await self._on(unseen, domain, candidate, served.serving, tightened)
            finally:
                await candidate.close()
        finally:
            await served.close()

    def _unseen(
        self, domain: Domain, records: Sequence[LabelRecord], until: str, serving: Serving
    ) -> list[LabelRecord]:
        """The decisions that the candidate never saw, the oldest first.

        The served model must have chosen them: it decides which events come to people.
        """
        digest = serving.model_of(domain).digest
        deciding = serving.deciding(domain)
        unseen = [
            record
            for record in records
            if record.domain == domain
            and record.decided_by == "human"
            and record.event is not None
            and record.decided_at > until
            and (record.model is None or record.model.digest == digest)
            and any(axis in record.labels for axis in deciding)
        ]
        return sorted(unseen, key=lambda record: record.decided_at)[-MAX_EVENTS:]

    async def _on(
        self,
        records: Sequence[LabelRecord],
        domain: Domain,
        candidate: Classifier,
        serving: Serving,
        tightened: Tightenings,
    ) -> Comparison:
        deciding = serving.deciding(domain)
        by_candidate = await self._decisions(candidate, domain, records)
        by_served = await self._decisions(serving.of(domain), domain, records, tightened)
        rows = []
        for record, ours, theirs in zip(records, by_served, by_candidate, strict=True):
            gold = self._renames.chosen(domain, record.labels)
            axes = [axis for axis in deciding if axis in gold]
            rows.append(
                Compared(
                    chosen=record.chosen,
                    probability=record.probability,
                    served_right=_is_right(ours, gold, axes),
                    candidate_right=_is_right(theirs, gold, axes),
                    served_accepts=ours.accepted,
                    candidate_accepts=theirs.accepted,
                )
            )
        in_force = serving.calibration(domain)
        accepts_any = in_force.threshold > 0 or (in_force.harmless_threshold or 0.0) > 0
        alpha = self._settings.domain(domain).alpha
        return compare(rows, margin=alpha, served_accepts_any=accepts_any)

    async def _decisions(
        self,
        classifier: Classifier,
        domain: Domain,
        records: Sequence[LabelRecord],
        tightened: Tightenings = (),
    ) -> list[Decision]:
        model = (classifier.model.digest, classifier.promise(domain).digest, tightened)
        known = self._answers.setdefault(model, {})
        new = [record for record in records if fingerprint(record) not in known]
        for start in range(0, len(new), BATCH_EVENTS):
            batch = new[start : start + BATCH_EVENTS]
            events = [record.event for record in batch if record.event is not None]
            decisions = await classifier.classify(domain, events)
            known |= zip(map(fingerprint, batch), decisions, strict=True)
        return [known[fingerprint(record)] for record in records]


def _is_right(decision: Decision, gold: dict[str, str], axes: Sequence[str]) -> bool:
    return all(
        decision.labels[axis].value == gold[axis] for axis in axes if axis in decision.labels
    )
