"""Findings of the Open Cybersecurity Schema Framework (OCSF, category 2).

https://schema.ocsf.io/categories/findings
"""

from schemas.event import Event
from schemas.formats.document import Document
from schemas.formats.envelope import Envelope
from schemas.formats.whole import FieldPaths, found_in, read_whole

_FINDINGS_CATEGORY = 2
_FINDING_CLASSES = range(2001, 2008)

# Before OCSF 1.1, class 2001 had the name `finding` for what is now `finding_info`.
_PATHS = FieldPaths(
    id=("finding_info.uid", "finding.uid", "metadata.uid"),
    title=("finding_info.title", "finding.title", "message"),
    body=("finding_info.desc", "finding.desc", "message"),
    source=("metadata.product.name", "metadata.product.vendor_name"),
    tenant=("metadata.tenant_uid",),
    occurred_at=("time", "time_dt", "finding_info.created_time", "finding_info.created_time_dt"),
    link=("finding_info.src_url", "src_url"),
)


def recognises(document: Document) -> bool:
    """Whether the class, the category or the object `finding_info` marks an OCSF finding."""
    return (
        document.get("class_uid") in _FINDING_CLASSES
        or document.get("category_uid") == _FINDINGS_CATEGORY
        or isinstance(document.get("finding_info"), dict)
    )


def read(document: Document, envelope: Envelope) -> Event:
    """Read the finding as an event. The complete document is kept in `event`.

    Raises:
        InvalidEvent: the id or the tenant cannot be used.
    """
    return read_whole(document, _PATHS, envelope)


def found(document: Document) -> dict[str, str]:
    """For each field that the document fills: the path where it is."""
    return found_in(document, _PATHS)
