"""The promise: a calibrated threshold by *Learn then Test* (Angelopoulos, Bates et al., 2021).

With probability at least 1 - delta over the calibration rows, at most a share alpha of the accepted
events is wrong. This holds for events that are drawn like the calibration rows.

The calibration rows are either rows that the model was not trained on, or all rows: then each was
answered by a model that was trained without it (`inference.training.crossfit` says what is assumed
in that case).
"""

import hashlib
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.acceptance.binomial import binomial_tail, max_errors
from inference.acceptance.options import UNSEEN_ALPHA, Terms
from inference.acceptance.samples import UNLABELLED, CalibrationSample, CalibrationSplit
from inference.arrays import DECIMALS, Bools, Floats

UNSEEN_ROWS_FACTOR = 2
"""Rows of unseen sources get a test of their own if this many times the rows are accepted that a
promise needs at least. Below that, they are too few to say anything."""

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
class Promise:
    """Events whose risk is below `threshold` are wrong at most `alpha` of the time.

    The confidence of that is 1 - `delta`. `n` counts the rows that tested it, `coverage` is the
    share of them that is accepted, and `accepted_errors` counts the accepted rows that were wrong.
    `n_unseen` of the rows are of sources that the model was not trained on; they were tested
    against `unseen_alpha` as well. It is 0 if they were too few for a test. A threshold of 0.0
    accepts nothing; `reason` then says why, in one sentence. Otherwise `reason` is empty.
    """

    alpha: float
    delta: float
    n: int
    unseen_alpha: float
    n_unseen: int
    threshold: float
    coverage: float
    accepted_errors: int
    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Decisions:
    """Of n rows: the risk, if a deciding axis is wrong, the weight, and if the source is unseen."""

    risks: Floats
    wrong: Bools
    weight: Floats
    unseen: Bools

    def where(self, rows: Bools) -> "_Decisions":
        return _Decisions(self.risks[rows], self.wrong[rows], self.weight[rows], self.unseen[rows])

    def accepted_at(self, threshold: float) -> "Accepted":
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

    def has_room(self, alpha: float, delta: float) -> bool:
        """Whether there are so many rows that they support the promise if none is wrong."""
        return Accepted(self.rows, 0.0).p_value(alpha) <= delta

    def evidence(self, alpha: float) -> float:
        """How clearly the rate of errors lies below `alpha`: the exponent in Chernoff's bound.

        It is negative if the rate is not below.
        """
        if not self.rows or self.errors >= alpha * self.rows:
            return -1.0
        rate = max(self.errors / self.rows, 1e-12)
        divergence = rate * math.log(rate / alpha)
        divergence += (1 - rate) * math.log((1 - rate) / (1 - alpha))
        return self.rows * divergence


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows that have to support a promise of at most `alpha`.

    If the group `may_be_empty`, a threshold that accepts none of its rows keeps the promise.
    """

    rows: _Decisions
    alpha: float
    may_be_empty: bool = False

    def supports(self, threshold: float, delta: float) -> bool:
        """Whether the rows that a threshold accepts support the promise."""
        if self.may_be_empty and not (self.rows.risks < threshold).any():
            return True
        return self.rows.accepted_at(threshold).p_value(self.alpha) <= delta


def risk(error_probabilities: Sequence[float]) -> float:
    """An upper bound on the probability that any of these axes is wrong (union bound).

    It is rounded like the error probabilities, so that no comparison with a threshold depends on
    the last bit.
    """
    return round(min(1.0, sum(error_probabilities)), DECIMALS)


def promise_on(
    sample: CalibrationSample, terms: Terms, deciding: Sequence[str] | None = None
) -> Promise:
    """The promise that these rows support under `terms`; `deciding` asks about other axes.

    Raises:
        ValueError: as `calibrate`.
    """
    return calibrate(
        sample, deciding or terms.deciding, terms.alpha, terms.delta, terms.unseen_alpha
    )


def calibrate(
    sample: CalibrationSample,
    deciding: Sequence[str],
    alpha: float,
    delta: float,
    unseen_alpha: float = UNSEEN_ALPHA,
) -> Promise:
    """The largest risk that may be accepted while the promise holds on all `deciding` axes.

    This is fixed-sequence testing on the testing split. It starts where the test has the most
    power, and goes on to larger thresholds until the first that the rows do not support. The
    p-value of a threshold is the exact binomial tail (Clopper-Pearson) of the errors among the rows
    it accepts. The start depends on the risks of the rows and not on whether they are right, so
    the order of the tests is fixed before their outcome is looked at: see `_start`.

    Rows that were not all chosen with the same probability have weights. The tail is then that of
    the effective number of rows: see `weighed`.

    Rows of sources that the model was trained on look better than new sources will, and there are
    more of them. So if enough rows of unseen sources would be accepted, they have to support a
    promise of their own: at most a share `unseen_alpha` of them is wrong, also with confidence 1 -
    `delta`. If they cannot, the threshold is one that accepts none of them.

    Raises:
        ValueError: no deciding axis, an axis that the sample lacks, or a share outside (0, 1).
    """
    columns = _columns(sample, deciding, (alpha, unseen_alpha, delta))
    testing = _decide(sample.testing, columns)
    all_rows = _Group(testing, alpha)
    unseen = _Group(testing.where(testing.unseen), unseen_alpha, may_be_empty=True)
    threshold, reason = _largest_threshold([all_rows], delta)
    unseen_accepted = int((unseen.rows.risks < threshold).sum())
    test_unseen = max_errors(unseen_accepted // UNSEEN_ROWS_FACTOR, unseen_alpha, delta) >= 0
    n_unseen = 0
    if test_unseen:
        threshold, reason = _largest_threshold([all_rows, unseen], delta)
        n_unseen = len(unseen.rows.risks)
    accepted = testing.risks < threshold
    return Promise(
        alpha=alpha,
        delta=delta,
        n=len(accepted),
        unseen_alpha=unseen_alpha,
        n_unseen=n_unseen,
        threshold=threshold,
        coverage=_share(testing.weight, accepted),
        accepted_errors=int(testing.wrong[accepted].sum()),
        digest=_digest(sample, deciding, (alpha, delta, unseen_alpha)),
        reason=reason,
    )


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


def _columns(
    sample: CalibrationSample, deciding: Sequence[str], shares: tuple[float, ...]
) -> list[int]:
    unknown = [axis for axis in deciding if axis not in sample.axes]
    if unknown or not deciding:
        raise ValueError(
            f"deciding must name axes of {', '.join(sample.axes)}; "
            f"it names {', '.join(deciding) or 'none'}"
        )
    if not all(0 < share < 1 for share in shares):
        raise ValueError(
            f"alpha, unseen_alpha and delta must lie between 0 and 1; they are {shares}"
        )
    return [sample.axes.index(axis) for axis in deciding]


def _decide(split: CalibrationSplit, columns: list[int]) -> _Decisions:
    """The risk and wrongness of the rows that have a label on every deciding axis."""
    correct = split.correct[:, columns]
    labelled = (correct != UNLABELLED).all(axis=1)
    error_probabilities = split.error_probability[labelled][:, columns]
    risks = np.asarray([risk(row) for row in error_probabilities.tolist()], dtype=np.float64)
    return _Decisions(
        risks, (correct[labelled] == 0).any(axis=1), split.weight[labelled], split.unseen[labelled]
    )


def _share(weight: Floats, rows: Bools) -> float:
    """The weighted share of these rows; 0.0 if there are none at all."""
    if not len(rows):
        return 0.0
    return float(weight[rows].sum() / weight.sum())


def _largest_threshold(groups: Sequence[_Group], delta: float) -> tuple[float, str]:
    """The largest threshold at which every group supports its promise; else 0.0, and why."""
    threshold, failed = _ascend(groups, _start(groups, delta), delta)
    if not threshold and failed and failed.may_be_empty:
        # The other groups passed here, so the sequence of tests may go on with smaller thresholds.
        threshold, failed = _ascend(groups, _start(groups[:1], delta), delta)
    if threshold or failed is None:
        return threshold, ""
    return threshold, _no_threshold(failed, delta)


def _ascend(groups: Sequence[_Group], start: int, delta: float) -> tuple[float, _Group | None]:
    """The last threshold before the first that some group does not support, and that group."""
    threshold = 0.0
    for candidate in THRESHOLDS[start:]:
        for group in groups:
            if not group.supports(candidate, delta):
                return threshold, group
        threshold = candidate
    return threshold, None


def _start(groups: Sequence[_Group], delta: float) -> int:
    """Where the sequence of tests starts, as an index into `THRESHOLDS`.

    A strict threshold accepts few rows, and one wrong label among them ends the tests. A large one
    accepts rows that are too often wrong. In between lies the threshold at which, by the risks of
    the rows, the test is passed most clearly. Whether the rows are right has no influence on the
    start, so it costs no part of `delta`.
    """
    expected = [(group.alpha, group.rows.expected()) for group in groups]
    candidates = [
        index
        for index in range(len(THRESHOLDS))
        if all(accepted[index].has_room(alpha, delta) for alpha, accepted in expected)
    ]

    def evidence(index: int) -> float:
        return min(accepted[index].evidence(alpha) for alpha, accepted in expected)

    # Of equally good thresholds, the strictest. Without a candidate, the last one is tested: it
    # fails.
    return max(candidates, key=evidence, default=len(THRESHOLDS) - 1)


def _no_threshold(group: _Group, delta: float) -> str:
    rows = group.rows
    if not len(rows.risks):
        return (
            "the model was made without rows that people labelled and that say how often it is "
            f"right, so nothing is accepted; {_remedy(group, delta)}"
        )
    accepted = rows.risks < THRESHOLDS[_start([group], delta)]
    return (
        f"no threshold can promise at most {group.alpha:.3g} errors with confidence "
        f"{1 - delta:.3g}: of {len(rows.risks)} calibration rows the {int(accepted.sum())} surest "
        f"hold {int(rows.wrong[accepted].sum())} errors, so nothing is accepted; "
        f"allow a larger alpha or delta, or {_remedy(group, delta)}"
    )


def _remedy(group: _Group, delta: float) -> str:
    """What to do about the rows, with their number."""
    rows = len(group.rows.risks)
    if not rows:
        fewest = math.ceil(math.log(delta) / math.log1p(-group.alpha))
        return f"calibrate on at least {fewest} rows"
    at_thresholds = [group.rows.accepted_at(each) for each in THRESHOLDS[::THRESHOLDS_SKIPPED]]
    # So many times the rows, with as large a share of errors as these have.
    factors = [
        factor
        for accepted in at_thresholds
        if accepted.errors < group.alpha * accepted.rows
        for factor in [_first_factor(accepted, group.alpha, delta)]
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


def _digest(sample: CalibrationSample, deciding: Sequence[str], shares: tuple[float, ...]) -> str:
    terms = (sample.axes, tuple(deciding), *shares, THRESHOLDS)
    digest = hashlib.sha256(repr(terms).encode())
    for split in (sample.tuning, sample.testing):
        digest.update(np.ascontiguousarray(split.error_probability).tobytes())
        digest.update(np.ascontiguousarray(split.correct).tobytes())
        digest.update(np.ascontiguousarray(split.unseen).tobytes())
        if (split.weight != 1).any():
            digest.update(np.ascontiguousarray(split.weight).tobytes())
    return digest.hexdigest()
