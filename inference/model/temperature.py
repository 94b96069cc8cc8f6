"""Probabilities that mean what they say, by *temperature scaling*: an axis' confidence is how often its value is right.

Guo et al., 2017, "On Calibration of Modern Neural Networks".
"""

import math

import numpy as np
import numpy.typing as npt

from inference.arrays import Floats

TEMPERATURE_RANGE = (0.05, 20.0)


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """Probabilities over the last axis, in float64."""
    scaled = (logits - logits.max(axis=-1, keepdims=True)) / temperature
    raised = np.exp(scaled)
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), dtype=np.float64)


def fit_temperature(logits: Floats, gold: npt.NDArray[np.bool_]) -> float:
    """The temperature under which the top value's probability best predicts whether that value is right.

    `logits` and `gold` have shape (n, labels); a row may have several gold labels, and its value is right if it is
    one of them. The loss is the log loss of that yes or no, because that is what `confidence` claims.
    """
    right = gold[np.arange(len(gold)), logits.argmax(axis=1)]

    def loss(log_temperature: float) -> float:
        confidence = np.clip(softmax(logits, math.exp(log_temperature)).max(axis=1), 1e-9, 1 - 1e-9)
        return -float(np.where(right, np.log(confidence), np.log1p(-confidence)).mean())

    low, high = (math.log(bound) for bound in TEMPERATURE_RANGE)
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(60):  # golden-section search: the loss has one valley in log T
        left, right_ = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right_) if loss(left) < loss(right_) else (left, high)
    return round(math.exp((low + high) / 2), 6)
