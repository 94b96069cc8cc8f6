"""The process of the console: it opens everything, serves, and ends without losing a verdict."""

import asyncio
import logging
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from agents.cases import Known
from inference.errors import InferenceError
from inference.retrieval.options import RetrievalOptions
from inference.serving import Serving
from schemas.errors import InvalidEvent, SchemaError
from schemas.event import Domain
from schemas.triaged import TriagedEvent
from streams.cases.entries import summary_of
from streams.cases.opening import state_path
from streams.cases.query import CaseQuery, CaseSummary
from streams.cases.view import CaseView
from streams.config import TEMPORARY, ModelSection, Settings
from streams.console.access import Access
from streams.console.application import application
from streams.console.arrivals import case_event, decision_event
from streams.console.assets import Assets
from streams.console.candidate import promotion
from streams.console.claims import Claims
from streams.console.connections import Connections
from streams.console.decisions import Decisions
from streams.console.feedback import Feedback
from streams.console.figures import Figures
from streams.console.following import Follower, RefusedVerdict
from streams.console.holding import HeldVerdicts
from streams.console.journal import GivenVerdict, Journal
from streams.console.letters import DeadLetters
from streams.console.live import Hub
from streams.console.model_facts import ModelFacts
from streams.console.parts import parts
from streams.console.services import Services
from streams.console.standing import is_done, overtaken
from streams.console.visible import VisibleCases
from streams.console.web_server import WebServer
from streams.console.why import Why, settled
from streams.errors import StreamError
from streams.promise import PromiseWatch
from streams.trust import Trust
from streams.wiring.model import open_served

log = logging.getLogger(__name__)

POLL_S = 0.25
STATUS_S = 1.0
MAX_ARRIVALS = 1_000
"""Beyond so many cases at once, browsers are told to ask again in place of each."""
LOOK_AGAIN_S = 1.0
"""So long after a decision its case is looked for, if it did not come before."""
REMEMBERED_CASES = 500
"""So many decided cases are looked at when the console starts, to be compared with new ones."""


