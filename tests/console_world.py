"""A console over a view of cases in memory, without a broker."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from agents.cases import Known
from agents.outcomes import Incoming
from agents.revision import rfc3339
from inference.classifier import Classifier
from inference.retrieval.options import RetrievalOptions
from schemas.agreement import input_digest
from schemas.codec import encode
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS, KIND_OF_DOMAIN, Domain, Event, Origin
from schemas.instants import seconds_of
from schemas.triaged import Alternative, Case, Label, TriagedEvent
from streams.cases.entries import summary_of
from streams.cases.store import CaseStore
from streams.config import ConsoleSection, Settings
from streams.console.access import Access
from streams.console.application import application
from streams.console.arrivals import case_event, decision_event
from streams.console.assets import STATIC, Assets
from streams.console.claims import Claims
from streams.console.connections import Connections
from streams.console.decisions import Decisions
from streams.console.figures import Figures
from streams.console.holding import HeldVerdicts
from streams.console.journal import GivenVerdict, Journal
from streams.console.letters import DeadLetters
from streams.console.live import Hub
from streams.console.services import LabelFacts, Services
from streams.console.standing import overtaken
from streams.console.visible import VisibleCases
from streams.console.why import Why
from streams.topics import Topics
from tests.records import triaged

LABELS: dict[Domain, dict[str, tuple[str, ...]]] = {
    "alerts": {
        "queue": ("endpoint", "cloud", "identity", "network", "email"),
        "severity": ("informational", "low", "medium", "high", "critical"),
    },
    "tickets": {
        "queue": ("cards", "transfers", "top_up", "fees", "out_of_scope"),
        "priority": ("low", "normal", "high", "urgent"),
    },
}


@dataclass
class World:
    """Cases, people and verdicts of a console under test."""

    folder: Path
    section: ConsoleSection = field(default_factory=ConsoleSection)
    classifier: Classifier | None = None
    clock: Callable[[], float] = time.time
    static: Path = STATIC
    reload: bool = False
    apply_verdicts: bool = True

    def __post_init__(self) -> None:
        self.topics = Topics("triage")
        self.store = CaseStore(None, self.topics)
        self.settings = replace(Settings(), console=self.section)
        self.hub = Hub()
        self.decisions = Decisions()
        self.sent: list[GivenVerdict] = []
        self.send_error: Exception | None = None
        self.access = Access(self.section, clock=self.clock)
        self.connections = Connections(self.section.max_connections)
        self.claims = Claims(self.hub, self.section.claim_s, self.clock)
        self.cases = VisibleCases(self.store, self)
        self.held = HeldVerdicts(
            Journal(self.folder / "held.sqlite"), self.hub, self._send, self._standing, self.clock
        )
        self.figures = Figures(self.settings.cost, dict, {}, self.clock)
        self.why = Why(self.classifier, RetrievalOptions())
        self._offset = 0
        # The view of a real console reads these from their topic.
        self._others: dict[tuple[Domain | None, str | None, str], Known] = {}

    @property
    def app(self) -> web.Application:
        """The application, which starts and stops the sending of verdicts."""
        services = Services(
            settings=self.settings,
            access=self.access,
            connections=self.connections,
            cases=self.cases,
            held=self.held,
            claims=self.claims,
            hub=self.hub,
            decisions=self.decisions,
            figures=self.figures,
            why=self.why,
            labels=self._labels,
            check=self._check,
            letters=DeadLetters(self.settings),
        )
        app = application(services, Assets(self.static, reload=self.reload))
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._close_streams)
        app.on_cleanup.append(self._stop)
        return app

    async def find(self, id_: str, *, domain: Domain | None, tenant: str | None) -> Known | None:
        """What is known about an event."""
        stored = self.store.find(id_, domain=domain, tenant=tenant)
        return stored or self._others.get((domain, tenant, id_))

    def add(
        self,
        id_: str,
        *,
        text: str | None = "something happened",
        domain: Domain = "alerts",
        **about: Any,
    ) -> Case:
        """A case that waits for a person."""
        fields = {"tenant": "acme", "source": "edr", "title": f"about {id_}", **about}
        event = Event(
            id=id_,
            kind=KIND_OF_DOMAIN[domain],
            text=text,
            title=fields["title"],
            tenant=fields["tenant"],
            source=fields["source"],
            event=fields.pop("document", None),
        )
        risk = fields.pop("risk", 0.4)
        escalation = fields.pop("escalation", "risk")
        fields.setdefault("reasons", ["the estimated risk is not below the threshold"])
        current = self.triaged(event, domain, **{"status": "needs_review", **fields})
        made = Case(event=event, triaged=current, risk=risk, escalation=escalation)
        self._apply(self.topics.triaged(domain), current)
        self._apply(self.topics.review, made)
        self._note(current, made)
        return made

    def decide(self, known: TriagedEvent, by: str, labels: dict[str, str]) -> TriagedEvent:
        """A person's decision about an event, as the feedback agent would make it."""
        chosen = {axis: Label(value=value, confidence=1.0) for axis, value in labels.items()}
        now = rfc3339(self.clock())
        decided = replace(
            known,
            revision=known.revision + 1,
            status="final",
            decided_by="human",
            labels={**known.labels, **chosen},
            queue=labels.get("queue", known.queue),
            reasons=[*known.reasons, f"decided by {by}"],
            timing=replace(
                known.timing,
                triaged_at=now,
                total_s=max(0.0, self.clock() - seconds_of(known.timing.received_at, 0.0)),
            ),
        )
        self._apply(self.topics.triaged(known.domain), decided)
        found = self.store.find(known.id, domain=known.domain, tenant=known.tenant)
        self._note(decided, found.case if found else None)
        return decided

    def accept(self, id_: str, *, domain: Domain = "alerts", **about: Any) -> TriagedEvent:
        """An event that the small model has decided alone."""
        event = Event(
            id=id_,
            kind=KIND_OF_DOMAIN[domain],
            text=about.pop("text", "x"),
            event=about.pop("document", None),
            title=about.get("title"),
            tenant=about.get("tenant", "acme"),
            source=about.get("source"),
        )
        current = self.triaged(event, domain, **about)
        self._apply(self.topics.triaged(domain), current)
        self._note(current, None)
        self._others[domain, current.tenant, id_] = Known(current)
        return current

    def triaged(self, event: Event, domain: Domain, **changes: Any) -> TriagedEvent:
        """The decision of the small model about an event."""
        axes = LABELS[domain]
        labels = {
            axis: Label(
                value=values[0],
                confidence=0.6,
                alternatives=[
                    Alternative(value=value, confidence=round(0.4 / (len(values) - 1), 3))
                    for value in values[1:]
                ],
            )
            for axis, values in axes.items()
        }
        changes.setdefault("labels", labels)
        changes.setdefault("queue", changes["labels"]["queue"].value)
        self._offset += 1
        origin = Origin(topic=self.topics.input(domain), partition=0, offset=self._offset)
        now = rfc3339(changes.pop("at_s", self.clock()))
        base = triaged(event.id, domain=domain, tenant=event.tenant, source=event.source)
        model = self.classifier.model if self.classifier else base.model
        return replace(
            base,
            title=event.title,
            origin=origin,
            input_digest=input_digest(event),
            timing=replace(
                base.timing,
                received_at=now,
                triaged_at=now,
                inference_s=changes.pop("inference_s", base.timing.inference_s),
                total_s=changes.pop("total_s", base.timing.total_s),
            ),
            model=model,
            **{
                name: value
                for name, value in changes.items()
                if name not in ("tenant", "source", "title")
            },
        )

    async def _send(self, verdicts: Sequence[GivenVerdict]) -> None:
        if self.send_error is not None:
            raise self.send_error
        for verdict in verdicts:
            self.sent.append(verdict)
            known = self.store.find(verdict.id, domain=verdict.domain, tenant=verdict.tenant)
            if known is not None and self.apply_verdicts:
                self.decide(known.current, verdict.by, verdict.labels)

    async def _standing(self, verdict: GivenVerdict) -> str | None:
        known = self.store.find(verdict.id, domain=verdict.domain, tenant=verdict.tenant)
        refusal = overtaken(known, verdict) if known else None
        return refusal.reason if refusal else None

    def _check(self, verdict: GivenVerdict) -> None:
        axes = self._label_sets()[verdict.domain]
        for axis, value in verdict.labels.items():
            if value not in axes.get(axis, ()):
                raise InvalidEvent(f"{value!r} is no value of {axis}", stage="validate")

    def _label_sets(self) -> Any:
        return self.classifier.label_sets if self.classifier else LABELS

    def _labels(self) -> LabelFacts:
        sets = self._label_sets()
        return LabelFacts(
            labels={
                domain: {
                    axis: [(value, f"what belongs to {value}") for value in values]
                    for axis, values in sets[domain].items()
                }
                for domain in DOMAINS
            },
            queue_axis=dict.fromkeys(DOMAINS, "queue"),
            deciding={domain: ["queue"] for domain in DOMAINS},
        )

    def _apply(self, topic: str, document: Any) -> None:
        self._offset += 1
        origin = Origin(topic=topic, partition=0, offset=self._offset)
        self.store.apply(
            Incoming(encode(document), document_id(document), (), origin, self.clock())
        )

    def _note(self, current: TriagedEvent, case: Case | None) -> None:
        decision = self.decisions.add(current)
        self.figures.note(decision)
        decision_event(self.hub, decision)
        if current.decided_by == "human":
            self.held.settle((current.domain, current.tenant, current.id))
        if case is not None:
            case_event(self.hub, summary_of(current, case))

    async def _start(self, _: web.Application) -> None:
        await self.held.start()

    async def _close_streams(self, _: web.Application) -> None:
        self.hub.close()

    async def _stop(self, _: web.Application) -> None:
        await self.held.stop()
        self.cases.close()
        self.store.close()


def document_id(document: TriagedEvent | Case) -> bytes:
    """The key of a record."""
    current = document.triaged if isinstance(document, Case) else document
    return current.id.encode()
