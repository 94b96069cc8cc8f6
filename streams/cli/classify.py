"""`triage classify`: NDJSON events in, triaged events out, without a broker."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, cast

import click
import msgspec

from agents.classify import classify as classify_batch
from agents.outcomes import DeadLettered, Escalated, Incoming, Outcome, Reviewed, Triaged
from inference.record_file import open_records
from schemas.event import KIND_OF_DOMAIN, Domain
from streams.cli.options import configured, domain
from streams.cli.output import echo, echo_ndjson
from streams.config import Settings
from streams.files import incoming
from streams.wiring.model import open_rules, open_served, reader_of

BATCH_EVENTS = 128
BATCHES_AHEAD = 4

Read = Callable[[Incoming], Awaitable[list[Incoming]]]


@click.command(
    epilog='Example: echo \'{"kind":"ticket","text":"my card was stolen"}\' | triage classify -'
)
@click.argument("file")
@domain
@configured
def classify(settings: Settings, file: str, domain: str | None) -> None:
    """Triage the lines of FILE (- for standard input) and print triaged events in input order.

    A line may hold several events. A line or an event that cannot be read becomes a dead-letter
    object on stderr, and the rest goes on.
    """
    asyncio.run(_run(settings, file, cast("Domain | None", domain)))


async def _run(settings: Settings, file: str, domain: Domain | None) -> None:
    # Those that a worker serves too, for the whole file.
    classifier = open_served(settings).serving
    triage = partial(classify_batch, classifier=classifier, rules=open_rules(settings, classifier))
    kind = KIND_OF_DOMAIN[domain] if domain else None
    read = partial(reader_of(settings, classifier.domains), kind=kind)
    ahead: deque[tuple[list[Incoming], asyncio.Task[list[Outcome]]]] = deque()
    try:
        async for batch in _batches(file, read):
            ahead.append((batch, asyncio.create_task(triage(batch))))
            await asyncio.sleep(0)
            if len(ahead) == BATCHES_AHEAD:
                _print(ahead[0][0], await ahead[0][1])
                ahead.popleft()
        for waiting, outcomes in ahead:
            _print(waiting, await outcomes)
    finally:
        for _, task in ahead:
            task.cancel()
        await classifier.close()


async def _batches(file: str, read: Read) -> AsyncIterator[list[Incoming]]:
    """The events of the lines, in order; a line with many events fills several batches."""
    batch: list[Incoming] = []
    with open_records(file) as records:
        if not records.is_plain:  # programs read the dead letters of NDJSON on stderr
            echo(f"{file} is read as {records.taken_for}", err=True)
        for number, line in records.numbered:
            for event in await read(incoming(file, number, line)):
                batch.append(event)
                if len(batch) == BATCH_EVENTS:
                    yield batch
                    batch = []
    if batch:
        yield batch


def _print(batch: list[Incoming], outcomes: list[Outcome]) -> None:
    triaged_events, dead_letters = [], []
    for line, outcome in zip(batch, outcomes, strict=True):
        match outcome:
            case Triaged(triaged):
                triaged_events.append(msgspec.to_builtins(triaged))
            case Escalated(case):
                triaged_events.append(msgspec.to_builtins(case.triaged))
            case Reviewed(case, provisional):
                triaged_events.append(msgspec.to_builtins(provisional or case.triaged))
            case DeadLettered():
                dead_letters.append(_dead_letter(line, outcome))
    echo_ndjson(triaged_events)
    echo_ndjson(dead_letters, err=True)


def _dead_letter(line: Incoming, letter: DeadLettered) -> dict[str, Any]:
    return {
        "dead_letter": True,
        "file": line.origin.topic,
        "line": line.origin.offset + 1,
        "element": line.position,
        "stage": letter.stage,
        "error": letter.error,
        "message": letter.message,
        "disposition": letter.disposition,
        "original": (line.original() or b"").decode("utf-8", "replace"),
    }
