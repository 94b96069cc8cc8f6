"""The way of each event as spans of OpenTelemetry, from its input record to its last decision.

    process TOPIC           from reading a record of the event until its outputs are acknowledged
    ├── read                from the bytes of the record to the event
    ├── classify            the agent: rules and small model, the LLM tier, or the verdict
    │   (enrich, feedback)
    ├── chat MODEL          one call of an LLM
    └── send TOPIC          one output, until the broker has acknowledged it

The header `traceparent` of a record says which span it came from, so what a later agent does with
the output is in the same trace. The names are those of the semantic conventions for messaging and
for generative AI.

Spans go to another system, so they hold nothing that the sender of an event chose: no text, id,
tenant or source, and no message of an error. An event is found by the place of its record, which
its decision has as `origin`.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
    use_span,
)

from agents.outcomes import DeadLettered, Escalated, Incoming, Outcome, Reviewed, Triaged
from inference.errors import ConfigError
from inference.llm.client.endpoint import Endpoint
from schemas.traceparent import TRACEPARENT_HEADER, traceparent_of
from streams.call_spans import TracedEndpoint, mark_failed
from streams.kafka.producer import Receipt
from streams.kafka.record import Record
from streams.metrics import FINAL_OUTCOMES
from streams.traces import ProcessEach, Read, Traces

STOP_TIMEOUT_S = 1.0
"""So long the last spans may take when a worker ends; a collector that is away must not hold it."""
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP = "http/protobuf"
SERVICE = "triage"
JOINS_LATE = "feedback"
"""This agent knows the trace of an event only when it has found the event of the verdict."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class EventTrace:
    """What is kept while one event is on its way; times are in nanoseconds since the epoch.

    `parent` is the trace context of its record. `span` is that of its whole way through the agent.
    """

    parent: str | None
    started_ns: int
    read_ns: int
    span: Span | None = None
    sends: list[Span] = field(default_factory=list)


class SpanTraces(Traces):
    """Makes spans, and hands them to `processor`; `group` is that of the consumers."""

    def __init__(
        self, group: str, processor: SpanProcessor, resource: Resource | None = None
    ) -> None:
        # The SDK would wait without a limit at the exit of the process.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("triage")
        self._group = group

    def reading(self, read: Read) -> Read:
        """See `Traces`."""

        async def traced(record: Incoming) -> list[Incoming]:
            started_ns = time.time_ns()
            events = await read(record)
            parent, read_ns = traceparent_of(record.headers), time.time_ns()
            return [
                replace(event, trace=EventTrace(parent, started_ns, read_ns)) for event in events
            ]

        return traced

    def processing(self, agent: str, process: ProcessEach) -> ProcessEach:
        """See `Traces`."""

        async def traced(
            batch: Sequence[Incoming],
        ) -> AsyncGenerator[tuple[int, Outcome], None]:
            if agent != JOINS_LATE:
                for incoming in batch:
                    self._begin(incoming)
            started_ns, name = time.time_ns(), agent.partition("-")[0]
            async with aclosing(process(batch)) as outcomes:
                while True:
                    # Not around the `yield`: whoever takes the outcome is in no trace.
                    with _current(batch):
                        known = await anext(outcomes, None)
                    if known is None:
                        return
                    place, outcome = known
                    self._begin(batch[place], outcome)
                    facts = {"triage.batch.events": len(batch)} | _facts(outcome)
                    self._step(batch[place], name, started_ns, time.time_ns(), facts)
                    yield known

        return traced

    def sending(
        self, incoming: Incoming, outcome: Outcome, records: Sequence[Record]
    ) -> Sequence[Record]:
        """See `Traces`. A dead letter keeps the headers of its record as they were."""
        self._begin(incoming, outcome)
        trace = incoming.trace
        if not isinstance(trace, EventTrace) or trace.span is None:
            return records
        parent = set_span_in_context(trace.span, Context())
        trace.sends = [
            self._tracer.start_span(
                f"send {record.topic}",
                parent,
                SpanKind.PRODUCER,
                attributes=_messaging("send", record.topic),
            )
            for record in records
        ]
        if isinstance(outcome, DeadLettered):
            return records
        return [
            _with_context(record, span) for record, span in zip(records, trace.sends, strict=True)
        ]

    def settled(self, incoming: Incoming, outcome: Outcome, receipts: Sequence[Receipt]) -> None:
        """See `Traces`."""
        trace = incoming.trace
        if not isinstance(trace, EventTrace) or trace.span is None:
            return
        for span, receipt in zip(trace.sends, receipts, strict=False):
            error = receipt.exception()
            if error is None:
                place = receipt.result()
                span.set_attributes(_place(place.partition, place.offset))
            else:
                mark_failed(span, type(error).__name__)
            span.end()
        trace.span.set_attributes(_facts(outcome))
        if isinstance(outcome, DeadLettered):
            mark_failed(trace.span, outcome.error)
        trace.span.end()

    def calling(self, endpoint: Endpoint) -> Any:
        """See `Traces`."""
        return TracedEndpoint(endpoint, self._tracer)

    async def stop(self) -> None:
        """See `Traces`."""
        # Neither the shutdown nor the flush of the SDK keeps a time limit. A thread that does not
        # end is left behind.
        stopping = threading.Thread(target=self._provider.shutdown, daemon=True)
        stopping.start()
        await asyncio.to_thread(stopping.join, STOP_TIMEOUT_S)

    def _begin(self, incoming: Incoming, outcome: Outcome | None = None) -> None:
        """Start the span of an event, unless it has started.

        Its parent is named by the header of its record, or else by what the agent has found.
        """
        trace = incoming.trace
        if not isinstance(trace, EventTrace) or trace.span is not None:
            return
        found = outcome.trace if isinstance(outcome, Triaged) else None
        links = [Link(_context_of(found))] if found and trace.parent else []
        origin = incoming.origin
        trace.span = self._tracer.start_span(
            f"process {origin.topic}",
            _parent(trace.parent or found),
            SpanKind.CONSUMER,
            attributes=_messaging("process", origin.topic)
            | _place(origin.partition, origin.offset)
            | {"messaging.consumer.group.name": self._group},
            links=links,
            start_time=trace.started_ns,
        )
        if incoming.element is not None:
            self._step(incoming, "read", trace.started_ns, trace.read_ns, {})

    def _step(
        self,
        incoming: Incoming,
        name: str,
        started_ns: int,
        ended_ns: int,
        attributes: dict[str, Any],
    ) -> None:
        trace = incoming.trace
        if not isinstance(trace, EventTrace) or trace.span is None:
            return
        parent = set_span_in_context(trace.span, Context())
        span = self._tracer.start_span(name, parent, attributes=attributes, start_time=started_ns)
        span.end(ended_ns)


