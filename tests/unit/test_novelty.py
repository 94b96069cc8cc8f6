"""Novelty: the distance to what was trained on, and the limits beyond which nothing is accepted."""

import math

import numpy as np
import pytest

from inference.arrays import Vectors
from inference.model.artifact import DomainCalibration
from inference.model.heads import unit
from inference.model.out_of_distribution import (
    Centres,
    is_out_of_distribution,
    out_of_distribution_score,
)
from inference.training.centre_fit import MAX_CENTRES, fit_centres


def directions(count: int, width: int = 16, *, seed: int = 0) -> Vectors:
    """Unit vectors."""
    vectors = np.random.default_rng(seed).normal(size=(count, width))
    return np.stack([unit(vector) for vector in vectors]).astype(np.float32)


def test_distance_is_to_the_nearest_centre() -> None:
    """An event like one kind of training row would look new for being unlike the others."""
    centres = Centres(np.eye(3, dtype=np.float32))
    assert centres.distance(np.array([1.0, 0.0, 0.0])) == 0.0
    assert centres.distance(np.array([0.0, 0.6, 0.8])) == pytest.approx(0.2, abs=1e-6)
    assert centres.distance(-np.ones(3) / np.sqrt(3)) == pytest.approx(1 + 1 / np.sqrt(3), abs=1e-6)


def test_distance_of_any_vector_is_a_number() -> None:
    """An empty embedding would put NaN into acceptance, which compares as it likes."""
    centres = Centres(directions(7))
    for vector in (*directions(50, seed=1).astype(np.float64), np.zeros(16)):
        assert -1e-6 <= centres.distance(vector) <= 2 + 1e-6


def test_what_is_between_the_clusters_is_farther_than_what_is_in_them() -> None:
    """Novelty would say nothing about what the model was never taught."""
    middle = directions(3)
    noise = np.random.default_rng(4).normal(size=(300, 16)) * 0.05
    taught = np.repeat(middle, 100, axis=0) + noise
    centres = fit_centres(taught.astype(np.float32), seed=0)
    near = [
        centres.distance(one / np.linalg.norm(one))
        for one in (taught[::10] + noise[::-10]).astype(np.float64)
    ]
    far = [centres.distance(one.astype(np.float64)) for one in directions(30, seed=9)]
    assert np.quantile(near, 0.95) < np.quantile(far, 0.05)


@pytest.mark.parametrize("rows", [1, 2, 11, 12, 100, 5_000])
def test_any_number_of_rows_has_centres(rows: int) -> None:
    """A small set would end in a traceback of the library, a large one in a table as large as the encoder."""
    centres = fit_centres(directions(rows), seed=0).vectors
    assert 1 <= len(centres) <= min(MAX_CENTRES, rows)
    assert np.allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-5)
    assert centres.dtype == np.float32


def test_rows_that_are_all_alike_have_a_centre() -> None:
    """A hundred copies of one alert would end in a warning or a division by zero."""
    centres = fit_centres(np.repeat(directions(1), 200, axis=0), seed=0)
    assert centres.distance(directions(1)[0].astype(np.float64)) == pytest.approx(0, abs=1e-5)


def test_same_seed_same_centres() -> None:
    """The default model could not be reproduced."""
    vectors = directions(400)
    assert (
        fit_centres(vectors, seed=3).vectors.tobytes()
        == fit_centres(vectors, seed=3).vectors.tobytes()
    )


@pytest.mark.parametrize(
    ("ood_score", "expected"), [(0.0, False), (0.5, False), (0.500001, True), (1.0, True)]
)
def test_half_is_where_acceptance_ends(ood_score: float, expected: bool) -> None:
    """Calibration counts what lies at its limit as accepted; serving has to agree."""
    assert is_out_of_distribution(ood_score) is expected


LIMITS = DomainCalibration(axes={}, max_excess_tokens=2.5, max_distance=0.3, tenants=[])


@pytest.mark.parametrize(
    ("excess_tokens", "distance", "expected"),
    [
        (0.0, 0.0, 0.0),
        (2.5, 0.0, 0.5),
        (0.0, 0.3, 0.5),
        (2.5, 0.3, 0.5),
        (5.0, 0.3, 2 / 3),
        (1.0, 0.9, 0.75),
        (math.inf, 0.0, 1.0),
    ],
)
def test_novelty_is_the_worse_of_the_guards(
    excess_tokens: float, distance: float, expected: float
) -> None:
    """One guard would hide the other, or a limit lie elsewhere than it was calibrated."""
    assert out_of_distribution_score(LIMITS, excess_tokens, distance) == pytest.approx(
        expected, abs=1e-6
    )
    beyond = excess_tokens > LIMITS.max_excess_tokens or distance > LIMITS.max_distance
    assert (
        is_out_of_distribution(out_of_distribution_score(LIMITS, excess_tokens, distance)) == beyond
    )
