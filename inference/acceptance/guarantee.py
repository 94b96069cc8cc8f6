"""A threshold with a promise: *Learn then Test* (Angelopoulos, Bates et al., 2021) over calibrated confidences.

With probability at least 1 - delta over the calibration sample, accepted events are wrong at most alpha of the time,
for events drawn like the sample's.

The sample has two halves. Everything that is tuned (mixture, temperature, guards) sees only the first; the promise is
tested on the second. Its rows ship with the model, because the deciding axes, alpha and delta
are configuration and the threshold follows from them when the model is loaded.
"""

import hashlib
import itertools
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from inference.acceptance.samples import UNLABELLED, CalibrationSample, CalibrationSplit
from inference.arrays import DECIMALS, Bools, Floats

UNSEEN_ALPHA = 0.05
ENOUGH = 2
"""Rows of unseen sources are tested by themselves where this times as many are accepted as a promise needs at least."""
# Fixed before any data were seen, as the tests need; spaced so that small risks, where most events are, are told apart.
GRID: tuple[float, ...] = tuple(
    float(value) for value in np.round(np.geomspace(0.0005, 1.0, 240), DECIMALS)
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of a domain: which axes must be right, and the promise about them."""

    deciding: Sequence[str] = ("queue",)
    alpha: float = 0.02
    delta: float = 0.10
    unseen_alpha: float = UNSEEN_ALPHA

    def promise(
        self, sample: CalibrationSample, deciding: Sequence[str] | None = None
    ) -> "Promise":
        """What these rows support of the terms, as `calibrate` finds it; `deciding` asks about other axes."""
        return calibrate(
            sample, deciding or self.deciding, self.alpha, self.delta, self.unseen_alpha
        )


@dataclass(frozen=True, slots=True)
class _Decided:
    """Of n rows the risk, whether any deciding axis is wrong, and whether their source taught the model nothing."""

    risks: Floats
    wrong: Bools
    unseen: Bools

    def of_unseen(self) -> "_Decided":
        return _Decided(self.risks[self.unseen], self.wrong[self.unseen], self.unseen[self.unseen])


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows of either half that have to support a promise of at most `alpha`.

    Where the group is `spared`, a threshold that accepts none of its testing rows keeps the promise too.
    """

    testing: _Decided
    tuning: _Decided
    alpha: float
    spared: bool = False

    def supports(self, threshold: float, delta: float) -> bool:
        """Whether the testing rows that a threshold accepts speak for the promise, or there are none to break it."""
        if self.spared and not (self.testing.risks < threshold).any():
            return True
        return p_value(self.testing.risks, self.testing.wrong, threshold, self.alpha) <= delta

    def may_support(self, threshold: float, delta: float) -> bool:
        """Whether the tuning rows that a threshold accepts let hope that the testing rows will support it."""
        return p_value(self.tuning.risks, self.tuning.wrong, threshold, self.alpha) <= delta

    def allows(self, threshold: float, delta: float) -> int:
        """How many of the rows that a threshold accepts may be wrong; -1 if they are too few for any promise."""
        return max_errors(int((self.testing.risks < threshold).sum()), self.alpha, delta)


@dataclass(frozen=True, slots=True)
class Promise:
    """Events whose risk is below `threshold` are wrong at most `alpha` of the time, with confidence 1 - `delta`.

    `n` counts the rows it was tested on, `coverage` the share of them accepted, `accepted_errors` how many of those
    were wrong. The `n_unseen` rows among them that are of sources the model was not taught with were tested by
    themselves too, against `unseen_alpha`; 0 if they are too few to say anything. A threshold of 0.0 accepts
    nothing; `reason` then says why in one sentence, otherwise it is empty.
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


def risk(error_probabilities: Sequence[float]) -> float:
    """An upper bound on the probability that any of these axes is wrong: the union bound over their doubts.

    Rounded to the decimals doubts have, so that comparing with a threshold never hangs on the last bit.
    """
    return round(min(1.0, sum(error_probabilities)), DECIMALS)


def calibrate(
    sample: CalibrationSample,
    deciding: Sequence[str],
    alpha: float,
    delta: float,
    unseen_alpha: float = UNSEEN_ALPHA,
) -> Promise:
    """The largest risk that may be accepted while keeping the promise on all `deciding` axes at once.

    Fixed-sequence testing on the half that tuned nothing: from a strict threshold it is asked about ever larger ones
    until the first that it cannot support. The p-value of a threshold is the exact binomial tail (Clopper-Pearson) of
    the errors seen among the rows it accepts.

    Rows of sources that taught the model flatter it, and outnumber the others. So where enough rows of other sources
    would be accepted, they have to support a promise of their own: at most `unseen_alpha` of what is accepted of such
    sources is wrong, with confidence 1 - delta too. Where they cannot, the threshold is one that accepts none of them.

    Raises:
        ValueError: no deciding axis, an axis the sample lacks, or an alpha or delta outside (0, 1).
    """
    columns = _columns(sample, deciding, (alpha, unseen_alpha, delta))
    testing, tuning = _decisions(sample.testing, columns), _decisions(sample.tuning, columns)
    whole = _Group(testing, tuning, alpha)
    unseen = _Group(testing.of_unseen(), tuning.of_unseen(), unseen_alpha, spared=True)
    threshold, reason = _largest([whole], delta)
    counted = (
        max_errors(int((unseen.testing.risks < threshold).sum()) // ENOUGH, unseen_alpha, delta)
        >= 0
    )
    if counted:
        threshold, reason = _largest([whole, unseen], delta)
    accepted = testing.risks < threshold
    return Promise(
        alpha=alpha,
        delta=delta,
        n=len(accepted),
        unseen_alpha=unseen_alpha,
        n_unseen=len(unseen.testing.risks) if counted else 0,
        threshold=threshold,
        coverage=float(accepted.mean()) if len(accepted) else 0.0,
        accepted_errors=int(testing.wrong[accepted].sum()),
        digest=_digest(sample, deciding, (alpha, delta, unseen_alpha)),
        reason=reason,
    )


def p_value(risks: Floats, wrong: Bools, threshold: float, alpha: float) -> float:
    """How likely so few errors among the accepted rows would be if their true rate were above `alpha`."""
    accepted = risks < threshold
    return binomial_tail(int(wrong[accepted].sum()), int(accepted.sum()), alpha)


def binomial_tail(successes: int, trials: int, probability: float) -> float:
    """P(X <= successes) for X ~ Binomial(trials, probability), summed in logarithms; 1.0 for no trials."""
    return min(1.0, math.fsum(_binomial(trials, probability, successes)))


def _columns(
    sample: CalibrationSample, deciding: Sequence[str], shares: tuple[float, ...]
) -> list[int]:
    unknown = [axis for axis in deciding if axis not in sample.axes]
    if unknown or not deciding:
        raise ValueError(
            f"deciding must name axes of {', '.join(sample.axes)}; it names {', '.join(deciding) or 'none'}"
        )
    if not all(0 < share < 1 for share in shares):
        raise ValueError(
            f"alpha, unseen_alpha and delta must lie between 0 and 1; they are {shares}"
        )
    return [sample.axes.index(axis) for axis in deciding]


def _decisions(half: CalibrationSplit, columns: list[int]) -> _Decided:
    """Risk and wrongness of the rows that have a label on every deciding axis."""
    correct = half.correct[:, columns]
    labelled = (correct != UNLABELLED).all(axis=1)
    risks = np.asarray(
        [risk(row) for row in half.error_probability[labelled][:, columns].tolist()],
        dtype=np.float64,
    )
    return _Decided(risks, (correct[labelled] == 0).any(axis=1), half.unseen[labelled])


def _largest(groups: Sequence[_Group], delta: float) -> tuple[float, str]:
    """The largest threshold at which every group supports its promise; or 0.0, and why there is none."""
    threshold, failed = _ascend(groups, _start(groups, delta), delta)
    if not threshold and failed and failed.spared:
        # The others passed here, so the sequence of tests may go on with smaller thresholds.
        threshold, failed = _ascend(groups, _start(groups[:1], delta), delta)
    return threshold, _why_not(failed, delta) if failed and not threshold else ""


def _ascend(groups: Sequence[_Group], start: int, delta: float) -> tuple[float, _Group | None]:
    """The last threshold before the first that a group does not support, and that group."""
    threshold = 0.0
    for candidate in GRID[start:]:
        for group in groups:
            if not group.supports(candidate, delta):
                return threshold, group
        threshold = candidate
    return threshold, None


def _start(groups: Sequence[_Group], delta: float) -> int:
    """The strictest threshold that accepts so many rows of each group that one may be wrong; or that none may.

    The tuning half chooses between the two. What is right among the rows that test has no say: the order of the tests
    is fixed before their outcome is looked at.
    """
    starts = [
        index
        for errors in (1, 0)
        if (index := bisect_left(GRID, 1, key=partial(_allow, groups, errors, delta))) < len(GRID)
    ]
    supported = (
        one for one in starts if all(group.may_support(GRID[one], delta) for group in groups)
    )
    return next(supported, starts[0] if starts else len(GRID) - 1)


def _allow(groups: Sequence[_Group], errors: int, delta: float, threshold: float) -> bool:
    return all(group.allows(threshold, delta) >= errors for group in groups)


def max_errors(rows: int, alpha: float, delta: float) -> int:
    """The most errors among that many accepted rows that still support the promise; -1 if not even none does."""
    tails = itertools.accumulate(_binomial(rows, alpha, rows))
    return sum(1 for _ in itertools.takewhile(lambda tail: tail <= delta, tails)) - 1


def _binomial(trials: int, probability: float, last: int) -> Iterator[float]:
    """P(X = k) for k from 0 to `last`."""
    log_p, log_q, log_all = math.log(probability), math.log1p(-probability), math.lgamma(trials + 1)
    for k in range(last + 1):
        ways = log_all - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        yield math.exp(ways + k * log_p + (trials - k) * log_q)


def _why_not(group: _Group, delta: float) -> str:
    rows = group.testing
    accepted = rows.risks < GRID[_start([group], delta)]
    return (
        f"no threshold can promise at most {group.alpha:.3g} errors with confidence {1 - delta:.3g}: of "
        f"{len(rows.risks)} calibration rows the {int(accepted.sum())} surest hold {int(rows.wrong[accepted].sum())} "
        "errors, so nothing is accepted; allow a larger alpha or delta, or calibrate on more rows"
    )


def _digest(sample: CalibrationSample, deciding: Sequence[str], terms: tuple[float, ...]) -> str:
    digest = hashlib.sha256(repr((sample.axes, tuple(deciding), *terms, GRID)).encode())
    for half in (sample.tuning, sample.testing):
        digest.update(np.ascontiguousarray(half.error_probability).tobytes())
        digest.update(np.ascontiguousarray(half.correct).tobytes())
        digest.update(np.ascontiguousarray(half.unseen).tobytes())
    return digest.hexdigest()
