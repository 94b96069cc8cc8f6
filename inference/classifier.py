"""Events in, calibrated decisions out: reading, engine, heads and the acceptance promise behind one interface."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from inference.artifact import DEFAULT_MODEL, Artifact, load_artifact
from inference.batching import DEFAULT_MAX_BATCH_TOKENS
from inference.calibration import Floats, Promise, Sample, Terms, risk
from inference.encoder import Encoder, Vectors, open_encoder, open_tokenizer
from inference.engine import DEFAULT_MAX_WAITING, Engine
from inference.errors import ModelError
from inference.heads import Heads, calibrated, load_samples, unit
from inference.lexical import Features
from inference.novelty import novelty_of, unfamiliar
from inference.threads import Threads, choose_threads
from inference.view import read
from schemas.event import DOMAINS, Domain, Event
from schemas.triaged import Alternative, CalibrationInfo, Label, ModelInfo

log = logging.getLogger(__name__)

ALTERNATIVES = 2


@dataclass(frozen=True, slots=True)
class Decision:
    """The small model's answer for one event.

    `risk` bounds the probability that any deciding axis is wrong; the event is accepted when it is below the
    threshold calibrated for its domain or tenant. `escalation` is the metric label of why it was not (``risk``,
    ``unfamiliar`` or ``uncalibrated``), empty when it was. `novelty`, in [0, 1], says how unlike the training rows
    it is: from 0.5 on it is never accepted. `inference_s` is the wall time of the call that carried it.
    """

    labels: dict[str, Label]
    risk: float
    novelty: float
    accepted: bool
    reason: str
    escalation: str
    inference_s: float


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is read of an event before the encoder sees it."""

    ids: list[int]
    features: Features
    surplus_pieces: float


class _Judge:
    """Acceptance in one domain: the promise over the deciding axes, and one an axis for saying it abstains.

    A tenant whose own calibration rows support the promise is judged by them, any other by all rows together.
    """

    def __init__(self, artifact: Artifact, domain: Domain, terms: Terms) -> None:
        sample = load_samples(artifact)[domain]
        self.promise = promise_of(domain, sample, terms)
        self.deciding = tuple(terms.deciding)
        self._calibration = artifact.calibration.domains[domain]
        self.tenants = _tenant_promises(sample, terms)
        self._axes = {axis: terms.promise(sample, [axis]).threshold for axis in sample.axes}
        if self.promise.reason:
            log.warning("%s: %s", domain, self.promise.reason)

    def promise_for(self, tenant: str) -> Promise:
        return self.tenants.get(tenant, self.promise)

    def novelty(self, surplus_pieces: float, distance: float) -> float:
        return novelty_of(self._calibration, surplus_pieces, distance)

    def decide(self, labels: dict[str, Label], tenant: str, novelty: float, inference_s: float) -> Decision:
        what, threshold = " and ".join(self.deciding), self.promise_for(tenant).threshold
        doubt = risk([1.0 - labels[axis].confidence for axis in self.deciding])
        if unfamiliar(novelty):
            reason, escalation = "the text reads unlike the training rows, perhaps another language", "unfamiliar"
            doubt = 1.0
        elif not threshold:
            reason, escalation = f"the calibration sample supports no threshold for {what}", "uncalibrated"
        elif doubt < threshold:
            reason, escalation = f"estimated risk {doubt:.4f} on {what} is below the threshold {threshold:.4f}", ""
        else:
            reason = f"estimated risk {doubt:.4f} on {what} is not below the threshold {threshold:.4f}"
            escalation = "risk"
        return Decision(labels, doubt, novelty, not escalation, reason, escalation, inference_s)

    def label(self, axis: str, names: Sequence[str], probabilities: Floats, novelty: float) -> Label:
        order = np.argsort(-probabilities, kind="stable")[: ALTERNATIVES + 1]
        best, *others = ((names[i], float(probabilities[i])) for i in order)
        return Label(
            value=best[0],
            confidence=best[1],
            alternatives=[Alternative(value=value, confidence=confidence) for value, confidence in others],
            abstained=unfamiliar(novelty) or not risk([1.0 - best[1]]) < self._axes[axis],
        )


