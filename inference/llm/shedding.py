"""Which cases go to review unasked while more arrive than the LLM can answer."""

import random
from bisect import bisect_left
from collections import deque

RECENT_CASES = 500


class Shedding:
    """Sheds the least uncertain: a person can lean on the small model's opinion about them most.

    With `backlog` cases waiting and `limit` allowed, the share shed is ``1 - limit / backlog``: at twice the limit
    the half whose estimated risk is lowest, judged against the last cases seen.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._recent: deque[tuple[float, float]] = deque(maxlen=RECENT_CASES)

    def sheds(self, risk: float, backlog: int) -> bool:
        """Whether a case of this estimated risk is shed now."""
        place = (risk, random.random())  # noqa: S311 - chance breaks ties: "unfamiliar" is one risk for many
        self._recent.append(place)
        if backlog <= self._limit:
            return False
        below = bisect_left(sorted(self._recent), place)
        return below < len(self._recent) * (1 - self._limit / backlog)
