"""The events of a benchmark: the shipped samples, repeated with new ids."""

import itertools
from collections.abc import Iterator

import orjson

from inference.record_file import read_lines
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS, KIND_OF_DOMAIN, Domain, Event, Origin
from schemas.formats import read_event
from streams.local.demo import SAMPLES

ORIGIN = Origin(topic="samples", partition=0, offset=0)
SHORT_TEXTS = (
    "My card was stolen last night",
    "Why was I charged a fee?",
    "The transfer has not arrived yet",
)


NO_CACHE = {"TRIAGE_MODEL__CACHED_TEXTS": "0"}
"""Of a worker: the samples are repeated, so with a cache it would be measured without its encoder.

What the cache saves on a stream is measured by `benchmarks.repeats`.
"""


def samples() -> list[tuple[Domain, Event]]:
    """The shipped samples that can be read. Alerts and tickets take turns."""
    by_domain = {domain: list(_readable(domain)) for domain in DOMAINS}
    pairs = itertools.zip_longest(*by_domain.values())
    return [(event.domain, event) for pair in pairs for event in pair if event is not None]


def mixed(count: int) -> Iterator[tuple[Domain, bytes]]:
    """Make `count` events of mixed length in the native format, each with its own id."""
    for number, (domain, event) in zip(range(count), itertools.cycle(samples()), strict=False):
        yield domain, orjson.dumps(_plain(event) | {"id": f"bench-{number}"})


def short(count: int) -> Iterator[tuple[Domain, bytes]]:
    """Make `count` one-line tickets, for runs in which only the number of events matters."""
    for number, text in zip(range(count), itertools.cycle(SHORT_TEXTS), strict=False):
        yield "tickets", orjson.dumps({"id": f"soak-{number}", "kind": "ticket", "text": text})


def _readable(domain: Domain) -> Iterator[Event]:
    for line in read_lines(str(SAMPLES / f"{domain}.ndjson")):
        try:
            yield read_event(line, origin=ORIGIN, kind=KIND_OF_DOMAIN[domain])
        except InvalidEvent:
            continue


def _plain(event: Event) -> dict[str, object]:
    fields = ("kind", "text", "title", "body", "event", "source", "tenant")
    return {name: value for name in fields if (value := getattr(event, name)) is not None}
