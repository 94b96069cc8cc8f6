"""What the configuration asks for, opened and checked: the model, the rules, the egress policy.

Apart from the worker, so that a command without a broker does not wait for the packages of Kafka and of the LLM.
"""

import logging
from datetime import UTC, datetime
from pathlib import Path

from inference.acceptance.guarantee import Terms
from inference.classifier import Classifier
from inference.egress.policy import Policy
from inference.model.threads import Threads
from inference.rules.ruling import Rules
from schemas.event import DOMAINS, Domain
from streams.config import Settings
from streams.errors import ConfigError

log = logging.getLogger(__name__)


def open_classifier(settings: Settings) -> Classifier:
    """The configured model under the configured terms.

    Raises:
        ModelError: the model cannot be served.
    """
    model = settings.model
    threads = Threads(model.replicas, model.threads_per_replica or 1) if model.replicas else None
    return Classifier.open(
        Path(model.path) if model.path else None,
        terms=terms(settings),
        threads=threads,
        max_batch_tokens=model.max_batch_tokens,
        max_waiting=model.max_waiting,
    )


def open_rules(settings: Settings, classifier: Classifier) -> Rules:
    """The configured rules, checked against the labels of the model that is served.

    Raises:
        ConfigError: a rule cannot mean anything; one sentence that names it.
    """
    labels = {domain: classifier.labels(domain) for domain in classifier.domains}
    try:
        rules = Rules.of(settings.rules, settings.impact, labels)
    except ValueError as error:
        raise ConfigError(f"rules: {error}") from None
    for name in rules.expired(now=datetime.now(UTC)):
        log.warning("the rule %r has expired and no longer applies; renew or remove it", name)
    return rules


def terms(settings: Settings) -> dict[Domain, Terms]:
    """What the configuration asks of each domain."""
    sections = {domain: settings.domain(domain) for domain in DOMAINS}
    return {
        domain: Terms(tuple(one.deciding), one.alpha, one.delta, one.unseen_alpha)
        for domain, one in sections.items()
    }


def open_policy(settings: Settings, classifier: Classifier) -> Policy:
    """The configured egress policy, checked against the labels of the model that is served.

    Raises:
        ConfigError: a rule is about a label no model gives, and would protect nothing.
    """
    values: dict[str, set[str]] = {}
    for domain in classifier.domains:
        for axis, names in classifier.labels(domain).items():
            values.setdefault(axis, set()).update(names)  # a rule may be about several domains
    policy = Policy.of(settings.egress)
    try:
        policy.check(values)
    except ValueError as error:
        raise ConfigError(f"egress.rules: {error}") from None
    return policy
