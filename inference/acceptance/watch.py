"""Is the promise kept on live traffic? What the spot checks of one calibration say.

Accepted events are drawn at random, and people check them. The hypothesis is that the promise is
kept: whatever came before, an accepted event is wrong with probability at most alpha. It is tested
after every check (`rise.py`). In a year, a promise that is kept is called broken with probability
at most delta, however often somebody looks.

If the promise is broken, the threshold is lowered at once, to one that the checks since the rise
support by the test of the calibration (`fixed_sequence.py`), or to 0. The watch then goes on with
what is still accepted. A threshold never rises again under the same calibration.
"""

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from inference.acceptance.binomial import max_errors
from inference.acceptance.fixed_sequence import THRESHOLDS, Accepted
from inference.acceptance.rise import (
    FIRST_SHARE,
    RISES,
    RiseTest,
    bet_on,
    confidence_interval,
    odds_times,
    weighted_mean,
)

State = Literal["kept", "in_doubt", "broken"]
STATES: tuple[State, ...] = ("kept", "in_doubt", "broken")

TOLERANCE = 2.0
"""The promise counts as kept only if the checks rule out a risk of this many times alpha."""
HOUR_S = 3_600.0
HOURS_A_YEAR = 366 * 24
WEIGHT_WINDOW = 100
"""A check weighs in relation to the heaviest of so many checks."""
MAX_CHECKS = 5_000
"""At most so many of the latest checks say what may still be accepted."""


@dataclass(frozen=True, slots=True)
class Check:
    """A person's verdict about one accepted event that was drawn at random.

    `risk` is the small model's estimate. `wrong` says whether a deciding axis was wrong.
    `probability` in (0, 1] is the chance with which the event was drawn. `decided_at_s` is when the
    person decided, in seconds since the epoch.
    """

    risk: float
    wrong: bool
    probability: float = 1.0
    decided_at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Breach:
    """The promise was found to be broken: by so many checks, of which so many were wrong.

    The checks are those since the rise began, as far as they tell. `before` and `after` are the
    thresholds. `found_at_s` is when the verdict came that showed it, in seconds since the epoch.
    """

    checks: int
    wrong: int
    before: float
    after: float
    found_at_s: float

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        return f"of the {self.checks} spot checks since its risk rose, {self.wrong} were wrong"


@dataclass(frozen=True, slots=True)
class WatchReport:
    """What the checks say.

    `checks`, `wrong`, `estimate`, `lower` and `upper` are about what is accepted under the present
    `threshold`, since it holds. `estimate` weighs each check by one over its probability; it is
    None without checks. The true risk lies between `lower` and `upper` with confidence 1 - delta,
    at all times. `evidence` is 1 if the promise is just found to be broken, and 0 if nothing speaks
    against it (logarithmic). `limit` is the share that is promised.
    """

    state: State
    checks: int
    wrong: int
    estimate: float | None
    lower: float
    upper: float
    evidence: float
    threshold: float
    breaches: tuple[Breach, ...]
    limit: float


