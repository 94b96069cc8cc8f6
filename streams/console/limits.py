"""How often somebody may ask: token buckets, of which only so many are kept."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MAX_BUCKETS = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class RateLimit:
    """Lets each key do `burst` things at once, and `per_second` in the long run.

    At most `MAX_BUCKETS` keys are remembered. The one that was not heard of for the longest time is
    forgotten first; it then has a full bucket again.
    """

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str) -> float:
        """Take one token of the key.

        Returns:
            0.0 if there was one, else in how many seconds there will be.
        """
        now_s = self._clock()
        bucket = self._buckets.setdefault(key, _Bucket(float(self._burst), now_s))
        self._buckets.move_to_end(key)
        gained = (now_s - bucket.at_s) * self._per_second
        bucket.tokens, bucket.at_s = min(float(self._burst), bucket.tokens + gained), now_s
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._per_second
        bucket.tokens -= 1
        return 0.0


def retry_after(wait_s: float) -> str:
    """A wait as the header `Retry-After` has it: whole seconds, at least one."""
    return str(max(1, math.ceil(wait_s)))
