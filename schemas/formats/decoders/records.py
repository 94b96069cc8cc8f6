"""The bytes of one record that is not a JSON object, as a document."""

import re
from typing import Any, Literal

import msgspec
import orjson

from schemas.codec import decode_json
from schemas.errors import InvalidEvent, LimitExceeded
from schemas.formats.decoders import cef, leef, mail, pairs, syslog, windows_xml
from schemas.formats.decoders.characters import decode_text, to_utf8
from schemas.formats.decoders.fields import Budget
from schemas.formats.decoders.refusals import refusal
from schemas.limits import Limits, refuse_long

DecoderName = Literal["cef", "leef", "syslog", "windows-xml", "mail", "json"]

_XML_START = re.compile(rb"<[?!A-Za-z]")
_XML_HEAD_BYTES = 4_096
_JSON_STARTS = (b"{", b"[")
_LINE_START = re.compile(r"<\d{1,3}>|CEF: ?\d|LEEF: ?[12]")
_HEAD_CHARS = 300
_HEAD = re.compile(r"[^{}<>\"\n]*")
_CEE = "@cee:"


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """What a decoder made of a record: a document, or an array of documents.

    `name` says which decoder. It is ``json`` if the record holds JSON in another form: in UTF-16,
    inside a JSON string, or one document per line.
    """

    name: DecoderName
    document: dict[str, Any] | list[Any]


def decode_other(
    data: bytes, limits: Limits, received_at: float | None = None, max_events: int = 1_000
) -> Decoded:
    """Decode a record that is not a JSON object or array.

    The shapes of the documents are described in `schemas.formats.decoders`.

    Args:
        data: the bytes of the record, without a Confluent frame.
        limits: how large the record and its document may be.
        received_at: the time of the record, in seconds since 1970. A time that has no year is in
            the year that is nearest to it. Without it such a time is not read.
        max_events: how many documents the record may hold.

    Raises:
        InvalidEvent: nothing here can read the record; the message names what it looks like.
        LimitExceeded: the record is beyond the limits.
    """
    refuse_long(len(data), limits)
    content = to_utf8(data)
    if content.startswith(b'"'):
        content = _inside_string(content, limits)
    stripped = content.lstrip(b" \t\r\n\x0b\x0c")
    if stripped.startswith(_JSON_STARTS):
        return Decoded(name="json", document=_read_json(stripped, limits, max_events))
    decoded = _Decoder(limits, received_at, max_events).decode(stripped)
    if decoded is None:
        raise refusal(content)
    return decoded


