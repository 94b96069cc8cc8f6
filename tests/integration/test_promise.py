"""The promise on a real broker: spot checks, the verdicts on them, and a breach that lasts."""

from pathlib import Path

import msgspec
import pytest

from inference.record_file import read_lines
from schemas.codec import decode
from schemas.triaged import Case
from streams.config import Settings, SpotChecksSection
from streams.kafka.admin import create_topics
from streams.local.demo import SAMPLES
from streams.source import produce
from streams.topics import Topics
from tests.integration.test_pipeline import send, working
from tests.integration.test_reviews import verdict
from tests.outputs import Outputs
from tests.patience import until
from tests.processes import WorkerProcess
from tests.tiny_model import LABELS

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

VERDICTS = 20


def checks_of(outputs: Outputs, names: Topics) -> list[Case]:
    """The spot checks on the review topic."""
    cases = [decode(record.value or b"", Case) for record in outputs.on(names.review)]
    return [case for case in cases if case.escalation == "spot_check"]


def another_queue(case: Case) -> str:
    """A queue that is not the one of a case."""
    return next(queue for queue in LABELS["tickets"]["queue"] if queue != case.triaged.queue)


def is_broken(worker: WorkerProcess) -> bool:
    """Whether a worker says that the promise for tickets is broken."""
    return 'triage_promise_state{domain="tickets",state="broken"} 1.0' in worker.get("/metrics")[1]


async def test_a_promise_that_is_broken_stays_so_over_a_restart(
    settings: Settings, tmp_path: Path
) -> None:
    """Events would be accepted that people have found wrong, or be accepted again tomorrow."""
    settings = msgspec.structs.replace(settings, spot_checks=SpotChecksSection(share=1.0))
    names = Topics(settings.topics.prefix)
    await create_topics(settings)
    lines = list(read_lines(str(SAMPLES / "tickets.ndjson")))
    outputs = Outputs(settings)
    with working(settings, tmp_path) as worker:
        await produce(settings, lines, "tickets")
        await outputs.read_until(lambda: len(checks_of(outputs, names)) >= VERDICTS)
        checks = checks_of(outputs, names)[:VERDICTS]
        assert {case.triaged.status for case in checks} == {"final"}
        assert {case.probability for case in checks} == {1.0}
        await send(
            settings,
            [
                verdict(names, case.event.id, another_queue(case), "ana", tenant=case.event.tenant)
                for case in checks
            ],
        )
        await until(lambda: is_broken(worker))
        assert "the promise for tickets is broken" in worker.get("/ready")[1]
    with working(settings, tmp_path) as worker:
        assert is_broken(worker), "a worker is ready only when it has read the checks"
        await produce(settings, lines, "tickets")
        await until(lambda: 'reason="promise_broken"' in worker.get("/metrics")[1])
        assert 'outcome="accepted"' not in worker.get("/metrics")[1]