def exporting(group: str) -> SpanTraces:
    """Spans for a collector, over OTLP and HTTP; the variables ``OTEL_…`` say to which, and how.

    Raises:
        ConfigError: a variable cannot be used.
    """
    protocol = next((os.environ[name] for name in PROTOCOLS if os.environ.get(name)), HTTP)
    if protocol != HTTP:
        raise ConfigError(
            f"spans are sent over {HTTP} only; set OTEL_EXPORTER_OTLP_PROTOCOL to that, and the "
            "endpoint to the collector's port for HTTP, usually 4318",
            key="traces",
        )
    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
    try:
        processor = BatchSpanProcessor(OTLPSpanExporter())
    except ValueError as error:
        raise ConfigError(
            f"a variable OTEL_… has a value that cannot be used ({error}); correct it",
            key="traces",
        ) from None
    log.info("events are followed with spans of OpenTelemetry")
    return SpanTraces(group, processor, resource)


@contextmanager
def _current(batch: Sequence[Incoming]) -> Iterator[None]:
    """Below this event's span, if the batch holds one event: an agent with an LLM takes one."""
    trace = batch[0].trace if len(batch) == 1 else None
    if isinstance(trace, EventTrace) and trace.span is not None:
        with use_span(trace.span, record_exception=False, set_status_on_exception=False):
            yield
    else:
        yield


def _parent(traceparent: str | None) -> Context:
    if traceparent is None:
        return Context()
    return set_span_in_context(NonRecordingSpan(_context_of(traceparent)), Context())


def _context_of(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )


def _with_context(record: Record, span: Span) -> Record:
    context = span.get_span_context()
    if not context.is_valid:
        return record  # OTEL_SDK_DISABLED
    value = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    return replace(record, headers=[*record.headers, (TRACEPARENT_HEADER, value.encode())])


def _messaging(operation: str, topic: str) -> dict[str, Any]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
    }


def _place(partition: int, offset: int) -> dict[str, Any]:
    return {
        "messaging.destination.partition.id": str(partition),
        "messaging.kafka.offset": offset,
    }


def _facts(outcome: Outcome) -> dict[str, Any]:
    """What became of an event, in the words of the metric `triage_events_total`."""
    match outcome:
        case Triaged(triaged):
            name = FINAL_OUTCOMES[triaged.decided_by]
        case Escalated(case):
            triaged, name = case.triaged, "escalated"
        case Reviewed(case):
            triaged, name = case.triaged, "needs_review"
        case DeadLettered(stage=stage):
            return {"triage.outcome": "dead_letter", "triage.dead_letter.stage": stage}
    return {
        "triage.outcome": name,
        "triage.domain": triaged.domain,
        "triage.revision": triaged.revision,
        "triage.inference_s": triaged.timing.inference_s,
    }
