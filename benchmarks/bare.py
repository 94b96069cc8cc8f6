"""Measures the model without a pipeline."""

import asyncio
import statistics
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
    """Events per second of the classifier: tokenizer, sorted batches, heads and calibration."""
    by_domain: dict[Domain, list[Event]] = defaultdict(list)
    for domain, event in events:
        by_domain[domain].append(event)
    started_s = time.perf_counter()
    await asyncio.gather(
        *(classifier.classify(domain, domain_events) for domain, domain_events in by_domain.items())
    )
    return len(events) / (time.perf_counter() - started_s)


async def single_ms(events: Sequence[tuple[Domain, Event]], classifier: Classifier) -> float:
    """The median of the milliseconds that the classifier takes for one event alone."""
    took_ms = []
    for domain, event in events:
        started_s = time.perf_counter()
        await classifier.classify(domain, [event])
        took_ms.append((time.perf_counter() - started_s) * 1000)
    return statistics.median(took_ms)


def naive_rate(events: Sequence[tuple[Domain, Event]]) -> float:
    """Events per second of the same encoder, used as people would first write it.

    The batches have 32 events in the order of arrival, and one replica uses all cores.
    """
    artifact = load_artifact(DEFAULT_MODEL)
    spec = artifact.manifest.encoder
    tokenizer = open_tokenizer(artifact.directory, spec)
    encoder = ctranslate2.Encoder(str(artifact.directory), compute_type=spec.compute_type)
    texts = [render(event) for _, event in events]
    started_s = time.perf_counter()
    for start in range(0, len(texts), BATCH):
        encoder.forward_batch(tokenizer.encode(texts[start : start + BATCH]))
    return len(texts) / (time.perf_counter() - started_s)
