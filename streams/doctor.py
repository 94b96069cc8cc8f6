"""Is everything there that the worker needs? One check a thing, each with what to do when it fails."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import openai

from inference.artifact import DEFAULT_MODEL
from inference.errors import InferenceError
from inference.llm.options import EndpointOptions
from schemas.event import KIND_OF_DOMAIN, Event
from streams import topics
from streams.config import Settings
from streams.errors import BrokerUnreachable
from streams.worker import open_classifier

LLM_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `detail` says what was found, or what to do."""

    subject: str
    healthy: bool
    detail: str


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Look at broker, topics, model and LLM, in that order."""
    async for finding in _broker(settings):
        yield finding
    async for finding in _model(settings):
        yield finding
    if not settings.llm.tiers:
        yield Finding("llm", True, "none configured: events the small model is unsure of go to review")
    for tier in settings.llm.tiers:
        yield await _endpoint(tier, settings.llm.endpoints[tier])


async def _broker(settings: Settings) -> AsyncIterator[Finding]:
    try:
        problems = await topics.check(settings)
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
        await classifier.classify(domain, [Event(id="doctor", kind=KIND_OF_DOMAIN[domain], text="card stolen")])
    where = settings.model.path or DEFAULT_MODEL
    yield Finding("model", True, f"{classifier.model.name} ({classifier.model.compute_type}) is whole, in {where}")
    for domain in classifier.domains:
        promise = classifier.promise(domain)
        detail = promise.reason or (
            f"accepts about {promise.coverage:.0%} with at most {promise.alpha:.0%} errors "
            f"(confidence {1 - promise.delta:.0%}, {promise.n} calibration rows)"
        )
        yield Finding(f"calibration of {domain}", not promise.reason, detail)
    await classifier.close()


async def _endpoint(tier: str, endpoint: EndpointOptions) -> Finding:
    subject = f"llm {tier}"
    key = os.environ.get(endpoint.api_key_env) if endpoint.api_key_env else "none"
    if key is None:
        return Finding(subject, False, f"{endpoint.api_key_env} is not set; export the key of {endpoint.base_url}")
    async with openai.AsyncOpenAI(
        base_url=endpoint.base_url, api_key=key, timeout=LLM_TIMEOUT_S, max_retries=0
    ) as client:
        try:
            await client.models.list()
        except openai.APIStatusError as error:
            return Finding(subject, False, f"{endpoint.base_url} answers {error.status_code}; check key and address")
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
            return Finding(subject, False, f"{endpoint.base_url} is not reachable ({type(error).__name__})")
    return Finding(subject, True, f"reachable at {endpoint.base_url}")
