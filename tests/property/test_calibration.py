"""The promise holds over repeated draws of rows, and the binomial tail is a tail."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.acceptance.binomial import binomial_tail
from inference.acceptance.fixed_sequence import THRESHOLDS
from inference.acceptance.guarantee import calibrate
from inference.acceptance.samples import CalibrationSample, CalibrationSplit
from inference.arrays import Floats
from inference.model.temperature import softmax

DELTA = 0.10
SPLITS, ROWS = 200, 2_000
# DELTA and 3.1 standard deviations. By chance, a larger share occurs once in a thousand times.
ALLOWED = DELTA + 3.1 * (DELTA * (1 - DELTA) / SPLITS) ** 0.5


def draw(generator: np.random.Generator, rows: int) -> tuple[CalibrationSplit, Floats]:
    """Rows, and the true probability (rows,) that each is wrong.

    It is 1.5 times the error probability, because models are overconfident.
    """
    error_probability = generator.beta(0.6, 6, size=rows).round(6)
    rate = np.minimum(1.0, 1.5 * error_probability)
    correct = (generator.random(rows) >= rate).astype(np.int8)
    return CalibrationSplit(
        error_probability[:, None],
        correct[:, None],
        np.full(rows, -1, np.int32),
        np.zeros(rows, np.bool_),
    ), rate


def naive_threshold(split: CalibrationSplit, alpha: float) -> float:
    """The largest threshold at which the share of errors among these rows is at most `alpha`.

    This is the usual method without a guarantee.
    """
    return max(
        (threshold for threshold in THRESHOLDS if error_share(split, threshold) <= alpha),
        default=0.0,
    )


def error_share(split: CalibrationSplit, threshold: float) -> float:
    """The share of the rows accepted at this threshold that are wrong; 0.0 if none is accepted."""
    accepted = split.error_probability[:, 0] < threshold
    if not accepted.any():
        return 0.0
    return float((split.correct[accepted, 0] == 0).mean())


def share_broken(
    choose: Callable[[CalibrationSample, float], float], alpha: float
) -> tuple[float, float]:
    """The share of samples whose threshold breaks the promise, and the share that accept anything.

    The promise is broken if the true risk of the accepted events exceeds `alpha`.
    """
    population, rate = draw(np.random.default_rng(99), 200_000)
    order = np.argsort(population.error_probability[:, 0])
    error_probability = population.error_probability[order, 0]
    mean_rate = np.cumsum(rate[order]) / np.arange(1, len(rate) + 1)
    broken = accepting = 0
    for seed in range(SPLITS):
        generator = np.random.default_rng(seed)
        sample = CalibrationSample(
            ("queue",), draw(generator, ROWS // 2)[0], draw(generator, ROWS // 2)[0]
        )
        accepted = int(np.searchsorted(error_probability, choose(sample, alpha)))
        accepting += accepted > 0
        broken += accepted > 0 and mean_rate[accepted - 1] > alpha
    return broken / SPLITS, accepting / SPLITS


@pytest.mark.parametrize("alpha", [0.02, 0.05])
def test_promise_is_kept_over_random_splits(alpha: float) -> None:
    """The promise would be false: the true error rate would exceed alpha more often than delta."""
    broken, accepting = share_broken(
        lambda sample, a: calibrate(sample, ["queue"], a, DELTA).threshold, alpha
    )
    assert broken <= ALLOWED
    assert accepting > 0.2, "a promise that accepts nothing is kept as well, but is useless"


def test_a_threshold_chosen_and_tested_on_the_same_rows_breaks_the_promise() -> None:
    """The test above would pass for every threshold, and so show nothing."""
    broken, _ = share_broken(lambda sample, a: naive_threshold(sample.testing, a), 0.05)
    assert broken > ALLOWED + 0.1


def draw_as_labelled(
    generator: np.random.Generator, rows: int, chance: float
) -> tuple[CalibrationSplit, Floats]:
    """Rows of which those below a risk of 0.05 are labelled with this chance, all others surely.

    So it is when accepted events are labelled as spot checks only.
    """
    split, rate = draw(generator, rows)
    probability = np.where(split.error_probability[:, 0] < 0.05, chance, 1.0)
    chosen = generator.random(rows) < probability
    split = dataclasses.replace(split.where(chosen), weight=1 / probability[chosen])
    return split, rate[chosen]


@pytest.mark.parametrize("chance", [0.5, 0.1])
def test_promise_is_kept_if_rows_were_chosen_with_different_probabilities(chance: float) -> None:
    """Weights would make few spot checks look like many rows, and the promise be false."""

    def choose(sample: CalibrationSample, alpha: float) -> float:
        seed = int(sample.testing.error_probability[0, 0] * 1e6)
        split, _ = draw_as_labelled(np.random.default_rng(seed), 4 * ROWS, chance)
        sample = CalibrationSample(("queue",), sample.tuning, split)
        return calibrate(sample, ["queue"], alpha, DELTA).threshold

    broken, accepting = share_broken(choose, 0.05)
    assert broken <= ALLOWED
    assert accepting > 0.2


def draw_alerts(
    generator: np.random.Generator, rows: int
) -> tuple[CalibrationSplit, Floats, Floats]:
    """Alerts, the probability (rows,) that each is wrong, and that it is malicious.

    70 % of them are called harmless. Half of the wrong ones among these are malicious.
    """
    split, rate = draw(generator, rows)
    harmless = generator.random(rows) < 0.7
    malicious = (split.correct[:, 0] == 0) & (generator.random(rows) < 0.5)
    flags = np.where(harmless, malicious, -1).astype(np.int8)
    return dataclasses.replace(split, malicious=flags), rate, np.where(harmless, rate / 2, 0.0)


def test_both_promises_are_kept_over_random_splits() -> None:
    """More of what is accepted as benign would be attacks than was promised, or more be wrong.

    Each promise may be broken in a share delta of the samples.
    """
    alpha, beta = 0.05, 0.01
    population, rate, malicious_rate = draw_alerts(np.random.default_rng(98), 50_000)
    risks, harmless = population.error_probability[:, 0], population.malicious >= 0
    broken = {"alpha": 0, "beta": 0, "beta if nobody asks for it": 0}
    accepting = 0
    for seed in range(SPLITS):
        generator = np.random.default_rng(seed)
        tuning, testing = (draw_alerts(generator, ROWS)[0] for _ in range(2))
        sample = CalibrationSample(("disposition",), tuning, testing)
        both = calibrate(sample, sample.axes, alpha, DELTA, beta=beta)
        accepted = risks < np.where(harmless, both.harmless_threshold, both.threshold)
        as_harmless = accepted & harmless
        accepting += bool(as_harmless.any())
        broken["alpha"] += bool(accepted.any() and rate[accepted].mean() > alpha)
        worse = as_harmless.any() and malicious_rate[as_harmless].mean() > beta
        broken["beta"] += bool(worse)
        plain = harmless & (risks < calibrate(sample, sample.axes, alpha, DELTA).threshold)
        unasked = plain.any() and malicious_rate[plain].mean() > beta
        broken["beta if nobody asks for it"] += bool(unasked)
    assert broken["alpha"] / SPLITS <= ALLOWED
    assert broken["beta"] / SPLITS <= ALLOWED
    assert accepting / SPLITS > 0.5, "a promise that accepts nothing is kept as well"
    assert broken["beta if nobody asks for it"] / SPLITS > ALLOWED, "the test can fail"


@given(n=st.integers(0, 2000), p=st.floats(0.001, 0.999), data=st.data())
def test_tail_grows_with_errors_and_shrinks_with_rate(
    n: int, p: float, data: st.DataObject
) -> None:
    """More errors would count as better evidence."""
    k = data.draw(st.integers(0, n))
    tail = binomial_tail(k, n, p)
    assert 0 <= tail <= 1
    if k:
        assert binomial_tail(k - 1, n, p) <= tail + 1e-12
    assert binomial_tail(k, n, min(0.9999, p * 1.1)) <= tail + 1e-9


@settings(max_examples=60)
@given(
    error_probability=st.lists(st.floats(0, 1), max_size=300),
    of_tenant=st.booleans(),
    seed=st.integers(0, 9),
    alpha=st.floats(0.001, 0.5),
    delta=st.floats(0.001, 0.5),
)
def test_any_sample_yields_a_consistent_promise(
    error_probability: list[float], of_tenant: bool, seed: int, alpha: float, delta: float
) -> None:
    """An unusual calibration sample would crash the worker, or support a false promise."""
    rows = len(error_probability)
    values = np.random.default_rng(seed).integers(-1, 2, size=rows)
    split = CalibrationSplit(
        np.array(error_probability, dtype=np.float64)[:, None],
        values.astype(np.int8)[:, None],
        values.astype(np.int32),
        np.random.default_rng(seed + 1).random(rows) < 0.3,
    )
    sample = CalibrationSample(("queue",), split, split, ("acme", "bmce"))
    if of_tenant:
        sample = sample.of("bmce")
    promise = calibrate(sample, ["queue"], alpha, delta)
    assert bool(promise.reason) == (promise.threshold == 0)
    assert 0 <= promise.coverage <= 1
    if promise.threshold:
        accepted = round(promise.coverage * promise.n)
        assert binomial_tail(promise.accepted_errors, accepted, alpha) <= delta


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(0.05, 20))
def test_softmax_is_always_a_distribution(logits: list[float], temperature: float) -> None:
    """Extreme logits would put NaN on the output topic."""
    probabilities = softmax(np.array(logits), temperature)
    assert abs(probabilities.sum() - 1) < 1e-9
    assert (probabilities >= 0).all()
