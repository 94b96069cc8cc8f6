"""Alerts in the Elastic Common Schema, nested or with dotted keys: https://www.elastic.co/docs/reference/ecs."""

from schemas.event import Event
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.paths import find
from schemas.formats.values import as_text
from schemas.formats.whole import Places, read_whole

_ALERT_KINDS = ("alert", "signal")

_PLACES = Places(
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
    ),
    # When it happened; `@timestamp` of a Kibana alert is when the rule noticed.
    occurred_at=("kibana.alert.original_time", "@timestamp"),
)


def recognises(document: Document) -> bool:
    """By `@timestamp` with an alert's or signal's `event.kind`, by `ecs.version`, or by `kibana.alert.*`."""
    return (
        ("@timestamp" in document and as_text(find(document, "event.kind")) in _ALERT_KINDS)
        or as_text(find(document, "ecs.version")) is not None
        or isinstance(find(document, "kibana.alert"), dict)
        or any(key.startswith("kibana.alert.") for key in document)
    )


def read(document: Document, envelope: Envelope) -> Event:
    """The alert as an event, the document whole in `event`; raises InvalidEvent for an impossible id."""
    return read_whole(document, _PLACES, envelope)
