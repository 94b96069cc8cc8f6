"""The centres that stand for the training rows; see `inference.model.out_of_distribution`."""

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from inference.arrays import Vectors
from inference.model.heads import unit
from inference.model.out_of_distribution import Centres

MAX_CENTRES, ROWS_A_CENTRE = 256, 12


def fit_centres(vectors: Vectors, *, seed: int) -> Centres:
    """Centres of the vectors (rows, width), brought to length one."""
    units = np.stack([unit(vector) for vector in vectors])
    count = max(1, min(MAX_CENTRES, len(units) // ROWS_A_CENTRE))
    found = (
        MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=2_048)
        .fit(units)
        .cluster_centers_
    )
    return Centres(np.stack([unit(centre) for centre in found]).astype(np.float32))
