"""Reading records of many formats as events.

`read_events` reads a record. `ADAPTERS` lists the formats that are known without a mapping, and
`shipped_formats` those that ship as mappings.
"""

from schemas.formats.adapters import ADAPTERS, Adapter
from schemas.formats.mapped import Mapping
from schemas.formats.reader import Reading, Rejected
from schemas.formats.record import (
    MAX_EVENTS_PER_RECORD,
    read_document,
    read_event,
    read_events,
    read_record,
)
from schemas.formats.shipped import shipped_formats

__all__ = [
    "ADAPTERS",
    "MAX_EVENTS_PER_RECORD",
    "Adapter",
    "Mapping",
    "Reading",
    "Rejected",
    "read_document",
    "read_event",
    "read_events",
    "read_record",
    "shipped_formats",
]
