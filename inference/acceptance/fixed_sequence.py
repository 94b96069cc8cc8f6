"""Fixed-sequence testing: the largest threshold of the risk that some rows support.

A promise is that at most a share of the rows below a threshold is wrong. The thresholds are tested
one after the other, in an order that is fixed before it is known which rows are wrong, until the
first that is not supported.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.acceptance.binomial import binomial_tail, fewest_rows, max_errors
from inference.acceptance.samples import UNLABELLED
from inference.arrays import DECIMALS, Bools, Flags, Floats
from schemas.plural import plural

CAUTION = 1.5
"""To choose the start of the tests, risks are taken to be so many times as large.

Models are overconfident, above all about the rows they are surest of. A start that is chosen badly
costs coverage; it never breaks the promise.
"""
MORE_ROWS: tuple[float, ...] = tuple(1.1**step for step in range(1, 37))
"""How many times the rows are thought of, to say how many rows more a promise needs."""
THRESHOLDS_SKIPPED = 6
"""To say that, every sixth threshold is enough."""
ROUNDING = 1e-6
"""Effective numbers of rows are whole up to this, so that the last bits of a sum do not count."""

# Fixed before any data were seen, because the tests need that. The thresholds lie close together at
# small risks, where most events are.
THRESHOLDS: tuple[float, ...] = tuple(
    float(value) for value in np.round(np.geomspace(0.0005, 1.0, 240), DECIMALS)
)


@dataclass(frozen=True, slots=True)
class Decisions:
    """Of n rows: the risk, if a deciding axis is wrong, the weight, and if the source is unseen.

    `malicious` is that of `CalibrationSplit`.
    """

    risks: Floats
    wrong: Bools
    weight: Floats
    unseen: Bools
    malicious: Flags

    def where(self, rows: Bools) -> "Decisions":
        """Only these rows."""
        return Decisions(
            self.risks[rows],
            self.wrong[rows],
            self.weight[rows],
            self.unseen[rows],
            self.malicious[rows],
        )

    @property
    def harmless(self) -> Bools:
        """The rows that are called harmless."""
        return np.asarray(self.malicious != UNLABELLED)

    def accepted_at(self, threshold: float) -> "Accepted":
        """The rows whose risk is below a threshold."""
        accepted = self.risks < threshold
        return weighed(self.weight[accepted], self.wrong[accepted].astype(np.float64))

    def expected(self) -> "list[Accepted]":
        """For each of `THRESHOLDS`: the rows it accepts, and the wrong ones by the risks alone."""
        order = np.argsort(self.risks, kind="stable")
        risks, weight = self.risks[order], self.weight[order]
        ends = np.searchsorted(risks, THRESHOLDS)
        columns = (weight, weight**2, weight * np.minimum(1.0, CAUTION * risks))
        totals, squares, errors = (np.append(0.0, np.cumsum(column))[ends] for column in columns)
        rows = np.divide(totals**2, squares, out=np.zeros_like(totals), where=squares > 0)
        shares = np.divide(errors, totals, out=np.zeros_like(totals), where=totals > 0)
        return [
            Accepted(*pair) for pair in zip(rows.tolist(), (rows * shares).tolist(), strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Accepted:
    """How many rows are accepted, and how many of those are wrong; see `weighed`."""

    rows: float
    errors: float

    def p_value(self, alpha: float) -> float:
        """How likely so few errors are if their true rate is above `alpha`."""
        errors, rows = math.ceil(self.errors - ROUNDING), math.floor(self.rows + ROUNDING)
        return binomial_tail(errors, rows, alpha)

    def room(self, alpha: float, delta: float) -> float | None:
        """How surely the promise is supported: the errors that may be more, in deviations.

        None if the rows are too few to support it even without an error. A test is passed with a
        whole number of errors: 76 rows support 5 % with none, 77 with one. So one row more may help
        more than the smallest rate of errors.
        """
        allowed = max_errors(math.floor(self.rows + ROUNDING), alpha, delta)
        if allowed < 0:
            return None
        return (allowed + 1 - self.errors) / math.sqrt(self.errors + 1)


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that have to support a promise of at most `alpha`, with confidence 1 - `delta`.

    If the group `may_be_empty`, a threshold that accepts none of its rows keeps the promise.
    """

    rows: Decisions
    alpha: float
    delta: float
    may_be_empty: bool = False

    def supports(self, threshold: float) -> bool:
        """Whether the rows that a threshold accepts support the promise."""
        if self.may_be_empty and not (self.rows.risks < threshold).any():
            return True
        return self.rows.accepted_at(threshold).p_value(self.alpha) <= self.delta


