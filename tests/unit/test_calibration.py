"""Calibration: temperatures, exact binomial tails, and thresholds that keep the promise."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from inference.acceptance.binomial import binomial_tail, max_errors
from inference.acceptance.fixed_sequence import THRESHOLDS, Accepted, weighed
from inference.acceptance.guarantee import calibrate, risk
from inference.acceptance.samples import CalibrationSample, CalibrationSplit
from inference.evaluation.formulas import expected_calibration_error
from inference.model.temperature import fit_temperature, softmax


def make_split(
    error_probability: Sequence[float],
    correct: Sequence[int],
    tenant: Sequence[int] | None = None,
    unseen: int = 0,
) -> CalibrationSplit:
    """A split with one axis; its last `unseen` rows are of unseen sources."""
    rows = len(error_probability)
    if tenant is None:
        tenant = [-1] * rows
    return CalibrationSplit(
        np.array(error_probability, dtype=np.float64)[:, None],
        np.array(correct, dtype=np.int8)[:, None],
        np.array(tenant, dtype=np.int32),
        np.arange(rows) >= rows - unseen,
    )


def make_sample(rows: int, *, sure_errors: int = 0) -> CalibrationSample:
    """`rows` rows with confidence 99 %, and as many with confidence 60 %.

    Of the first, `sure_errors` are wrong; of the others, half are.
    """
    error_probability = [0.01] * rows + [0.4] * rows
    correct = [0] * sure_errors + [1] * (rows - sure_errors) + [i % 2 for i in range(rows)]
    split = make_split(error_probability, correct)
    return CalibrationSample(("queue",), split, split)


@pytest.mark.parametrize(
    ("k", "n", "p"), [(0, 114, 0.02), (3, 200, 0.02), (20, 1000, 0.02), (0, 0, 0.02), (7, 7, 0.5)]
)
def test_binomial_tail_equals_scipy(k: int, n: int, p: float) -> None:
    """The p-values, and with them the promise, would be wrong."""
    stats = pytest.importorskip("scipy.stats")
    assert binomial_tail(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), abs=1e-10)


@pytest.mark.parametrize("rows", [0, 1, 113, 114, 400, 2000])
def test_max_errors_is_where_the_tail_exceeds_delta(rows: int) -> None:
    """The sequence of tests would start at a threshold that cannot pass."""
    allowed = max_errors(rows, 0.02, 0.10)
    assert allowed == -1 or binomial_tail(allowed, rows, 0.02) <= 0.10
    assert allowed == rows or binomial_tail(allowed + 1, rows, 0.02) > 0.10


def test_sure_rows_are_accepted_and_unsure_rows_are_not() -> None:
    """Coverage would be lost, or errors be accepted."""
    promise = calibrate(make_sample(500), ["queue"], 0.02, 0.10)
    assert 0.01 < promise.threshold <= 0.41
    assert promise.coverage == 0.5
    assert (promise.n, promise.accepted_errors, promise.reason) == (1000, 0, "")


@pytest.mark.parametrize(("rows", "errors"), [(10, 0), (113, 0), (500, 9)])
def test_too_few_rows_or_too_many_errors_promise_nothing(rows: int, errors: int) -> None:
    """A promise would be made that the rows do not support.

    0 errors in 113 rows do not support 2 % at 90 % confidence.
    """
    promise = calibrate(make_sample(rows, sure_errors=errors), ["queue"], 0.02, 0.10)
    assert (promise.threshold, promise.coverage, promise.accepted_errors) == (0.0, 0.0, 0)
    assert "nothing is accepted" in promise.reason
    assert "\n" not in promise.reason


def test_the_fewest_rows_that_are_enough_suffice() -> None:
    """The test would be too strict: 114 rows without an error support 2 % at 90 %."""
    assert calibrate(make_sample(114), ["queue"], 0.02, 0.10).coverage == 0.5


def test_no_rows_at_all_promise_nothing() -> None:
    """A model without calibration rows would crash the worker, and not escalate every event."""
    empty = make_split([], [])
    promise = calibrate(CalibrationSample(("queue",), empty, empty), ["queue"], 0.02, 0.10)
    assert (promise.n, promise.threshold, promise.coverage) == (0, 0.0, 0.0)
    assert promise.reason


def test_a_wrong_value_on_any_deciding_axis_counts() -> None:
    """The promise would hold for the first axis only."""
    correct = np.ones((400, 2), dtype=np.int8)
    correct[:, 1] = 0
    split = CalibrationSplit(
        np.full((400, 2), 0.001), correct, np.full(400, -1, np.int32), np.zeros(400, np.bool_)
    )
    sample = CalibrationSample(("queue", "priority"), split, split)
    assert calibrate(sample, ["queue"], 0.02, 0.10).threshold
    assert not calibrate(sample, ["priority"], 0.02, 0.10).threshold
    assert not calibrate(sample, ["queue", "priority"], 0.02, 0.10).threshold


def test_rows_without_a_label_on_a_deciding_axis_do_not_count() -> None:
    """Rows without a label would count as right, or as wrong."""
    split = make_split([0.001] * 400, [1] * 200 + [-1] * 200)
    assert calibrate(CalibrationSample(("queue",), split, split), ["queue"], 0.02, 0.10).n == 200


def test_the_tuning_split_is_no_evidence_for_the_promise() -> None:
    """The rows that choose where the tests start would also be the evidence for the promise."""
    good, bad = make_split([0.01] * 400, [1] * 400), make_split([0.01] * 400, [0] * 400)
    assert not calibrate(CalibrationSample(("queue",), good, bad), ["queue"], 0.02, 0.10).threshold


def test_an_out_of_distribution_row_is_never_accepted() -> None:
    """Rows that serving never accepts would support the promise."""
    split = make_split([1.0] * 400, [1] * 400)
    promise = calibrate(CalibrationSample(("queue",), split, split), ["queue"], 0.5, 0.5)
    assert (promise.coverage, promise.threshold) == (0.0, 0.0)


def test_the_promise_of_a_tenant_is_about_its_own_rows() -> None:
    """A tenant whose events the model gets wrong would have the promise of the others."""
    error_probability, tenant = [0.01] * 800, [0] * 400 + [1] * 400
    split = make_split(error_probability, [1] * 400 + [0] * 400, tenant)
    sample = CalibrationSample(("queue",), split, split, ("acme", "bmce"))
    good, bad = (calibrate(sample.of(name), ["queue"], 0.02, 0.10) for name in ("acme", "bmce"))
    assert (good.n, bad.n) == (400, 400)
    assert good.threshold > 0
    assert bad.threshold == calibrate(sample, ["queue"], 0.02, 0.10).threshold == 0
    assert good.digest != bad.digest


def with_unseen(
    rows: int, errors: int, seen: int = 4_000, *, sure: bool = False
) -> CalibrationSample:
    """`seen` correct rows of seen sources, and `rows` of unseen ones, of which `errors` are wrong.

    The confidence is 99.9 % for seen sources, and 99 % for unseen ones (99.9 % if `sure`).
    """
    error_of_unseen = 0.01
    if sure:
        error_of_unseen = 0.001
    correct = [1] * seen + [0] * errors + [1] * (rows - errors)
    split = make_split([0.001] * seen + [error_of_unseen] * rows, correct, unseen=rows)
    return CalibrationSample(("queue",), split, split)


def test_seen_sources_do_not_support_the_promise_for_unseen_ones() -> None:
    """One error in ten events of a new vendor would be hidden by the events of the others."""
    few_errors = calibrate(with_unseen(400, 8), ["queue"], 0.02, 0.10)
    assert (few_errors.coverage, few_errors.n_unseen) == (1.0, 400)
    many_errors = calibrate(with_unseen(400, 40), ["queue"], 0.02, 0.10)
    strict = calibrate(with_unseen(400, 8), ["queue"], 0.02, 0.10, 0.02)
    for promise in (many_errors, strict):
        assert promise.coverage == pytest.approx(4_000 / 4_400), "only rows of seen sources"
        assert promise.n_unseen == 400
    assert strict.digest != few_errors.digest
    sample = with_unseen(400, 40)
    tuning, testing = (
        dataclasses.replace(split, unseen=np.zeros_like(split.unseen))
        for split in (sample.tuning, sample.testing)
    )
    all_seen = CalibrationSample(("queue",), tuning, testing)
    assert calibrate(all_seen, ["queue"], 0.02, 0.10).coverage == 1.0


def test_nothing_is_promised_if_no_threshold_suits_unseen_sources() -> None:
    """The rows of seen sources would support a promise for events that are unlike them."""
    promise = calibrate(with_unseen(400, 40, sure=True), ["queue"], 0.02, 0.10)
    assert (promise.coverage, promise.n_unseen) == (0.0, 400)


def test_few_rows_of_unseen_sources_do_not_end_the_promise() -> None:
    """A few rows of unseen sources would make the model escalate every event."""
    promise = calibrate(with_unseen(80, 10, sure=True), ["queue"], 0.02, 0.10)
    assert (promise.coverage, promise.n_unseen) == (1.0, 0)


def test_different_promises_have_different_digests() -> None:
    """An audit could not find out which promise was in force."""
    sample = make_sample(200)
    digests = {
        calibrate(rows, ["queue"], alpha, 0.10).digest
        for rows in (sample, make_sample(201))
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


def test_temperature_corrects_overconfidence() -> None:
    """The confidence would not equal the share of correct values."""
    generator = np.random.default_rng(5)
    logits = generator.normal(size=(4000, 5)) * 2
    truth = [generator.choice(5, p=row) for row in softmax(logits)]
    gold = np.eye(5, dtype=np.bool_)[truth]
    temperature = fit_temperature(logits * 3, gold)
    assert temperature == pytest.approx(3, rel=0.15)
    confidence = softmax(logits * 3, temperature).max(axis=1)
    is_correct = gold[np.arange(len(gold)), logits.argmax(axis=1)]
    assert expected_calibration_error(confidence, is_correct) < 0.03


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    """The model card would report a calibration error that is too small."""
    assert expected_calibration_error(np.full(100, 0.9), np.arange(100) < 50) == pytest.approx(0.4)


def test_risk_is_the_union_bound() -> None:
    """Two unsure axes would count as one."""
    assert risk([0.01]) == 0.01
    assert risk([0.1, 0.3]) == pytest.approx(0.4)
    assert risk([0.9, 0.9]) == 1.0


def test_thresholds_are_fixed_and_in_ascending_order() -> None:
    """The order of the tests would depend on the rows, and no promise would hold."""
    assert list(THRESHOLDS) == sorted(set(THRESHOLDS))
    assert THRESHOLDS[-1] == 1.0


def noisy_sample(rows: int, *, seed: int, noise: float) -> CalibrationSample:
    """Rows of all risks, of which a share `noise` has a wrong label, however sure the model is."""
    generator = np.random.default_rng(seed)
    error_probability = generator.beta(0.3, 3, size=rows).round(6)
    rate = noise + (1 - noise) * error_probability
    correct = (generator.random(rows) >= rate).astype(np.int8)
    split = make_split(error_probability.tolist(), correct.tolist())
    return CalibrationSample(("queue",), split, split)


def test_a_wrong_label_among_the_surest_rows_does_not_end_the_promise() -> None:
    """One wrong label in a hundred would leave nothing accepted, however many rows there are.

    Tests that start with the strictest threshold that has room for one error end at once in ten of
    these forty samples.
    """
    accepting = [
        calibrate(noisy_sample(2_000, seed=seed, noise=0.01), ["queue"], 0.03, 0.10).coverage > 0.3
        for seed in range(40)
    ]
    assert sum(accepting) >= 36


def test_the_start_of_the_tests_does_not_depend_on_the_labels() -> None:
    """The order of the tests would follow their outcome, and no promise would hold.

    All of these rows are right, and all are wrong: the reason names the rows at the start.
    """
    risks = np.random.default_rng(1).beta(0.3, 3, size=400).round(6).tolist()
    reasons = set()
    for right in ([0] * 400, [i % 2 for i in range(400)]):
        split = make_split(risks, right)
        reason = calibrate(CalibrationSample(("queue",), split, split), ["queue"], 0.05, 0.1).reason
        reasons.add(reason.split("the ")[1].split(" surest")[0])
    assert len(reasons) == 1


def test_rows_that_were_seldom_chosen_count_for_more() -> None:
    """Spot checks, of which few are labelled, would be outvoted by escalated events.

    Here a hundred spot checks stand for 5,000 accepted events and are right; of a hundred escalated
    events, which stand for themselves, ten are wrong.
    """
    split = make_split([0.01] * 200, [1] * 100 + [0] * 10 + [1] * 90)
    weighted = dataclasses.replace(split, weight=np.array([50.0] * 100 + [1.0] * 100))
    equal = calibrate(CalibrationSample(("queue",), split, split), ["queue"], 0.04, 0.1)
    by_weight = calibrate(CalibrationSample(("queue",), weighted, weighted), ["queue"], 0.04, 0.1)
    assert equal.threshold == 0.0
    assert by_weight.coverage == 1.0
    assert equal.digest != by_weight.digest
    assert weighed(np.ones(5), np.array([1.0, 0, 0, 1, 0])) == Accepted(5.0, 2.0)


def test_one_heavy_error_counts_for_what_it_stands_for() -> None:
    """A wrong spot check would count as one event, though it stands for fifty."""
    split = make_split([0.01] * 200, [0] + [1] * 199)
    weighted = dataclasses.replace(split, weight=np.array([50.0] * 100 + [1.0] * 100))
    assert calibrate(CalibrationSample(("queue",), split, split), ["queue"], 0.03, 0.1).threshold
    sample = CalibrationSample(("queue",), weighted, weighted)
    assert not calibrate(sample, ["queue"], 0.03, 0.1).threshold


@pytest.mark.parametrize(
    ("rows", "errors", "remedy"),
    [
        (60, 0, "calibrate on about 57 more rows like these"),
        (200, 3, "calibrate on about"),
        (500, 250, "would not be enough"),
        (0, 0, "calibrate on at least 114 rows"),
    ],
)
def test_the_reason_says_how_many_rows_more(rows: int, errors: int, remedy: str) -> None:
    """A desk would be told to label "more" rows, and could not plan for it.

    Of 60 rows that are accepted without an error, 54 are missing. The estimate goes up in steps of
    a tenth.
    """
    split = make_split([0.01] * rows, [0] * errors + [1] * (rows - errors))
    promise = calibrate(CalibrationSample(("queue",), split, split), ["queue"], 0.02, 0.10)
    assert promise.threshold == 0.0
    assert remedy in promise.reason


def test_the_tests_start_where_one_error_more_is_allowed() -> None:
    """A start at 76 rows of unseen sources fails with one error that 77 rows would have allowed.

    The rows have the same risk in steps, so the sequence may start with 76 of them or with 80.
    """
    risks = [0.001] * 76 + [0.03] * 4 + [0.5] * 20
    wrong = [1] + [0] * 79 + [1] * 20
    split = make_split(risks, [1 - each for each in wrong])
    promise = calibrate(CalibrationSample(("queue",), split, split), ["queue"], 0.05, 0.10)
    assert promise.coverage == 0.8
    assert Accepted(76.0, 0.5).room(0.05, 0.10) < Accepted(77.0, 0.6).room(0.05, 0.10)  # type: ignore[operator]
    assert Accepted(44.0, 0.0).room(0.05, 0.10) is None
