"""A test whether a mean lies above a limit, which may be looked at after every value.

The values lie between 0 and 1. The null hypothesis is that the mean of each value, given all before
it, is at most the limit. The test bets against it: each value multiplies a capital by
``1 + bet * weight * (value - limit)``. Under the null hypothesis the expected factor is at most 1,
so the capital ever reaches ``1 / delta`` with probability at most `delta` (Ville's inequality). The
bets are those of Waudby-Smith and Ramdas, *Estimating means of bounded random variables by betting*
(JRSS B, 2024). The capital is divided over several bets, and over all times at which a rise may
have begun (Shin, Ramdas and Rinaldo, *E-detectors*, NEJSDS 2023), so that many good values do not
hide a rise that comes late.
"""

import math
from collections.abc import Iterable, Mapping

RISES = (1.5, 2.5, 5.0)
"""The rises that are bet on, as factors of the odds of the limit."""
FIRST_SHARE = 0.5
"""The share of the capital that bets from the first value on; later beginnings share the rest."""
_ALL_BEGINNINGS = 2.1098
"""Not less than the sum of 1 / (n ln(n)^2) over all n from 2 on."""

INTERVAL_FACTORS = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
BISECTIONS = 40


def odds_times(mean: float, factor: float) -> float:
    """The mean whose odds are `factor` times those of `mean`."""
    odds = factor * mean / (1.0 - mean)
    return odds / (1.0 + odds)


def bet_on(mean: float, alternative: float) -> float:
    """The bet against `mean` that gains most if `alternative` is the true mean and all weigh 1."""
    return (alternative - mean) / (mean * (1.0 - mean))


class RiseTest:
    """The evidence that the mean has risen above `limit`, for values that come one by one.

    `limit` lies in (0, 1).
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._bets = [bet_on(limit, odds_times(limit, factor)) for factor in RISES]
        self._capital = [0.0] * len(RISES)
        self._unused = 1.0
        self._values = 0

    def add(self, value: float, weight: float = 1.0, share: float | None = None) -> None:
        """Take the next value.

        `weight`, in (0, 1], must not depend on the value. `share` is the share of the capital that
        begins to bet with it. It must not depend on the value either, and all shares are 1 at most;
        without any, they fall slowly.
        """
        share = self._next_share() if share is None else min(share, self._unused)
        self._unused -= share
        gain = weight * (value - self.limit)
        for number, bet in enumerate(self._bets):
            capital = self._capital[number] + share / len(self._bets)
            self._capital[number] = capital * (1.0 + bet * gain)

    @property
    def evidence(self) -> float:
        """The capital, of which there was 1 at the beginning. It is large if the mean has risen."""
        return self._unused + sum(self._capital)

    def _next_share(self) -> float:
        self._values += 1
        number = self._values
        if number == 1:
            return FIRST_SHARE
        return (1.0 - FIRST_SHARE) / (_ALL_BEGINNINGS * number * math.log(number) ** 2)


Tally = Mapping[tuple[float, bool], int]
"""How many values there are of each weight, by whether they are 1 (otherwise 0)."""


def confidence_interval(tally: Tally, delta: float) -> tuple[float, float]:
    """Bounds on the mean of weighted values; both hold at all times with confidence 1 - `delta`.

    They are a confidence sequence: the means against which the capital of fixed bets from the first
    value on stays below ``2 / delta``. Without values they are 0 and 1.
    """
    estimate = weighted_mean(tally)
    if estimate is None:
        return 0.0, 1.0
    enough = math.log(2.0 / delta)
    lower, upper = 0.0, 1.0
    if estimate > 0.0:
        lower = _bound(tally, estimate, 0.0, INTERVAL_FACTORS, enough)
    if estimate < 1.0:
        inverse = [1.0 / factor for factor in INTERVAL_FACTORS]
        upper = _bound(tally, estimate, 1.0, inverse, enough)
    return lower, upper


def weighted_mean(tally: Tally) -> float | None:
    """The weighted mean of the values; None without values."""
    total = sum(weight * count for (weight, _), count in tally.items())
    ones = sum(weight * count for (weight, is_one), count in tally.items() if is_one)
    return ones / total if total else None


def _bound(tally: Tally, near: float, far: float, factors: Iterable[float], enough: float) -> float:
    """The mean nearest to `far` that the values do not refute; `near` is one of these means."""
    factors = list(factors)
    for _ in range(BISECTIONS):
        middle = (near + far) / 2
        if _log_capital(tally, middle, factors) >= enough:
            far = middle
        else:
            near = middle
    return near


def _log_capital(tally: Tally, mean: float, factors: list[float]) -> float:
    """The logarithm of the capital that bets from the first value on against `mean`."""
    logs = []
    for factor in factors:
        bet = bet_on(mean, odds_times(mean, factor))
        logs.append(
            math.fsum(
                count * math.log1p(bet * weight * (is_one - mean))
                for (weight, is_one), count in tally.items()
            )
        )
    largest = max(logs)
    return largest + math.log(math.fsum(math.exp(log - largest) for log in logs) / len(logs))
