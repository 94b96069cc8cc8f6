"""The array types of this package, and the number of decimals that probabilities keep."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
Flags = npt.NDArray[np.int8]
Bools = npt.NDArray[np.bool_]

DECIMALS = 6
"""Probabilities are rounded to this many decimals.

The comparison of a probability with a threshold then never depends on the last bit.
"""
