"""Cross-fitting: every row is answered by a model that has not seen it, and all rows calibrate."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from inference.acceptance.guarantee import calibrate
from inference.acceptance.learning import learning_table
from inference.acceptance.options import Terms
from inference.acceptance.samples import load_samples
from inference.arrays import Vectors
from inference.classifier import Classifier
from inference.errors import DataError
from inference.labelled import LabelledRow, Part
from inference.model.artifact import load_artifact
from inference.model.heads import Head
from inference.model.model_input import ModelInput
from inference.model.threads import Threads
from inference.training import crossfit as crossfit_module
from inference.training.crossfit import STRENGTHS, FoldAnswers, answer_by_folds, crossfit, tune
from inference.training.folds import fold_numbers
from inference.training.head_fit import fit_heads_of_axis
from inference.training.recipe import TrainingOptions, TrainingRows, train_on_rows
from schemas.event import Event
from streams.cli.learning_text import show_learning
from tests.labelled import WORDS, alerts, split, to_rows

LABELS = {"queue": ("a", "b", "c")}
WIDTH = 8


def no_progress(*_: object) -> None:
    """Ignore all reports of progress."""


def a_row(number: int, label: str, *, cluster: str = "", part: Part = "both") -> LabelledRow:
    """A ticket with a text of its own."""
    event = Event(id=str(number), kind="ticket", text=f"text {number}", tenant="default")
    return LabelledRow(
        event=event,
        domain="tickets",
        gold={"queue": (label,)},
        part=part,
        source="own",
        cluster=cluster,
    )


def rows_of(labels: Sequence[str]) -> list[LabelledRow]:
    """One row for each of these labels."""
    return [a_row(number, label) for number, label in enumerate(labels)]


def vectors_of(rows: Sequence[LabelledRow], *, noise: float = 0.3, seed: int = 0) -> Vectors:
    """Vectors around one direction for each label."""
    generator = np.random.default_rng(seed)
    vectors = noise * generator.standard_normal((len(rows), WIDTH))
    for vector, row in zip(vectors, rows, strict=True):
        vector[LABELS["queue"].index(row.gold["queue"][0])] += 1.0
    return vectors.astype(np.float32)


def answered(
    rows: Sequence[LabelledRow], vectors: Vectors, strengths: Sequence[float] = (0.1, 0.3)
) -> FoldAnswers:
    """What the models of the folds answer about these rows, by the encoder's heads alone."""
    nothing: list[LabelledRow] = []
    return answer_by_folds(
        "tickets",
        rows,
        vectors,
        (nothing, np.zeros((0, WIDTH), np.float32)),
        LABELS,
        no_progress,
        seed=0,
        strengths={"queue": strengths},
        heads_only=True,
    )


def inputs_of(rows: Sequence[LabelledRow]) -> list[ModelInput]:
    """Inputs that are like any other."""
    return [ModelInput([1, 2], 0.0, "", truncated=False) for _ in rows]


def test_near_duplicates_are_in_one_fold() -> None:
    """A model would be asked about a row whose near-duplicate it has learned by heart."""
    rows = [a_row(number, "abc"[number % 3], cluster=f"c{number // 4}") for number in range(120)]
    fold = fold_numbers(rows)
    for start in range(0, 120, 4):
        assert len(set(fold[start : start + 4].tolist())) == 1
    assert set(Counter(fold.tolist()).values()) == {12}
    same_text = [with_text(row, "the same") for row in rows[:2]]
    assert len(set(fold_numbers([*same_text, *rows[2:]])[:2].tolist())) == 1


def with_text(row: LabelledRow, text: str) -> LabelledRow:
    """The row with another text and without a cluster."""
    event = msgspec.structs.replace(row.event, text=text)
    return msgspec.structs.replace(row, event=event, cluster="")


