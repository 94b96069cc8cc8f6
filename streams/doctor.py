"""Is everything there that the worker needs? One finding per check, with what to do if it fails."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from inference.classifier import Classifier
from inference.errors import ConfigError, InferenceError
from inference.llm.client.endpoint import Endpoint, sends_key_in_clear
from inference.llm.client.failure import LlmFailure
from inference.llm.options import EndpointOptions
from inference.serving import Served
from schemas.event import KIND_OF_DOMAIN, Domain, Event
from streams.config import Settings
from streams.console.check import describe_console
from streams.errors import BrokerUnreachable
from streams.kafka.admin import check_topics
from streams.trust import unprotected
from streams.wiring.model import open_policy, open_rules, open_served

MESSAGES = [
    {
        "role": "user",
        "content": 'Answer with the JSON object {"ready": true} and nothing else.',
    }
]
ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"ready": {"type": "boolean"}},
    "required": ["ready"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `detail` says what is there, or what to do."""

    subject: str
    healthy: bool
    detail: str


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Check broker, topics, model, rules, egress policy, keys, console and LLM, in that order.

    Every endpoint of an LLM is sent one request.
    """
    async for finding in _broker(settings):
        yield finding
    async for finding in _model(settings):
        yield finding
    yield _trust(settings)
    yield _console(settings)
    if not settings.llm.tiers:
        yield Finding(
            "llm", True, "none configured: events the small model is unsure of go to review"
        )
    for tier in settings.llm.tiers:
        yield await _endpoint(tier, settings.llm.endpoints[tier])


def _trust(settings: Settings) -> Finding:
    """A missing key is no fault: whether the topics are protected by ACLs is not visible here."""
    try:
        sentences = unprotected(settings)
    except ConfigError as error:
        return Finding("trust", False, str(error))
    signed = "workers sign their records, and only reviewers decide"
    return Finding("trust", True, "; ".join(sentences) or signed)


def _console(settings: Settings) -> Finding:
    """Whether a console could be started here; a worker needs none."""
    try:
        return Finding("console", True, describe_console(settings))
    except ConfigError as error:
        return Finding("console", False, str(error))


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
        models = open_served(settings)
    except InferenceError as error:
        yield Finding("model", False, str(error))
        return
    serving = models.serving
    for domain in serving.domains:
        event = Event(id="doctor", kind=KIND_OF_DOMAIN[domain], text="card stolen")
        await serving.classify(domain, [event])
    for classifier in serving.classifiers:
        yield _whole(classifier)
    for domain in serving.domains:
        yield _calibration(serving, domain)
    yield _rules(settings, serving)
    yield _egress(settings, serving)
    await models.close()


def _whole(classifier: Classifier) -> Finding:
    info, artifact = classifier.model, classifier.artifact
    signature = "signature not checked"
    if artifact.signed_by:
        signature = f"signed with the key {artifact.signed_by}"
    detail = f"{info.name} ({info.compute_type}) is whole, {signature}, in {artifact.directory}"
    return Finding("model", True, detail)


def _calibration(classifier: Served, domain: Domain) -> Finding:
    subject = f"calibration of {domain}"
    promise = classifier.promise(domain)
    if not promise.accepts_any:
        return Finding(subject, False, promise.reason)
    return Finding(
        subject,
        True,
        f"accepts about {promise.coverage:.0%} with at most {promise.alpha:.0%} errors "
        f"(confidence {1 - promise.delta:.0%}, {promise.n} calibration rows)",
    )


def _rules(settings: Settings, classifier: Served) -> Finding:
    try:
        open_rules(settings, classifier)
    except ConfigError as error:
        return Finding("rules", False, str(error))
    return Finding("rules", True, f"{len(settings.rules)} configured, all fit the model's labels")


def _egress(settings: Settings, classifier: Served) -> Finding:
    try:
        open_policy(settings, classifier)
    except ConfigError as error:
        return Finding("egress", False, str(error))
    detail = f"{settings.egress.default} by default, rules: {len(settings.egress.rules)}"
    return Finding("egress", True, detail)


async def _endpoint(tier: str, options: EndpointOptions) -> Finding:
    """One real request of a few dozen tokens.

    A list of models would show neither that this model is there nor that it answers.
    """
    subject = f"llm {tier}"
    try:
        endpoint = Endpoint(tier, options)
    except ConfigError as error:
        return Finding(subject, False, str(error))
    try:
        completion = await endpoint.complete(MESSAGES, ANSWER_SCHEMA)
    except LlmFailure as failure:
        return Finding(subject, False, f"{options.base_url}: {failure}")
    finally:
        await endpoint.close()
    detail = f"{completion.model} answers at {options.base_url} in {completion.latency_s:.1f} s"
    if sends_key_in_clear(options):
        detail += "; the key is sent over plain http, use https"
    return Finding(subject, True, detail)
