"""Fitting the centres that stand for the training rows.

`inference.model.out_of_distribution` explains what they are used for.
"""

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from inference.arrays import Vectors
from inference.model.heads import unit, unit_rows
from inference.model.out_of_distribution import Centres

MAX_CENTRES, ROWS_PER_CENTRE = 256, 12


def fit_centres(vectors: Vectors, *, seed: int) -> Centres:
    """The k-means centres of vectors of shape (rows, width), scaled to length one."""
    units = unit_rows(vectors)
    count = max(1, min(MAX_CENTRES, len(units) // ROWS_PER_CENTRE))
    clustering = MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=2_048).fit(units)
    centres = [unit(centre) for centre in clustering.cluster_centers_]
    return Centres(np.stack(centres).astype(np.float32))
