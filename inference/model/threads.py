"""How many encoder replicas run, and with how many threads each.

Many replicas of one thread and one replica of many threads use the same cores. Which is faster
depends on the machine and its load: on one machine, the best setting of another was half as
fast. So the setting is measured when the model is loaded.
"""

import logging
import os
import time
from dataclasses import dataclass

from inference.model.artifact import Artifact
from inference.model.batching import PAD_MULTIPLE
from inference.model.encoder import open_encoder
from inference.model.manifest import EncoderSpec

log = logging.getLogger(__name__)

MAX_THREADS_PER_REPLICA = 4
TEST_TEXTS = 48
TEST_TOKENS = (16, 32, 64)
WARM_UP_TEXTS = 4
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
    """All ways to use exactly this many cores. The one with the most replicas comes first."""
    return [
        Threads(cores // per_replica, per_replica)
        for per_replica in range(1, MAX_THREADS_PER_REPLICA + 1)
        if cores % per_replica == 0
    ]


def usable_cores() -> int:
    """The number of cores that this process may use.

    A system without CPU affinity (all but Linux) gives the number of cores of the machine.
    """
    get_affinity = getattr(os, "sched_getaffinity", None)
    if get_affinity is not None:
        return len(get_affinity(0))
    return os.cpu_count() or 1


def choose_threads(artifact: Artifact) -> Threads:
    """Time each candidate on made-up texts for a fraction of a second and return the fastest."""
    options = candidates(usable_cores())
    most_replicas = options[0]
    if len(options) == 1:
        return most_replicas
    rates = {option: _texts_per_second(artifact, option) for option in options}
    log.info(
        "thread self-test, texts/s: %s",
        {str(option): round(rate) for option, rate in rates.items()},
    )
    fastest = max(rates, key=lambda option: rates[option])
    # Another process may slow one measurement down. The choice holds for hours, so the default
    # is only left for a candidate that is clearly faster.
    if rates[fastest] > WORTH_CHANGING * rates[most_replicas]:
        return fastest
    return most_replicas


def _texts_per_second(artifact: Artifact, threads: Threads) -> float:
    encoder = open_encoder(
        artifact, replicas=threads.replicas, threads_per_replica=threads.per_replica
    )
    texts = _test_texts(artifact.manifest.encoder)
    encoder.embed(texts[:WARM_UP_TEXTS])
    times_s = []
    for _ in range(ROUNDS):
        started_s = time.perf_counter()
        encoder.embed(texts)
        times_s.append(time.perf_counter() - started_s)
    return len(texts) / min(times_s)


def _test_texts(spec: EncoderSpec) -> list[list[int]]:
    """Token ids of texts of different lengths, all of one token in the middle of the vocabulary."""
    texts = []
    for i in range(TEST_TEXTS):
        tokens = TEST_TOKENS[i % len(TEST_TOKENS)] - PAD_MULTIPLE // 2
        texts.append([*spec.prefix_ids, *[spec.vocab_size // 2] * tokens, *spec.suffix_ids])
    return texts
