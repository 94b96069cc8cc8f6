"""The labelled rows beside the checkout, streamed through the pipeline; skipped where they are not."""

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


async def test_every_row_of_the_test_split_comes_out(broker: Broker, tmp_path: Path) -> None:
    """If it failed: real rows are lost, or what the model accepts is wrong far more often than it promises."""
    settings = settings_for(broker.bootstrap_servers, None)
    settings = msgspec.structs.replace(
        settings, model=msgspec.structs.replace(settings.model, replicas=0)
    )
    await create_topics(settings)
    names = Topics(settings.topics.prefix)
    every = [(domain, row) for domain in FILES for row in _test_rows(domain)]
    rows = {row["id"]: (domain, row) for domain, row in every}
    records = [
        Record(names.input(domain), row["id"].encode(), _event(row)) for domain, row in every
    ]
    outputs = Outputs(settings)
    with working(settings, tmp_path):
        started_s = time.monotonic()
        sending = asyncio.create_task(send(settings, records))
        await outputs.read_until(
            lambda: _all_ended(outputs, set(rows)) and len(outputs.origins()) == len(every),
            timeout_s=600,
        )
        took_s = time.monotonic() - started_s
        await sending
    first = [t for t in outputs.triaged if t.revision == 0]
    for domain in FILES:
        _tell(domain, {id_: row for id_, (d, row) in rows.items() if d == domain}, first)
    inference = statistics.quantiles([t.timing.inference_s for t in first], n=100)
    tell(
        f"{len(every)} rows in {took_s:.0f} s ({len(every) / took_s:.0f}/s from a backlog), "
        f"{len(first)} first revisions, model call p50 {inference[49] * 1000:.0f} ms p99 {inference[98] * 1000:.0f} ms"
    )
    assert {t.id for t in first} == set(rows)
    assert not outputs.dead_letters


def _all_ended(outputs: Outputs, ids: set[str]) -> bool:
    """Every id has come out, and every escalated one has ended."""
    if len(outputs.records) < len(ids):
        return False
    triaged = outputs.triaged
    ended = {t.id for t in triaged if t.revision > 0 or t.status == "final"}
    return ended >= ids


def _tell(domain: Domain, rows: dict[str, dict[str, Any]], first: list[Any]) -> None:
    mine = {t.id: t for t in first if t.id in rows}
    accepted = [t for t in mine.values() if t.status == "final"]
    wrong = sum(t.queue != rows[t.id]["labels"]["queue"] for t in accepted)
    share = len(accepted) / max(1, len(mine))
    tell(
        f"{domain}: {len(rows)} in, {len(mine)} out; decided by the small model {len(accepted)} ({share:.1%}), "
        f"of those {wrong} in the wrong queue ({wrong / max(1, len(accepted)):.2%}); {Counter(t.status for t in mine.values())}"  # noqa: E501
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
