"""The array types of this package, and the precision that probabilities are kept with."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
Flags = npt.NDArray[np.int8]
Bools = npt.NDArray[np.bool_]

DECIMALS = 6
"""Probabilities are rounded to this many decimals, so that a comparison never depends on the last bit."""
