"""Labels of an axis that few of the training rows have, or none.

Cross-fitting makes them: the only row of a label is not among the rows of the model that answers
it.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from inference.arrays import Floats


def with_absent_labels(
    coefficients: Floats, bias: Floats, present: Sequence[int], count: int
) -> tuple[Floats, Floats]:
    """Weight (count, width) and bias (count,) of all labels from those that are `present`.

    scikit-learn keeps one row for two labels. A label that is absent has a logit below that of
    every other label, for inputs whose length is at most two.
    """
    if len(present) == 2 and len(coefficients) == 1:  # noqa: PLR2004
        coefficients = np.vstack([-coefficients, coefficients]) / 2
        bias = np.concatenate([-bias, bias]) / 2
    if len(present) == count:
        return coefficients, bias
    lowest = bias - 2 * np.linalg.norm(coefficients, axis=1)
    all_weights = np.zeros((count, coefficients.shape[1]))
    all_bias = np.full(count, float(lowest.min(initial=0.0)) - 1.0)
    all_weights[list(present)], all_bias[list(present)] = coefficients, bias
    return all_weights, all_bias


@contextmanager
def few_rows_per_label() -> Iterator[None]:
    """Without scikit-learn's warning that the labels could be numbers: they are not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The number of unique classes is greater")
        yield