class Console:
    """Everything of one console.

    Raises:
        ConfigError: the console would be open to others, or cannot be configured so.
        InferenceError: the model cannot be loaded.
        StreamError: the view of cases cannot be opened.
    """

    def __init__(self, settings: Settings) -> None:
        section = settings.console
        self._settings = settings
        access = Access(section)
        self._models = models = open_served(_with_one_thread(settings))
        self._view = CaseView(settings)
        self._hub = Hub()
        self._decisions = Decisions()
        self._cases = VisibleCases(self._view.store, Finder(self._view))
        self._feedback = Feedback(settings, models)
        self._held = HeldVerdicts(
            Journal(journal_path(settings)),
            self._hub,
            self._feedback.send,
            self._why_not,
            time.time,
        )
        self._claims = Claims(self._hub, section.claim_s, time.time)
        self._why = Why(models.pinned(), _with_neighbours(settings.retrieval))
        self._facts = facts = ModelFacts(models.serving)
        self._promise = PromiseWatch(settings, models.serving, Trust.of(settings))
        known = parts(settings, models, self._promise)
        self._figures = Figures(settings.cost, lambda: facts.curves, known, time.time)
        models.on_change += [self._why.use, facts.use, self._promise.use, self._tell_models]
        self._follower = Follower(settings, self._on_decision, self._on_refused)
        connections = Connections(section.max_connections)
        services = Services(
            settings=settings,
            access=access,
            connections=connections,
            cases=self._cases,
            held=self._held,
            claims=self._claims,
            hub=self._hub,
            decisions=self._decisions,
            figures=self._figures,
            why=self._why,
            labels=lambda: facts.labels,
            check=self._check,
            letters=DeadLetters(settings),
            promote=promotion(models.registry),
        )
        self.server = WebServer(section, application(services, Assets()), connections)
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._status: dict[str, object] = {}
        self._seen = 0
        self._without_case: deque[tuple[float, CaseSummary]] = deque(maxlen=MAX_ARRIVALS)

    async def run(self, on_ready: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT. `on_ready` is called with the address.

        Raises:
            ConfigError: the port cannot be had, or the journal cannot be used.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._ended.set)
        try:
            await self.start()
            on_ready(self.server.url)
            await self._ended.wait()
        finally:
            await self.stop()

    async def start(self) -> None:
        """Open everything; the broker may come later.

        Raises:
            ConfigError: the port cannot be had, or the journal cannot be used.
        """
        await self._held.start()
        await self._view.start()
        await self._follower.start()
        self._tell_status()
        await self.server.start()
        self._tasks.append(asyncio.create_task(self._promise.start()))
        for each in (self._announce_cases, self._watch, self._remember_cases, self._models.watch):
            self._tasks.append(asyncio.create_task(_kept_up(each)))

    async def stop(self) -> None:
        """End: first the browsers, then what is held, then the topics."""
        self._hub.close()
        await self.server.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._follower.stop()
        await self._promise.stop()
        await self._held.stop()
        await self._feedback.stop()
        self._cases.close()
        await self._view.stop()
        await self._models.close()

    def _check(self, verdict: GivenVerdict) -> None:
        self._feedback.check(verdict)

    async def _why_not(self, verdict: GivenVerdict) -> str | None:
        domain, tenant, id_ = verdict.key
        try:
            self._check(verdict)
        except InvalidEvent as error:
            return str(error)
        known = await self._cases.find_any(id_, domain, tenant)
        if known is None or is_done(known, verdict):
            return None
        refusal = overtaken(known, verdict)
        return refusal.reason if refusal else None

    def _on_decision(self, triaged: TriagedEvent, live: bool) -> None:
        decision = self._decisions.add(triaged)
        self._figures.note(decision)
        if triaged.decided_by == "human":
            self._held.seen((triaged.domain, triaged.tenant, triaged.id))
        if live:
            decision_event(self._hub, decision)

    def _on_refused(self, verdict: RefusedVerdict, reason: str) -> None:
        document = {
            "domain": verdict.domain,
            "tenant": verdict.tenant,
            "id": verdict.id,
            "reason": reason,
        }
        self._hub.publish("refused", document, tenant=verdict.tenant, only=verdict.by)

    async def _announce_cases(self) -> None:
        """Tell of cases as the view takes them in."""
        if not self._seen:
            self._seen = max([each.seq for each in await self._cases.recent(None, 1)], default=0)
        while True:
            await asyncio.sleep(POLL_S)
            await self._look_again()
            arrivals = await self._cases.recent(self._seen, MAX_ARRIVALS)
            if not arrivals:
                continue
            self._seen = arrivals[-1].seq
            if len(arrivals) == MAX_ARRIVALS:
                self._hub.publish("reset", {})
                continue
            now_s = time.monotonic()
            for arrival in arrivals:
                if arrival.summary.escalation is not None:
                    await self._announce(arrival.summary)
                else:
                    self._without_case.append((now_s + LOOK_AGAIN_S, arrival.summary))

    async def _look_again(self) -> None:
        """Tell of decisions whose case came after them: they are on different topics."""
        now_s = time.monotonic()
        while self._without_case and self._without_case[0][0] <= now_s:
            _, summary = self._without_case.popleft()
            known = await self._cases.find_stored(summary.id, summary.domain, summary.tenant)
            if known is not None and known.case is not None:
                await self._announce(summary_of(known.current, known.case, known.revisions))

    async def _announce(self, summary: CaseSummary) -> None:
        key = (summary.domain, summary.tenant, summary.id)
        claim = self._claims.of(key)
        case_event(
            self._hub,
            summary,
            claimed_by=claim.by if claim else None,
            held_by=self._held.held_by(key),
        )
        if summary.decided_by == "human":
            self._claims.release(key)
            self._held.settle(key)
            await self._remember(summary)

    async def _remember_cases(self) -> None:
        """Embed the last decided cases, one after the other: nobody waits for it."""
        with suppress(StreamError):
            await self._view.caught_up()
        after, looked_at = None, 0
        while looked_at < REMEMBERED_CASES:
            query = CaseQuery(state="decided", order="age", limit=100, after=after)
            page = await self._cases.list_all(query)
            for summary in page.cases:
                await self._remember(summary)
            looked_at += len(page.cases)
            after = page.next
            if after is None:
                break
        await asyncio.Event().wait()

    async def _remember(self, summary: CaseSummary) -> None:
        known = await self._cases.find_any(summary.id, summary.domain, summary.tenant)
        case = settled(known.current, known.case) if known else None
        if case is not None:
            await self._why.remember(case)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(STATUS_S)
            self._claims.expire()
            self._held.expire()
            self._tell_status()

    def _tell_models(self, _: Serving) -> None:
        """Tell the browsers that labels and proposals are those of other models from now on."""
        self._hub.publish("models", {})

    def _tell_status(self) -> None:
        problem = self._view.problem or self._follower.problem or self._held.failure
        status: dict[str, object] = {
            "broker": "up" if problem is None else "away",
            "sentence": problem,
            "behind": None,
            "waiting": len(self._held) if self._held.failure else 0,
        }
        if status != self._status:
            self._status = status
            self._hub.publish("status", status)


class Finder:
    """Finds what has been read so far, without asking the broker how far that is."""

    def __init__(self, view: CaseView) -> None:
        self._view = view

    async def find(self, id_: str, *, domain: Domain | None, tenant: str | None) -> Known | None:
        """What is known about an event."""
        return await self._view.find_read(id_, domain=domain, tenant=tenant)


def journal_path(settings: Settings) -> Path | None:
    """The file of verdicts that are not sent yet, beside the view of cases; None for memory.

    Raises:
        StreamError: no place is configured, and the user has no home directory.
    """
    if settings.review.state == TEMPORARY:
        return None
    view = state_path(settings)
    return view.with_name(f"{view.stem}-verdicts.sqlite")


async def _kept_up(work: Callable[[], Awaitable[None]]) -> None:
    """Do something for ever: a fault is logged, and it begins again."""
    while True:
        try:
            await work()
        except (StreamError, InferenceError, SchemaError) as error:
            log.warning("%s", error)
        except Exception:
            log.exception("a part of the console failed; it begins again")
        await asyncio.sleep(STATUS_S)


def _with_one_thread(settings: Settings) -> Settings:
    """The console embeds one event at a time, so it needs no self-test of threads."""
    model: ModelSection = replace(settings.model, replicas=1, threads_per_replica=1)
    return replace(settings, model=model)


def _with_neighbours(options: RetrievalOptions) -> RetrievalOptions:
    """People are shown neighbours even if the LLM is not."""
    return options if options.similar else replace(options, similar=RetrievalOptions().similar)
