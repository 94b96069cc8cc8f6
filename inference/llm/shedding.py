"""Chooses the cases that go to review without the LLM while too many cases wait."""

import random
from bisect import bisect_left
from collections import deque

RECENT_CASES = 500


class Shedding:
    """Sheds the cases with the lowest estimated risk.

    A person who reviews them can rely on the small model's labels most. Each case is compared with
    the last `RECENT_CASES` cases. With `backlog` cases waiting and `limit` allowed, the share
    ``1 - limit / backlog`` is shed. At twice the limit, this is half of the cases.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._recent: deque[tuple[float, float]] = deque(maxlen=RECENT_CASES)

    def sheds(self, risk: float, backlog: int) -> bool:
        """Whether to shed a case with this estimated risk now."""
        # Random numbers break ties: many out-of-distribution cases have the same risk.
        rank = (risk, random.random())  # noqa: S311 - no secret depends on it
        self._recent.append(rank)
        if backlog <= self._limit:
            return False
        lower_ranks = bisect_left(sorted(self._recent), rank)
        return lower_ranks < len(self._recent) * (1 - self._limit / backlog)
