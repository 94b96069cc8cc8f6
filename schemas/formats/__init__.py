"""Adapters that read records of many formats into one `Event`.

`read_event` reads a record. `ADAPTERS` lists the formats that are known without configuration.
"""

from schemas.formats.adapters import ADAPTERS, Adapter, read_event
from schemas.formats.mapped import Mapping

__all__ = ["ADAPTERS", "Adapter", "Mapping", "read_event"]
