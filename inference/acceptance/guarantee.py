"""The promise: a calibrated threshold by *Learn then Test* (Angelopoulos, Bates et al., 2021).

With probability at least 1 - delta over the calibration rows, at most a share alpha of the accepted
events is wrong. This holds for events that are drawn like the calibration rows.

The calibration rows are either rows that the model was not trained on, or all rows: then each was
answered by a model that was trained without it (`inference.training.crossfit` says what is assumed
in that case).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from inference.acceptance.binomial import max_errors
from inference.acceptance.dispositions import DISPOSITION
from inference.acceptance.fixed_sequence import (
    THRESHOLDS,
    Decisions,
    Group,
    largest_threshold,
)
from inference.acceptance.options import UNSEEN_ALPHA, Terms
from inference.acceptance.samples import UNLABELLED, CalibrationSample, CalibrationSplit
from inference.arrays import DECIMALS, Bools, Floats

UNSEEN_ROWS_FACTOR = 2
"""Rows of unseen sources get a test of their own if this many times the rows are accepted that a
promise needs at least. Below that, they are too few to say anything."""


@dataclass(frozen=True, slots=True)
class Promise:
    """Events whose risk is below `threshold` are wrong at most `alpha` of the time.

    The confidence of that is 1 - `delta`. `n` counts the rows that tested it, `coverage` is the
    share of them that is accepted, and `accepted_errors` counts the accepted rows that were wrong.
    `n_unseen` of the rows are of sources that the model was not trained on; they were tested
    against `unseen_alpha` as well. It is 0 if they were too few for a test. A threshold of 0.0
    accepts nothing; `reason` then says why, in one sentence. Otherwise `reason` is empty.

    With `beta`, events that are called harmless have a threshold of their own,
    `harmless_threshold`: at most a share `beta` of those below it is malicious, and `threshold` is
    for the other events. `n_harmless` rows tested it, of which `accepted_malicious` are accepted
    and were malicious. If it is 0.0, `harmless_reason` says why.
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
    beta: float | None = None
    harmless_threshold: float = 0.0
    n_harmless: int = 0
    accepted_malicious: int = 0
    harmless_reason: str = ""

    @property
    def accepts_any(self) -> bool:
        """Whether any event is accepted under this promise."""
        return self.threshold > 0 or self.harmless_threshold > 0

    def threshold_for(self, *, harmless: bool) -> float:
        """The threshold for an event that is called harmless, or for another one."""
        return self.harmless_threshold if harmless and self.beta is not None else self.threshold


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

    Other axes have no second promise.

    Raises:
        ValueError: as `calibrate`.
    """
    beta = terms.beta if deciding is None else None
    return calibrate(
        sample, deciding or terms.deciding, terms.alpha, terms.delta, terms.unseen_alpha, beta
    )


def calibrate(
    sample: CalibrationSample,
    deciding: Sequence[str],
    alpha: float,
    delta: float,
    unseen_alpha: float = UNSEEN_ALPHA,
    beta: float | None = None,
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

    With `beta`, the rows that are called harmless and the others are tested apart, each with half
    of `delta` for `alpha`: if at most a share `alpha` is wrong in both, so it is in all. The
    harmless ones also have to support that at most a share `beta` of them is malicious, with
    confidence 1 - `delta`.

    Raises:
        ValueError: no deciding axis, an axis that the sample lacks, a share outside (0, 1), or a
            `beta` without the axis of dispositions.
    """
    columns = _columns(sample, deciding, (alpha, unseen_alpha, delta, beta or alpha))
    if beta is not None and DISPOSITION not in deciding:
        raise ValueError(f"beta needs {DISPOSITION} among the deciding axes")
    rows = _decide(sample.testing, columns)
    if beta is None:
        tested = _test(rows, delta, alpha, unseen_alpha)
        harmless = _Tested(0.0, "", 0)
    else:
        tested = _test(rows.where(~rows.harmless), delta / 2, alpha, unseen_alpha)
        malicious = Group(_malicious(rows), beta, delta)
        harmless = _test(rows.where(rows.harmless), delta / 2, alpha, unseen_alpha, malicious)
    limits = np.where(rows.harmless & (beta is not None), harmless.threshold, tested.threshold)
    accepted = rows.risks < limits
    return Promise(
        alpha=alpha,
        delta=delta,
        n=len(accepted),
        unseen_alpha=unseen_alpha,
        n_unseen=tested.n_unseen + harmless.n_unseen,
        threshold=tested.threshold,
        coverage=_share(rows.weight, accepted),
        accepted_errors=int(rows.wrong[accepted].sum()),
        digest=_digest(sample, deciding, (alpha, delta, unseen_alpha), beta),
        reason=tested.reason,
        beta=beta,
        harmless_threshold=harmless.threshold,
        n_harmless=int(rows.harmless.sum()) if beta is not None else 0,
        accepted_malicious=int((rows.malicious[accepted] == 1).sum()) if beta is not None else 0,
        harmless_reason=harmless.reason,
    )


