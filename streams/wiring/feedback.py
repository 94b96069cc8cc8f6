"""The feedback agent as a worker runs it."""

from functools import partial

from agents.cases import Cases
from agents.decided import Decided
from agents.feedback import apply_feedback
from agents.verdict_checks import VerdictChecks
from streams.config import Settings
from streams.input_events import InputEvents, ReadRecord, add_texts
from streams.models.served import ServedModels
from streams.pipeline.failures import Process
from streams.trust import Trust


def feedback_of(
    settings: Settings,
    models: ServedModels,
    trust: Trust,
    read_record: ReadRecord,
    cases: Cases,
    decided: Decided,
) -> Process:
    """The agent with its checks. If texts are kept, it looks for the texts of its rows."""
    checks = VerdictChecks(
        models.allowed_labels,
        trust.keys,
        trust.reviewers,
        models.serving.renames,
        settings.security.people,
    )
    verdicts = partial(
        apply_feedback,
        checks=checks,
        cases=cases,
        decided=decided,
        limits=settings.limits,
        kept=settings.learning.rows_kept(),
    )
    if settings.learning.keep != "text":
        return verdicts
    return partial(add_texts, process=verdicts, events=InputEvents(settings, read_record))