class _Decoder:
    """Tries one format after another. What a record begins with tells which it is."""

    def __init__(self, limits: Limits, received_at: float | None, max_events: int) -> None:
        self._limits = limits
        self._max_events = max_events
        self._received_at = received_at
        self._budget = Budget(limits)

    def decode(self, data: bytes) -> Decoded | None:
        if _XML_START.match(data) and b"Event" in data[:_XML_HEAD_BYTES]:
            return self._xml(data)
        frames = syslog.frames(data)
        if frames is not None:
            _refuse_many(len(frames), self._max_events)
            return self._several([self._line(decode_text(frame)) for frame in frames])
        if mail.recognises(data):
            return Decoded(name="mail", document=mail.decode(data, self._received_at, self._budget))
        text = decode_text(syslog.without_count(data))
        lines = _separate_lines(text)
        _refuse_many(len(lines), self._max_events)
        decoded = self._several([self._line(line) for line in lines])
        return self._bare(text) if decoded is None else decoded

    def _xml(self, data: bytes) -> Decoded | None:
        documents = windows_xml.decode(decode_text(data), self._limits, self._budget)
        _refuse_many(len(documents), self._max_events)
        return self._several([("windows-xml", document) for document in documents])

    def _several(
        self, documents: list[tuple[DecoderName, dict[str, Any]] | None]
    ) -> Decoded | None:
        """One document as itself, several as an array; None if one of them cannot be read."""
        read = [document for document in documents if document is not None]
        if not read or len(read) < len(documents):
            return None
        name = read[0][0]
        if len(read) == 1:
            return Decoded(name=name, document=read[0][1])
        return Decoded(name=name, document=[document for _, document in read])

    def _line(self, text: str) -> tuple[DecoderName, dict[str, Any]] | None:
        header = syslog.read_header(text, self._received_at, self._budget)
        if header is None:
            return self._marked(text)
        fields, message = header
        name, inner = self._inside(message)
        if fields.keys().isdisjoint(("priority", "app")) and inner.keys() == {"message"}:
            return None  # words that begin with a time
        self._date(fields, inner)
        return name, {"syslog": fields, **inner}

    def _inside(self, message: str) -> tuple[DecoderName, dict[str, Any]]:
        """What a syslog message holds."""
        start = message[:1]
        if start in {"{", "["} or message.startswith(_CEE):
            document = self._json(message.removeprefix(_CEE).strip())
            if document is not None:
                return "syslog", {"json": document}
        if message.startswith("<Event"):
            event = self._windows_event(message)
            if event is not None:
                return "windows-xml", event
        marked = self._marked(message)
        if marked is not None:
            return marked
        return "syslog", {"message": message, **self._structure(message)}

    def _windows_event(self, message: str) -> dict[str, Any] | None:
        """The Windows event in a message, or None: relays cut long messages."""
        try:
            documents = windows_xml.decode(message, self._limits, self._budget)
        except LimitExceeded:
            raise
        except InvalidEvent:
            return None
        return documents[0] if len(documents) == 1 else None

    def _marked(self, text: str) -> tuple[DecoderName, dict[str, Any]] | None:
        """CEF or LEEF at the start of the text, or behind the words of a relay."""
        head = _HEAD.match(text, 0, _HEAD_CHARS)
        end = 0 if head is None else head.end()
        marker = _first_marker(text, end + len("LEEF:2.0|"))
        if marker is None or marker.start() > end:
            return None
        before = text[: marker.start()].strip()
        rest = text[marker.start() :].rstrip("\x00\r\n")
        name: DecoderName = "cef" if marker.re is cef.MARKER else "leef"
        read = cef.decode if name == "cef" else leef.decode
        document: dict[str, Any] = {name: read(rest, self._received_at, self._budget)}
        return name, {**document, "prefix": before} if before else document

    def _json(self, text: str) -> dict[str, Any] | list[Any] | None:
        """The object or the array of objects in a message, or None if it is something else."""
        try:
            document = decode_json(text.encode("utf-8", "replace"), self._limits)
        except LimitExceeded:
            raise
        except InvalidEvent:
            return None
        if isinstance(document, dict) or (document and isinstance(document[0], dict)):
            return document
        return None

    def _structure(self, message: str) -> dict[str, Any]:
        """The pairs, columns or mnemonic of a message, whichever it has."""
        fields = pairs.read_key_values(message, self._budget) or pairs.read_bracketed(
            message, self._budget
        )
        if fields is not None:
            return {"fields": fields}
        columns = pairs.read_columns(message, self._budget)
        if columns is not None:
            return {"columns": columns}
        mnemonic = pairs.read_mnemonic(message)
        return {} if mnemonic is None else {"mnemonic": mnemonic}

    def _bare(self, text: str) -> Decoded | None:
        """A line without a header, whose shape alone tells what it is."""
        message = text.strip("\x00\r\n ")
        if "\n" in message or not pairs.is_telling(message):
            return None
        structure = self._structure(message)
        if not structure:
            return None
        document: dict[str, Any] = {"syslog": {}, "message": message, **structure}
        self._date(document["syslog"], document)
        return Decoded(name="syslog", document=document)

    def _date(self, header: dict[str, Any], document: dict[str, Any]) -> None:
        """Give a header without a time the one that the pairs of the message state."""
        if "timestamp" not in header and "fields" in document:
            time = pairs.time_of(document["fields"], self._received_at)
            if time is not None:
                header["timestamp"] = time


def _refuse_many(events: int, limit: int) -> None:
    """Refuse a record that holds more events than it may.

    Raises:
        LimitExceeded: it does.
    """
    if events > limit:
        raise LimitExceeded(
            f"the record holds {events} events and formats.max_events_per_record is {limit}; "
            "send several records, or raise the limit",
            stage="decode",
        )


def _first_marker(text: str, end: int) -> re.Match[str] | None:
    found = (marker.search(text, 0, end) for marker in (cef.MARKER, leef.MARKER))
    return next((match for match in found if match is not None), None)


def _separate_lines(text: str) -> list[str]:
    """The lines of a text whose lines are records of their own, else the whole text as one."""
    if "\n" not in text:
        return [text]
    lines = [line for line in text.split("\n") if line.strip()]
    if all(_LINE_START.match(line) for line in lines):
        return lines
    return [text]


def _inside_string(data: bytes, limits: Limits) -> bytes:
    """The content of a JSON string; other data unchanged."""
    try:
        content = decode_json(data, limits)
    except InvalidEvent:
        return data
    return content.encode("utf-8", "replace") if isinstance(content, str) else data


def _read_json(data: bytes, limits: Limits, max_events: int) -> dict[str, Any] | list[Any]:
    """One JSON document, or several that stand on a line each.

    Raises:
        InvalidEvent: it is not JSON.
    """
    try:
        document: dict[str, Any] | list[Any] = decode_json(data, limits)
    except LimitExceeded:
        raise
    except InvalidEvent:
        documents = _json_lines(data, max_events)
        if documents is None:
            raise
        return documents
    return document


def _json_lines(data: bytes, max_events: int) -> list[Any] | None:
    lines = [line for line in data.split(b"\n") if line.strip()]
    if len(lines) < 2 or not all(line.lstrip().startswith(b"{") for line in lines):  # noqa: PLR2004
        return None
    _refuse_many(len(lines), max_events)
    try:
        return [orjson.loads(line) for line in lines]
    except orjson.JSONDecodeError:
        return None