class _Tested(NamedTuple):
    """The threshold of some rows; if it is 0.0, why. `n_unseen` rows of unseen sources tested."""

    threshold: float
    reason: str
    n_unseen: int


def _test(
    rows: Decisions, delta: float, alpha: float, unseen_alpha: float, *others: Group
) -> _Tested:
    """The largest threshold that these rows, and the `others`, support."""
    groups = [Group(rows, alpha, delta), *others]
    unseen = Group(rows.where(rows.unseen), unseen_alpha, delta, may_be_empty=True)
    threshold, reason = largest_threshold(groups)
    unseen_accepted = int((unseen.rows.risks < threshold).sum())
    if max_errors(unseen_accepted // UNSEEN_ROWS_FACTOR, unseen_alpha, delta) < 0:
        return _Tested(threshold, reason, 0)
    threshold, reason = largest_threshold([*groups, unseen])
    return _Tested(threshold, reason, len(unseen.rows.risks))


def _malicious(rows: Decisions) -> Decisions:
    """The rows that are called harmless, as wrong if they were malicious."""
    harmless = rows.where(rows.harmless)
    return replace(harmless, wrong=harmless.malicious == 1)


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


def _decide(split: CalibrationSplit, columns: list[int]) -> Decisions:
    """The risk and wrongness of the rows that have a label on every deciding axis."""
    correct = split.correct[:, columns]
    labelled = (correct != UNLABELLED).all(axis=1)
    error_probabilities = split.error_probability[labelled][:, columns]
    risks = np.asarray([risk(row) for row in error_probabilities.tolist()], dtype=np.float64)
    return Decisions(
        risks,
        (correct[labelled] == 0).any(axis=1),
        split.weight[labelled],
        split.unseen[labelled],
        split.malicious[labelled],
    )


def _share(weight: Floats, rows: Bools) -> float:
    """The weighted share of these rows; 0.0 if there are none at all."""
    if not len(rows):
        return 0.0
    return float(weight[rows].sum() / weight.sum())


def _digest(
    sample: CalibrationSample,
    deciding: Sequence[str],
    shares: tuple[float, ...],
    beta: float | None,
) -> str:
    terms = (sample.axes, tuple(deciding), *shares, THRESHOLDS)
    if beta is not None:
        terms = (*terms, "beta", beta)
    digest = hashlib.sha256(repr(terms).encode())
    for split in (sample.tuning, sample.testing):
        digest.update(np.ascontiguousarray(split.error_probability).tobytes())
        digest.update(np.ascontiguousarray(split.correct).tobytes())
        digest.update(np.ascontiguousarray(split.unseen).tobytes())
        if (split.weight != 1).any():
            digest.update(np.ascontiguousarray(split.weight).tobytes())
        if beta is not None:
            digest.update(np.ascontiguousarray(split.malicious).tobytes())
    return digest.hexdigest()
