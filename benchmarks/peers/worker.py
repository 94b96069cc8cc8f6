"""A peer's worker: read the input topics, classify, produce, commit after the acknowledgements.

It runs in a peer's environment: the standard library, aiokafka and one classifier.
"""

import asyncio
import json
import signal
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

POLL_RECORDS = 256
LEFT_OUT = {"alert.severity", "alert.category", "severity"}
"""What a sensor concludes about its own alert, from which labels could be copied."""


def text_of(event: dict[str, Any]) -> str:
    """What a peer reads of an event: title, text and body, then `path value` of its document."""
    words = [str(event[name]) for name in ("title", "text", "body") if event.get(name)]
    nodes = deque[tuple[str, Any]]([("", event.get("event") or {})])
    while nodes and len(words) < 1_000:
        path, value = nodes.popleft()
        if isinstance(value, dict):
            nodes.extend((f"{path}.{key}".lstrip("."), child) for key, child in value.items())
        elif isinstance(value, list):
            nodes.extend((path, child) for child in value)
        elif value is not None and path not in LEFT_OUT:
            words.append(f"{path} {value}")
    return "\n".join(words)


async def work(specification: dict[str, Any]) -> None:
    """Classify until SIGTERM. `specification` is made in `measurement.py`."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    from benchmarks.peers.models import open_model

    batch, topics = specification["batch"], specification["topics"]
    classify = open_model(
        specification["model"], Path(specification["directory"]), batch, specification["threads"]
    )
    servers = specification["bootstrap_servers"]
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=servers,
        group_id=specification["group_id"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await producer.start()
    await consumer.start()
    print("ready", flush=True)
    while not stopped.is_set():
        fetched = await consumer.getmany(timeout_ms=200, max_records=POLL_RECORDS)
        receipts = []
        for partition, records in fetched.items():
            domain, output = topics[partition.topic]
            for chunk in _chunks(records, batch):
                events = [json.loads(record.value) for record in chunk]
                texts = [text_of(event) for event in events]
                answers = await asyncio.to_thread(classify, domain, texts)
                for event, (queue, confidence) in zip(events, answers, strict=True):
                    value = {"id": event["id"], "queue": queue, "confidence": confidence}
                    receipts.append(
                        await producer.send(
                            output, json.dumps(value).encode(), event["id"].encode()
                        )
                    )
        if receipts:
            await asyncio.gather(*receipts)
            await consumer.commit()
    await consumer.stop()
    await producer.stop()


def _chunks(records: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(records), size):
        yield records[start : start + size]


if __name__ == "__main__":
    asyncio.run(work(json.loads(sys.argv[1])))
