"""OCSF findings (Open Cybersecurity Schema Framework, category 2): https://schema.ocsf.io/categories/findings."""

from schemas.event import Event
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.whole import Places, read_whole

_FINDINGS_CATEGORY = 2
_FINDING_CLASSES = range(2001, 2008)

# `finding` is `finding_info` as it was called in class 2001, before OCSF 1.1.
_PLACES = Places(
    id=("finding_info.uid", "finding.uid", "metadata.uid"),
    title=("finding_info.title", "finding.title", "message"),
    body=("finding_info.desc", "finding.desc", "message"),
    source=("metadata.product.name", "metadata.product.vendor_name"),
    tenant=("metadata.tenant_uid",),
    occurred_at=("time", "time_dt", "finding_info.created_time", "finding_info.created_time_dt"),
)


def recognises(document: Document) -> bool:
    """By class, by category, or by the object only findings carry."""
    return (
        document.get("class_uid") in _FINDING_CLASSES
        or document.get("category_uid") == _FINDINGS_CATEGORY
        or isinstance(document.get("finding_info"), dict)
    )


def read(document: Document, envelope: Envelope) -> Event:
    """The finding as an event, the document whole in `event`; raises InvalidEvent for an impossible id or tenant."""
    return read_whole(document, _PLACES, envelope)
