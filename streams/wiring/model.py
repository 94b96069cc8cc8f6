"""The model, the rules and the egress policy, opened as the configuration asks.

Apart from `wiring.llm`, so that a command without a broker does not load the packages of Kafka and
of the LLM.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from agents.outcomes import Incoming
from agents.reading import read
from agents.spot_checks import SpotChecks
from inference.acceptance.options import Terms
from inference.classifier import Classifier
from inference.egress.policy import Policy
from inference.errors import ConfigError
from inference.labels.file import NO_LABELS, LabelsFile, read_labels
from inference.labels.renames import Renames
from inference.model.artifact import DEFAULT_MODEL, load_manifest
from inference.model.signature import PublicKey
from inference.model.threads import Threads
from inference.rules.ruling import Rules
from inference.serving import Served
from schemas.event import DOMAINS, Domain
from schemas.signing import WorkerKeys
from streams.config import Settings
from streams.models.registry import Registry, is_registry
from streams.models.served import ServedModels
from streams.models.shadow import Shadow

log = logging.getLogger(__name__)


def model_directory(settings: Settings) -> Path:
    """The configured model directory, or the shipped one.

    If `[model] path` names a registry, it is the shipped one: the registry says itself which of
    its models are served (`registry_of`).
    """
    if settings.model.path and not is_registry(Path(settings.model.path)):
        return Path(settings.model.path)
    return DEFAULT_MODEL


def registry_of(settings: Settings) -> Registry | None:
    """The registry of learned models: `[learning] models`, or else `[model] path` if it is one."""
    directory = settings.learning.models
    if directory is None and settings.model.path and is_registry(Path(settings.model.path)):
        directory = settings.model.path
    return Registry(Path(directory), public_key(settings)) if directory else None


def require_registry(settings: Settings) -> Registry:
    """The registry of learned models.

    Raises:
        ConfigError: none is configured.
    """
    registry = registry_of(settings)
    if registry is None:
        raise ConfigError(
            "is not set; set it to the directory in which learned models are kept",
            key="learning.models",
        )
    return registry


def public_key(settings: Settings) -> PublicKey | None:
    """The key that the model must be signed with; None if none is configured."""
    return PublicKey.parse(settings.model.public_key) if settings.model.public_key else None


def open_labels(settings: Settings) -> LabelsFile:
    """The configured labels file; an empty one if none is configured.

    Raises:
        ConfigError: the file cannot be read, or says what cannot be meant.
    """
    if settings.labels.path is None:
        return NO_LABELS
    return read_labels(Path(settings.labels.path))


def open_classifier(settings: Settings) -> Classifier:
    """The configured model under the configured terms, whatever the registry says.

    Raises:
        ConfigError: the terms ask for what the model does not label, or the labels file cannot be
            used.
        ModelError: the model cannot be served, or is not signed as configured.
    """
    return open_model(settings, model_directory(settings), open_labels(settings))


def open_model(
    settings: Settings,
    path: Path,
    labels: LabelsFile,
    domains: Collection[Domain] = DOMAINS,
    *,
    terms: Mapping[Domain, Terms] | None = None,
    threads: Threads | None = None,
    signed: bool = True,
) -> Classifier:
    """A model directory for these domains; `terms` and `threads` replace the configured ones.

    It must be signed if a key is configured, unless `signed` is false.

    Raises:
        ConfigError, ModelError: as `open_classifier`.
    """
    model = settings.model
    key = public_key(settings) if signed else None
    if key is None and signed:
        log.info("the signature of the model is not checked: model.public_key is not set")
    if model.replicas and threads is None:
        threads = Threads(model.replicas, model.threads_per_replica or 1)
    return Classifier.open(
        path,
        public_key=key,
        terms=terms or settings.terms,
        threads=threads,
        max_batch_tokens=model.max_batch_tokens,
        max_waiting=model.max_waiting,
        score_parts=model.score_parts,
        labels=labels,
        domains=domains,
        max_cached=model.cached_texts,
        try_instructions=model.instruction_set == "auto",
    )


def open_served(settings: Settings) -> ServedModels:
    """The models that are served: those of the registry, and else that of `[model] path`.

    Raises:
        ConfigError, ModelError: as `open_classifier`.
    """
    labels, registry = open_labels(settings), registry_of(settings)
    chosen: list[Threads] = []

    def opened(
        name: str | None, domains: Collection[Domain], beside: Collection[Domain]
    ) -> Classifier:
        path = model_directory(settings)
        if name is not None and registry is not None:
            path = registry.path(name)
        terms = dict(settings.terms) | _any_terms(path, beside)
        # The self-test takes all processors for a moment, so it is not made again while we work.
        threads = chosen[0] if chosen else None
        classifier = open_model(
            settings, path, labels, [*domains, *beside], terms=terms, threads=threads
        )
        if classifier.threads is not None:
            chosen.append(classifier.threads)
        return classifier

    return ServedModels(opened, registry, keep_axes=settings.learning.keep_axes, labels=labels)


def open_candidate(settings: Settings, name: str, domains: Sequence[Domain]) -> Classifier:
    """A model of the registry, to be tried: it takes one thread and decides nothing.

    So it need not be signed. To be promoted it must be, if a key is configured.

    Raises:
        ConfigError, ModelError: as `open_classifier`.
    """
    path, labels = require_registry(settings).path(name), open_labels(settings)
    return open_model(settings, path, labels, domains, threads=Threads(1, 1), signed=False)


def open_shadow(settings: Settings, models: ServedModels) -> Shadow:
    """What lets candidates of the registry answer live events as well."""
    return Shadow(models, partial(open_candidate, settings), settings.learning.shadow_share)


def _any_terms(path: Path, domains: Collection[Domain]) -> dict[Domain, Terms]:
    """Terms for a model that decides nothing in these domains, and may lack the deciding axes."""
    if not domains:
        return {}
    specs = load_manifest(path).domains
    return {
        domain: Terms(deciding=list(specs[domain].axes)[:1])
        for domain in domains
        if domain in specs
    }


def open_rules(settings: Settings, classifier: Served) -> Rules:
    """The configured rules, checked against the labels of the model.

    Raises:
        ConfigError: a rule cannot mean anything; the sentence names it.
    """
    rules = Rules.of(settings.rules, settings.impact, classifier.label_sets)
    for name in rules.expired(now=datetime.now(UTC)):
        log.warning("the rule %r has expired and no longer applies; renew or remove it", name)
    for subject, old, new in _old_names(settings, classifier.renames):
        log.warning("%s names the label %r, which is %r today; write that", subject, old, new)
    return rules


def _old_names(settings: Settings, renames: Renames) -> Iterator[tuple[str, str, str]]:
    """The conditions that may be about a label under its old name, with both names.

    Such a condition would never hold. The text may also be about something else than a label.
    """
    conditions = {f"the rule {rule.name!r}": rule.when for rule in settings.rules}
    conditions |= {f"impact.{domain}": getattr(settings.impact, domain) for domain in DOMAINS}
    for axes in renames.names.values():
        for names in axes.values():
            for old, new in names.items():
                for subject, condition in conditions.items():
                    if f'"{old}"' in condition or f"'{old}'" in condition:
                        yield subject, old, new


def open_spot_checks(settings: Settings, keys: WorkerKeys) -> SpotChecks:
    """The configured spot checks, drawn with the keys of the workers."""
    return SpotChecks(
        settings.spot_checks.share,
        settings.spot_checks.at_least_per_day,
        partitions=settings.topics.partitions,
        keys=keys,
    )


def reader_of(
    settings: Settings, domains: Collection[Domain]
) -> Callable[..., Awaitable[list[Incoming]]]:
    """`agents.reading.read` as configured; `kind` and `admission` of a topic are still open.

    `domains` are those that the model has heads for.
    """
    return partial(
        read,
        domains=domains,
        mappings=settings.mappings,
        limits=settings.limits,
        split=settings.formats.split,
        max_events=settings.formats.max_events_per_record,
    )


def open_policy(settings: Settings, classifier: Served) -> Policy:
    """The configured egress policy, checked against the labels of the model.

    Raises:
        ConfigError: a rule is about a label that no model gives, so it would protect nothing.
    """
    values: dict[str, set[str]] = {}
    for labels_of_axes in classifier.label_sets.values():
        for axis, labels in labels_of_axes.items():
            # A rule may be about several domains.
            values.setdefault(axis, set()).update(labels)
    policy = Policy(settings.egress)
    policy.check(values)
    return policy
