"""The out-of-distribution score: distances, limits, and the end of acceptance."""

import math

import numpy as np
import pytest
from msgspec.structs import replace

from inference.arrays import Vectors
from inference.model.heads import Head, Heads, unit, unit_rows
from inference.model.language import ANOTHER, ENGLISH, NO_LANGUAGE
from inference.model.manifest import DomainCalibration
from inference.model.model_input import ModelInput
from inference.model.ngrams import TEXT_BUCKETS, NgramHead
from inference.model.out_of_distribution import (
    OUT_OF_SCOPE,
    SCOPE_AXIS,
    Centres,
    is_out_of_distribution,
    unfamiliarity,
)
from inference.training.centre_fit import MAX_CENTRES, fit_centres
from inference.training.languages import usual_languages
from schemas.event import Event


def directions(count: int, width: int = 16, *, seed: int = 0) -> Vectors:
    """Random unit vectors of shape (count, width)."""
    vectors = np.random.default_rng(seed).normal(size=(count, width))
    return np.stack([unit(vector) for vector in vectors]).astype(np.float32)


def test_distance_is_to_the_nearest_centre() -> None:
    """Otherwise an event like one kind of training row would be far from the other kinds."""
    centres = Centres(np.eye(3, dtype=np.float32))
    vectors = np.array([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8], -np.ones(3) / np.sqrt(3)])
    expected = [0.0, 0.2, 1 + 1 / np.sqrt(3)]
    assert centres.distances(vectors).tolist() == pytest.approx(expected, abs=1e-6)


def test_distance_of_any_vector_is_a_number() -> None:
    """Otherwise a zero embedding would give NaN, which no threshold can be compared with."""
    centres = Centres(directions(7))
    vectors = np.stack([*directions(50, seed=1).astype(np.float64), np.zeros(16)])
    for distance in centres.distances(vectors):
        assert -1e-6 <= distance <= 2 + 1e-6


def test_vectors_between_clusters_are_farther_than_those_in_them() -> None:
    """Otherwise the score would not recognise events that the model was not trained on."""
    middle = directions(3)
    noise = np.random.default_rng(4).normal(size=(300, 16)) * 0.05
    training = np.repeat(middle, 100, axis=0) + noise
    centres = fit_centres(training.astype(np.float32), seed=0)
    near = centres.distances(unit_rows((training[::10] + noise[::-10]).astype(np.float32)))
    far = centres.distances(directions(30, seed=9).astype(np.float64))
    assert np.quantile(near, 0.95) < np.quantile(far, 0.05)


@pytest.mark.parametrize("rows", [1, 2, 11, 12, 100, 5_000])
def test_any_number_of_rows_has_centres(rows: int) -> None:
    """A small set would end in a traceback, a large one in a table as large as the encoder."""
    centres = fit_centres(directions(rows), seed=0).vectors
    assert 1 <= len(centres) <= min(MAX_CENTRES, rows)
    assert np.allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-5)
    assert centres.dtype == np.float32


def test_equal_rows_have_a_centre() -> None:
    """Otherwise copies of one alert would end in a warning or a division by zero."""
    centres = fit_centres(np.repeat(directions(1), 200, axis=0), seed=0)
    (distance,) = centres.distances(directions(1).astype(np.float64))
    assert distance == pytest.approx(0, abs=1e-5)


def test_the_same_seed_gives_the_same_centres() -> None:
    """Otherwise the default model could not be reproduced."""
    first, again = (fit_centres(directions(400), seed=3).vectors for _ in range(2))
    assert first.tobytes() == again.tobytes()


@pytest.mark.parametrize(
    ("ood_score", "expected"), [(0.0, False), (0.5, False), (0.500001, True), (1.0, True)]
)
def test_a_score_of_one_half_is_the_limit(ood_score: float, expected: bool) -> None:
    """Calibration accepts a score at the limit, so serving must accept it too."""
    assert is_out_of_distribution(ood_score) is expected


LIMITS = DomainCalibration(axes={}, max_excess_tokens=2.5, max_distance=0.3, tenants=[])


@pytest.mark.parametrize(
    ("excess_tokens", "distance", "expected"),
    [
        (0.0, 0.0, 0.0),
        (-1.0, 0.0, 0.0),
        (2.5, 0.0, 0.5),
        (0.0, 0.3, 0.5),
        (2.5, 0.3, 0.5),
        (5.0, 0.3, 2 / 3),
        (1.0, 0.9, 0.75),
        (math.inf, 0.0, 1.0),
    ],
)
def test_the_score_is_the_larger_of_both_measures(
    excess_tokens: float, distance: float, expected: float
) -> None:
    """Otherwise one measure would hide the other, or a limit would not be the calibrated one."""
    unlike = unfamiliarity(LIMITS, excess_tokens, "", distance)
    assert unlike.score == pytest.approx(expected, abs=1e-6)
    beyond = excess_tokens > LIMITS.max_excess_tokens or distance > LIMITS.max_distance
    assert is_out_of_distribution(unlike.score) == bool(unlike.finding) == beyond


