"""Texts in, calibrated decisions out: tokenizer, engine, heads and the acceptance promise behind one interface."""

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
from inference.calibration import Floats, Promise, calibrate, risk
from inference.encoder import Encoder, open_encoder
from inference.engine import DEFAULT_MAX_WAITING, Engine
from inference.errors import ModelError
from inference.heads import Heads, load_samples
from inference.threads import Threads, choose_threads
from inference.tokenizer import Tokenizer
from schemas.event import DOMAINS, Domain
from schemas.triaged import Alternative, CalibrationInfo, Label, ModelInfo

log = logging.getLogger(__name__)

ALTERNATIVES = 2


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of a domain: which axes must be right, and the promise about them."""

    deciding: Sequence[str] = ("queue",)
    alpha: float = 0.02
    delta: float = 0.10


@dataclass(frozen=True, slots=True)
class Decision:
    """The small model's answer for one text.

    `risk` bounds the probability that any deciding axis is wrong; the text is accepted when it is below the
    domain's calibrated threshold. `escalation` is the metric label of why it was not (``risk``, ``unfamiliar`` or
    ``uncalibrated``), empty when it was. `inference_s` is the wall time of the call that carried it.
    """

    labels: dict[str, Label]
    risk: float
    accepted: bool
    reason: str
    escalation: str
    inference_s: float


class _Judge:
    """Acceptance in one domain: the promise over the deciding axes, and one an axis for saying it abstains."""

    def __init__(self, artifact: Artifact, domain: Domain, terms: Terms) -> None:
        if domain not in artifact.manifest.domains:
            raise ModelError(f"the model in {artifact.directory} has no heads for {domain}; train it on such events")
        if "queue" not in artifact.manifest.domains[domain].axes:
            raise ModelError(
                f"the model in {artifact.directory} names no queue for {domain}; train it on rows with one"
            )
        sample = load_samples(artifact)[domain]
        try:
            self.promise = calibrate(sample, terms.deciding, terms.alpha, terms.delta)
        except ValueError as error:
            raise ModelError(f"domains.{domain}: {error}") from None
        self.deciding = tuple(terms.deciding)
        self._max_pieces_per_word = artifact.manifest.domains[domain].max_pieces_per_word
        self.axis_promises: dict[str, Promise] = {
            axis: calibrate(sample, [axis], terms.alpha, terms.delta) for axis in sample.axes
        }
        if self.promise.reason:
            log.warning("%s: %s", domain, self.promise.reason)

    def decide(self, labels: dict[str, Label], pieces_per_word: float, inference_s: float) -> Decision:
        what, threshold = " and ".join(self.deciding), self.promise.threshold
        doubt = round(risk([labels[axis].confidence for axis in self.deciding]), 6)
        if self.unfamiliar(pieces_per_word):
            reason, escalation = "the text reads unlike the training rows, perhaps another language", "unfamiliar"
            doubt = 1.0
        elif not threshold:
            reason, escalation = f"the calibration sample supports no threshold for {what}", "uncalibrated"
        elif doubt < threshold:
            reason, escalation = f"estimated risk {doubt:.4f} on {what} is below the threshold {threshold:.4f}", ""
        else:
            reason = f"estimated risk {doubt:.4f} on {what} is not below the threshold {threshold:.4f}"
            escalation = "risk"
        return Decision(labels, doubt, not escalation, reason, escalation, inference_s)

    def unfamiliar(self, pieces_per_word: float) -> bool:
        return pieces_per_word > self._max_pieces_per_word

    def label(self, axis: str, names: Sequence[str], probabilities: Floats, *, unfamiliar: bool) -> Label:
        order = np.argsort(-probabilities, kind="stable")[: ALTERNATIVES + 1]
        best, *others = ((names[i], float(probabilities[i])) for i in order)
        return Label(
            value=best[0],
            confidence=best[1],
            alternatives=[Alternative(value=value, confidence=confidence) for value, confidence in others],
            abstained=unfamiliar or not risk([best[1]]) < self.axis_promises[axis].threshold,
        )


class Classifier:
    """Classifies texts of any domain of one model, for any number of concurrent callers."""

    def __init__(self, artifact: Artifact, engine: Engine, encoder: Encoder, terms: Mapping[Domain, Terms]) -> None:
        manifest = artifact.manifest
        spec = manifest.encoder
        self._engine = engine
        self._heads = Heads.load(artifact)
        self._judges = {domain: _Judge(artifact, domain, terms.get(domain, Terms())) for domain in DOMAINS}
        self._tokenizer = Tokenizer(
            artifact.file("sentencepiece.model"),
            max_tokens=spec.max_tokens,
            vocab_size=spec.vocab_size,
            prefix_ids=spec.prefix_ids,
            suffix_ids=spec.suffix_ids,
        )
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
            ModelError: the directory is missing, damaged, or cannot serve what `terms` ask.
        """
        artifact = load_artifact(path or DEFAULT_MODEL)
        chosen = threads or choose_threads(artifact)
        encoder = open_encoder(artifact, replicas=chosen.replicas, threads_per_replica=chosen.per_replica)
        log.info("model %s on %s", artifact.manifest.name, chosen)
        engine = Engine(encoder, max_batch_tokens=max_batch_tokens, max_waiting=max_waiting)
        return cls(artifact, engine, encoder, terms or {})

    def calibration(self, domain: Domain) -> CalibrationInfo:
        """The promise in force for a domain."""
        promise = self.promise(domain)
        return CalibrationInfo(
            alpha=promise.alpha,
            delta=promise.delta,
            n=promise.n,
            threshold=promise.threshold,
            digest=promise.digest,
        )

    def promise(self, domain: Domain) -> Promise:
        """The promise in force for a domain, with the coverage it had on the calibration sample."""
        return self._judges[domain].promise

    def usual_queues(self) -> dict[Domain, dict[str, float]]:
        """For each domain the share of each queue among the model's answers on its calibration sample."""
        axes = {domain: self.artifact.manifest.domains[domain].axes.get("queue") for domain in DOMAINS}
        return {domain: dict(zip(queue.labels, queue.shares, strict=True)) for domain, queue in axes.items() if queue}

    async def classify(self, domain: Domain, texts: Sequence[str]) -> list[Decision]:
        """Decide each text, in order.

        Raises:
            EngineClosed: the classifier was closed meanwhile.
            InferenceError: the model failed on these texts.
        """
        if not texts:
            return []
        started_s = time.perf_counter()
        ids, pieces_per_word = await asyncio.to_thread(self._tokenizer.encode_counted, texts)
        probabilities = self._heads.predict(domain, await self._engine.embed(ids))
        elapsed_s = time.perf_counter() - started_s
        return [
            self._decide(domain, {axis: rows[row] for axis, rows in probabilities.items()}, density, elapsed_s)
            for row, density in enumerate(pieces_per_word)
        ]

    async def close(self) -> None:
        """Fail waiting callers and release the threads."""
        await self._engine.close()

    def _decide(
        self, domain: Domain, probabilities: Mapping[str, Floats], pieces_per_word: float, inference_s: float
    ) -> Decision:
        judge, names = self._judges[domain], self._heads.labels(domain)
        unfamiliar = judge.unfamiliar(pieces_per_word)
        labels = {
            axis: judge.label(axis, names[axis], each, unfamiliar=unfamiliar) for axis, each in probabilities.items()
        }
        return judge.decide(labels, pieces_per_word, inference_s)
