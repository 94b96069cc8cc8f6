"""One dead letter: its place, why it is one, what it shows, and the record that it was."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from agents.outcomes import Incoming
from schemas.deadletter import DeadLetterHeaders, original_headers
from schemas.errors import InvalidEvent
from schemas.event import Event
from schemas.formats import read_events
from schemas.titles import plain_title
from schemas.visible_text import printable
from streams.kafka.record import Record

PREVIEW_CHARS = 80
MAX_HEADER_CHARS = 300
"""Of a header in a list. `show` has all of it."""
PLACE = re.compile(
    r"\A(?P<topic>.+)\[(?P<partition>\d{1,9})\]@(?P<offset>\d{1,18})(#(?P<element>\d{1,9}))?"
)


class PlaceOfRecord(NamedTuple):
    """Where a record is; written ``TOPIC[PARTITION]@OFFSET``.

    One event of a record with several has ``#ELEMENT`` behind it.
    """

    topic: str
    partition: int
    offset: int
    element: int | None = None

    def __str__(self) -> str:
        element = "" if self.element is None else f"#{self.element}"
        return f"{self.topic}[{self.partition}]@{self.offset}{element}"

    @classmethod
    def parse(cls, text: str) -> "PlaceOfRecord":
        """Read a place as it is written.

        Raises:
            ValueError: the text is not a place.
        """
        match = PLACE.fullmatch(text)
        if match is None:
            raise ValueError(text)
        element = match["element"]
        return cls(
            match["topic"],
            int(match["partition"]),
            int(match["offset"]),
            None if element is None else int(element),
        )


class Reason(NamedTuple):
    """Why records became dead letters, as their headers say."""

    stage: str
    error: str
    topic: str
    disposition: str


@dataclass(frozen=True)
class Letter:
    """One record of the dead-letter topic."""

    record: Incoming

    @cached_property
    def headers(self) -> DeadLetterHeaders:
        """What its headers say."""
        return DeadLetterHeaders.read(self.record.headers)

    @property
    def reason(self) -> Reason:
        """Why it is one."""
        headers = self.headers
        return Reason(headers.stage, headers.error, headers.topic, headers.disposition)

    @property
    def place(self) -> PlaceOfRecord:
        """Where the letter itself is."""
        origin = self.record.origin
        return PlaceOfRecord(origin.topic, origin.partition, origin.offset)

    @property
    def original_record(self) -> str:
        """Where the original record was, as the headers say."""
        headers = self.headers
        return f"{headers.topic}[{headers.partition}]@{headers.offset}"

    @property
    def original_place(self) -> str:
        """The same, and which of the events of that record it is, if it holds several."""
        element = self.headers.element
        return f"{self.original_record}#{element}" if element else self.original_record

    @property
    def title(self) -> str | None:
        """What the event is about, if the record can be read; of several events, the first one."""
        record = self.record
        try:
            events = read_events(
                record.value,
                headers=original_headers(record.headers),
                origin=record.origin,
                kind="alert",
            )
        except InvalidEvent:
            return None
        titles = (plain_title(event) for event in events if isinstance(event, Event))
        return next((title for title in titles if title), None)

    def line(self) -> str:
        """One line for a person."""
        headers = self.headers
        fields = (self.original_place, headers.stage, headers.disposition, headers.message)
        preview = (self.record.value or b"")[: 4 * PREVIEW_CHARS].decode("utf-8", "replace")
        shown = [printable(text, MAX_HEADER_CHARS) for text in fields]
        about = printable(self.title or repr(preview[:PREVIEW_CHARS]))
        return "  ".join([*shown, about])

    def describe(self) -> dict[str, Any]:
        """All of it, for a program."""
        headers = self.headers
        return {
            "topic": headers.topic,
            "partition": headers.partition,
            "offset": headers.offset,
            "element": headers.element or None,
            "stage": headers.stage,
            "error": headers.error,
            "message": headers.message,
            "disposition": headers.disposition,
            "attempt": headers.attempt,
            "title": self.title,
            "key": _text(self.record.key),
            "value": _text(self.record.value),
        }

    def describe_whole(self) -> dict[str, Any]:
        """`describe`, with the place of the letter and the headers of the original record."""
        headers = original_headers(self.record.headers)
        return {
            "letter": str(self.place),
            **self.describe(),
            "headers": [[name, _text(value)] for name, value in headers],
        }

    def original(self) -> Record:
        """The record as it was first read, with the count of its attempts.

        Of one event of a record with several, it is that event alone.
        """
        headers = original_headers(self.record.headers)
        return Record(self.headers.topic, self.record.key, self.record.value, headers)


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")
