"""Watches the promise on live traffic: reads the labelled rows, and tightens the acceptance.

Every worker reads all rows by itself, so that each comes to the same result, also after a restart.
Only spot checks are decoded. A worker that cannot read the rows keeps what it knows, says so, and
goes on to classify.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from agents.outcomes import Incoming
from inference.acceptance.live_checks import Claim, LiveChecks, LiveReport, PromiseKey
from inference.acceptance.policy import Tightening
from inference.acceptance.watch import STATES, WatchReport
from inference.believed_rows import Authors
from inference.labels.renames import NO_RENAMES, Renames
from inference.serving import Served
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.event import Domain
from schemas.label_record import LabelRecord
from streams.config import Settings
from streams.kafka.fetching import FOLLOW_PAUSE_S, pace
from streams.kafka.reader import reading, until_end
from streams.kafka.record import from_record
from streams.labels_topic import belief_of
from streams.metrics import Metrics
from streams.topics import Topics
from streams.trust import Trust

log = logging.getLogger(__name__)

SPOT_CHECK = b'"spot_check"'
"""Every row of a spot check has these bytes. Most rows have not, and are not decoded."""
START_TIMEOUT_S = 30.0
POLL_MS = 1_000
RETRY_S = 10.0


class CheckedRows:
    """Reads the rows of the labels topic into `checks`."""

    def __init__(self, settings: Settings, trust: Trust, renames: Renames = NO_RENAMES) -> None:
        self._limits = settings.limits
        self._trust = trust
        self._authors = Authors(belief_of(settings))
        deciding = {domain: terms.deciding for domain, terms in settings.terms.items()}
        self.checks = LiveChecks(deciding, renames)

    def note(self, incoming: Incoming) -> bool:
        """Take one record of the topic; true if it changes what the checks say.

        A record that is not believed, or is no row, changes nothing. An erased row never counts,
        whoever erased it: the broker will not have it for long. Nor does a row that nothing is
        learned from, because of its author or its tenant.
        """
        key, value = incoming.key, incoming.value
        if key is None:
            return False
        if value is None:
            return self.checks.note(key, None)
        if SPOT_CHECK not in value and not self.checks.knows(key):
            return False
        if not self._trust.believes(incoming):
            return False
        try:
            row = decode(value, LabelRecord, self._limits)
        except InvalidEvent:
            return False
        return self.checks.note(key, row if self._authors.refusal(row) is None else None)


class PromiseWatch:
    """Keeps the acceptance of a worker as strict as the spot checks ask for.

    `clock` returns seconds that never run backwards.
    """

    def __init__(
        self,
        settings: Settings,
        classifier: Served,
        trust: Trust | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._classifier = classifier
        self._trust = trust or Trust()
        self._topic = Topics(settings.topics.prefix).labels
        self._clock = clock
        self._read_at_s = clock()
        self._caught_up = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._tightenings: dict[PromiseKey, Tightening] = {}
        self.reports: Mapping[PromiseKey, LiveReport] = {}
        """What the checks of each promise said when they were last read."""
        self.why_unread: str | None = None
        """Why the checks cannot be read now; None if they can."""

    async def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Begin to read, and wait until the rows that are there now are read.

        After `timeout_s` they are read on in the background: no event waits for them for longer.
        """
        self._following = asyncio.create_task(self._follow())
        try:
            async with asyncio.timeout(timeout_s):
                await self._caught_up.wait()
        except TimeoutError:
            log.warning(
                "the spot checks could not be read in %.0f s; classifying meanwhile as calibrated",
                timeout_s,
            )

    async def stop(self) -> None:
        """Stop to read, and disconnect."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    def use(self, classifier: Served) -> None:
        """Watch another classifier from now on, tightened as the checks ask for."""
        self._classifier = classifier
        for key, tightening in self._tightenings.items():
            classifier.tighten(key.domain, tightening)

    def reports_of(self, domain: Domain) -> list[WatchReport]:
        """What is known of the promises of a domain that are in force, the worst first.

        A promise without a check is left out.
        """
        return [live.report for live in self._live(domain)]

    def notes(self) -> list[str]:
        """What whoever runs the worker should know, one sentence each."""
        notes = [] if self.why_unread is None else [self.why_unread]
        for domain in self._classifier.domains:
            notes += [broken_sentence(live) for live in self._live(domain) if live.report.breaches]
        return notes

    def observe(self, metrics: Metrics) -> None:
        """Set the gauges of the promise."""
        reports = {domain: self.reports_of(domain) for domain in self._classifier.domains}
        thresholds = {domain: self._classifier.calibration(domain).threshold for domain in reports}
        metrics.observe_promise(
            {domain: of_domain[0] for domain, of_domain in reports.items() if of_domain},
            thresholds,
            self._clock() - self._read_at_s,
        )

    def _live(self, domain: Domain) -> list[LiveReport]:
        digests = {each.digest for each in self._classifier.promises(domain)}
        ours = (
            live
            for key, live in self.reports.items()
            if key.domain == domain and key.digest in digests
        )
        return sorted(ours, key=lambda live: -STATES.index(live.report.state))

    async def _follow(self) -> None:
        while True:
            try:
                await self._read()
            except Exception as error:  # noqa: BLE001 - damaged bytes make a parser raise anything
                self.why_unread = (
                    f"the spot checks on {self._topic} cannot be read ({type(error).__name__}), so "
                    "the promise is not watched; check the topic and the rights of the worker"
                )
                log.warning("%s", self.why_unread)
            await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        """Read the topic from its beginning, and follow it."""
        rows = CheckedRows(self._settings, self._trust, self._classifier.renames)
        async with reading(self._settings.kafka, [self._topic], from_beginning=True) as consumer:
            async for incoming in until_end(consumer):
                rows.note(incoming)
            await self._judge(rows.checks)
            self._caught_up.set()
            pace(consumer, FOLLOW_PAUSE_S)
            while True:
                batches = await consumer.getmany(timeout_ms=POLL_MS)
                changes = [
                    rows.note(from_record(record))
                    for records in batches.values()
                    for record in records
                ]
                if any(changes):
                    await self._judge(rows.checks)
                self._note_read()

    async def _judge(self, checks: LiveChecks) -> None:
        """Look at all checks again, and tighten what has to be tightened."""
        reports = await asyncio.to_thread(lambda: {each.key: each for each in checks.reports()})
        for key, earlier in self.reports.items():
            if earlier.report.breaches and not _is_as_strict(reports.get(key), earlier):
                reports[key] = earlier  # verdicts were withdrawn: that does not mend the promise
        self.reports = reports
        for live in reports.values():
            if live.report.breaches:
                self._tighten(live)
        self._note_read()

    def _tighten(self, live: LiveReport) -> None:
        key, tightening = live.key, tightening_of(live)
        known = self._tightenings.get(key)
        if known is not None and known.threshold <= tightening.threshold:
            return
        self._tightenings[key] = tightening
        if self._classifier.tighten(key.domain, tightening):
            log.error("%s", broken_sentence(live))

    def _note_read(self) -> None:
        self.why_unread = None
        self._read_at_s = self._clock()


def _is_as_strict(now: LiveReport | None, earlier: LiveReport) -> bool:
    """Whether a promise is still known to be broken, and no more is accepted than before."""
    if now is None or not now.report.breaches:
        return False
    return now.report.threshold <= earlier.report.threshold


def tightening_of(live: LiveReport) -> Tightening:
    """What a promise that is broken asks the acceptance for."""
    report = live.report
    why = report.breaches[-1].sentence
    return Tightening(live.key.digest, report.threshold, why, harmless=live.key.claim != "wrong")


PROMISED: dict[Claim, str] = {
    "wrong": "",
    "harmless_wrong": " that are called harmless",
    "harmless_malicious": " that are called harmless",
}


def broken_sentence(live: LiveReport) -> str:
    """That a promise is broken, what was done about it, and what a person can do."""
    report, which = live.report, PROMISED[live.key.claim]
    promised = ""
    if which:
        fails = "malicious" if live.key.claim == "harmless_malicious" else "wrong"
        promised = f" (of the alerts{which} at most {report.limit:.1%} are {fails})"
    accepted = f"only events{which} with a risk below {report.threshold:.4f} are accepted"
    if not report.threshold:
        accepted = f"no events{which} are accepted" if which else "nothing is accepted"
    return (
        f"the promise for {live.key.domain}{promised} is broken: "
        f"{report.breaches[-1].sentence}, so {accepted} until the model is calibrated again "
        "(triage calibrate, or triage learn)"
    )