def test_the_folds_do_not_look_at_labels() -> None:
    """A model would know the label of a row better than other labels, and the promise be broken."""
    fold = fold_numbers(rows_of("abc" * 40))
    assert fold_numbers(rows_of("a" * 60 + "b" * 60)).tolist() == fold.tolist()
    backwards = fold_numbers(rows_of("abc" * 40)[::-1])[::-1]
    assert backwards.tolist() == fold.tolist(), "the order of the rows does not matter"


def test_one_kind_of_row_cannot_be_divided() -> None:
    """A row would be answered by a model without any row."""
    with pytest.raises(DataError, match="at least two"):
        fold_numbers([a_row(number, "a", cluster="same") for number in range(9)])


def test_the_label_of_a_row_does_not_change_its_own_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rows would support a promise that the model keeps for rows it has learned only."""
    monkeypatch.setattr(crossfit_module, "fold_numbers", lambda rows: np.arange(len(rows)) % 5)
    rows = rows_of("abc" * 30)
    vectors = vectors_of(rows)
    before = answered(rows, vectors).encoder["queue"]
    rows[4] = msgspec.structs.replace(rows[4], gold={"queue": ("c",)})
    after = answered(rows, vectors).encoder["queue"]
    own_fold = np.arange(90) % 5 == 4
    assert np.array_equal(after[:, own_fold], before[:, own_fold])
    assert not np.array_equal(after[:, ~own_fold], before[:, ~own_fold])


def test_a_label_that_a_fold_has_not_seen_is_never_its_answer() -> None:
    """Training on few rows would crash, or the model would answer labels it knows nothing about."""
    rows = rows_of("ab" * 20 + "c")
    answers = answered(rows, vectors_of(rows))
    only_c = [int(np.argmax(of_row)) for of_row in answers.encoder["queue"][:, -1]]
    assert 2 not in only_c
    sample = tune(rows, inputs_of(rows), answers, LABELS).sample
    assert sample.testing.correct[-1, 0] == 0


def test_rows_of_one_label_alone_train_a_model_without_evidence() -> None:
    """A fold in which only one label is left would crash the training."""
    rows = rows_of("aaaab")
    answers = answered(rows, vectors_of(rows))
    assert np.isfinite(answers.encoder["queue"]).all()


def test_every_row_supports_the_promise() -> None:
    """Rows would be set aside to teach, and a desk would wait for thousands of rows."""
    rows = rows_of("abc" * 50)
    vectors = vectors_of(rows)
    fitted = crossfit("tickets", rows, vectors, inputs_of(rows), LABELS, no_progress, seed=0)
    assert len(fitted.sample.testing.correct) == 150
    assert len(fitted.sample.tuning.correct) == 0
    assert calibrate(fitted.sample, ["queue"], 0.05, 0.10).coverage > 0.5


def test_rows_that_only_teach_do_not_calibrate() -> None:
    """What the LLM has decided would be taken for what people have decided."""
    people = rows_of("abc" * 20)
    llm = [a_row(1_000 + number, "abc"[number % 3], part="train") for number in range(60)]
    rows = [*people, *llm]
    fitted = crossfit(
        "tickets", rows, vectors_of(rows), inputs_of(rows), LABELS, no_progress, seed=0
    )
    assert len(fitted.sample.testing.correct) == 60
    alone = crossfit(
        "tickets", people, vectors_of(rows)[:60], inputs_of(people), LABELS, no_progress, seed=0
    )
    assert not np.array_equal(
        fitted.sample.testing.error_probability, alone.sample.testing.error_probability
    )


def test_the_chance_of_a_row_becomes_its_weight() -> None:
    """Spot checks would count as often as the events that were all labelled."""
    rows = [
        msgspec.structs.replace(row, chance=[0.02, 1.0][number % 2])
        for number, row in enumerate(rows_of("abc" * 10))
    ]
    fitted = crossfit(
        "tickets", rows, vectors_of(rows), inputs_of(rows), LABELS, no_progress, seed=0
    )
    assert fitted.sample.testing.weight.tolist() == pytest.approx([50.0, 1.0] * 15)


def test_an_axis_without_a_label_is_refused() -> None:
    """The calibration of the axis would be made of nothing."""
    rows = rows_of("abc" * 5)
    labels = {**LABELS, "priority": ("high", "low")}
    with pytest.raises(DataError, match="no row of tickets is labelled on priority"):
        crossfit("tickets", rows, vectors_of(rows), inputs_of(rows), labels, no_progress, seed=0)


@pytest.mark.asyncio
async def test_a_model_of_rows_without_a_split_is_served(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The directory could not be loaded, or the served model would be that of a fold."""
    rows = to_rows(split(alerts(60)))
    rows = [msgspec.structs.replace(row, part="both", chance=0.5) for row in rows]
    labels = {
        "alerts": {
            "queue": tuple(sorted(WORDS)),
            "tactic": ("execution", "impact"),
            "severity": ("high", "low"),
        }
    }
    rows[0] = msgspec.structs.replace(rows[0], chance=1.0)
    out = tmp_path / "model"
    artifact = train_on_rows(
        tiny_model,
        TrainingRows(rows, labels, []),
        out,
        TrainingOptions(name="own", max_tokens=32),
        no_progress,
    )
    sample = load_samples(artifact)["alerts"]
    assert len(sample.testing.correct) == len(rows)
    assert sample.testing.weight.tolist() == pytest.approx([1.0] + [2.0] * (len(rows) - 1))
    assert artifact.calibration.made_from["rows"] == {"alerts": len(rows)}
    assert artifact.calibration.made_from["sources"] == ["made up"]
    assert artifact.calibration.made_from["method"] == "cross-fitted"
    table = learning_table(load_artifact(out), "alerts", Terms())
    assert table is not None
    assert table.labels["queue"]["cloud"].rows == 60
    assert [line.alpha for line in table.lines] == [0.02, 0.05, 0.10]
    assert (table.lines[-1].accepted > 0) == (table.lines[-1].until_anything.most == 0)
    show_learning(artifact, {"alerts": Terms()})
    assert "at most wrong" in capsys.readouterr().out
    classifier = Classifier.open(out, threads=Threads(1, 1))
    (decision,) = await classifier.classify("alerts", [rows[0].event])
    await classifier.close()
    assert decision.labels["queue"].value == rows[0].gold["queue"][0]


