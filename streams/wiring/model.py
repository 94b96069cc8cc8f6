"""The model, the rules and the egress policy, opened as the configuration asks.

Apart from `wiring.llm`, so that a command without a broker does not load the packages of Kafka and
of the LLM.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from agents.outcomes import Incoming
from agents.reading import read
from inference.classifier import Classifier
from inference.egress.policy import Policy
from inference.model.artifact import DEFAULT_MODEL
from inference.model.signature import PublicKey
from inference.model.threads import Threads
from inference.rules.ruling import Rules
from streams.config import Settings

log = logging.getLogger(__name__)


def model_directory(settings: Settings) -> Path:
    """The configured model directory, or the shipped one."""
    return Path(settings.model.path) if settings.model.path else DEFAULT_MODEL


def public_key(settings: Settings) -> PublicKey | None:
    """The key that the model must be signed with; None if none is configured."""
    return PublicKey.parse(settings.model.public_key) if settings.model.public_key else None


def open_classifier(settings: Settings) -> Classifier:
    """The configured model under the configured terms.

    Raises:
        ConfigError: the terms ask for what the model does not label.
        ModelError: the model cannot be served, or is not signed as configured.
    """
    model = settings.model
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
    )


def open_rules(settings: Settings, classifier: Classifier) -> Rules:
    """The configured rules, checked against the labels of the model.

    Raises:
        ConfigError: a rule cannot mean anything; the sentence names it.
    """
    rules = Rules.of(settings.rules, settings.impact, classifier.label_sets)
    for name in rules.expired(now=datetime.now(UTC)):
        log.warning("the rule %r has expired and no longer applies; renew or remove it", name)
    return rules


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
