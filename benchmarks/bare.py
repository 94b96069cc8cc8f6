"""The model without a pipeline: texts in, decisions out, as fast as it goes."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence

import ctranslate2

from inference.classifier import Classifier
from inference.model.artifact import DEFAULT_MODEL, load_artifact
from inference.model.encoder import open_tokenizer
from inference.model.input_text import render
from schemas.event import Domain, Event

BATCH = 32


async def batched_rate(events: Sequence[tuple[Domain, Event]], classifier: Classifier) -> float:
    """Events per second through the classifier: tokenizer, sorted batches, heads, calibration."""
    of_domain: dict[Domain, list[Event]] = defaultdict(list)
    for domain, event in events:
        of_domain[domain].append(event)
    started_s = time.perf_counter()
    await asyncio.gather(*(classifier.classify(domain, some) for domain, some in of_domain.items()))
    return len(events) / (time.perf_counter() - started_s)


def naive_rate(events: Sequence[tuple[Domain, Event]]) -> float:
    """The same encoder as people first write it: batches of 32 in arrival order, both cores in one replica."""
    artifact = load_artifact(DEFAULT_MODEL)
    spec = artifact.manifest.encoder
    tokenizer = open_tokenizer(artifact.directory, spec)
    encoder = ctranslate2.Encoder(str(artifact.directory), compute_type=spec.compute_type)
    texts = [render(event) for _, event in events]
    started_s = time.perf_counter()
    for start in range(0, len(texts), BATCH):
        encoder.forward_batch(tokenizer.encode(texts[start : start + BATCH]))
    return len(texts) / (time.perf_counter() - started_s)
