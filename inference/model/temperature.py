"""Calibrated probabilities by *temperature scaling*.

After scaling, the confidence of an axis is how often its value is right. The method is from
Guo et al., 2017, "On Calibration of Modern Neural Networks".
"""

import math

import numpy as np
import numpy.typing as npt

from inference.arrays import DECIMALS, Floats

TEMPERATURE_RANGE = (0.05, 20.0)
SEARCH_STEPS = 44
"""They leave an interval of 4e-9, far below the decimals that are kept."""


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """Probabilities over the last axis, in float64."""
    scaled = (logits - logits.max(axis=-1, keepdims=True)) / temperature
    raised = np.exp(scaled)
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), dtype=np.float64)


def fit_temperature(logits: Floats, gold: npt.NDArray[np.bool_]) -> float:
    """The temperature that makes the top probability predict best whether the top label is right.

    `logits` and `gold` have shape (n, labels). A row may have several gold labels. Its top label
    is right if it is one of them. The loss is the log loss of "right or wrong", because that is
    what `confidence` states.
    """
    is_right = gold[np.arange(len(gold)), logits.argmax(axis=1)]
    below_top = logits - logits.max(axis=1, keepdims=True)

    def loss(log_temperature: float) -> float:
        # The top probability of `softmax`, to the last bit, without all others.
        top = 1.0 / np.exp(below_top / math.exp(log_temperature)).sum(axis=1)
        confidence = np.clip(top, 1e-9, 1 - 1e-9)
        return -float(np.where(is_right, np.log(confidence), np.log1p(-confidence)).mean())

    low, high = (math.log(bound) for bound in TEMPERATURE_RANGE)
    ratio = (math.sqrt(5) - 1) / 2
    # Golden-section search. It finds the minimum because the loss has only one in log T. Of the two
    # inner points, one stays for the next step, so a step needs one loss.
    inner_low, inner_high = high - ratio * (high - low), low + ratio * (high - low)
    loss_low, loss_high = loss(inner_low), loss(inner_high)
    for _ in range(SEARCH_STEPS):
        if loss_low < loss_high:
            high, inner_high, loss_high = inner_high, inner_low, loss_low
            inner_low = high - ratio * (high - low)
            loss_low = loss(inner_low)
        else:
            low, inner_low, loss_low = inner_low, inner_high, loss_high
            inner_high = low + ratio * (high - low)
            loss_high = loss(inner_high)
    return round(math.exp((low + high) / 2), DECIMALS)
