"""Alerts in the Elastic Common Schema: https://www.elastic.co/docs/reference/ecs.

Keys may be nested or dotted.
"""

import msgspec

from schemas.event import Event
from schemas.formats import guesses
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.paths import find
from schemas.formats.values import as_text
from schemas.formats.whole import FieldPaths, found_in, read_whole

_ALERT_KINDS = ("alert", "signal")

_PATHS = FieldPaths(
    id=("kibana.alert.uuid", "event.id"),
    title=("kibana.alert.rule.name", "rule.name", "signal.rule.name"),
    body=("kibana.alert.reason", "message", "kibana.alert.rule.description", "rule.description"),
    tenant=("organization.id",),
    source=(
        "event.module",
        "event.dataset",
        "event.provider",
        "observer.product",
        "observer.vendor",
        "service.name",
    ),
    # The time of the event itself comes first. The `@timestamp` of a Kibana alert is the time at
    # which the rule found the event.
    occurred_at=("kibana.alert.original_time", "@timestamp"),
    link=("kibana.alert.url", "event.url", "rule.reference"),
)


def recognises(document: Document) -> bool:
    """Whether the document is in ECS: an alert, or any document with an `ecs.version`."""
    return is_alert(document) or as_text(find(document, "ecs.version")) is not None


def is_alert(document: Document) -> bool:
    """Whether the document is an ECS alert.

    It is one if it has an `@timestamp` and the `event.kind` of an alert or signal, or any field of
    `kibana.alert`. Beats write an `ecs.version` on every line of a log that they ship.
    """
    return (
        ("@timestamp" in document and as_text(find(document, "event.kind")) in _ALERT_KINDS)
        or isinstance(find(document, "kibana.alert"), dict)
        or any(key.startswith("kibana.alert.") for key in document)
    )


def read(document: Document, envelope: Envelope) -> Event:
    """Read the alert as an event. The complete document is kept in `event`.

    Products that add fields of their own often have their title, and nothing else, in these.

    Raises:
        InvalidEvent: the id or the tenant cannot be used.
    """
    event = read_whole(document, _PATHS, envelope)
    if event.title or event.body:
        return event
    return msgspec.structs.replace(event, title=guesses.title_of(document))


def found(document: Document) -> dict[str, str]:
    """For each field that the document fills: the path where it is."""
    return found_in(document, _PATHS)
