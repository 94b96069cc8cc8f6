"""Calls of an LLM as spans of OpenTelemetry, by the semantic conventions for generative AI."""

from typing import Any
from urllib.parse import urlsplit

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from inference.llm.client.endpoint import Completion, Endpoint
from inference.llm.client.failure import LlmFailure


class TracedEndpoint:
    """An endpoint, each call of which is a span below the current one."""

    def __init__(self, endpoint: Endpoint, tracer: Tracer) -> None:
        self._endpoint = endpoint
        self._tracer = tracer
        self.name = endpoint.name
        self.options = endpoint.options

    async def complete(
        self,
        messages: list[dict[str, str]],
        schema: dict[str, Any],
        *,
        limit_s: float | None = None,
    ) -> Completion:
        """See `Endpoint`."""
        url, model = urlsplit(self.options.base_url), self.options.model
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            # The form of the requests, whoever runs the service.
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": model,
            "server.address": url.hostname or "",
            "triage.llm.endpoint": self.name,
        }
        if url.port is not None:
            attributes["server.port"] = url.port
        with self._tracer.start_as_current_span(
            f"chat {model}",
            kind=SpanKind.CLIENT,
            attributes=attributes,
            # A message of an error may quote what was sent.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                completion = await self._endpoint.complete(messages, schema, limit_s=limit_s)
            except LlmFailure as failure:
                mark_failed(span, failure.status)
                raise
            usage = completion.usage
            span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
            span.set_attribute("gen_ai.usage.output_tokens", usage.completion_tokens)
            return completion

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoint.close()


def mark_failed(span: Span, error_type: str) -> None:
    """Say that what a span stands for has failed, by the class of the error alone."""
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)
