"""How the processor is shared: many replicas of one thread, or one replica of many.

Which is quicker depends on the machine and its neighbours (one was twice as slow with the other's best setting),
so it is measured when the model is loaded rather than guessed.
"""

import logging
import os
import time
from dataclasses import dataclass

from inference.model.artifact import Artifact
from inference.model.batching import PAD_MULTIPLE
from inference.model.encoder import open_encoder

log = logging.getLogger(__name__)

TEST_TEXTS = 48
TEST_TOKENS = (16, 32, 64)
ROUNDS = 2
WORTH_CHANGING = 1.15


@dataclass(frozen=True, slots=True)
class Threads:
    """CTranslate2's inter threads (`replicas`) and intra threads (`per_replica`)."""

    replicas: int
    per_replica: int

    def __str__(self) -> str:
        return f"{self.replicas} replicas of {self.per_replica} threads"


def candidates(cores: int) -> list[Threads]:
    """Ways to use that many cores, from the widest to the deepest."""
    return [
        Threads(cores // deep, deep)
        for deep in range(1, cores + 1)
        if cores % deep == 0 and deep <= 4
    ]  # noqa: PLR2004


def usable_cores() -> int:
    """Cores this process may run on; all of the machine's where the system cannot say."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def choose_threads(artifact: Artifact) -> Threads:
    """Time each candidate on made-up texts for a fraction of a second and return the quickest."""
    options = candidates(usable_cores())
    if len(options) == 1:
        return options[0]
    rates = {option: _texts_per_second(artifact, option) for option in options}
    quickest = max(rates, key=lambda option: rates[option])
    # The widest unless another is plainly quicker: a neighbour's burst during the test must not decide for hours.
    best = quickest if rates[quickest] > WORTH_CHANGING * rates[options[0]] else options[0]
    log.info(
        "thread self-test, texts/s: %s",
        {str(option): round(rate) for option, rate in rates.items()},
    )
    return best


def _texts_per_second(artifact: Artifact, threads: Threads) -> float:
    spec = artifact.manifest.encoder
    encoder = open_encoder(
        artifact, replicas=threads.replicas, threads_per_replica=threads.per_replica
    )
    texts = [
        [
            *spec.prefix_ids,
            *([spec.vocab_size // 2] * (TEST_TOKENS[i % 3] - PAD_MULTIPLE // 2)),
            *spec.suffix_ids,
        ]
        for i in range(TEST_TEXTS)
    ]
    encoder.embed(texts[:4])
    times = []
    for _ in range(ROUNDS):
        started_s = time.perf_counter()
        encoder.embed(texts)
        times.append(time.perf_counter() - started_s)
    return len(texts) / min(times)
