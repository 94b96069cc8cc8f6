"""`triage classify`: NDJSON events in, triaged events out, without a broker."""

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, cast

import click
import msgspec

from agents.classify import classify as classify_batch
from agents.outcomes import DeadLettered, Escalated, Incoming, Outcome, Reviewed, Triaged
from inference.record_file import open_records
from schemas.errors import InvalidEvent
from schemas.event import KIND_OF_DOMAIN, Domain, Kind
from streams.cli.options import configured, domain
from streams.cli.output import echo, echo_ndjson
from streams.config import Settings
from streams.files import incoming, kind_of
from streams.wiring.model import open_classifier, open_rules

BATCH_LINES = 128
BATCHES_AHEAD = 4

Triage = Callable[..., Awaitable[list[Outcome]]]
ReadKind = Callable[[bytes], Kind]


@click.command(
    epilog='Example: echo \'{"kind":"ticket","text":"my card was stolen"}\' | triage classify -'
)
@click.argument("file")
@domain
@configured
def classify(settings: Settings, file: str, domain: str | None) -> None:
    """Triage the lines of FILE (- for standard input) and print triaged events in input order.

    A line that cannot be read becomes a dead-letter object on stderr, and the rest goes on.
    """
    asyncio.run(_run(settings, file, cast("Domain | None", domain)))


async def _run(settings: Settings, file: str, domain: Domain | None) -> None:
    classifier = open_classifier(settings)
    triage = partial(
        classify_batch,
        classifier=classifier,
        rules=open_rules(settings, classifier),
        mappings=settings.mappings,
        limits=settings.limits,
    )
    read_kind = partial(kind_of, domain=domain, limits=settings.limits)
    ahead: deque[tuple[list[Incoming], asyncio.Task[list[Outcome]]]] = deque()
    try:
        for batch in _batches(file):
            ahead.append((batch, asyncio.create_task(_triage(batch, read_kind, triage))))
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


def _batches(file: str) -> Iterator[list[Incoming]]:
    with open_records(file) as records:
        if not records.is_plain:  # programs read the dead letters of NDJSON on stderr
            echo(f"{file} is read as {records.taken_for}", err=True)
        numbered = (incoming(file, number, line) for number, line in records.numbered)
        while batch := list(itertools.islice(numbered, BATCH_LINES)):
            yield batch


async def _triage(batch: list[Incoming], read_kind: ReadKind, triage: Triage) -> list[Outcome]:
    kinds = [_kind(line, read_kind) for line in batch]
    outcomes: dict[int, Outcome] = {
        row: kind for row, kind in enumerate(kinds) if isinstance(kind, DeadLettered)
    }
    for kind in KIND_OF_DOMAIN.values():
        rows = [row for row, kind_of_row in enumerate(kinds) if kind_of_row == kind]
        decided = await triage([batch[row] for row in rows], kind=kind)
        outcomes |= dict(zip(rows, decided, strict=True))
    return [outcomes[row] for row in range(len(batch))]


def _kind(line: Incoming, read_kind: ReadKind) -> Kind | DeadLettered:
    try:
        return read_kind(line.value or b"")
    except InvalidEvent as error:
        return DeadLettered(stage=error.stage, error=type(error).__name__, message=str(error))


def _print(batch: list[Incoming], outcomes: list[Outcome]) -> None:
    triaged_events, dead_letters = [], []
    for line, outcome in zip(batch, outcomes, strict=True):
        match outcome:
            case Triaged(triaged):
                triaged_events.append(msgspec.to_builtins(triaged))
            case Escalated(case) | Reviewed(case):
                triaged_events.append(msgspec.to_builtins(case.triaged))
            case DeadLettered():
                dead_letters.append(_dead_letter(line, outcome))
    echo_ndjson(triaged_events)
    echo_ndjson(dead_letters, err=True)


def _dead_letter(line: Incoming, letter: DeadLettered) -> dict[str, Any]:
    return {
        "dead_letter": True,
        "file": line.origin.topic,
        "line": line.origin.offset + 1,
        "stage": letter.stage,
        "error": letter.error,
        "message": letter.message,
        "disposition": letter.disposition,
        "original": (line.value or b"").decode("utf-8", "replace"),
    }
