"""How much of what an audit record says that it cost is counted for the budget."""

from collections import OrderedDict
from math import inf, isfinite

from schemas.audit.record import AuditRecord

MAX_REMEMBERED = 10_000


class SpendingLimits:
    """Counts each record once, and with at most `max_usd` US dollars.

    The topic may have a record twice: a producer repeats its last batch, or somebody copies records
    to use up the budget of the day.
    """

    def __init__(self, max_usd: float = inf) -> None:
        self._max_usd = max_usd
        self._counted: OrderedDict[str, None] = OrderedDict()

    def counted(self, record: AuditRecord) -> float:
        """The US dollars that count: 0 for a copy and for a cost that cannot be one."""
        usd = record.enrichment.cost_usd if record.enrichment else 0.0
        if not usd or record.digest in self._counted:
            return 0.0
        self._counted[record.digest] = None
        if len(self._counted) > MAX_REMEMBERED:
            self._counted.popitem(last=False)
        if not isfinite(usd) or usd < 0:
            return 0.0
        return min(usd, self._max_usd)
