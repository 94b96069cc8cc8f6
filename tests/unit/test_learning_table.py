"""What is accepted now, and how many rows more are needed: the forecast and its table."""

import msgspec
import numpy as np
import pytest

from inference.acceptance.forecast import (
    COVERAGES,
    CurvePoint,
    LearningCurve,
    MoreRows,
    curve_point,
    forecast,
)
from inference.acceptance.guarantee import calibrate
from inference.acceptance.learning import AxisLearning, LabelLearning, LearningTable
from inference.evaluation.scoring import promise_notes, same_rows_notes
from streams.cli import learning_text
from streams.cli.learning_text import rows_more
from streams.cli.tables import Console
from tests.unit.test_calibration import make_sample


def a_point(rows: int, rate: float) -> CurvePoint:
    """Rows of which this share is wrong, the surest share as often as all others."""
    return CurvePoint(rows, tuple(round(share * rows * rate) for share in COVERAGES))


def a_curve(rate: float, rows: int = 400, *, exponent: float = 0.5) -> LearningCurve:
    """A curve that falls with this power of the number of rows."""
    points = [a_point(count, rate * (count / rows) ** -exponent) for count in (200, 300, 400)]
    return LearningCurve(a_point(rows, rate), tuple(points))


def test_the_errors_of_the_surest_rows_are_counted() -> None:
    """The forecast would be about all rows, though a promise accepts the surest."""
    risks = np.linspace(0, 1, 100)
    wrong = [bool(number >= 80) for number in range(100)]
    point = curve_point(risks, wrong)
    assert dict(zip(COVERAGES, point.errors, strict=True))[0.8] == 0
    assert dict(zip(COVERAGES, point.errors, strict=True))[1.0] == 20


def test_a_forecast_contains_what_comes() -> None:
    """The table would name numbers that nothing supports.

    With a rate of 4 % at 400 rows that falls with the root of their number, half of the rows are
    accepted at 5 % when the test is passed. The number is computed here step by step.
    """
    curve = a_curve(0.06)
    found = forecast(curve, 0.05, 0.10, 0.5)
    assert found.fewest is not None
    assert found.most is not None
    needed = next(
        rows
        for rows in range(400, 20_000, 20)
        if _passes(rows, 0.06 * (rows / 400) ** -0.5, share=0.5)
    )
    assert found.fewest <= needed - 400 <= found.most
    assert found.most < 100 * max(1, found.fewest)


def _passes(rows: int, rate: float, *, share: float) -> bool:
    sure = int(rows * share)
    sample = make_sample(sure, sure_errors=int(np.ceil(sure * rate)))
    return calibrate(sample, ["queue"], 0.05, 0.10).threshold > 0


def test_more_of_the_same_errors_are_never_enough() -> None:
    """A desk whose labels contradict each other would label rows for ever."""
    flat = LearningCurve(a_point(1_000, 0.3), tuple(a_point(n, 0.3) for n in (500, 750, 1_000)))
    assert forecast(flat, 0.02, 0.10, 0.8).most is None


def test_nothing_is_known_without_rows() -> None:
    """The table would divide by zero."""
    assert forecast(LearningCurve(a_point(0, 0.0), ()), 0.05, 0.1) == MoreRows(None, None)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (MoreRows(0, 0), "reached"),
        (MoreRows(1, 84), "up to 84"),
        (MoreRows(123, 4_567), "120 to 4,600"),
        (MoreRows(300, 301), "about 300"),
        (MoreRows(300, None), "300 or many more"),
        (MoreRows(None, None), "more than 30 times as many"),
    ],
)
def test_ranges_are_put_into_words(more: MoreRows, words: str) -> None:
    """A range would look more exact than it is, or say "None"."""
    assert rows_more(more) == words


def test_the_table_shows_what_is_right_least_often_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With many labels, those that need rows would not be seen."""
    labels = {
        f"label{number}": LabelLearning(rows=10, right=number % 11, accepted=[0, 1, 2])
        for number in range(60)
    }
    table = LearningTable("tickets", ("queue",), 600, (), {"queue": labels})
    learning_text.show_table(Console(soft_wrap=True), table)
    out = capsys.readouterr().out
    assert out.index("label0 ") < out.index("label1 ")
    assert "20 labels that are right more often are not shown" in out


def test_the_learning_is_read_as_it_was_written() -> None:
    """A model could not be shown any more after it was saved."""
    learning = {"queue": AxisLearning(a_curve(0.1), {"a": LabelLearning(3, 2, [0, 1, 2])})}
    document = msgspec.json.decode(msgspec.json.encode(learning))
    assert msgspec.convert(document, dict[str, AxisLearning]) == learning


def test_a_coverage_beside_a_smaller_promise_is_explained() -> None:
    """A report would say that 90 % are 98 % right, and that nothing is accepted."""
    promise = calibrate(make_sample(60), ["queue"], 0.02, 0.10)
    certainty, correct = -np.linspace(0, 1, 100), np.arange(100) < 95
    (note,) = promise_notes(promise, 0.0, certainty, correct)
    assert "by looking at the labels of these very rows" in note
    assert "more rows like these" in note
    assert not promise_notes(promise, 0.95, certainty, correct)


def test_rows_that_differ_from_the_calibration_rows_are_named() -> None:
    """The promise and the rows would contradict each other without a word."""
    promise = calibrate(make_sample(500), ["queue"], 0.02, 0.10)
    certainty, correct = -np.linspace(0, 1, 1_000), np.arange(1_000) % 2 == 0
    (note,) = promise_notes(promise, 0.1, certainty, correct)
    assert "it accepts 50%. Of these rows it accepts 10%" in note


def test_rows_that_taught_the_model_are_suspected() -> None:
    """A desk that evaluates its training rows would read 100 % and believe it."""
    promise = calibrate(make_sample(128), ["queue"], 0.10, 0.10)
    (note,) = same_rows_notes(promise, promise.n, "test")
    assert "give rows that it has never seen" in note
    assert not list(same_rows_notes(promise, promise.n - 1, "test"))
    assert not list(same_rows_notes(promise, promise.n, "val")), "validation rows did not teach"
