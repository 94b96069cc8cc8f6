"""CloudEvents 1.0 on Kafka, structured and binary: the envelope comes off, its data is recognised like any record.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
"""

import base64
import binascii
from typing import Any

import msgspec

from schemas.errors import InvalidEvent
from schemas.event import Headers
from schemas.formats.document import Document, decode_document, json_type
from schemas.formats.envelope import Envelope
from schemas.formats.instants import to_rfc3339
from schemas.formats.values import as_id, as_text

_STRUCTURED_TYPE = "application/cloudevents+json"
_DATA = ("data", "data_base64")
_PREFIX = "ce_"


def unwrap(value: bytes, headers: Headers, envelope: Envelope) -> tuple[Document, Envelope]:
    """The document in a record and what its CloudEvent says about it; a record that is no CloudEvent, as it is.

    One envelope is taken off. A CloudEvent inside a CloudEvent is somebody's document and is kept as one.

    Raises:
        InvalidEvent: not JSON, not an object, or a CloudEvent without data.
    """
    texts = _header_texts(headers)
    content_type = texts.get("content-type", "")
    if not content_type.startswith(_STRUCTURED_TYPE) and (
        "ce_specversion" in texts or "ce_id" in texts
    ):
        attributes = {
            name.removeprefix(_PREFIX): text
            for name, text in texts.items()
            if name.startswith(_PREFIX)
        }
        return _read_data(value, content_type), _describe(attributes, envelope)
    document = decode_document(value)
    if not _is_structured(document, content_type):
        return document, envelope
    attributes = {name: document[name] for name in document if name not in _DATA}
    return _read_structured(document), _describe(attributes, envelope)


def _header_texts(headers: Headers) -> dict[str, str]:
    # Header values of other tools need not be UTF-8; a bad one is no reason to refuse the event.
    return {
        name.lower(): value.decode("utf-8", "replace")
        for name, value in headers
        if value is not None
    }


def _is_structured(document: Document, content_type: str) -> bool:
    if content_type.startswith(_STRUCTURED_TYPE) and not document.keys().isdisjoint(_DATA):
        return True
    return "specversion" in document and not document.keys().isdisjoint((*_DATA, "type"))


def _describe(attributes: dict[str, Any], envelope: Envelope) -> Envelope:
    """The CloudEvent's context; all of it is kept, under the names it has as Kafka headers."""
    return msgspec.structs.replace(
        envelope,
        id=as_id(attributes.get("id")) or envelope.id,
        source=as_text(attributes.get("source")),
        occurred_at=to_rfc3339(attributes.get("time")),
        attributes={f"{_PREFIX}{name}": value for name, value in attributes.items()},
    )


def _read_structured(document: Document) -> Document:
    content_type = as_text(document.get("datacontenttype")) or ""
    if document.get("data_base64") is not None:
        return _read_data(_decode_base64(document["data_base64"]), content_type)
    data = document.get("data")
    if isinstance(data, dict):
        return data
    if isinstance(data, str):
        return _read_string(data)
    raise InvalidEvent(
        f"the CloudEvent's data is {json_type(data)}; send an object, JSON in a string, or text",
        stage="recognise",
    )


def _read_data(value: bytes, content_type: str) -> Document:
    """Text where the content type says so, JSON otherwise, which is the CloudEvents default."""
    if not content_type.startswith("text/"):
        return decode_document(value)
    try:
        return {"text": value.decode("utf-8")}
    except UnicodeDecodeError:
        raise InvalidEvent(
            "the CloudEvent's text is not UTF-8; encode it so", stage="decode"
        ) from None


def _read_string(data: str) -> Document:
    try:
        return decode_document(data.encode())
    except InvalidEvent:
        return {"text": data}


def _decode_base64(value: object) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidEvent(
            "the CloudEvent's data_base64 is not base64; encode it so", stage="decode"
        ) from None
