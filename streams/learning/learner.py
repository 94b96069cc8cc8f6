"""Learning from the topic of labelled rows: when there is enough new, a candidate is trained."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from inference.acceptance.live_checks import LiveReport
from inference.believed_rows import disagreements, reviewer_figures
from inference.errors import DataError, InferenceError, ModelError
from inference.evaluation.card import make_card
from inference.learning.comparison import Comparison
from inference.learning.rows import ChosenRows, RowOptions, choose_rows, labels_for
from inference.model.artifact import CARD
from inference.progress import Progress
from inference.training.own_labels import GENERAL_ENCODER, train_own_labels
from inference.training.recipe import TrainingOptions
from schemas.event import DOMAINS, Domain
from schemas.label_record import LabelRecord
from streams.config import Settings
from streams.disk import only_one
from streams.labels_topic import read_believed_rows
from streams.learning.schedule import Schedule, breaches_in, last_breach
from streams.learning.trial import Trial
from streams.models import agreement_files
from streams.models.registry import Facts
from streams.wiring.model import open_labels, require_registry

log = logging.getLogger(__name__)

BY = "triage learn"
LEARNING = ".learning"
"""The lock of the learner: two of them would train the same candidate."""

Outcome = Literal["trained", "waiting", "failed", "promoted", "withdrawn", "unsigned"]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the learner did in one domain.

    `people` and `llm` count the rows that there are, `new` those by which they differ from the rows
    that the last candidate was taught. In `disagreements` of them, a person has changed what
    another one had decided. `model` is the model that was made or promoted.
    """

    domain: Domain
    outcome: Outcome
    sentence: str
    people: int = 0
    llm: int = 0
    new: int = 0
    disagreements: int = 0
    model: str | None = None
    comparison: Comparison | None = None


