"""The shadow of the served model: a candidate that answers the same events, and publishes nothing.

It may use a configured share of the time of one processor. What it cannot answer in that time is
left out, so a burst of events costs it answers and costs the worker nothing. Which events it
answers depends on the load alone, and not on what is in them.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from agents.escalation import HIGH_IMPACT
from agents.outcomes import Incoming, Outcome
from inference.acceptance.policy import Decision
from inference.classifier import Classifier
from inference.errors import InferenceError
from inference.learning.agreement import Agreement
from schemas.event import DOMAINS, Domain, Event
from schemas.triaged import Case, TriagedEvent
from streams.models import agreement_files
from streams.models.agreement_files import AgreementFile
from streams.models.served import ServedModels

log = logging.getLogger(__name__)

MAX_EVENTS = 16
"""So many events of a batch are answered at once: a run must end soon."""
MAX_CREDIT_S = 2.0
"""Time that was not used is saved up to here."""
WRITE_S = 10.0

OpenCandidate = Callable[[str, Sequence[Domain]], Classifier]


class Shadow:
    """Lets the candidates of the registry answer events that were decided.

    `share` is the share of the time of one processor that it may use; with 0 nothing is opened.
    """

    def __init__(
        self,
        models: ServedModels,
        open_candidate: OpenCandidate,
        share: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = models
        self._open = open_candidate
        self._share = share
        self._clock = clock
        self._credit_s, self._earned_at_s = MAX_CREDIT_S, clock()
        self._candidate: str | None = None
        self._domains: tuple[Domain, ...] = ()
        self._classifier: Classifier | None = None
        self._compared_with: dict[Domain, str | None] = {}
        self._running: asyncio.Task[None] | None = None
        self._changed = False
        self._refused: str | None = None
        self.agreement: dict[Domain, Agreement] = {}

    @property
    def candidate(self) -> str | None:
        """The name of the candidate that answers; None without one."""
        return self._candidate

    def offer(self, batch: Sequence[Incoming], outcomes: Sequence[Outcome]) -> None:
        """Answer some of these events as well, if there is a candidate and time; never waits."""
        if self._classifier is None or self._running is not None or not self._has_time():
            return
        answered = []
        for incoming, outcome in zip(batch, outcomes, strict=True):
            event, case = _event_of(incoming), _answer_of(outcome)
            if event is not None and case is not None and event.domain in self._domains:
                answered.append((event, *case))
            if len(answered) == MAX_EVENTS:
                break
        if answered:
            self._running = asyncio.create_task(self._answer(self._classifier, answered))

    async def run(self) -> None:
        """Follow the candidates of the registry, and write what was counted. Never returns."""
        while True:
            await self.refresh()
            await asyncio.sleep(WRITE_S)

    async def refresh(self) -> None:
        """Open the candidate that there is now, and write what was counted."""
        registry, state = self._models.registry, self._models.state
        if registry is None or not self._share:
            return
        await self._write()
        candidates = {d: name for d in DOMAINS if (name := state.roles(d).candidate) is not None}
        name = next(iter(candidates.values()), None)
        domains = tuple(domain for domain, other in candidates.items() if other == name)
        compared_with = {domain: self._models.models.get(domain) for domain in domains}
        if (name, domains, compared_with) == (self._candidate, self._domains, self._compared_with):
            return
        await self._leave()
        if name is None or name == self._refused:
            return
        try:
            classifier = await asyncio.to_thread(self._open, name, domains)
        except (InferenceError, OSError) as error:
            self._refused = name
            log.error("the candidate %s cannot be tried: %s", name, error)  # noqa: TRY400 - a sentence
            return
        self._classifier, self._candidate, self._domains = classifier, name, domains
        self._compared_with = compared_with
        self.agreement = {domain: Agreement() for domain in domains}
        log.info("the candidate %s answers events of %s as well", name, ", ".join(domains))

    async def close(self) -> None:
        """End what runs, and write what was counted."""
        await self._write()
        await self._leave()

    async def _leave(self) -> None:
        running, classifier = self._running, self._classifier
        self._candidate, self._classifier, self._domains = None, None, ()
        self._compared_with, self.agreement, self._changed = {}, {}, False
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        if classifier is not None:
            await classifier.close()

    def _has_time(self) -> bool:
        now_s = self._clock()
        earned_s = self._share * (now_s - self._earned_at_s)
        self._credit_s = min(MAX_CREDIT_S, self._credit_s + earned_s)
        self._earned_at_s = now_s
        return self._credit_s > 0

    async def _answer(
        self, classifier: Classifier, answered: Sequence[tuple[Event, TriagedEvent, bool]]
    ) -> None:
        started_s = self._clock()
        try:
            for domain in self._domains:
                of_domain = [each for each in answered if each[0].domain == domain]
                decisions = await classifier.classify(domain, [event for event, *_ in of_domain])
                for (_, triaged, accepted), decision in zip(of_domain, decisions, strict=True):
                    self._note(domain, classifier, triaged, accepted, decision)
        except InferenceError as error:
            log.warning("the candidate could not answer: %s", error)
        finally:
            self._running = None
            # It runs in one thread, so it cannot have used more of a processor than this.
            self._credit_s -= self._clock() - started_s

    def _note(
        self,
        domain: Domain,
        classifier: Classifier,
        triaged: TriagedEvent,
        accepted: bool,
        decision: Decision,
    ) -> None:
        if classifier is not self._classifier:
            return  # it was withdrawn meanwhile
        self._changed = True
        self.agreement[domain].note(
            triaged.labels,
            decision.labels,
            classifier.deciding(domain),
            current_accepts=accepted,
            candidate_accepts=decision.accepted,
        )

    def _counted(self) -> tuple[Path, str, bytes] | None:
        """What is to be written, encoded before another event changes it."""
        registry = self._models.registry
        if registry is None or self._candidate is None or not self._changed:
            return None
        self._changed = False
        document = AgreementFile(
            candidate=self._candidate, current=self._compared_with, domains=self.agreement
        )
        return registry.directory, self._candidate, msgspec.json.encode(document)

    async def _write(self) -> None:
        counted = self._counted()
        if counted is None:
            return
        try:
            await asyncio.to_thread(agreement_files.write, *counted)
        except OSError as error:
            log.debug("what was counted of the candidate cannot be written: %s", error)


def _event_of(incoming: Incoming) -> Event | None:
    content = incoming.element.content if incoming.element else None
    return content if isinstance(content, Event) else None


def _answer_of(outcome: Outcome) -> tuple[TriagedEvent, bool] | None:
    """What the small model has answered, and whether it accepted; None if a rule decided."""
    case: Case | None = getattr(outcome, "case", None)
    triaged: TriagedEvent | None = case.triaged if case else getattr(outcome, "triaged", None)
    if triaged is None or triaged.decided_by != "slm":
        return None
    accepted = triaged.status == "final" or (case is not None and case.escalation == HIGH_IMPACT)
    return triaged, accepted
