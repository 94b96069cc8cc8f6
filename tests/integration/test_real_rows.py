"""The labelled rows beside the checkout, sent through the pipeline; skipped without them."""

import asyncio
import gzip
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from schemas.event import Domain
from streams.kafka.admin import create_topics
from streams.kafka.record import Record
from streams.local.brokers import Broker
from streams.topics import Topics
from tests.conftest import settings_for
from tests.figures import tell
from tests.integration.test_pipeline import send, working
from tests.outputs import Outputs

DATA = Path(os.environ.get("TRIAGE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
FILES: dict[Domain, str] = {
    "alerts": "alerts_dev.jsonl.gz",
    "tickets": "tickets_banking_dev.jsonl.gz",
}

pytestmark = [
    pytest.mark.broker,
    pytest.mark.data,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not DATA.is_dir(), reason="no labelled rows; set TRIAGE_TEST_DATA to their directory"
    ),
]


async def test_all_rows_of_the_test_split_come_out(broker: Broker, tmp_path: Path) -> None:
    """Real rows would be lost, or more accepted events would be wrong than was promised."""
    settings = settings_for(broker.bootstrap_servers, None)
    settings = msgspec.structs.replace(
        settings, model=msgspec.structs.replace(settings.model, replicas=0)
    )
    await create_topics(settings)
    names = Topics(settings.topics.prefix)
    all_rows = [(domain, row) for domain in FILES for row in _test_rows(domain)]
    ids = {row["id"] for _, row in all_rows}
    records = [
        Record(names.input(domain), row["id"].encode(), _event(row)) for domain, row in all_rows
    ]
    outputs = Outputs(settings)
    with working(settings, tmp_path):
        started_s = time.monotonic()
        sending = asyncio.create_task(send(settings, records))
        await outputs.read_until(
            lambda: _all_ended(outputs, ids) and len(outputs.origins()) == len(all_rows),
            timeout_s=600,
        )
        took_s = time.monotonic() - started_s
        await sending
    first = [t for t in outputs.triaged if t.revision == 0]
    for domain in FILES:
        _check(domain, {row["id"]: row for d, row in all_rows if d == domain}, first)
    inference = statistics.quantiles([t.timing.inference_s for t in first], n=100)
    tell(
        f"{len(all_rows)} rows in {took_s:.0f} s ({len(all_rows) / took_s:.0f}/s from a backlog), "
        f"{len(first)} first revisions, model call p50 {inference[49] * 1000:.0f} ms "
        f"p99 {inference[98] * 1000:.0f} ms"
    )
    assert {t.id for t in first} == ids
    assert not outputs.dead_letters


def _all_ended(outputs: Outputs, ids: set[str]) -> bool:
    """Whether all ids have come out, and all escalated events have ended."""
    if len(outputs.records) < len(ids):
        return False
    triaged = outputs.triaged
    ended = {t.id for t in triaged if t.revision > 0 or t.status == "final"}
    return ended >= ids


def _check(domain: Domain, rows: dict[str, dict[str, Any]], first: list[Any]) -> None:
    """Check the share of wrong queues among the events that the small model decided."""
    outputs = {t.id: t for t in first if t.id in rows}
    accepted = [t for t in outputs.values() if t.status == "final"]
    wrong = sum(t.queue != rows[t.id]["labels"]["queue"] for t in accepted)
    accepted_share = len(accepted) / max(1, len(outputs))
    wrong_share = wrong / max(1, len(accepted))
    statuses = Counter(t.status for t in outputs.values())
    tell(
        f"{domain}: {len(rows)} in, {len(outputs)} out; decided by the small model {len(accepted)} "
        f"({accepted_share:.1%}), of those {wrong} in the wrong queue ({wrong_share:.2%}); "
        f"{statuses}"
    )
    assert wrong <= 0.03 * max(1, len(accepted))


def _test_rows(domain: Domain) -> Iterator[dict[str, Any]]:
    with gzip.open(DATA / FILES[domain]) as lines:
        for line in lines:
            row = orjson.loads(line)
            if row["split"] == "test":
                yield row


def _event(row: dict[str, Any]) -> bytes:
    fields = ("id", "kind", "text", "event", "source")
    return orjson.dumps({field: row[field] for field in fields if row.get(field) is not None})