class Classifier:
    """Classifies events of any domain of one model, for any number of concurrent callers."""

    def __init__(self, artifact: Artifact, engine: Engine, encoder: Encoder, terms: Mapping[Domain, Terms]) -> None:
        manifest = artifact.manifest
        self.domains = tuple(domain for domain in DOMAINS if domain in manifest.domains)
        self._engine = engine
        self._heads = {domain: Heads.load(artifact, domain) for domain in self.domains}
        self._judges = {domain: _Judge(artifact, domain, terms.get(domain, Terms())) for domain in self.domains}
        self._tokenizer = open_tokenizer(artifact.directory, manifest.encoder)
        self.artifact = artifact
        self.model = ModelInfo(name=manifest.name, digest=artifact.digest, compute_type=encoder.compute_type)

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
        encoder = open_encoder(artifact, replicas=chosen.replicas, threads_per_replica=chosen.per_replica)
        log.info("model %s on %s", artifact.manifest.name, chosen)
        engine = Engine(encoder, max_batch_tokens=max_batch_tokens, max_waiting=max_waiting)
        return cls(artifact, engine, encoder, terms or {})

    def calibration(self, domain: Domain, tenant: str = "") -> CalibrationInfo:
        """The promise in force for a tenant of a domain."""
        promise = self._judge(domain).promise_for(tenant)
        return CalibrationInfo(
            alpha=promise.alpha,
            delta=promise.delta,
            n=promise.n,
            threshold=promise.threshold,
            digest=promise.digest,
        )

    def promise(self, domain: Domain) -> Promise:
        """The promise in force for a domain, with the coverage it had on the calibration sample."""
        return self._judge(domain).promise

    def queue_axis(self, domain: Domain) -> str:
        """The axis whose value is an event's queue: ``queue``, or for a model without one the first that decides."""
        judge = self._judge(domain)
        return "queue" if "queue" in self._heads[domain].labels else judge.deciding[0]

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
        self._judge(domain)
        return self._heads[domain].labels

    def deciding(self, domain: Domain) -> tuple[str, ...]:
        """The axes that must be right for an event of a domain to be accepted."""
        return self._judge(domain).deciding

    async def embed(self, domain: Domain, events: Sequence[Event]) -> Vectors:
        """Embed events as `classify` reads them.

        Returns:
            float32 of shape (len(events), width), each row of length one (or all zero), in order.

        Raises:
            EngineClosed: the classifier was closed meanwhile.
            InferenceError: the model failed on these events, or was not trained on such.
        """
        self._judge(domain)
        ids = await asyncio.to_thread(lambda: self._tokenizer.encode([read(event) for event in events]))
        vectors = await self._engine.embed(ids)
        return np.array([unit(vector) for vector in vectors], dtype=np.float32).reshape(vectors.shape)

    async def classify(self, domain: Domain, events: Sequence[Event]) -> list[Decision]:
        """Decide each event, in order.

        Raises:
            EngineClosed: the classifier was closed meanwhile.
            InferenceError: the model failed on these events, or was not trained on such.
        """
        if not events:
            return []
        judge = self._judge(domain)
        started_s = time.perf_counter()
        readings = await asyncio.to_thread(self._read, domain, events)
        vectors = await self._engine.embed([reading.ids for reading in readings])
        opinions = await asyncio.to_thread(
            self._heads[domain].opine, vectors, [reading.features for reading in readings]
        )
        probabilities = calibrated(opinions, self.artifact.calibration.domains[domain].axes)
        elapsed_s = time.perf_counter() - started_s
        decisions = []
        for row, event in enumerate(events):
            novelty = judge.novelty(readings[row].surplus_pieces, float(opinions.distance[row]))
            labels = {
                axis: judge.label(axis, names, probabilities[axis][row], novelty)
                for axis, names in self._heads[domain].labels.items()
            }
            decisions.append(judge.decide(labels, event.tenant, novelty, elapsed_s))
        return decisions

    async def close(self) -> None:
        """Fail waiting callers and release the threads."""
        await self._engine.close()

    def _judge(self, domain: Domain) -> _Judge:
        if domain not in self._judges:
            raise ModelError(f"the model in {self.artifact.directory} has no heads for {domain}; train it on such rows")
        return self._judges[domain]

    def _read(self, domain: Domain, events: Sequence[Event]) -> list[_Reading]:
        lexicon = self._heads[domain].lexicon
        ids, surplus_pieces = self._tokenizer.encode_counted([read(event) for event in events])
        return [
            _Reading(own, lexicon.read(event), density)
            for own, event, density in zip(ids, events, surplus_pieces, strict=True)
        ]


def promise_of(domain: str, sample: Sample, terms: Terms) -> Promise:
    """The promise these calibration rows support for a domain.

    Raises:
        ModelError: the terms cannot be asked of the model.
    """
    try:
        return terms.promise(sample)
    except ValueError as error:
        raise ModelError(f"domains.{domain}: {error}") from None


def _tenant_promises(sample: Sample, terms: Terms) -> dict[str, Promise]:
    promises = {tenant: terms.promise(sample.of(tenant)) for tenant in sample.tenants}
    return {tenant: promise for tenant, promise in promises.items() if promise.threshold}
