"""The benchmark of many labels: a model of its made-up rows is trained, and serves."""

from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.many_labels import AXIS, ROWS, made_up, serve, train
from benchmarks.own_labels import write_table
from inference.training.gold_labels import gold_matrix


def test_made_up_labels_are_trained_and_served(tmp_path: Path) -> None:
    """The figures would be those of another number of labels, or of a model that serves nothing."""
    rows = list(made_up(Path(), labels=15))
    teaching = [row for row in rows if row.part != "test"]
    test = [row for row in rows if row.part == "test"]
    assert set(Counter(row.gold[AXIS] for row in teaching).values()) == {ROWS}
    assert len(test) == 15
    model = tmp_path / "model"
    training = train(write_table(teaching, tmp_path / "rows.csv"), model)
    serving = serve(model, test)
    assert training.train_cpu_s > 0
    assert serving.test_rows == 15
    assert serving.right > 0.3
    assert serving.model_mb > 1


def test_gold_labels_are_where_they_belong() -> None:
    """A row with several labels, or with one that is not asked about, would teach another one."""
    rows = list(made_up(Path(), labels=40))
    labels = sorted({row.gold[AXIS][0] for row in rows})[:30]
    expected = [[label in row.gold[AXIS] for label in labels] for row in rows]
    assert np.array_equal(gold_matrix(rows, AXIS, labels), expected)