def test_the_last_point_of_the_curve_is_what_was_answered_before() -> None:
    """The heads of all rows would be fitted twice, or the curve would end somewhere else."""
    rows = [a_row(number, "abc"[number % 3]) for number in range(120)]
    vectors = vectors_of(rows, noise=0.8)
    again = answered(rows, vectors, [0.3])
    kept = answered(rows, vectors, [0.1, 0.3]).of_heads({"queue": 0.3})
    assert np.array_equal(kept.encoder["queue"], again.encoder["queue"])
    assert kept.strengths == again.strengths
    assert np.array_equal(kept.distance, again.distance)


def test_of_many_rows_and_labels_one_fold_chooses_the_strength(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand labels would be fitted four times in every fold, for minutes."""
    rows = [a_row(number, "abc"[number % 3]) for number in range(200)]
    vectors = vectors_of(rows, noise=0.8)
    fits: list[int] = []

    def count(*given: Any, **named: Any) -> list[Head]:
        heads = fit_heads_of_axis(*given, **named)
        fits.append(len(heads))
        return heads

    monkeypatch.setattr("inference.training.crossfit.fit_heads_of_axis", count)
    arguments: Any = ("tickets", rows, vectors, inputs_of(rows), LABELS, no_progress)
    whole = crossfit(*arguments, seed=0)
    folds = int(whole.answers.fold.max()) + 1
    assert fits == [len(STRENGTHS)] * folds
    fits.clear()
    monkeypatch.setattr("inference.training.crossfit.MAX_WORK", 100)
    quick = crossfit(*arguments, seed=0)
    assert fits == [len(STRENGTHS)] + [1] * folds
    assert quick.strengths["queue"] in STRENGTHS
    near = abs(float(np.mean(quick.sample.testing.correct - whole.sample.testing.correct)))
    assert near < 0.05
