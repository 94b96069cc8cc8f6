"""The contract for other languages.

This is the JSON Schema of every type, and an AsyncAPI document of the topics.
"""

from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Any, Literal

import msgspec
import orjson

from schemas.audit.record import AuditRecord, ErasureRecord, UnreadRecord
from schemas.deadletter import HEADER_SCHEMAS
from schemas.event import Event
from schemas.label_record import LabelRecord
from schemas.triaged import SCHEMA_NAME, Case, TriagedEvent, Verdict

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VERSION = "1.0.0"
_TYPES: dict[str, type[msgspec.Struct]] = {
    "event": Event,
    "triaged_event": TriagedEvent,
    "case": Case,
    "verdict": Verdict,
    "label_record": LabelRecord,
    "audit_record": AuditRecord,
    "erasure_record": ErasureRecord,
    "unread_record": UnreadRecord,
}


@dataclass(frozen=True, slots=True)
class _Channel:
    """One topic as the AsyncAPI document describes it.

    `name` has no prefix. `action` is what the pipeline does with the topic. `payload` is None if
    the values of the records are not of one of our types.
    """

    name: str
    action: Literal["receive", "send"]
    payload: type[msgspec.Struct] | None
    description: str
    key: str = "event id"


_CHANNELS: tuple[_Channel, ...] = (
    _Channel(
        "alerts.v1",
        "receive",
        Event,
        "Incoming alerts. `id` and `kind` are optional, and vendor formats are accepted too",
    ),
    _Channel(
        "tickets.v1",
        "receive",
        Event,
        "Incoming tickets. `id` and `kind` are optional, and vendor formats are accepted too",
    ),
    _Channel(
        "alerts.triaged.v1",
        "send",
        TriagedEvent,
        "Triaged alerts. A later revision of an id replaces an earlier one",
    ),
    _Channel(
        "tickets.triaged.v1",
        "send",
        TriagedEvent,
        "Triaged tickets. A later revision of an id replaces an earlier one",
    ),
    _Channel("enrichment.v1", "send", Case, "Low-confidence events that wait for the LLM"),
    _Channel("review.v1", "send", Case, "Events that wait for a person"),
    _Channel("feedback.v1", "receive", Verdict, "Verdicts by people"),
    _Channel(
        "labels.v1",
        "send",
        LabelRecord,
        "What people and the LLM decided, compacted. A record without a value erases a row",
        key="event id, or a JSON array that begins with it",
    ),
    _Channel("audit.v1", "send", AuditRecord, "Hash-chained log of all decisions", key="tenant"),
    _Channel(
        "deadletter.v1",
        "send",
        None,
        "Records that could not be processed, with their original bytes, key and headers",
        key="original key",
    ),
)


def export(directory: Path, *, prefix: str = "triage") -> list[Path]:
    """Write one JSON Schema (2020-12) per type, and `asyncapi.json`.

    The bytes are the same every time.

    Args:
        directory: where to write. It is created if it does not exist.
        prefix: the prefix of the topics, as configured under ``[topics]``.

    Returns:
        The files that were written, sorted.

    Raises:
        OSError: the directory cannot be written.
    """
    documents = {f"{name}.schema.json": json_schema(name) for name in _TYPES}
    documents["asyncapi.json"] = asyncapi(prefix)
    directory.mkdir(parents=True, exist_ok=True)
    return sorted(_write(directory / name, document) for name, document in documents.items())


def json_schema(name: str) -> dict[str, Any]:
    """The schema of one type, with the definitions of all types that it refers to.

    `name` is `event`, `triaged_event`, `case`, `verdict` or another name that is exported.
    """
    type_ = _TYPES[name]
    return {
        "$schema": _DIALECT,
        "$id": f"urn:{_schema_name(name).replace('.', ':')}",
        "$ref": f"#/$defs/{type_.__name__}",
        "$defs": _definitions([type_], "#/$defs/{name}"),
    }


def asyncapi(prefix: str) -> dict[str, Any]:
    """The AsyncAPI 3.0 document of the topics, from the point of view of the pipeline."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Triage of alerts and tickets", "version": _VERSION},
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel, prefix) for channel in _CHANNELS},
        "operations": {
            f"{channel.action}.{channel.name}": _operation(channel) for channel in _CHANNELS
        },
        "components": {
            "messages": {channel.name: _message(channel) for channel in _CHANNELS},
            "schemas": _definitions(list(_TYPES.values()), "#/components/schemas/{name}"),
        },
    }


def _schema_name(name: str) -> str:
    if _TYPES[name] is TriagedEvent:
        return SCHEMA_NAME
    return f"triage.{name}.v1"


def _definitions(types: list[type[msgspec.Struct]], ref_template: str) -> dict[str, Any]:
    _, definitions = msgspec.json.schema_components(types, ref_template=ref_template)
    # The descriptions are our docstrings, which are indented in the source.
    return {
        name: {**schema, "description": cleandoc(schema["description"])}
        for name, schema in definitions.items()
    }


def _channel(channel: _Channel, prefix: str) -> dict[str, Any]:
    return {
        "address": f"{prefix}.{channel.name}",
        "description": f"{channel.description}. The key is the {channel.key}.",
        "messages": {channel.name: {"$ref": f"#/components/messages/{channel.name}"}},
    }


def _operation(channel: _Channel) -> dict[str, Any]:
    return {"action": channel.action, "channel": {"$ref": f"#/channels/{channel.name}"}}


def _message(channel: _Channel) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": channel.name,
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": channel.key},
                "bindingVersion": "0.5.0",
            }
        },
    }
    if channel.payload is not None:
        message["payload"] = {"$ref": f"#/components/schemas/{channel.payload.__name__}"}
    else:
        message["contentType"] = "application/octet-stream"
        message["headers"] = {"type": "object", "properties": HEADER_SCHEMAS}
    return message


def _write(path: Path, document: dict[str, Any]) -> Path:
    path.write_bytes(
        orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
    )
    return path
