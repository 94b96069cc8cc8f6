"""The model, the rules and the egress policy, opened as the configuration asks.

Apart from `wiring.llm`, so that a command without a broker does not load the packages of Kafka and
of the LLM.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from agents.outcomes import Incoming
from agents.reading import read
from agents.spot_checks import SpotChecks
from inference.classifier import Classifier
from inference.egress.policy import Policy
from inference.labels.file import NO_LABELS, LabelsFile, read_labels
from inference.labels.renames import Renames
from inference.model.artifact import DEFAULT_MODEL
from inference.model.signature import PublicKey
from inference.model.threads import Threads
from inference.rules.ruling import Rules
from schemas.event import DOMAINS
from schemas.signing import WorkerKeys
from streams.config import Settings

log = logging.getLogger(__name__)


def model_directory(settings: Settings) -> Path:
    """The configured model directory, or the shipped one."""
    return Path(settings.model.path) if settings.model.path else DEFAULT_MODEL


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
    """The configured model under the configured terms.

    Raises:
        ConfigError: the terms ask for what the model does not label, or the labels file cannot be
            used.
        ModelError: the model cannot be served, or is not signed as configured.
    """
    model = settings.model
    labels = open_labels(settings)
    key = public_key(settings)
    if key is None:
        log.info("the signature of the model is not checked: model.public_key is not set")
    threads = None
    if model.replicas:
        threads = Threads(model.replicas, model.threads_per_replica or 1)
    return Classifier.open(
        model_directory(settings),
        public_key=key,
        terms=settings.terms,
        threads=threads,
        max_batch_tokens=model.max_batch_tokens,
        max_waiting=model.max_waiting,
        score_parts=model.score_parts,
        labels=labels,
    )


def open_rules(settings: Settings, classifier: Classifier) -> Rules:
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
    settings: Settings, classifier: Classifier
) -> Callable[..., Awaitable[list[Incoming]]]:
    """`agents.reading.read` as configured; `kind` and `admission` of a topic are still open."""
    return partial(
        read,
        domains=classifier.domains,
        mappings=settings.mappings,
        limits=settings.limits,
        split=settings.formats.split,
        max_events=settings.formats.max_events_per_record,
    )


def open_policy(settings: Settings, classifier: Classifier) -> Policy:
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
