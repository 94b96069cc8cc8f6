"""Has the mix of events changed? A test on the shares of labels and of unfamiliar events.

The first events are the reference. After them, each category has a test whether its share has risen
above what the reference allows (`rise.py`); a share that falls makes another one rise. A change is
found by mistake with probability at most delta, however long one looks, as long as the events are
independent of each other. Real events come in bursts, so the caller should give few of them, some
seconds apart.
"""

import math
from collections import Counter

from inference.acceptance.binomial import upper_bound
from inference.acceptance.rise import RiseTest, odds_times

REFERENCE_EVENTS = 1_000
REFERENCE_S = 86_400.0
"""The reference has so many events, and spans at least a day: nights differ from days."""
TOLERANCE = 1.5
"""The odds of a category may rise by this factor without a change being seen."""
OTHER = "other"
"""The category of everything that the reference does not have."""


class MixWatch:
    """Compares the mix of events with that of the first ones.

    `delta` is the probability of finding a change where there is none.
    """

    def __init__(self, delta: float) -> None:
        self._delta = delta
        self._counts: Counter[str] = Counter()
        self._since_s: float | None = None
        self._tests: dict[str, RiseTest] = {}
        self.changed: str | None = None
        """The category whose share has risen; None if no change was found."""

    def add(self, category: str, at_s: float) -> None:
        """Take the next event: its label, or that it is unfamiliar; `at_s` in seconds."""
        if self.changed is not None:
            return
        if not self._tests:
            self._refer(category, at_s)
            return
        known = category if category in self._tests else OTHER
        for name, test in self._tests.items():
            test.add(name == known)
        if self.evidence >= 1.0:
            self.changed = max(self._tests, key=lambda name: self._tests[name].evidence)

    @property
    def evidence(self) -> float:
        """The evidence for a change (logarithmic): 1 and more is a change, 0 is none."""
        if self.changed is not None:
            return 1.0
        if not self._tests:
            return 0.0
        mean = math.fsum(test.evidence for test in self._tests.values()) / len(self._tests)
        return max(0.0, math.log(mean) / math.log(2.0 / self._delta))

    @property
    def reference(self) -> dict[str, float]:
        """The share of each category among the first events."""
        total = max(1, self._counts.total())
        return {name: count / total for name, count in self._counts.items()}

    def _refer(self, category: str, at_s: float) -> None:
        if self._since_s is None:
            self._since_s = at_s
        self._counts[category] += 1
        total = self._counts.total()
        if total < REFERENCE_EVENTS or at_s - self._since_s < REFERENCE_S:
            return
        # Half of delta is for the reference, which is a sample too; all its bounds hold together.
        delta = self._delta / 2 / (len(self._counts) + 1)
        for name in (*self._counts, OTHER):
            most = reference_bound(self._counts[name], total, delta)
            self._tests[name] = RiseTest(odds_times(most, TOLERANCE))


def reference_bound(count: int, total: int, delta: float) -> float:
    """The largest share that a category may have, with confidence 1 - `delta`; below 1.0."""
    return min(upper_bound(count, total, delta), 1.0 - 1e-6)
