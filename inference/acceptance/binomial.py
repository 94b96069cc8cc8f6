"""The binomial distribution, exactly: how likely so few errors are, and what they rule out."""

import itertools
import math
from collections.abc import Iterator

BISECTIONS = 50


def binomial_tail(successes: int, trials: int, probability: float) -> float:
    """P(X <= successes) for X ~ Binomial(trials, probability); 1.0 for no trials."""
    return min(1.0, math.fsum(_binomial(trials, probability, successes)))


def max_errors(rows: int, alpha: float, delta: float) -> int:
    """The most errors among so many accepted rows that still support the promise.

    It is -1 if the rows are too few to support it even without an error.
    """
    tails = itertools.accumulate(_binomial(rows, alpha, rows))
    return sum(1 for _ in itertools.takewhile(lambda tail: tail <= delta, tails)) - 1


def fewest_rows(alpha: float, delta: float) -> int:
    """How many accepted rows support the promise if none of them is wrong."""
    return math.ceil(math.log(delta) / math.log1p(-alpha))


def upper_bound(errors: int, trials: int, delta: float) -> float:
    """The upper bound of Clopper and Pearson on a probability, with confidence 1 - `delta`.

    It is 1.0 for no trials.
    """
    if not trials:
        return 1.0
    low, high = errors / trials, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if middle < 1.0 and binomial_tail(errors, trials, middle) > delta:
            low = middle
        else:
            high = middle
    return high


def _binomial(trials: int, probability: float, last: int) -> Iterator[float]:
    """P(X = k) for k from 0 to `last`, computed in logarithms."""
    log_p, log_q = math.log(probability), math.log1p(-probability)
    log_all = math.lgamma(trials + 1)
    for k in range(last + 1):
        log_ways = log_all - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        yield math.exp(log_ways + k * log_p + (trials - k) * log_q)