class Watch:
    """Watches one promise: at most a share `alpha` of what is accepted below `threshold` is wrong.

    `delta` is the probability of a false alarm.
    """

    def __init__(self, alpha: float, delta: float, threshold: float) -> None:
        self.alpha, self.delta, self.threshold = alpha, delta, threshold
        self.breaches: tuple[Breach, ...] = ()
        self._recent: deque[float] = deque(maxlen=WEIGHT_WINDOW)
        self._begin()

    def add(self, check: Check) -> None:
        """Take the next check, in the order of the verdicts.

        A check of an event that would no longer be accepted says nothing about what is accepted.
        """
        if check.risk >= self.threshold:
            return
        weight = self._weight(check.probability)
        self._tally[weight, check.wrong] += 1
        self._test.add(check.wrong, weight, self._share(check.decided_at_s))
        self._follow(check, weight)
        if self._test.evidence >= 1.0 / self.delta:
            self._tighten(check.decided_at_s)

    @property
    def state(self) -> State:
        """Whether the promise is kept.

        - ``broken``: the checks refute it with confidence 1 - delta. It stays broken.
        - ``kept``: the estimated risk is at most alpha, the checks rule out a risk of twice alpha,
          and less than half of the evidence for a breach is there (in logarithms).
        - ``in_doubt``: neither. At first the checks are too few to say anything.
        """
        if self.breaches:
            return "broken"
        estimate = weighted_mean(self._tally)
        if estimate is None or estimate > self.alpha or self._evidence >= 1 / 2:
            return "in_doubt"
        _, upper = confidence_interval(self._tally, self.delta)
        return "kept" if upper <= TOLERANCE * self.alpha else "in_doubt"

    def report(self) -> WatchReport:
        """What the checks say until now."""
        lower, upper = confidence_interval(self._tally, self.delta)
        return WatchReport(
            state=self.state,
            checks=self._tally.total(),
            wrong=sum(count for (_, wrong), count in self._tally.items() if wrong),
            estimate=weighted_mean(self._tally),
            lower=lower,
            upper=upper,
            evidence=self._evidence,
            threshold=self.threshold,
            breaches=self.breaches,
            limit=self.alpha,
        )

    @property
    def _evidence(self) -> float:
        return max(0.0, math.log(self._test.evidence) / -math.log(self.delta))

    def _begin(self) -> None:
        self._tally: Counter[tuple[float, bool]] = Counter()
        self._begin_year()
        self._bet = bet_on(self.alpha, odds_times(self.alpha, RISES[1]))
        self._log_gain = 0.0
        self._stretch: deque[Check] = deque(maxlen=MAX_CHECKS)

    def _begin_year(self) -> None:
        self._test = RiseTest(self.alpha)
        self._first_hour: int | None = None
        self._hour = 0

    def _share(self, decided_at_s: float) -> float:
        """The share of the capital that begins to bet with this check.

        Half of it does with the first check of a year. The rest is spread over the hours of the
        year, because a rise may begin in any of them. After a year, the test begins anew.
        """
        hour = int(decided_at_s // HOUR_S)
        if self._first_hour is not None and hour - self._first_hour >= HOURS_A_YEAR:
            self._begin_year()
        if self._first_hour is None:
            self._first_hour = self._hour = hour
            return FIRST_SHARE
        hours, self._hour = max(0, hour - self._hour), max(hour, self._hour)
        return (1.0 - FIRST_SHARE) * hours / HOURS_A_YEAR

    def _weight(self, probability: float) -> float:
        """The weight of a check, in hundredths: 1 for the heaviest of the latest ones.

        Events that are drawn with a smaller probability stand for more events. The weights are
        relative, because the bets of the test have to be bounded.
        """
        self._recent.append(probability)
        return max(0.01, round(min(self._recent) / probability, 2))

    def _follow(self, check: Check, weight: float) -> None:
        """Keep the checks since the likeliest beginning of a rise (CUSUM, Page 1954)."""
        self._log_gain += math.log1p(self._bet * weight * (check.wrong - self.alpha))
        self._stretch.append(check)
        if self._log_gain <= 0.0:
            self._log_gain = 0.0
            self._stretch.clear()

    def _tighten(self, found_at_s: float) -> None:
        stretch = list(self._stretch)
        after = supported_threshold(stretch, self.alpha, self.delta, below=self.threshold)
        wrong = sum(check.wrong for check in stretch)
        breach = Breach(len(stretch), wrong, self.threshold, after, found_at_s)
        self.breaches = (*self.breaches, breach)
        self.threshold = after
        self._begin()


def supported_threshold(
    checks: Sequence[Check], alpha: float, delta: float, *, below: float
) -> float:
    """The largest threshold below `below` that these checks support; 0.0 if they support none.

    It is the test of the calibration: a fixed sequence that begins with the strictest threshold
    that the checks could support with one error or, if they are too few for that, without an error.
    It ends before the first threshold that is not supported. The order of the tests does not depend
    on which checks were wrong.
    """
    risks = np.array([check.risk for check in checks], np.float64)
    wrong = np.array([check.wrong for check in checks], np.bool_)
    candidates = [threshold for threshold in THRESHOLDS if threshold < below]
    allowed = [max_errors(int((risks < each).sum()), alpha, delta) for each in candidates]
    first = next((n for errors in (1, 0) for n, each in enumerate(allowed) if each >= errors), None)
    supported = 0.0
    for threshold in candidates[first:] if first is not None else ():
        accepts = risks < threshold
        accepted = Accepted(float(accepts.sum()), float(wrong[accepts].sum()))
        if accepted.p_value(alpha) > delta:
            break
        supported = threshold
    return supported
