"""The contract for people in other languages: JSON Schema of every type and an AsyncAPI document of the topics."""

from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec
import orjson

from schemas.audit.record import AuditRecord
from schemas.deadletter import HEADER_SCHEMAS
from schemas.event import Event
from schemas.triaged import SCHEMA_NAME, Case, TriagedEvent, Verdict

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VERSION = "1.0.0"
_TYPES: dict[str, type[msgspec.Struct]] = {
    "event": Event,
    "triaged_event": TriagedEvent,
    "case": Case,
    "verdict": Verdict,
    "audit_record": AuditRecord,
}

# topic without prefix, key, payload type (None: not one of ours), what the pipeline does with it, what it carries
_CHANNELS: tuple[tuple[str, str, str | None, str, str], ...] = (
    (
        "alerts.v1",
        "event id",
        "Event",
        "receive",
        "Alerts, in; id and kind may be left out, vendor formats are read too",
    ),
    (
        "tickets.v1",
        "event id",
        "Event",
        "receive",
        "Tickets, in; id and kind may be left out, vendor formats are read too",
    ),
    (
        "alerts.triaged.v1",
        "event id",
        "TriagedEvent",
        "send",
        "Triaged alerts; a later revision of an id supersedes",
    ),
    (
        "tickets.triaged.v1",
        "event id",
        "TriagedEvent",
        "send",
        "Triaged tickets; a later revision of an id supersedes",
    ),
    ("enrichment.v1", "event id", "Case", "send", "Low-confidence events on their way to the LLM"),
    ("review.v1", "event id", "Case", "send", "Events waiting for a person"),
    ("feedback.v1", "event id", "Verdict", "receive", "Verdicts by people, in"),
    ("audit.v1", "tenant", "AuditRecord", "send", "Hash-chained decision log"),
    (
        "deadletter.v1",
        "original key",
        None,
        "send",
        "Original bytes, key and headers of what could not be processed",
    ),
)


def export(directory: Path, *, prefix: str = "triage") -> list[Path]:
    """Writes one JSON Schema (2020-12) per type and `asyncapi.json`; the same bytes every time.

    Args:
        directory: made if it is not there.
        prefix: of the topics, as configured under ``[topics]``.

    Returns:
        The files written, sorted.

    Raises:
        OSError: the directory cannot be written.
    """
    documents = {f"{name}.schema.json": json_schema(name) for name in _TYPES}
    documents["asyncapi.json"] = asyncapi(prefix)
    directory.mkdir(parents=True, exist_ok=True)
    return sorted(_write(directory / name, document) for name, document in documents.items())


def json_schema(name: str) -> dict[str, Any]:
    """The schema of one type (`event`, `triaged_event`, `case` or `verdict`), complete in itself."""
    identity = SCHEMA_NAME if _TYPES[name] is TriagedEvent else f"triage.{name}.v1"
    return {
        "$schema": _DIALECT,
        "$id": f"urn:{identity.replace('.', ':')}",
        "$ref": f"#/$defs/{_TYPES[name].__name__}",
        "$defs": _definitions([_TYPES[name]], "#/$defs/{name}"),
    }


def asyncapi(prefix: str) -> dict[str, Any]:
    """The topics as an AsyncAPI 3.0 document, from the pipeline's point of view."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Triage of alerts and tickets", "version": _VERSION},
        "defaultContentType": "application/json",
        "channels": {
            name: _channel(prefix, name, key, carries) for name, key, _, _, carries in _CHANNELS
        },
        "operations": {
            f"{action}.{name}": {"action": action, "channel": {"$ref": f"#/channels/{name}"}}
            for name, _, _, action, _ in _CHANNELS
        },
        "components": {
            "messages": {name: _message(name, key, type_) for name, key, type_, _, _ in _CHANNELS},
            "schemas": _definitions(list(_TYPES.values()), "#/components/schemas/{name}"),
        },
    }


def _definitions(types: list[type[msgspec.Struct]], ref_template: str) -> dict[str, Any]:
    _, definitions = msgspec.json.schema_components(types, ref_template=ref_template)
    # The descriptions are our docstrings, indented as they stand in the source.
    return {
        name: {**schema, "description": cleandoc(schema["description"])}
        for name, schema in definitions.items()
    }


def _channel(prefix: str, name: str, key: str, carries: str) -> dict[str, Any]:
    return {
        "address": f"{prefix}.{name}",
        "description": f"{carries}. Keyed by {key}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _message(name: str, key: str, type_: str | None) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": name,
        "bindings": {
            "kafka": {"key": {"type": "string", "description": key}, "bindingVersion": "0.5.0"}
        },
    }
    if type_ is not None:
        message["payload"] = {"$ref": f"#/components/schemas/{type_}"}
    if name == "deadletter.v1":
        message["contentType"] = "application/octet-stream"
        message["headers"] = {"type": "object", "properties": HEADER_SCHEMAS}
    return message


def _write(path: Path, document: dict[str, Any]) -> Path:
    path.write_bytes(
        orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
    )
    return path
