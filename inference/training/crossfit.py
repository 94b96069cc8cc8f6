"""Calibration that wastes no label: cross-fitting.

The rows are divided into folds. Each row is answered by heads, n-grams and centres that were fitted
to the other folds, and its confidence has the regularisation, the share of the n-grams and the
temperature that suit the other folds. So every row shows how a model does on an event that it has
not seen, and every row supports the promise. The model that is served is then fitted to all rows.

The promise of `inference.acceptance.guarantee` is tested on all of these rows. What it says is
exact for the models of the folds. For the served model it rests on one assumption: *at the same
threshold, a model of the same recipe that has learned from all rows is wrong no more often than
those that have learned from all folds but one.* It has more to learn from, so that is how learning
curves usually go. The errors of two folds are not quite independent either, because their models
share most of their training rows. `tests/property/test_crossfit.py` simulates how often the promise
is broken, and `python -m benchmarks.learning` does it with real rows.

The method is that of cross-conformal prediction (Vovk, 2015) and of CV+ (Barber, Candès, Ramdas and
Tibshirani, 2021, "Predictive inference with the jackknife+"); the test is *Learn then Test*
(Angelopoulos, Bates et al., 2021).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference.acceptance.samples import CalibrationSample
from inference.arrays import DECIMALS, Bools, Floats, Vectors
from inference.errors import DataError
from inference.labelled import LabelledRow
from inference.model.heads import unit_rows
from inference.model.input_text import read_content
from inference.model.manifest import AxisCalibration, DomainCalibration
from inference.model.model_input import ModelInput
from inference.model.out_of_distribution import OUT_OF_SCOPE, SCOPE_AXIS, Centres
from inference.model.temperature import fit_temperature, softmax
from inference.progress import Progress
from inference.training.calibration_fit import (
    MIN_EXCESS_TOKENS,
    SCOPE_QUANTILE,
    is_in_scope,
    label_shares,
    limit,
    out_of_distribution,
)
from inference.training.calibration_rows import answered_rows
from inference.training.centre_fit import fit_centres
from inference.training.folds import Folds, fold_numbers
from inference.training.gold_labels import gold_matrix
from inference.training.head_fit import fit_heads_of_axis, log_loss
from inference.training.languages import usual_languages
from inference.training.ngram_fit import MAX_FOLD_WORK, fit_ngram_head, has_columns
from schemas.event import DEFAULT_TENANT

STRENGTHS = (0.03, 0.1, 0.3, 1.0)
"""The inverse regularisation strengths of the heads that are tried."""
MAX_WORK = 1_000_000
"""Up to so many rows times labels, every fold tries all strengths. Above, one fold chooses."""
NGRAM_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
"""The shares of the n-gram head that are tried."""


@dataclass(frozen=True, slots=True)
class FoldAnswers:
    """The logits of n rows, each by a model that was fitted without the fold of the row.

    `fold` (n,) numbers the folds. `strengths` are the inverse regularisation strengths of the heads
    that answered, axis by axis. `encoder` maps an axis to float32 of shape (strengths, n, labels),
    and `ngrams` to (n, labels). It lacks the axes without n-grams. `distance` and `scope_distance`
    are those of `inference.model.heads.AxisLogits`.
    """

    fold: Folds
    strengths: Mapping[str, Sequence[float]]
    encoder: dict[str, Vectors]
    ngrams: dict[str, Vectors]
    distance: Floats
    scope_distance: Floats

    def of_heads(self, strengths: Mapping[str, float]) -> "FoldAnswers":
        """The answers of the heads alone, each with this inverse regularisation.

        All distances are 0.
        """
        places = {axis: self.strengths[axis].index(each) for axis, each in strengths.items()}
        return FoldAnswers(
            self.fold,
            {axis: [each] for axis, each in strengths.items()},
            {axis: self.encoder[axis][[place]] for axis, place in places.items()},
            {},
            np.zeros_like(self.distance),
            np.zeros_like(self.scope_distance),
        )


@dataclass(frozen=True, slots=True)
class CrossFit:
    """What cross-fitting found about one domain.

    `strengths` has the best inverse regularisation for the head of each axis. `answers` are those
    that the calibration was made from.
    """

    strengths: dict[str, float]
    calibration: DomainCalibration
    sample: CalibrationSample
    answers: FoldAnswers


@dataclass(frozen=True, slots=True)
class _Choice:
    """How the logits of an axis become probabilities; `strength` is an index."""

    strength: int
    ngram_share: float
    temperature: float


def crossfit(
    domain: str,
    rows: Sequence[LabelledRow],
    vectors: Vectors,
    inputs: Sequence[ModelInput],
    labels: Mapping[str, tuple[str, ...]],
    progress: Progress,
    *,
    seed: int,
) -> CrossFit:
    """Calibrate one domain on all of its rows that people have labelled.

    Those are the rows of every part but ``train`` and ``test``. Rows of the part ``train`` teach
    the model of each fold, and calibrate nothing. `vectors` has shape (rows, width).

    Raises:
        DataError: there are fewer than two kinds of rows, or no row has a label on some axis.
    """
    calibrating = [i for i, row in enumerate(rows) if row.part not in ("train", "test")]
    teaching = [i for i, row in enumerate(rows) if row.part == "train"]
    asked = [rows[i] for i in calibrating]
    for axis in labels:
        if not any(axis in row.gold for row in asked):
            raise DataError(
                f"no row of {domain} is labelled on {axis}; give rows that are, or leave it out "
                "with --axis"
            )
    taught = [rows[i] for i in teaching], vectors[teaching]
    answers = answer_by_folds(
        domain,
        asked,
        vectors[calibrating],
        taught,
        labels,
        progress,
        seed=seed,
        strengths={
            axis: _strengths(asked, vectors[calibrating], taught, axis, names, seed)
            for axis, names in labels.items()
        },
    )
    return tune(asked, [inputs[i] for i in calibrating], answers, labels)


def answer_by_folds(
    domain: str,
    rows: Sequence[LabelledRow],
    vectors: Vectors,
    taught: tuple[Sequence[LabelledRow], Vectors],
    labels: Mapping[str, tuple[str, ...]],
    progress: Progress,
    *,
    seed: int,
    strengths: Mapping[str, Sequence[float]],
    heads_only: bool = False,
) -> FoldAnswers:
    """Each row, answered by a model of the rows of the other folds and of those in `taught`.

    With `heads_only`, there are no n-grams, and all distances are 0.

    Raises:
        DataError: there are fewer than two kinds of rows.
    """
    fold = fold_numbers(rows)
    shape = {axis: (len(rows), len(names)) for axis, names in labels.items()}
    encoder = {axis: np.zeros((len(strengths[axis]), *shape[axis]), np.float32) for axis in labels}
    by_ngrams: dict[str, Vectors] = {}
    distance, scope_distance = np.zeros(len(rows)), np.zeros(0)
    if OUT_OF_SCOPE in labels.get(SCOPE_AXIS, ()):
        scope_distance = np.zeros(len(rows))
    folds = range(int(fold.max()) + 1)
    for number in folds:
        progress(f"cross-fitting {domain}", number, len(folds))
        held_out = np.flatnonzero(fold == number).tolist()
        index = np.flatnonzero(fold != number).tolist()
        learned = [*(rows[i] for i in index), *taught[0]]
        learned_vectors = np.concatenate([vectors[index], taught[1]])
        units, held_units = unit_rows(learned_vectors), unit_rows(vectors[held_out])
        for axis, names in labels.items():
            heads = fit_heads_of_axis(learned, units, axis, names, strengths[axis], seed=seed)
            for place, head in enumerate(heads):
                encoder[axis][place, held_out] = held_units @ head.weight.T + head.bias
        if heads_only:
            continue
        by_fold = _ngram_logits(learned, [rows[i] for i in held_out], labels, seed)
        for axis, logits in by_fold.items():
            by_ngrams.setdefault(axis, np.zeros(shape[axis], np.float32))[held_out] = logits
        distance[held_out] = _distances(fit_centres(learned_vectors, seed=seed), held_units)
        in_scope = [i for i, row in enumerate(learned) if is_in_scope(row)]
        if len(scope_distance) and in_scope:
            centres = fit_centres(learned_vectors[in_scope], seed=seed)
            scope_distance[held_out] = _distances(centres, held_units)
    progress(f"cross-fitting {domain}", len(folds), len(folds))
    return FoldAnswers(fold, strengths, encoder, by_ngrams, distance, scope_distance)


def tune(
    rows: Sequence[LabelledRow],
    inputs: Sequence[ModelInput],
    answers: FoldAnswers,
    labels: Mapping[str, tuple[str, ...]],
) -> CrossFit:
    """The calibration of the model that is served, and the rows that its promise is tested on.

    The calibration suits all rows. The confidence of each row is that of the calibration that
    suits the other folds.
    """
    strengths, axes = {}, {}
    probabilities: dict[str, Floats] = {}
    for axis, names in labels.items():
        final, by_fold = _choose(axis, rows, answers, names)
        strengths[axis] = answers.strengths[axis][final.strength]
        probabilities[axis] = np.zeros((len(rows), len(names)))
        for number, choice in enumerate(by_fold):
            held_out = answers.fold == number
            logits = _mixed(answers, axis, choice)[held_out]
            probabilities[axis][held_out] = softmax(logits, choice.temperature).round(DECIMALS)
        axes[axis] = AxisCalibration(
            ngram_share=final.ngram_share,
            temperature=final.temperature,
            shares=label_shares(probabilities[axis]),
        )
    calibration = DomainCalibration(
        axes=axes,
        max_excess_tokens=max(
            MIN_EXCESS_TOKENS, limit(np.array([each.excess_tokens for each in inputs]))
        ),
        max_distance=limit(answers.distance),
        max_scope_distance=_scope_limit(rows, answers),
        tenants=sorted({row.event.tenant for row in rows} - {DEFAULT_TENANT}),
        languages=usual_languages(inputs),
    )
    refused = out_of_distribution(
        calibration, inputs, answers.distance, _scope_distances(answers, labels, probabilities)
    )
    tested = answered_rows(
        rows, labels, probabilities, refused, calibration.tenants, {row.source for row in rows}
    )
    nothing = tested.where(np.zeros(0, np.int64))
    sample = CalibrationSample(tuple(labels), nothing, tested, tuple(calibration.tenants))
    return CrossFit(strengths, calibration, sample, answers)


def _strengths(
    rows: Sequence[LabelledRow],
    vectors: Vectors,
    taught: tuple[Sequence[LabelledRow], Vectors],
    axis: str,
    names: tuple[str, ...],
    seed: int,
) -> Sequence[float]:
    """The inverse regularisation strengths that every fold tries.

    Above `MAX_WORK` it is the one that does best on the first fold. To choose one value of four on
    so many rows makes these rows look better by next to nothing.

    Raises:
        DataError: there are fewer than two kinds of rows.
    """
    if len(rows) * len(names) <= MAX_WORK:
        return STRENGTHS
    first = fold_numbers(rows) == 0
    asked = [row for row, held_out in zip(rows, first, strict=True) if held_out]
    learned = [row for row, held_out in zip(rows, first, strict=True) if not held_out]
    units = unit_rows(np.concatenate([vectors[~first], taught[1]]))
    heads = fit_heads_of_axis([*learned, *taught[0]], units, axis, names, STRENGTHS, seed=seed)
    gold = gold_matrix(asked, axis, names)
    labelled = np.array([axis in row.gold for row in asked], dtype=np.bool_)
    held_units = unit_rows(vectors[first])[labelled]
    losses = [log_loss(head, held_units, gold[labelled]) for head in heads]
    return [STRENGTHS[int(np.argmin(losses))]]


def _choose(
    axis: str, rows: Sequence[LabelledRow], answers: FoldAnswers, names: tuple[str, ...]
) -> tuple[_Choice, list[_Choice]]:
    """What suits all rows best, and for each fold what suits all other folds best.

    First the regularisation is chosen, then the share of the n-grams, by the log loss of the rows.
    """
    labelled = np.array([axis in row.gold for row in rows], dtype=np.bool_)
    gold = gold_matrix(rows, axis, names)
    folds = [labelled & (answers.fold != number) for number in range(int(answers.fold.max()) + 1)]
    shares = NGRAM_SHARES if axis in answers.ngrams else NGRAM_SHARES[:1]
    losses: dict[tuple[int, float], Floats] = {}

    def loss(strength: int, share: float, of_rows: Bools) -> float:
        key = strength, share
        if key not in losses:
            logits = _mixed(answers, axis, _Choice(*key, 1.0))
            temperature = fit_temperature(logits[labelled], gold[labelled])
            right = (softmax(logits, temperature) * gold).sum(axis=1)
            losses[key] = -np.log(np.clip(right, 1e-6, 1.0))
        return float(losses[key][of_rows].mean())

    def choose(of_rows: Bools) -> _Choice:
        if not of_rows.any():
            of_rows = labelled
        strength, share = 0, shares[0]
        if len(answers.strengths[axis]) > 1:
            tried = range(len(answers.strengths[axis]))
            strength = min(tried, key=lambda each: loss(each, 0.0, of_rows))
        if len(shares) > 1:
            share = min(shares, key=lambda each: loss(strength, each, of_rows))
        logits = _mixed(answers, axis, _Choice(strength, share, 1.0))[of_rows]
        return _Choice(strength, share, fit_temperature(logits, gold[of_rows]))

    return choose(labelled), [choose(of_rows) for of_rows in folds]


def _mixed(answers: FoldAnswers, axis: str, choice: _Choice) -> Floats:
    logits: Floats = answers.encoder[axis][choice.strength].astype(np.float64)
    if axis in answers.ngrams and choice.ngram_share:
        ngrams = answers.ngrams[axis].astype(np.float64)
        logits = (1 - choice.ngram_share) * logits + choice.ngram_share * ngrams
    return logits


def _ngram_logits(
    learned: Sequence[LabelledRow],
    held_out: Sequence[LabelledRow],
    labels: Mapping[str, tuple[str, ...]],
    seed: int,
) -> dict[str, Floats]:
    if not any(has_columns(len(learned), len(each), MAX_FOLD_WORK) for each in labels.values()):
        return {}
    ngram_head = fit_ngram_head(learned, labels, seed=seed, max_work=MAX_FOLD_WORK)
    rows = [ngram_head.logits(ngram_head.features(read_content(row.event))) for row in held_out]
    logits = np.array(rows).reshape(len(held_out), len(ngram_head.bias))
    return {axis: logits[:, columns] for axis, columns in ngram_head.columns.items()}


def _scope_limit(rows: Sequence[LabelledRow], answers: FoldAnswers) -> float | None:
    if not len(answers.scope_distance):
        return None
    in_scope = [i for i, row in enumerate(rows) if is_in_scope(row)]
    return limit(answers.scope_distance[in_scope], SCOPE_QUANTILE)


def _scope_distances(
    answers: FoldAnswers,
    labels: Mapping[str, tuple[str, ...]],
    probabilities: Mapping[str, Floats],
) -> list[float | None]:
    """The distance to the rows in scope of each row whose answer is in scope, else None."""
    if not len(answers.scope_distance):
        return [None] * len(answers.distance)
    outside = labels[SCOPE_AXIS].index(OUT_OF_SCOPE)
    values = probabilities[SCOPE_AXIS].argmax(axis=1).tolist()
    return [
        None if value == outside else distance
        for value, distance in zip(values, answers.scope_distance.tolist(), strict=True)
    ]


def _distances(centres: Centres, units: Floats) -> Floats:
    """The distance of each vector to the nearest centre; see `Centres.distance`."""
    cosines = units.astype(np.float32) @ centres.vectors.T
    return np.asarray(1.0 - cosines.max(axis=1), np.float64).round(DECIMALS)
