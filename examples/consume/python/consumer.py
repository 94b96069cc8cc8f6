"""Keeps a table of triaged events in SQLite: one current row for each event.

    python consumer.py --bootstrap-servers 127.0.0.1:9092 --database rows.sqlite

It needs aiokafka and nothing else, and runs until Ctrl-C or SIGTERM. The offsets are committed
after the rows, so after a crash some records come again; `order.py` ignores those. Several of these
with one database and one group share the partitions.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sqlite3
import sys
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import CommitFailedError
from order import Decision, Row, current_row, row_key

TABLE = """
CREATE TABLE IF NOT EXISTS triaged (
  domain TEXT, tenant TEXT, id TEXT,
  title TEXT, status TEXT, queue TEXT, revision INTEGER,
  row TEXT NOT NULL,
  PRIMARY KEY (domain, tenant, id)
)"""
SELECT = "SELECT row FROM triaged WHERE domain = ? AND tenant = ? AND id = ?"
REPLACE = "REPLACE INTO triaged VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

# What a value raises that is not JSON, lacks a field, or has another type in it.
NO_DECISION = (
    *(ValueError, TypeError, LookupError),
    *(sqlite3.InterfaceError, sqlite3.ProgrammingError),
)


def save(database: sqlite3.Connection, records: Iterable[ConsumerRecord]) -> None:
    """Bring the rows up to date in one transaction."""
    database.execute("BEGIN IMMEDIATE")  # another consumer must not write between read and write
    with database:
        for record in records:
            try:
                save_decision(database, json.loads(record.value or b""))
            except NO_DECISION as error:  # anybody might write to a topic
                place = f"{record.topic}[{record.partition}]@{record.offset}"
                print(
                    f"{place} holds no triaged event ({error!r}); it is left out", file=sys.stderr
                )


def save_decision(database: sqlite3.Connection, decision: Decision) -> None:
    """Write the row of one decision, if it has changed."""
    found = database.execute(SELECT, row_key(decision)).fetchone()
    row: Row | None = json.loads(found[0]) if found else None
    changed = current_row(row, decision)
    if changed is row:
        return
    current = changed["decision"]
    shown = (current.get("title"), current["status"], current["queue"], current["revision"])
    database.execute(REPLACE, (*row_key(decision), *shown, json.dumps(changed)))


async def consume(options: argparse.Namespace) -> None:
    """Read both triaged topics until the task is cancelled."""
    database = sqlite3.connect(options.database, isolation_level=None, timeout=30)
    database.execute(TABLE)
    topics = [f"{options.prefix}.{domain}.triaged.v1" for domain in ("alerts", "tickets")]
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=options.bootstrap_servers,
        group_id=options.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        while True:
            batches = await consumer.getmany(timeout_ms=1_000)
            records = [record for batch in batches.values() for record in batch]
            if records:
                save(database, records)
                # After the rows: what was not saved comes again. So does what another member of
                # the group has got meanwhile.
                with contextlib.suppress(CommitFailedError):
                    await consumer.commit()
    finally:
        await consumer.stop()
        database.close()


async def main() -> None:
    """Read the options, and consume until a signal comes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bootstrap-servers", default="127.0.0.1:9092")
    parser.add_argument("--prefix", default="triage", help="that of [topics]")
    parser.add_argument("--group", default="triage-table")
    parser.add_argument("--database", default="triaged.sqlite")
    task = asyncio.create_task(consume(parser.parse_args()))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    asyncio.run(main())
