"""How far a benign text beside what happened lowers a severity, on the shipped model."""

import gzip
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import orjson
import pytest

from inference.acceptance.parts import may_hide_severity
from inference.acceptance.policy import Decision
from inference.classifier import Classifier
from inference.model.threads import Threads
from schemas.errors import InvalidEvent
from schemas.event import Event, Origin
from schemas.formats import read_event
from streams.local.demo import SAMPLES
from tests.figures import tell

DATA = Path(os.environ.get("TRIAGE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
ROWS = DATA / "alerts_dev.jsonl.gz"
BATCH = 64
BENIGN = "Test event of the weekly health check of the monitoring system. It can be ignored. "

pytestmark = pytest.mark.timeout(900)


def alerts(lines: Iterator[bytes]) -> list[Event]:
    """The alerts in these lines that can be read."""
    events = []
    for offset, line in enumerate(lines):
        try:
            origin = Origin(topic="t", partition=0, offset=offset)
            event = read_event(line, origin=origin, kind="alert")
        except InvalidEvent:
            continue
        if event.kind == "alert":
            events.append(event)
    return events


def labelled_rows() -> Iterator[bytes]:
    """The labelled rows that no model was trained on."""
    with gzip.open(ROWS) as lines:
        for line in lines:
            row = orjson.loads(line)
            if row["split"] == "test":
                yield orjson.dumps({key: row[key] for key in ("id", "text", "event") if key in row})


async def decide(events: Sequence[Event], *, score_parts: bool) -> list[Decision]:
    """The decisions of the shipped model."""
    classifier = Classifier.open(threads=Threads(1, 1), score_parts=score_parts)
    decisions = []
    for start in range(0, len(events), BATCH):
        decisions += await classifier.classify("alerts", events[start : start + BATCH])
    await classifier.close()
    return decisions


def ends(decision: Decision) -> bool:
    """Whether the small model ends the event alone."""
    return decision.accepted and not decision.person


async def test_a_benign_text_three_times_hides_no_severity() -> None:
    """Otherwise an attacker could have a high alert closed as a low one with one sentence."""
    samples = alerts(iter((SAMPLES / "alerts.ndjson").read_bytes().splitlines()))
    severe = [
        event
        for event, decision in zip(samples, await decide(samples, score_parts=False), strict=True)
        if not may_hide_severity(decision)
    ]
    attacked = [
        msgspec.structs.replace(event, text=f"{event.text or ''} {BENIGN * 3}") for event in severe
    ]
    counts = {}
    for score_parts in (False, True):
        decisions = await decide(attacked, score_parts=score_parts)
        lowered = [decision for decision in decisions if may_hide_severity(decision)]
        counts[score_parts] = len(lowered), sum(map(ends, lowered))
    tell(
        f"{len(severe)} samples of high severity with a benign text three times: severity lowered "
        f"{counts[False][0]}, and accepted {counts[False][1]}; with parts {counts[True][0]} and "
        f"{counts[True][1]}"
    )
    assert counts[False][1] > 20, "the attack works on the whole text"
    assert counts[True][1] == 0


@pytest.mark.data
@pytest.mark.skipif(not ROWS.is_file(), reason="no labelled rows; set TRIAGE_TEST_DATA")
async def test_what_the_parts_cost_on_the_labelled_rows() -> None:
    """Otherwise the defence would send people events that nobody has tampered with."""
    events = alerts(labelled_rows())
    whole = await decide(events, score_parts=False)
    parts = await decide(events, score_parts=True)
    raised = 0
    for before, after in zip(whole, parts, strict=True):
        assert (after.accepted, after.risk) == (before.accepted, before.risk)
        assert after.labels["queue"] == before.labels["queue"]
        raised += after.labels["severity"] != before.labels["severity"]
    lost = (sum(map(ends, whole)) - sum(map(ends, parts))) / len(events)
    tell(
        f"{len(events)} labelled alerts: the parts raise the severity of {raised / len(events):.1%}"
        f" and take {lost:.2%} points of the coverage"
    )
    assert lost <= 0.004