class Learner:
    """Trains candidates, and promotes them if it is configured to.

    Raises:
        ConfigError: no registry is configured.
    """

    def __init__(self, settings: Settings) -> None:
        # It shares its machine with a worker, so a model that it opens takes one thread.
        model = replace(settings.model, replicas=1, threads_per_replica=1)
        self._settings = replace(settings, model=model)
        self._registry = require_registry(settings)
        self._labels = open_labels(settings)
        self._trial = Trial(self._settings, self._registry)
        self._schedule = Schedule(settings, self._registry)

    def once(self, progress: Progress, *, force: bool = False) -> list[Report]:
        """Look once: judge the candidates, and train new ones where there are enough new rows.

        With `force` new ones are trained in any case.

        Raises:
            ModelError: another learner is at work on this registry.
            InferenceError, StreamError: the rows cannot be read.
        """
        with only_one(self._registry.directory / LEARNING) as alone:
            if not alone:
                raise ModelError(
                    f"another learner is at work on {self._registry.directory}; wait for it"
                )
            records = asyncio.run(read_believed_rows(self._settings)).rows
            breaches = breaches_in(self._settings, records, self._labels.renames)
            reports = []
            for domain in DOMAINS:
                of_domain = [record for record in records if record.domain == domain]
                reports += self._judge(domain, of_domain)
                if of_domain or force:
                    breach = last_breach(breaches, domain)
                    reports.append(self._learn(domain, of_domain, breach, progress, force=force))
            self._tidy()
            return reports

    def _judge(self, domain: Domain, records: Sequence[LabelRecord]) -> list[Report]:
        """Promote or withdraw the candidate of a domain, if that is known and configured."""
        name = self._registry.state().roles(domain).candidate
        if name is None:
            return []
        try:
            comparison = asyncio.run(self._trial.compare(name, domain, records))
        except InferenceError as error:
            log.warning("the candidate %s cannot be judged: %s", name, error)
            return []
        about: dict[str, Any] = {"domain": domain, "model": name, "comparison": comparison}
        if comparison.finding == "worse":
            self._registry.withdraw(name, by=BY)
            return [Report(outcome="withdrawn", sentence=comparison.reason, **about)]
        if comparison.finding != "better" or self._settings.learning.promote != "auto":
            return []
        try:
            self._registry.promote(name, by=BY)
        except ModelError as error:
            return [Report(outcome="unsigned", sentence=str(error), **about)]
        return [Report(outcome="promoted", sentence=comparison.reason, **about)]

    def _learn(
        self,
        domain: Domain,
        records: Sequence[LabelRecord],
        breach: LiveReport | None,
        progress: Progress,
        *,
        force: bool,
    ) -> Report:
        learning = self._settings.learning
        people = [record for record in records if record.decided_by == "human"]
        llm = len(records) - len(people)
        due = self._schedule.due(domain, people, breach)
        found = disagreements(people)
        counts: dict[str, Any] = {
            "domain": domain,
            "people": len(people),
            "llm": llm,
            "new": due.new,
            "disagreements": len({(each.id, each.tenant) for each in found}),
        }
        if not force and due.missing:
            return Report(
                outcome="waiting",
                sentence=f"{due.missing} more rows that people decided until the next candidate",
                **counts,
            )
        options = RowOptions(
            llm_weight=learning.llm_weight, max_rows=learning.max_rows, breach=breach
        )
        try:
            chosen = choose_rows(
                records,
                domain,
                self._settings.domain(domain).deciding,
                options,
                self._labels.renames,
            )
            name = self._train(domain, chosen, records, progress)
        except (DataError, ModelError) as error:
            # Without this, it would be tried again in a minute, on the same rows.
            self._schedule.remember(domain, people)
            return Report(outcome="failed", sentence=str(error), **counts)
        self._schedule.remember(domain, people)
        sentence = f"{name} is tried on live events now; see `triage models compare`"
        return Report(outcome="trained", sentence=sentence, model=name, **counts)

    def _train(
        self,
        domain: Domain,
        chosen: ChosenRows,
        records: Sequence[LabelRecord],
        progress: Progress,
    ) -> str:
        settings = self._settings
        encoder = settings.learning.encoder
        stem = f"learned-{domain}"
        options = TrainingOptions(name=stem, renames=self._labels.renames)
        with self._registry.writing() as folder:
            artifact = train_own_labels(
                chosen.rows,
                labels_for(self._labels, domain, chosen.rows),
                folder,
                options,
                progress,
                encoder=Path(encoder) if encoder else GENERAL_ENCODER,
            )
            note = (
                f"Learned from {chosen.people} rows that people decided and {chosen.llm} that an "
                "LLM decided. Only the former calibrate."
            )
            notes = [note, _people(records)]
            card = asyncio.run(
                make_card(artifact, chosen.rows, settings.terms, notes, progress, self._labels)
            )
            (folder / CARD).write_text(card, "utf-8")
            facts = Facts(
                made_at=datetime.now(UTC).isoformat(timespec="seconds"),
                domains=[domain],
                rows={"human": chosen.people, "llm": chosen.llm},
                learned_until=max((record.decided_at for record in records), default=None),
                notes=[f"{count} rows left out: {why}" for why, count in chosen.left_out.items()],
            )
            name = self._registry.add(folder, stem, facts)
        self._registry.propose(name, [domain], by=BY)
        return name

    def _tidy(self) -> None:
        self._registry.prune()
        state = self._registry.state()
        candidates = {name for d in DOMAINS if (name := state.roles(d).candidate) is not None}
        with suppress(OSError):
            agreement_files.remove_others(self._registry.directory, candidates)


def _people(records: Sequence[LabelRecord]) -> str:
    """How far people agree. Their names are not in the card, which goes where the model goes."""
    reviewers = reviewer_figures(records)
    rows = sum(each.rows for each in reviewers)
    changed = sum(each.corrected for each in reviewers)
    return (
        f"{len(reviewers)} people decided. In {changed} of their {rows} rows, one person changed "
        "what another had decided."
    )
