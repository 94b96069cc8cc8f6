"""Is everything there that the worker needs? One check a thing, each with what to do when it fails."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from inference.classifier import Classifier
from inference.errors import InferenceError
from inference.llm.client.endpoint import Endpoint
from inference.llm.client.failure import LlmFailure
from inference.llm.options import EndpointOptions
from inference.model.artifact import DEFAULT_MODEL
from schemas.event import KIND_OF_DOMAIN, Event
from streams.config import Settings
from streams.errors import BrokerUnreachable, ConfigError
from streams.kafka.admin import check_topics
from streams.wiring.model import open_classifier, open_policy, open_rules

QUESTION = [
    {"role": "user", "content": 'Answer with the JSON object {"ready": true} and nothing else.'}
]
ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {"ready": {"type": "boolean"}},
    "required": ["ready"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `detail` says what was found, or what to do."""

    subject: str
    healthy: bool
    detail: str


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Look at broker, topics, model, rules, egress policy and LLM, in that order; each LLM is asked one question."""
    async for finding in _broker(settings):
        yield finding
    async for finding in _model(settings):
        yield finding
    if not settings.llm.tiers:
        yield Finding(
            "llm", True, "none configured: events the small model is unsure of go to review"
        )
    for tier in settings.llm.tiers:
        yield await _endpoint(tier, settings.llm.endpoints[tier])


async def _broker(settings: Settings) -> AsyncIterator[Finding]:
    try:
        problems = await check_topics(settings)
    except BrokerUnreachable as error:
        yield Finding("broker", False, str(error))
        return
    yield Finding("broker", True, f"answers at {settings.kafka.bootstrap_servers}")
    for problem in problems:
        yield Finding("topics", False, problem)
    if not problems:
        yield Finding("topics", True, f"all there under the prefix {settings.topics.prefix}")


async def _model(settings: Settings) -> AsyncIterator[Finding]:
    try:
        classifier = open_classifier(settings)
    except InferenceError as error:
        yield Finding("model", False, str(error))
        return
    for domain in classifier.domains:
        await classifier.classify(
            domain, [Event(id="doctor", kind=KIND_OF_DOMAIN[domain], text="card stolen")]
        )
    where = settings.model.path or DEFAULT_MODEL
    yield Finding(
        "model",
        True,
        f"{classifier.model.name} ({classifier.model.compute_type}) is whole, in {where}",
    )
    for domain in classifier.domains:
        promise = classifier.promise(domain)
        detail = promise.reason or (
            f"accepts about {promise.coverage:.0%} with at most {promise.alpha:.0%} errors "
            f"(confidence {1 - promise.delta:.0%}, {promise.n} calibration rows)"
        )
        yield Finding(f"calibration of {domain}", not promise.reason, detail)
    yield _rules(settings, classifier)
    yield _egress(settings, classifier)
    await classifier.close()


def _rules(settings: Settings, classifier: Classifier) -> Finding:
    try:
        open_rules(settings, classifier)
    except ConfigError as error:
        return Finding("rules", False, str(error))
    return Finding("rules", True, f"{len(settings.rules)} configured, all fit the model's labels")


def _egress(settings: Settings, classifier: Classifier) -> Finding:
    try:
        open_policy(settings, classifier)
    except ConfigError as error:
        return Finding("egress", False, str(error))
    return Finding(
        "egress", True, f"{settings.egress.default} by default, rules: {len(settings.egress.rules)}"
    )


async def _endpoint(tier: str, options: EndpointOptions) -> Finding:
    """A real question, some dozen tokens: a list of models shows neither that this one is there nor that it answers."""
    subject = f"llm {tier}"
    try:
        endpoint = Endpoint(tier, options)
    except ValueError as error:
        return Finding(subject, False, str(error))
    try:
        completion = await endpoint.complete(QUESTION, ANSWER)
    except LlmFailure as failure:
        return Finding(subject, False, f"{options.base_url}: {failure}")
    finally:
        await endpoint.close()
    return Finding(
        subject,
        True,
        f"{completion.model} answers at {options.base_url} in {completion.latency_s:.1f} s",
    )
