"""Calibration: temperature, exact tails, and thresholds that are promises."""

from collections.abc import Sequence

import numpy as np
import pytest

from inference.acceptance.guarantee import GRID, binomial_tail, calibrate, max_errors, risk
from inference.acceptance.samples import CalibrationSample, CalibrationSplit
from inference.evaluation.formulas import expected_calibration_error
from inference.model.temperature import fit_temperature, softmax


def make_half(
    error_probability: Sequence[float],
    correct: Sequence[int],
    tenant: Sequence[int] | None = None,
    unseen: int = 0,
) -> CalibrationSplit:
    """One axis; the last `unseen` rows are of sources the model was not taught with."""
    return CalibrationSplit(
        np.array(error_probability, dtype=np.float64)[:, None],
        np.array(correct, dtype=np.int8)[:, None],
        np.array([-1] * len(error_probability) if tenant is None else tenant, dtype=np.int32),
        np.arange(len(error_probability)) >= len(error_probability) - unseen,
    )


def make_sample(rows: int, *, sure_errors: int = 0) -> CalibrationSample:
    """Half the rows sure (99 % confidence, `sure_errors` of them wrong), the other half in doubt and mostly wrong."""
    error_probability = [0.01] * rows + [0.4] * rows
    correct = [0] * sure_errors + [1] * (rows - sure_errors) + [i % 2 for i in range(rows)]
    return CalibrationSample(
        ("queue",), make_half(error_probability, correct), make_half(error_probability, correct)
    )


@pytest.mark.parametrize(
    ("k", "n", "p"), [(0, 114, 0.02), (3, 200, 0.02), (20, 1000, 0.02), (0, 0, 0.02), (7, 7, 0.5)]
)
def test_binomial_tail_equals_scipy(k: int, n: int, p: float) -> None:
    """The p-values, and with them the promise, would be wrong."""
    stats = pytest.importorskip("scipy.stats")
    assert binomial_tail(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), abs=1e-10)


@pytest.mark.parametrize("rows", [0, 1, 113, 114, 400, 2000])
def test_most_errors_allowed_is_where_the_tail_crosses_delta(rows: int) -> None:
    """The search would start where the test cannot pass."""
    allowed = max_errors(rows, 0.02, 0.10)
    assert allowed == -1 or binomial_tail(allowed, rows, 0.02) <= 0.10
    assert allowed == rows or binomial_tail(allowed + 1, rows, 0.02) > 0.10


def test_sure_rows_are_accepted_and_doubtful_ones_not() -> None:
    """Coverage would be thrown away, or errors accepted."""
    promise = calibrate(make_sample(500), ["queue"], 0.02, 0.10)
    assert 0.01 < promise.threshold <= 0.41
    assert promise.coverage == 0.5
    assert (promise.n, promise.accepted_errors, promise.reason) == (1000, 0, "")


@pytest.mark.parametrize(("rows", "errors"), [(10, 0), (113, 0), (500, 9)])
def test_too_few_rows_or_too_many_errors_promise_nothing(rows: int, errors: int) -> None:
    """A promise the data cannot support would be made: 0 errors in 113 rows is not yet 2 % at 90 % confidence."""
    promise = calibrate(make_sample(rows, sure_errors=errors), ["queue"], 0.02, 0.10)
    assert (promise.threshold, promise.coverage, promise.accepted_errors) == (0.0, 0.0, 0)
    assert "nothing is accepted" in promise.reason
    assert "\n" not in promise.reason


def test_just_enough_rows_suffice() -> None:
    """The test would be stricter than the promise: 114 rows without an error are enough for 2 % at 90 %."""
    assert calibrate(make_sample(114), ["queue"], 0.02, 0.10).coverage == 0.5


def test_no_rows_at_all_promise_nothing() -> None:
    """A model without calibration rows would crash the worker at start instead of escalating everything."""
    empty = make_half([], [])
    promise = calibrate(CalibrationSample(("queue",), empty, empty), ["queue"], 0.02, 0.10)
    assert (promise.n, promise.threshold, promise.coverage) == (0, 0.0, 0.0)
    assert promise.reason


def test_a_wrong_value_on_any_deciding_axis_counts() -> None:
    """The promise would be about the first axis only."""
    correct = np.ones((400, 2), dtype=np.int8)
    correct[:, 1] = 0
    half = CalibrationSplit(
        np.full((400, 2), 0.001), correct, np.full(400, -1, np.int32), np.zeros(400, np.bool_)
    )
    sample = CalibrationSample(("queue", "priority"), half, half)
    assert calibrate(sample, ["queue"], 0.02, 0.10).threshold
    assert not calibrate(sample, ["priority"], 0.02, 0.10).threshold
    assert not calibrate(sample, ["queue", "priority"], 0.02, 0.10).threshold


def test_rows_without_a_deciding_label_do_not_count() -> None:
    """Unlabelled rows would count as right, or as wrong."""
    half = make_half([0.001] * 400, [1] * 200 + [-1] * 200)
    assert calibrate(CalibrationSample(("queue",), half, half), ["queue"], 0.02, 0.10).n == 200


def test_tuning_half_cannot_make_the_promise() -> None:
    """Data that chose where to look would also be the evidence, and the promise would be worth nothing."""
    good, bad = make_half([0.01] * 400, [1] * 400), make_half([0.01] * 400, [0] * 400)
    assert not calibrate(CalibrationSample(("queue",), good, bad), ["queue"], 0.02, 0.10).threshold


