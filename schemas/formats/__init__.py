"""Other people's formats, read into one `Event`: `read_event` is the way in, `ADAPTERS` the table of what is known."""

from schemas.formats.mapped import Mapping
from schemas.formats.record import ADAPTERS, Adapter, read_event

__all__ = ["ADAPTERS", "Adapter", "Mapping", "read_event"]