@pytest.mark.parametrize(
    ("excess_tokens", "language", "distance", "finding"),
    [
        (0.0, "", 0.1, ""),
        (1.0, "German", 0.1, "the text reads like German"),
        (1.0, ANOTHER, 0.1, "the text reads like another language"),
        (1.0, NO_LANGUAGE, 0.1, "the text has few known words: gibberish?"),
        (2.6, "", 0.1, "the text has few known words: gibberish?"),
        (math.inf, "", 0.1, "there is nothing to read"),
        (0.0, "", 0.4, "the text is unlike the training rows"),
    ],
)
def test_the_finding_names_what_was_found(
    excess_tokens: float, language: str, distance: float, finding: str
) -> None:
    """A person who reads "perhaps another language" beside an English alert trusts no reason."""
    unlike = unfamiliarity(LIMITS, excess_tokens, language, distance)
    assert unlike.finding == finding
    assert is_out_of_distribution(unlike.score) == bool(finding)


def test_english_with_many_names_is_familiar() -> None:
    """Otherwise every log line would be escalated as gibberish."""
    assert not unfamiliarity(LIMITS, 9.0, ENGLISH, 0.1).finding
    assert unfamiliarity(LIMITS, 9.0, ENGLISH, 0.4).finding


def test_a_language_of_the_desk_is_familiar() -> None:
    """Nothing of a desk that is written to in Portuguese would ever be accepted."""
    limits = replace(LIMITS, languages=["Portuguese"])
    assert not unfamiliarity(limits, 9.0, "Portuguese", 0.1).finding
    assert unfamiliarity(limits, 9.0, "Portuguese", 0.4).finding
    assert unfamiliarity(limits, 1.0, "German", 0.1).finding == "the text reads like German"


def test_a_language_of_many_rows_is_one_of_the_desk() -> None:
    """One row by mistake would open the desk to a language that nobody has measured."""
    counts = {"Portuguese": 30, "German": 9, "Dutch": 12, "": 200, ENGLISH: 30, NO_LANGUAGE: 30}
    inputs = [
        ModelInput([1], 1.0, language, truncated=False)
        for language, count in counts.items()
        for _ in range(count)
    ]
    assert usual_languages(inputs) == ["Portuguese"]
    assert usual_languages(inputs[:39]) == ["Portuguese"]
    assert usual_languages([]) == []


def test_an_answer_in_scope_needs_rows_in_scope_nearby() -> None:
    """Otherwise an order that did not arrive would be accepted as a card that did not arrive."""
    limits = replace(LIMITS, max_scope_distance=0.2)
    far = unfamiliarity(limits, 0.0, "", 0.1, 0.25)
    assert far.finding == "the text is unlike the training rows of every queue"
    assert is_out_of_distribution(far.score)
    assert not unfamiliarity(limits, 0.0, "", 0.1, 0.15).finding
    assert not unfamiliarity(limits, 0.0, "", 0.1, None).finding
    assert not unfamiliarity(LIMITS, 0.0, "", 0.1, 9.0).finding


def test_only_answers_in_scope_have_a_scope_distance() -> None:
    """What is out of scope is far from the rows in scope, and rightly so."""
    labels = ("cards", OUT_OF_SCOPE)
    head = Head(labels, np.eye(2, 3), np.zeros(2))
    ngram_head = NgramHead(
        np.ones(TEXT_BUCKETS, np.float32),
        np.zeros((TEXT_BUCKETS, 0), np.int8),
        np.zeros(0),
        np.zeros(0),
        {},
    )
    centres = Centres(np.eye(3, dtype=np.float32))
    in_scope = Centres(np.eye(3, dtype=np.float32)[:1])
    heads = Heads({SCOPE_AXIS: head}, ngram_head, centres, in_scope)
    vectors = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    features = [ngram_head.read(Event(id="1", kind="ticket", text="x"))] * 2
    axis_logits = heads.logits(vectors, features)
    assert heads.scope_distances(axis_logits, axis_logits.encoder) == [0.0, None]
    without = Heads({SCOPE_AXIS: head}, ngram_head, centres)
    axis_logits = without.logits(vectors, features)
    assert without.scope_distances(axis_logits, axis_logits.encoder) == [None, None]
