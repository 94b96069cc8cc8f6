"""Events in, calibrated decisions out: reading, engine, heads and the acceptance promise behind one interface."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from inference.acceptance.guarantee import Promise, Terms
from inference.acceptance.policy import AcceptancePolicy, Decision
from inference.arrays import Vectors
from inference.errors import ModelError
from inference.model.artifact import DEFAULT_MODEL, Artifact, load_artifact
from inference.model.batching import DEFAULT_MAX_BATCH_TOKENS
from inference.model.encoder import Encoder, open_encoder, open_tokenizer
from inference.model.engine import DEFAULT_MAX_WAITING, Engine
from inference.model.heads import Heads, calibrated, unit
from inference.model.input_text import render
from inference.model.ngrams import Features
from inference.model.threads import Threads, choose_threads
from schemas.event import DOMAINS, Domain, Event
from schemas.triaged import CalibrationInfo, ModelInfo

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _ModelInput:
    """What is read of an event before the encoder sees it."""

    ids: list[int]
    features: Features
    excess_tokens: float


class Classifier:
    """Classifies events of any domain of one model, for any number of concurrent callers."""

    def __init__(
        self, artifact: Artifact, engine: Engine, encoder: Encoder, terms: Mapping[Domain, Terms]
    ) -> None:
        manifest = artifact.manifest
        self.domains = tuple(domain for domain in DOMAINS if domain in manifest.domains)
        self._engine = engine
        self._heads = {domain: Heads.load(artifact, domain) for domain in self.domains}
        self._policies = {
            domain: AcceptancePolicy(artifact, domain, terms.get(domain, Terms()))
            for domain in self.domains
        }
        self._tokenizer = open_tokenizer(artifact.directory, manifest.encoder)
        self.artifact = artifact
        self.model = ModelInfo(
            name=manifest.name, digest=artifact.digest, compute_type=encoder.compute_type
        )

    @classmethod
    def open(
        cls,
        path: Path | None = None,
        *,
        terms: Mapping[Domain, Terms] | None = None,
        threads: Threads | None = None,
        max_batch_tokens: int = DEFAULT_MAX_BATCH_TOKENS,
        max_waiting: int = DEFAULT_MAX_WAITING,
    ) -> Self:
        """Load a model directory (default: the shipped one); without `threads` a short self-test chooses them.

        Raises:
            ModelError: the directory is missing, damaged, not calibrated, or cannot serve what `terms` ask.
        """
        artifact = load_artifact(path or DEFAULT_MODEL)
        chosen = threads or choose_threads(artifact)
        encoder = open_encoder(
            artifact, replicas=chosen.replicas, threads_per_replica=chosen.per_replica
        )
        log.info("model %s on %s", artifact.manifest.name, chosen)
        engine = Engine(encoder, max_batch_tokens=max_batch_tokens, max_waiting=max_waiting)
        return cls(artifact, engine, encoder, terms or {})

    def calibration(self, domain: Domain, tenant: str = "") -> CalibrationInfo:
        """The promise in force for a tenant of a domain."""
        promise = self._policy(domain).promise_for(tenant)
        return CalibrationInfo(
            alpha=promise.alpha,
            delta=promise.delta,
            n=promise.n,
            threshold=promise.threshold,
            digest=promise.digest,
        )

    def promise(self, domain: Domain) -> Promise:
        """The promise in force for a domain, with the coverage it had on the calibration sample."""
        return self._policy(domain).promise

    def queue_axis(self, domain: Domain) -> str:
        """The axis whose value is an event's queue: ``queue``, or for a model without one the first that decides."""
        policy = self._policy(domain)
        return "queue" if "queue" in self._heads[domain].labels else policy.deciding[0]

    def usual_queues(self) -> dict[Domain, dict[str, float]]:
        """For each domain the share of each queue among the model's answers on its calibration sample."""
        usual = {}
        for domain in self.domains:
            axis = self.queue_axis(domain)
            shares = self.artifact.calibration.domains[domain].axes[axis].shares
            usual[domain] = dict(zip(self._heads[domain].labels[axis], shares, strict=True))
        return usual

    def labels(self, domain: Domain) -> dict[str, tuple[str, ...]]:
        """The closed label set of each axis of a domain."""
        self._policy(domain)
        return self._heads[domain].labels

    def deciding(self, domain: Domain) -> tuple[str, ...]:
        """The axes that must be right for an event of a domain to be accepted."""
        return self._policy(domain).deciding

    async def embed(self, domain: Domain, events: Sequence[Event]) -> Vectors:
        """Embed events as `classify` reads them.

        Returns:
            float32 of shape (len(events), width), each row of length one (or all zero), in order.

        Raises:
            EngineClosed: the classifier was closed meanwhile.
            InferenceError: the model failed on these events, or was not trained on such.
        """
        self._policy(domain)
        ids = await asyncio.to_thread(
            lambda: self._tokenizer.encode([render(event) for event in events])
        )
        vectors = await self._engine.embed(ids)
        return np.array([unit(vector) for vector in vectors], dtype=np.float32).reshape(
            vectors.shape
        )

    async def classify(self, domain: Domain, events: Sequence[Event]) -> list[Decision]:
        """Decide each event, in order.

        Raises:
            EngineClosed: the classifier was closed meanwhile.
            InferenceError: the model failed on these events, or was not trained on such.
        """
        if not events:
            return []
        policy = self._policy(domain)
        started_s = time.perf_counter()
        inputs = await asyncio.to_thread(self._read, domain, events)
        vectors = await self._engine.embed([each_input.ids for each_input in inputs])
        axis_logits = await asyncio.to_thread(
            self._heads[domain].logits, vectors, [each_input.features for each_input in inputs]
        )
        probabilities = calibrated(axis_logits, self.artifact.calibration.domains[domain].axes)
        elapsed_s = time.perf_counter() - started_s
        decisions = []
        for row, event in enumerate(events):
            ood_score = policy.ood_score(
                inputs[row].excess_tokens, float(axis_logits.distance[row])
            )
            labels = {
                axis: policy.label(axis, names, probabilities[axis][row], ood_score)
                for axis, names in self._heads[domain].labels.items()
            }
            decisions.append(policy.decide(labels, event.tenant, ood_score, elapsed_s))
        return decisions

    async def close(self) -> None:
        """Fail waiting callers and release the threads."""
        await self._engine.close()

    def _policy(self, domain: Domain) -> AcceptancePolicy:
        if domain not in self._policies:
            raise ModelError(
                f"the model in {self.artifact.directory} has no heads for {domain}; train it on such rows"
            )
        return self._policies[domain]

    def _read(self, domain: Domain, events: Sequence[Event]) -> list[_ModelInput]:
        ngram_head = self._heads[domain].ngram_head
        ids, excess_tokens = self._tokenizer.encode_with_excess([render(event) for event in events])
        return [
            _ModelInput(own, ngram_head.read(event), density)
            for own, event, density in zip(ids, events, excess_tokens, strict=True)
        ]