def test_a_row_the_guards_refuse_is_never_accepted() -> None:
    """The promise would be tested on rows that serving never accepts, and be kept by their help."""
    half = make_half([1.0] * 400, [1] * 400)
    promise = calibrate(CalibrationSample(("queue",), half, half), ["queue"], 0.5, 0.5)
    assert (promise.coverage, promise.threshold) == (0.0, 0.0)


def test_a_tenants_promise_is_about_its_own_rows() -> None:
    """A tenant the model errs on would be promised what holds for the others."""
    error_probability, tenant = [0.01] * 800, [0] * 400 + [1] * 400
    half = make_half(error_probability, [1] * 400 + [0] * 400, tenant)
    sample = CalibrationSample(("queue",), half, half, ("acme", "bmce"))
    good, bad = (calibrate(sample.of(name), ["queue"], 0.02, 0.10) for name in ("acme", "bmce"))
    assert (good.n, bad.n) == (400, 400)
    assert good.threshold > 0
    assert bad.threshold == calibrate(sample, ["queue"], 0.02, 0.10).threshold == 0
    assert good.digest != bad.digest


def with_unseen(
    rows: int, errors: int, of: int = 4_000, *, sure: bool = False
) -> CalibrationSample:
    """`of` rows of known sources, all right, and `rows` of others with `errors` wrong; the model is sure of either."""
    error_probability = [0.001] * of + [0.001 if sure else 0.01] * rows
    half = make_half(
        error_probability, [1] * of + [0] * errors + [1] * (rows - errors), unseen=rows
    )
    return CalibrationSample(("queue",), half, half)


def test_known_sources_do_not_make_the_promise_for_others() -> None:
    """An error in ten on a new vendor's events would be accepted because the known vendors' hide it."""
    careful = calibrate(with_unseen(400, 8), ["queue"], 0.02, 0.10)
    assert (careful.coverage, careful.n_unseen) == (1.0, 400)
    careless = calibrate(with_unseen(400, 40), ["queue"], 0.02, 0.10)
    strict = calibrate(with_unseen(400, 8), ["queue"], 0.02, 0.10, 0.02)
    for promise in (careless, strict):
        assert promise.coverage == pytest.approx(4_000 / 4_400), "the known ones alone"
        assert promise.n_unseen == 400
    assert strict.digest != careful.digest
    sample = with_unseen(400, 40)
    halves = [
        CalibrationSplit(one.error_probability, one.correct, one.tenant, one.unseen & False)
        for one in (sample.tuning, sample.testing)
    ]
    assert calibrate(CalibrationSample(("queue",), *halves), ["queue"], 0.02, 0.10).coverage == 1.0


def test_nothing_is_promised_where_other_sources_allow_nothing() -> None:
    """The known sources' rows would speak for events they are nothing like."""
    promise = calibrate(with_unseen(400, 40, sure=True), ["queue"], 0.02, 0.10)
    assert (promise.coverage, promise.n_unseen) == (0.0, 400)


def test_few_rows_of_other_sources_cannot_forbid_everything() -> None:
    """A handful of rows from elsewhere would switch the model off."""
    promise = calibrate(with_unseen(80, 10, sure=True), ["queue"], 0.02, 0.10)
    assert (promise.coverage, promise.n_unseen) == (1.0, 0)


def test_digest_tells_promises_apart() -> None:
    """An audit could not say which promise was in force."""
    sample = make_sample(200)
    digests = {
        calibrate(one, ["queue"], alpha, 0.10).digest
        for one in (sample, make_sample(201))
        for alpha in (0.02, 0.03)
    }
    assert len(digests) == 4
    assert calibrate(sample, ["queue"], 0.02, 0.10) == calibrate(sample, ["queue"], 0.02, 0.10)


@pytest.mark.parametrize(
    ("deciding", "alpha", "delta"), [(["mood"], 0.02, 0.1), ([], 0.02, 0.1), (["queue"], 0, 0.1)]
)
def test_impossible_terms_are_refused(deciding: list[str], alpha: float, delta: float) -> None:
    """A mistyped axis would silently decide nothing."""
    with pytest.raises(ValueError, match="must"):
        calibrate(make_sample(5), deciding, alpha, delta)


def test_temperature_undoes_overconfidence() -> None:
    """Confidence would not be how often a value is right."""
    generator = np.random.default_rng(5)
    logits = generator.normal(size=(4000, 5)) * 2
    truth = [generator.choice(5, p=row) for row in softmax(logits)]
    gold = np.eye(5, dtype=np.bool_)[truth]
    temperature = fit_temperature(logits * 3, gold)
    assert temperature == pytest.approx(3, rel=0.15)
    confidence = softmax(logits * 3, temperature).max(axis=1)
    right = gold[np.arange(len(gold)), logits.argmax(axis=1)]
    assert expected_calibration_error(confidence, right) < 0.03


def test_calibration_error_of_the_overconfident_is_their_gap() -> None:
    """The model card would flatter the model."""
    assert expected_calibration_error(np.full(100, 0.9), np.arange(100) < 50) == pytest.approx(0.4)


def test_risk_is_the_union_bound() -> None:
    """Two doubtful axes would count as one."""
    assert risk([0.01]) == 0.01
    assert risk([0.1, 0.3]) == pytest.approx(0.4)
    assert risk([0.9, 0.9]) == 1.0


def test_grid_is_fixed_and_rising() -> None:
    """Fixed-sequence testing needs an order chosen before the data are seen."""
    assert list(GRID) == sorted(set(GRID))
    assert GRID[-1] == 1.0
