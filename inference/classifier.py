"""From events to calibrated decisions: one interface to input text, engine, heads and policy."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from inference.acceptance.guarantee import Promise
from inference.acceptance.options import Terms
from inference.acceptance.policy import AcceptancePolicy, Decision, Tightening
from inference.arrays import Vectors
from inference.errors import ModelError
from inference.in_order import in_order
from inference.labels.file import NO_LABELS, LabelsFile
from inference.labels.served import served_descriptions, unknown_labels_warning
from inference.model.artifact import DEFAULT_MODEL, Artifact, load_artifact
from inference.model.batching import DEFAULT_MAX_BATCH_TOKENS
from inference.model.encoder import Encoder, open_encoder, open_tokenizer
from inference.model.engine import DEFAULT_MAX_WAITING, Engine, Pass
from inference.model.heads import Heads, calibrated, unit_rows
from inference.model.input_text import read_content, render
from inference.model.instruction_set import choose_instructions
from inference.model.model_input import ModelInput, input_text, read_inputs
from inference.model.ngrams import Features, NgramHead
from inference.model.signature import PublicKey
from inference.model.threads import Threads, choose_threads
from inference.model.vector_cache import DEFAULT_MAX_CACHED, CachedEngine
from inference.part_scoring import NO_PARTS, Parts, PartScorer
from schemas.event import DOMAINS, Domain, Event
from schemas.triaged import CalibrationInfo, ModelInfo

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _ModelInputs:
    """What the encoder and the n-gram head read of n events, one item per event."""

    encoder: list[ModelInput]
    features: list[Features]

    @property
    def ids(self) -> list[list[int]]:
        return [model_input.ids for model_input in self.encoder]


class Classifier:
    """Classifies events of every domain of one model, for any number of concurrent callers.

    With `score_parts`, the parts of an event whose severity is below high are scored alone, too.
    `labels` describes labels of the model and gives some of them other names. Of the model's
    domains only `domains` are served, if they are given. The vectors of the latest `max_cached`
    texts of each domain are kept.

    Raises:
        ConfigError: the model has a label under its old and its new name, or a second promise is
            asked for and no label means that an alert is harmless.
    """

    def __init__(
        self,
        artifact: Artifact,
        engine: Engine,
        encoder: Encoder,
        terms: Mapping[Domain, Terms],
        *,
        score_parts: bool = True,
        labels: LabelsFile = NO_LABELS,
        domains: Collection[Domain] = DOMAINS,
        max_cached: int = DEFAULT_MAX_CACHED,
    ) -> None:
        self._score_parts = score_parts
        self._labels_file = labels
        self.renames = labels.renames
        manifest = artifact.manifest
        self.domains = tuple(
            domain for domain in DOMAINS if domain in manifest.domains and domain in domains
        )
        self._engine = engine
        self._engines = {domain: CachedEngine(engine, max_cached) for domain in self.domains}
        self._heads = {domain: self._load_heads(artifact, domain) for domain in self.domains}
        self._policies = {
            domain: AcceptancePolicy(artifact, domain, terms.get(domain, Terms()))
            for domain in self.domains
        }
        for domain, heads in self._heads.items():
            self._policies[domain].check_labels(domain, heads.labels)
        self._tokenizer = open_tokenizer(artifact.directory, manifest.encoder)
        self._part_scorers = {
            domain: PartScorer(
                heads,
                artifact.calibration.domains[domain].axes,
                self._tokenizer,
                self._engines[domain],
            )
            for domain, heads in self._heads.items()
        }
        self.artifact = artifact
        self.threads: Threads | None = None
        """What `open` chose."""
        self.truncated: dict[Domain, int] = dict.fromkeys(self.domains, 0)
        """How many events of each domain had more text than the encoder reads."""
        self.model = ModelInfo(
            name=manifest.name, digest=artifact.digest, compute_type=encoder.compute_type
        )

    @classmethod
    def open(
        cls,
        path: Path | None = None,
        *,
        public_key: PublicKey | None = None,
        terms: Mapping[Domain, Terms] | None = None,
        threads: Threads | None = None,
        max_batch_tokens: int = DEFAULT_MAX_BATCH_TOKENS,
        max_waiting: int = DEFAULT_MAX_WAITING,
        score_parts: bool = True,
        labels: LabelsFile = NO_LABELS,
        domains: Collection[Domain] = DOMAINS,
        max_cached: int = DEFAULT_MAX_CACHED,
        try_instructions: bool = False,
    ) -> Self:
        """Load a model directory; without `path`, the model that is shipped with the package.

        With a `public_key`, the directory must be signed with it. Without `threads`, a short
        self-test chooses them. With `try_instructions`, another one chooses the instructions of the
        processor, if no encoder was loaded before.

        Raises:
            ModelError: The directory is missing, damaged, not calibrated or not signed.
            ConfigError: `terms` name an axis that the model lacks, or a share that is not between
                0 and 1, or the model has a label under its old and its new name.
        """
        artifact = load_artifact(path or DEFAULT_MODEL, public_key=public_key)
        if try_instructions:
            choose_instructions(artifact)
        threads = threads or choose_threads(artifact)
        encoder = open_encoder(
            artifact, replicas=threads.replicas, threads_per_replica=threads.per_replica
        )
        log.info("model %s on %s", artifact.manifest.name, threads)
        engine = Engine(encoder, max_batch_tokens=max_batch_tokens, max_waiting=max_waiting)
        classifier = cls(
            artifact,
            engine,
            encoder,
            terms or {},
            score_parts=score_parts,
            labels=labels,
            domains=domains,
            max_cached=max_cached,
        )
        classifier.threads = threads
        if warning := unknown_labels_warning(labels, classifier.label_sets):
            log.warning("%s", warning)
        return classifier

    def encoded_texts(self, domain: Domain) -> dict[str, int]:
        """How many texts of a domain the encoder has ``computed``, and how many were ``cached``.

        The parts of events that are scored alone are among them.
        """
        self._policy(domain)
        return {"computed": self._engines[domain].computed, "cached": self._engines[domain].cached}

    def model_of(self, domain: Domain) -> ModelInfo:  # noqa: ARG002 - one model for all domains
        """The model that decides events of a domain, as the output topic has it."""
        return self.model

    def calibration(self, domain: Domain, tenant: str = "") -> CalibrationInfo:
        """The promise that holds for a tenant of a domain, as the output topic has it.

        Its threshold is the one in force, which `tighten` may have lowered.
        """
        policy = self._policy(domain)
        return policy.calibration_of(policy.promise_for(tenant))

    def tighten(self, domain: Domain, tightening: Tightening) -> bool:
        """Lower the threshold of a promise that is not kept; true if it was lowered.

        A promise that this classifier does not have, or a threshold that is no lower than the one
        in force, changes nothing.
        """
        return domain in self._policies and self._policies[domain].tighten(tightening)

    def promise(self, domain: Domain) -> Promise:
        """The promise that holds for a domain, with its coverage on the calibration rows."""
        return self._policy(domain).promise

    def promises(self, domain: Domain) -> list[Promise]:
        """The promises of a domain that are in force: that of all rows, and those of tenants."""
        return self._policy(domain).promises

    def ngram_head(self, domain: Domain) -> NgramHead:
        """The n-gram head of a domain."""
        self._policy(domain)
        return self._heads[domain].ngram_head

    def queue_axis(self, domain: Domain) -> str:
        """The axis whose value is the queue of an event.

        It is ``queue``. If the model has no such axis, it is the first deciding axis.
        """
        policy = self._policy(domain)
        if "queue" in self._heads[domain].labels:
            return "queue"
        return policy.deciding[0]

    def usual_queues(self) -> dict[Domain, dict[str, float]]:
        """For each domain, the share of each queue among the answers on the calibration rows."""
        usual = {}
        for domain in self.domains:
            axis = self.queue_axis(domain)
            shares = self.artifact.calibration.domains[domain].axes[axis].shares
            usual[domain] = dict(zip(self._heads[domain].labels[axis], shares, strict=True))
        return usual

    def labels(self, domain: Domain) -> dict[str, tuple[str, ...]]:
        """All labels of each axis of a domain. The model gives no other label."""
        self._policy(domain)
        return self._heads[domain].labels

    @property
    def label_sets(self) -> dict[Domain, dict[str, tuple[str, ...]]]:
        """The labels of every domain of the model."""
        return {domain: self.labels(domain) for domain in self.domains}

    def descriptions(self, domain: Domain) -> dict[str, dict[str, str]]:
        """What the labels file says of the labels of a domain, by axis; often nothing."""
        return served_descriptions(self._labels_file, domain, self.labels(domain))

    def deciding(self, domain: Domain) -> tuple[str, ...]:
        """The axes of a domain that must be right when an event is accepted."""
        return self._policy(domain).deciding

    async def embed(self, domain: Domain, events: Sequence[Event]) -> Vectors:
        """Embed events. Their input text is the same as in `classify`.

        Returns:
            float32 of shape (len(events), width), in the order of `events`. Each row has length
            one, or is all zero.

        Raises:
            EngineClosed: The classifier was closed before all vectors were there.
            InferenceError: The model failed on these events, or it has no heads for the domain.
        """
        self._policy(domain)
        ids = await asyncio.to_thread(
            lambda: self._tokenizer.encode([render(event) for event in events])
        )
        vectors = await self._engines[domain].embed(ids)
        return unit_rows(vectors).astype(np.float32)

    async def classify(self, domain: Domain, events: Sequence[Event]) -> list[Decision]:
        """Decide each event, in the order of `events`; see `classify_each`."""
        return await in_order(self.classify_each(domain, events), len(events))

    async def classify_each(
        self, domain: Domain, events: Sequence[Event]
    ) -> AsyncGenerator[tuple[int, Decision], None]:
        """Decide events, and give each decision, with its place in `events`, when it is made.

        An event waits for no other forward pass than its own. If one of its parts has to be scored,
        it waits for that pass, too.

        Raises:
            EngineClosed: The classifier was closed before all events were decided.
            InferenceError: The model failed on these events, or it has no heads for the domain.
        """
        if not events:
            return
        self._policy(domain)
        inputs = await asyncio.to_thread(self._model_inputs, domain, events)
        scoring: set[asyncio.Task[list[tuple[int, Decision]]]] = set()
        try:
            async with aclosing(self._engines[domain].passes(inputs.ids)) as passes:
                async for done in passes:
                    decide = partial(self._decide, domain, events, inputs, done)
                    decisions, parts = await asyncio.to_thread(decide)
                    for row in decisions.keys() - set(parts.rows):
                        yield row, self._counted(domain, decisions[row])
                    if parts.rows:
                        score = self._part_scorers[domain].score(parts, decisions)
                        scoring.add(asyncio.create_task(score))
                    for task in [task for task in scoring if task.done()]:
                        scoring.discard(task)
                        for row, decision in task.result():
                            yield row, self._counted(domain, decision)
            for scored in asyncio.as_completed(scoring):
                for row, decision in await scored:
                    yield row, self._counted(domain, decision)
        finally:
            for task in scoring:
                task.cancel()

    async def close(self) -> None:
        """Fail the waiting callers and release the threads."""
        await self._engine.close()

    def _decide(
        self, domain: Domain, events: Sequence[Event], inputs: _ModelInputs, done: Pass
    ) -> tuple[dict[int, Decision], Parts]:
        """The decision on each event of a pass by its row, and the parts that must be scored.

        The decision on an event with such parts is not its last one.
        """
        policy, heads = self._policies[domain], self._heads[domain]
        axis_logits = heads.logits(done.vectors, [inputs.features[row] for row in done.rows])
        probabilities = calibrated(axis_logits, self.artifact.calibration.domains[domain].axes)
        scope_distances = heads.scope_distances(axis_logits, probabilities)
        decisions = {}
        for place, row in enumerate(done.rows):
            model_input = inputs.encoder[row]
            unlike = policy.unfamiliarity(
                model_input, float(axis_logits.distance[place]), scope_distances[place]
            )
            labels = {
                axis: policy.label(axis, names, probabilities[axis][place], unlike.score)
                for axis, names in heads.labels.items()
            }
            decisions[row] = policy.decide(
                labels,
                events[row].tenant,
                unlike,
                time.perf_counter() - done.started_s,
                truncated=model_input.truncated,
            )
        if not self._score_parts:
            return decisions, NO_PARTS
        return decisions, self._part_scorers[domain].read(events, decisions)

    def _counted(self, domain: Domain, decision: Decision) -> Decision:
        """The same decision, when it is given to the caller."""
        self.truncated[domain] += decision.truncated
        return decision

    def _load_heads(self, artifact: Artifact, domain: Domain) -> Heads:
        heads = Heads.load(artifact, domain)
        return heads.renamed(self.renames.axes(domain, heads.labels))

    def _policy(self, domain: Domain) -> AcceptancePolicy:
        """The policy of a domain.

        Raises:
            ModelError: The model has no heads for the domain.
        """
        if domain not in self._policies:
            raise ModelError(
                f"the model in {self.artifact.directory} has no heads for {domain}; train it on "
                f"rows of {domain}"
            )
        return self._policies[domain]

    def _model_inputs(self, domain: Domain, events: Sequence[Event]) -> _ModelInputs:
        ngram_head = self._heads[domain].ngram_head
        texts, features = [], []
        # One event after the other: the content of a large event is not kept for the whole batch.
        for event in events:
            content = read_content(event)
            texts.append(input_text(content))
            features.append(ngram_head.features(content))
        return _ModelInputs(read_inputs(self._tokenizer, texts), features)
