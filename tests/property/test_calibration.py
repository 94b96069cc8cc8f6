"""The promise holds over repeated draws, and the tail is a tail."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.calibration import Half, Sample, binomial_tail, calibrate, softmax

ALPHA, DELTA = 0.05, 0.10


def draw(generator: np.random.Generator, rows: int) -> Half:
    """Rows whose true error rate is 1.5 times what their confidence says: overconfident, as models are."""
    confidence = 1 - generator.beta(0.6, 6, size=rows).round(6)
    correct = generator.random(rows) >= 1.5 * (1 - confidence)
    return Half(confidence[:, None], correct.astype(np.int8)[:, None])


def true_rate(population: Half, threshold: float) -> float:
    """The error rate among the accepted events of a population."""
    accepted = 1 - population.confidence[:, 0] < threshold
    return float(1 - population.correct[accepted, 0].mean()) if accepted.any() else 0.0


def test_promise_is_kept_at_least_as_often_as_promised() -> None:
    """The headline guarantee would be false: thresholds whose real error rate exceeds alpha, more often than delta."""
    thresholds = [
        calibrate(Sample(("queue",), draw(g, 300), draw(g, 300)), ["queue"], ALPHA, DELTA).threshold
        for g in (np.random.default_rng(seed) for seed in range(300))
    ]
    population = draw(np.random.default_rng(99), 500_000)
    rates = {threshold: true_rate(population, threshold) for threshold in set(thresholds)}
    broken = sum(rates[threshold] > ALPHA for threshold in thresholds) / len(thresholds)
    # Three standard errors of 300 draws above delta would be 0.152; the exact test stays below delta itself.
    assert broken <= DELTA + 0.03
    assert np.mean([threshold > 0 for threshold in thresholds]) > 0.5


@given(n=st.integers(0, 2000), p=st.floats(0.001, 0.999), data=st.data())
def test_tail_grows_with_errors_and_shrinks_with_rate(n: int, p: float, data: st.DataObject) -> None:
    """More errors would look like better evidence."""
    k = data.draw(st.integers(0, n))
    tail = binomial_tail(k, n, p)
    assert 0 <= tail <= 1
    if k:
        assert binomial_tail(k - 1, n, p) <= tail + 1e-12
    assert binomial_tail(k, n, min(0.9999, p * 1.1)) <= tail + 1e-9


@settings(max_examples=60)
@given(
    confidence=st.lists(st.floats(0, 1), max_size=300),
    seed=st.integers(0, 9),
    alpha=st.floats(0.001, 0.5),
    delta=st.floats(0.001, 0.5),
)
def test_any_sample_yields_a_consistent_promise(confidence: list[float], seed: int, alpha: float, delta: float) -> None:
    """A strange calibration sample would crash the worker, or promise without evidence."""
    correct = np.random.default_rng(seed).integers(-1, 2, size=len(confidence)).astype(np.int8)
    half = Half(np.array(confidence, dtype=np.float64)[:, None], correct[:, None])
    promise = calibrate(Sample(("queue",), half, half), ["queue"], alpha, delta)
    assert bool(promise.reason) == (promise.threshold == 0)
    assert 0 <= promise.coverage <= 1
    if promise.threshold:
        accepted = round(promise.coverage * promise.n)
        assert binomial_tail(promise.accepted_errors, accepted, alpha) <= delta


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(0.05, 20))
def test_softmax_is_always_a_distribution(logits: list[float], temperature: float) -> None:
    """Extreme scores would put NaN on the output topic."""
    probabilities = softmax(np.array(logits), temperature)
    assert abs(probabilities.sum() - 1) < 1e-9
    assert (probabilities >= 0).all()
