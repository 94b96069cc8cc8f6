"""CloudEvents 1.0 on Kafka, in structured and in binary mode.

The envelope is removed. Its data is then recognised like any other record.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
"""

import base64
from contextlib import suppress
from typing import Any

import msgspec

from schemas.errors import InvalidEvent
from schemas.event import Headers
from schemas.formats.document import Decode, Document, json_type
from schemas.formats.envelope import Envelope
from schemas.formats.instants import to_rfc3339
from schemas.formats.values import as_explicit_tenant, as_id, as_text

_STRUCTURED_TYPE = "application/cloudevents+json"
_DATA = ("data", "data_base64")
_PREFIX = "ce_"


def unwrap(
    value: bytes, headers: Headers, envelope: Envelope, decode: Decode
) -> tuple[Document | list[Any], Envelope]:
    """The document in a record, and the envelope with what the CloudEvent says about it.

    A record that is not a CloudEvent gives its own document and the envelope unchanged. Only one
    envelope is removed: a CloudEvent inside a CloudEvent is kept as a document. `decode` makes a
    document of bytes.

    Raises:
        InvalidEvent: the record is no JSON object or array, it is a CloudEvent without readable
            data, or one of the two is beyond the limits.
    """
    texts = _header_texts(headers)
    content_type = texts.get("content-type", "")
    if _is_binary(texts, content_type):
        attributes = {
            name.removeprefix(_PREFIX): text
            for name, text in texts.items()
            if name.startswith(_PREFIX)
        }
        return _read_data(value, content_type, decode), _describe(attributes, envelope)
    document = decode(value)
    if isinstance(document, dict) and is_structured(document, content_type):
        return read_structured(document, envelope, decode)
    return document, envelope


def read_structured(
    document: Document, envelope: Envelope, decode: Decode
) -> tuple[Document | list[Any], Envelope]:
    """The data of a CloudEvent in structured mode, and the envelope with what the event says.

    Raises:
        InvalidEvent: its data cannot be read.
    """
    data = "data" if document.get("data_base64") is None else "data_base64"
    attributes = {name: document[name] for name in document if name != data}
    return _structured_data(document, decode), _describe(attributes, envelope)


def _header_texts(headers: Headers) -> dict[str, str]:
    # Other tools may write header values that are not UTF-8. The event is still read.
    return {
        name.lower(): value.decode("utf-8", "replace")
        for name, value in headers
        if value is not None
    }


def _is_binary(header_texts: dict[str, str], content_type: str) -> bool:
    if content_type.startswith(_STRUCTURED_TYPE):
        return False
    return "ce_specversion" in header_texts or "ce_id" in header_texts


def is_structured(document: Document, content_type: str = "") -> bool:
    """Whether the document is a CloudEvent in structured mode."""
    if content_type.startswith(_STRUCTURED_TYPE) and not document.keys().isdisjoint(_DATA):
        return True
    return "specversion" in document and not document.keys().isdisjoint((*_DATA, "type"))


def _describe(attributes: dict[str, Any], envelope: Envelope) -> Envelope:
    """The envelope with every context attribute, under the name it has as a Kafka header.

    Another CloudEvent may be around this one: what that says of the tenant stands before it.
    """
    return msgspec.structs.replace(
        envelope,
        id=as_id(attributes.get("id")) or envelope.id,
        source=as_text(attributes.get("source")) or envelope.source,
        tenant=envelope.tenant or as_explicit_tenant(attributes.get("tenant")),
        occurred_at=to_rfc3339(attributes.get("time")) or envelope.occurred_at,
        attributes=envelope.attributes_with(
            {f"{_PREFIX}{name}": value for name, value in attributes.items()}
        ),
    )


def _structured_data(document: Document, decode: Decode) -> Document | list[Any]:
    if document.get("data_base64") is not None:
        content_type = as_text(document.get("datacontenttype")) or ""
        return _read_data(_decode_base64(document["data_base64"]), content_type, decode)
    data = document.get("data")
    if isinstance(data, dict | list):
        return data
    if isinstance(data, str):
        return _read_string(data, decode)
    raise InvalidEvent(
        f"the CloudEvent's data is {json_type(data)}; send an object, JSON in a string, or text",
        stage="recognise",
    )


def _read_data(value: bytes, content_type: str, decode: Decode) -> Document | list[Any]:
    """Read data as text if its content type is ``text/…``, else as JSON (the CloudEvents default).

    Raises:
        InvalidEvent: the text is not UTF-8, or the JSON cannot be read.
    """
    if not content_type.startswith("text/"):
        return decode(value)
    try:
        return {"text": value.decode("utf-8")}
    except UnicodeDecodeError:
        raise InvalidEvent(
            "the CloudEvent's text is not UTF-8; encode it as UTF-8", stage="decode"
        ) from None


def _read_string(data: str, decode: Decode) -> Document | list[Any]:
    """The JSON in a string; what is no JSON, or is beyond the limits, is text."""
    if data.lstrip().startswith(("{", "[")):
        with suppress(InvalidEvent):
            return decode(data.encode())
    return {"text": data}


def _decode_base64(value: object) -> bytes:
    if isinstance(value, str):
        with suppress(ValueError):  # also the parent class of binascii.Error
            return base64.b64decode(value, validate=True)
    raise InvalidEvent(
        "the CloudEvent's data_base64 is not valid base64; encode the data as base64",
        stage="decode",
    )