def weighed(weight: Floats, wrong: Floats) -> Accepted:
    """Rows of these weights as a number of rows that were all chosen alike.

    `weight` and `wrong` have shape (n,); `wrong` is 1, 0, or the probability of being wrong. With
    equal weights the result is n rows and the sum of `wrong`. Otherwise it is the effective number
    of rows, (sum of the weights)^2 / (sum of their squares), with the weighted share of errors
    (Kish, 1965; Korn and Graubard, 1998, "Confidence intervals for proportions with small expected
    number of positive counts estimated from survey data").
    """
    if not len(weight):
        return Accepted(0.0, 0.0)
    total = float(weight.sum())
    rows = total * total / float((weight * weight).sum())
    return Accepted(rows, rows * float((weight * wrong).sum()) / total)


def largest_threshold(groups: Sequence[Group]) -> tuple[float, str]:
    """The largest threshold at which every group supports its promise; else 0.0, and why."""
    threshold, failed = _ascend(groups, _start(groups))
    if not threshold and failed and failed.may_be_empty:
        # The other groups passed here, so the sequence of tests may go on with smaller thresholds.
        threshold, failed = _ascend(groups, _start(_never_empty(groups)))
    if threshold or failed is None:
        return threshold, ""
    return threshold, _no_threshold(failed)


def _never_empty(groups: Sequence[Group]) -> list[Group]:
    return [group for group in groups if not group.may_be_empty]


def _ascend(groups: Sequence[Group], start: int) -> tuple[float, Group | None]:
    """The last threshold before the first that some group does not support, and that group."""
    threshold = 0.0
    for candidate in THRESHOLDS[start:]:
        for group in groups:
            if not group.supports(candidate):
                return threshold, group
        threshold = candidate
    return threshold, None


def _start(groups: Sequence[Group]) -> int:
    """Where the sequence of tests starts, as an index into `THRESHOLDS`.

    A strict threshold accepts few rows, and one wrong label among them ends the tests. A large one
    accepts rows that are too often wrong. In between lies the threshold at which, by the risks of
    the rows, the test is passed most surely. Whether the rows are right has no influence on the
    start, so it costs no part of `delta`.
    """
    expected = [(group, group.rows.expected()) for group in groups]
    rooms: dict[int, float] = {}
    for index in range(len(THRESHOLDS)):
        of_groups = [accepted[index].room(each.alpha, each.delta) for each, accepted in expected]
        known = [room for room in of_groups if room is not None]
        if len(known) == len(expected):
            rooms[index] = min(known)
    # Of equally good thresholds, the strictest. Without a candidate, the last one is tested: it
    # fails.
    return max(rooms, key=rooms.__getitem__, default=len(THRESHOLDS) - 1)


def _no_threshold(group: Group) -> str:
    rows = group.rows
    if not len(rows.risks):
        return (
            "the model was made without rows that people labelled and that say how often it is "
            f"right, so nothing is accepted; {_remedy(group)}"
        )
    accepted = rows.risks < THRESHOLDS[_start([group])]
    errors = plural(int(rows.wrong[accepted].sum()), "error", "errors")
    return (
        f"no threshold can promise at most {group.alpha:.3g} errors with confidence "
        f"{1 - group.delta:.3g}: of {len(rows.risks)} calibration rows the {int(accepted.sum())} "
        f"surest hold {errors}, so nothing is accepted; "
        f"allow a larger alpha or delta, or {_remedy(group)}"
    )


def _remedy(group: Group) -> str:
    """What to do about the rows, with their number."""
    rows = len(group.rows.risks)
    if not rows:
        return f"calibrate on at least {fewest_rows(group.alpha, group.delta)} rows"
    at_thresholds = [group.rows.accepted_at(each) for each in THRESHOLDS[::THRESHOLDS_SKIPPED]]
    # So many times the rows, with as large a share of errors as these have.
    factors = [
        factor
        for accepted in at_thresholds
        if accepted.errors < group.alpha * accepted.rows
        for factor in [_first_factor(accepted, group.alpha, group.delta)]
        if factor
    ]
    if not factors:
        return (
            "calibrate a model that is wrong less often about the rows it is surest of: "
            f"{MORE_ROWS[-1]:.0f} times as many rows like these would not be enough"
        )
    return f"calibrate on about {math.ceil(rows * (min(factors) - 1))} more rows like these"


def _first_factor(accepted: Accepted, alpha: float, delta: float) -> float:
    """How many times these rows would support the promise; 0.0 if none of `MORE_ROWS` is enough."""

    def supports(factor: float) -> bool:
        many = Accepted(accepted.rows * factor, accepted.errors * factor)
        return many.p_value(alpha) <= delta

    place = bisect_left(MORE_ROWS, True, key=supports)
    return MORE_ROWS[place] if place < len(MORE_ROWS) else 0.0
