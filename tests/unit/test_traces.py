"""Traces: one event is followed through the headers of its records, and nothing of it is told."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, get_current_span

from agents.cases import Known
from agents.decided import Decided
from agents.feedback import apply_feedback
from agents.outcomes import DeadLettered, Element, Escalated, Incoming, Outcome, Triaged
from agents.verdict_checks import VerdictChecks
from inference.errors import ConfigError
from inference.rules.options import ImpactOptions
from inference.rules.ruling import Rules
from schemas.event import Event, Headers
from schemas.traceparent import TRACEPARENT_HEADER, traceparent_of
from streams.config import Settings, TracesSection
from streams.enrichment import EnrichmentAgent
from streams.pipeline.failures import AtOnce
from streams.spans import SpanTraces, exporting
from streams.traces import NO_TRACES
from streams.wiring.traces import open_traces
from tests.doubles import TOPICS, FakeAnswered, FakeProducer, KnownCases, incoming
from tests.llm_server import LlmServer, error, ok
from tests.llm_tier import LABELS, NoModel, configured, endpoint, escalated
from tests.records import case, record, triaged
from tests.unit.test_agent_pipeline import Bench, accept_all, settle_down

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
FROM_OUTSIDE = [(TRACEPARENT_HEADER, PARENT.encode())]


class Recorder:
    """Traces whose spans are kept in memory."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.traces = SpanTraces("group", SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """The spans that have ended."""
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        """The spans of a name."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> Any:
        """The only span of a name."""
        (span,) = self.named(name)
        return span


@pytest.fixture
def recorder() -> Recorder:
    """Where the spans of a test go."""
    return Recorder()


def trace_ids(spans: Sequence[ReadableSpan]) -> set[str]:
    """The traces that these spans belong to."""
    return {f"{cast('Any', span.context).trace_id:032x}" for span in spans}


def context_of(span: Any) -> str:
    """What a record has in its header that this span has sent."""
    context = span.context
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def parent_of(span: Any) -> str | None:
    """The id of the span above; None at the top of a trace."""
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def id_of(span: Any) -> str:
    """The id of a span."""
    return f"{span.context.span_id:016x}"


async def read_one(record_: Incoming) -> list[Incoming]:
    """The record as one event that was read."""
    event = Event(id="e", kind="alert", text="words of the sender")
    return [replace(record_, element=Element(event))]


async def run(recorder: Recorder, *records: Incoming, process: Any = accept_all) -> FakeProducer:
    """Put records through a pipeline that reads, and return what was sent."""
    producer = FakeProducer(prompt=True)
    async with Bench(process, producer, read_one, traces=recorder.traces) as bench:
        for each in records:
            await bench.accept_record(each)
        await settle_down()
        assert not bench.failures
        assert len(bench.ended) == len(records)
    return producer


async def test_an_event_is_followed_from_its_record_to_its_output(recorder: Recorder) -> None:
    """The trace of the sender would end at our topic, or its spans would not hang together."""
    producer = await run(recorder, incoming(7, headers=FROM_OUTSIDE))
    way, read = recorder.one(f"process {TOPICS.input('alerts')}"), recorder.one("read")
    agent, sent = recorder.one("classify"), recorder.one(f"send {TOPICS.triaged('alerts')}")
    assert len(recorder.spans) == 4
    assert trace_ids(recorder.spans) == {TRACE}
    assert parent_of(way) == SPAN
    assert {parent_of(each) for each in (read, agent, sent)} == {id_of(way)}
    assert traceparent_of(producer.sent[0].headers) == context_of(sent)
    assert way.start_time <= read.start_time <= read.end_time <= agent.start_time
    assert agent.start_time <= agent.end_time <= sent.start_time <= sent.end_time <= way.end_time
    assert dict(way.attributes) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "triage.alerts.v1",
        "messaging.destination.partition.id": "2",
        "messaging.kafka.offset": 7,
        "messaging.consumer.group.name": "group",
        "triage.outcome": "accepted",
        "triage.domain": "alerts",
        "triage.revision": 0,
        "triage.inference_s": 0.01,
    }
    assert agent.attributes["triage.batch.events"] == 1
    assert sent.attributes["messaging.kafka.offset"] == 0


async def test_every_output_of_an_escalated_event_has_a_span_of_its_own(recorder: Recorder) -> None:
    """The enrichment agent would not know the trace, or two records would name one span."""

    async def escalate(batch: Sequence[Incoming]) -> list[Outcome]:
        return [Escalated(case(status="provisional")) for _ in batch]

    producer = await run(recorder, incoming(headers=FROM_OUTSIDE), process=escalate)
    contexts = [traceparent_of(each.headers) for each in producer.sent]
    assert [each.topic for each in producer.sent] == [TOPICS.triaged("alerts"), TOPICS.enrichment]
    sent = [recorder.one(f"send {each.topic}") for each in producer.sent]
    assert contexts == [context_of(span) for span in sent]
    assert len(set(contexts)) == 2


async def test_without_a_parent_each_event_has_a_trace_of_its_own(recorder: Recorder) -> None:
    """All events of a worker would be one trace, or those without a header none."""
    await run(recorder, incoming(0), incoming(1))
    assert len(trace_ids(recorder.spans)) == 2
    tops = recorder.named(f"process {TOPICS.input('alerts')}")
    assert [parent_of(span) for span in tops] == [None, None]


async def test_a_trace_that_is_not_sampled_is_passed_on_and_not_recorded(
    recorder: Recorder,
) -> None:
    """A sender who samples one event in a hundred would be sent the spans of all."""
    producer = await run(recorder, incoming(headers=[("traceparent", f"{PARENT[:-1]}0".encode())]))
    passed_on = traceparent_of(producer.sent[0].headers) or ""
    assert (passed_on[3:35], passed_on[-2:]) == (TRACE, "00")
    assert not recorder.spans


HOSTILE = [
    b"",
    None,
    b"\xff" * 55,
    b"00-" + b"0" * 32 + f"-{SPAN}-01".encode(),
    f"00-{TRACE}-{'0' * 16}-01".encode(),
    f"ff-{TRACE}-{SPAN}-01".encode(),
    f"00-{TRACE}-{SPAN}-01-more".encode(),
    f"00-{TRACE.upper()}-{SPAN}-01".encode(),
    f"00-{TRACE}-{SPAN}-01\n".encode(),
    f"01-{TRACE}-{SPAN}-01-{'x' * 1_000_000}".encode(),
    f" {PARENT}".encode(),
    "\uff10\uff10".encode() + PARENT[2:].encode(),
]


@pytest.mark.parametrize("value", HOSTILE)
async def test_a_hostile_header_is_ignored(value: bytes | None, recorder: Recorder) -> None:
    """Whoever writes records could fail them with a header that nobody asked for."""
    producer = await run(recorder, incoming(headers=[("traceparent", value)]))
    assert TRACE not in trace_ids(recorder.spans)
    assert traceparent_of(producer.sent[0].headers) is not None


def test_of_two_headers_none_is_believed() -> None:
    """Two programs would follow two different traces of one record."""
    assert traceparent_of([*FROM_OUTSIDE, *FROM_OUTSIDE]) is None


def test_a_later_version_is_read_by_its_first_fields() -> None:
    """The trace would be lost as soon as a sender uses a newer standard (W3C, section 2.2.4)."""
    later = [("traceparent", f"01-{TRACE}-{SPAN}-03-what.comes".encode())]
    assert traceparent_of(later) == PARENT


NEARLY = st.from_regex(r"[0-9a-f]{2}-[0-9a-f-]{40,60}").map(str.encode)


@given(st.one_of(st.binary(max_size=80), NEARLY))
def test_any_bytes_are_a_whole_context_or_none(value: bytes) -> None:
    """A header that is nearly of the form would raise, or make a span with an id of zeros."""
    read = traceparent_of([("traceparent", value)])
    assert read is None or (len(read) == 55 and int(read[3:35], 16) and int(read[36:52], 16))


async def test_spans_hold_nothing_that_the_sender_chose(recorder: Recorder) -> None:
    """Whoever reads the traces would read the events of every tenant."""
    word = "quokka"

    async def decide(batch: Sequence[Incoming]) -> list[Outcome]:
        decided = triaged(
            f"id-{word}",
            tenant=f"tenant-{word}",
            source=f"source-{word}",
            title=f"title {word}",
            reasons=[word],
            queue=word,
        )
        letter = DeadLettered("validate", "InvalidEvent", f"cannot be read: {word}")
        return [letter if each.origin.offset else Triaged(decided) for each in batch]

    headers = [*FROM_OUTSIDE, ("tracestate", f"a={word}".encode()), (word, word.encode())]
    records = [
        incoming(offset, f'{{"text": "{word}"}}'.encode(), word.encode(), headers)
        for offset in (0, 1)
    ]
    producer = await run(recorder, *records, process=decide)
    assert len(recorder.spans) == 8
    assert word not in "".join(span.to_json() for span in recorder.spans)
    assert "tracestate" not in dict(producer.sent[0].headers)


async def test_a_dead_letter_keeps_its_headers_and_its_span_names_the_error(
    recorder: Recorder,
) -> None:
    """A replay would not send what came in, or nobody would see in the trace where it ended."""

    async def refuse(batch: Sequence[Incoming]) -> list[Outcome]:
        return [DeadLettered("validate", "InvalidEvent", "no") for _ in batch]

    producer = await run(recorder, incoming(headers=FROM_OUTSIDE), process=refuse)
    assert traceparent_of(producer.sent[0].headers) == PARENT
    way = recorder.one(f"process {TOPICS.input('alerts')}")
    assert way.status.status_code is StatusCode.ERROR
    assert way.status.description is None
    assert way.attributes["error.type"] == "InvalidEvent"
    assert way.attributes["triage.dead_letter.stage"] == "validate"
    assert recorder.one(f"send {TOPICS.deadletter}")


async def test_a_record_of_several_events_has_a_way_for_each(recorder: Recorder) -> None:
    """Only one of the events could be followed, or all would seem to be one."""

    async def read_two(record_: Incoming) -> list[Incoming]:
        (event,) = await read_one(record_)
        return [event, event]

    producer = FakeProducer(prompt=True)
    async with Bench(accept_all, producer, read_two, traces=recorder.traces) as bench:
        await bench.accept_record(incoming(headers=FROM_OUTSIDE))
        await settle_down()
    ways = recorder.named(f"process {TOPICS.input('alerts')}")
    assert [parent_of(way) for way in ways] == [SPAN, SPAN]
    assert len({id_of(way) for way in ways}) == 2
    assert len({traceparent_of(each.headers) for each in producer.sent}) == 2


async def test_a_batch_that_fails_and_is_tried_again_is_one_way_per_event(
    recorder: Recorder,
) -> None:
    """The retry would start a second way, and the first would never end."""
    calls = 0

    async def fails_together(batch: Sequence[Incoming]) -> list[Outcome]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("once")
        return await accept_all(batch)

    await run(recorder, incoming(0), incoming(1), process=fails_together)
    ways = recorder.named(f"process {TOPICS.input('alerts')}")
    assert len(ways) == len(trace_ids(recorder.spans)) == 2


def verdict(headers: Headers = ()) -> Incoming:
    """A verdict on the feedback topic about the event e-1."""
    document = {"id": "e-1", "labels": {"queue": "endpoint"}, "by": "a.novak"}
    return replace(record(document, topic=TOPICS.feedback), key=b"e-1", headers=headers)


async def decide(recorder: Recorder, record_: Incoming, known_trace: str | None) -> FakeProducer:
    """Put a verdict through the feedback agent, which knows its event with this trace."""
    cases = KnownCases(Known(triaged(), None, [triaged()], trace=known_trace))

    async def process(batch: Sequence[Incoming]) -> list[Outcome]:
        checks = VerdictChecks(LABELS)
        return await apply_feedback(batch, checks=checks, cases=cases, decided=Decided())

    producer = FakeProducer(prompt=True)
    async with Bench(process, producer, traces=recorder.traces, name="feedback") as bench:
        await bench.accept_record(record_)
        await settle_down()
        assert len(bench.ended) == 1
    return producer


async def as_events(record_: Incoming) -> list[Incoming]:
    """The record as its only event."""
    return [record_]


async def test_a_verdict_is_in_the_trace_of_its_event(recorder: Recorder) -> None:
    """The trace would end where a person begins: senders of verdicts know nothing of traces."""
    producer = await decide(recorder, verdict(), PARENT)
    assert trace_ids(recorder.spans) == {TRACE}
    way = recorder.one(f"process {TOPICS.feedback}")
    assert parent_of(way) == SPAN
    assert way.attributes["triage.outcome"] == "triaged"
    sent = recorder.one(f"send {TOPICS.triaged('alerts')}")
    assert traceparent_of(producer.sent[0].headers) == context_of(sent)


async def test_a_verdict_with_a_trace_of_its_own_is_linked_to_its_event(
    recorder: Recorder,
) -> None:
    """A program that follows its own verdicts would lose them, or nothing would name the event."""
    other = "ab" * 16
    await decide(recorder, verdict([("traceparent", f"00-{other}-{SPAN}-01".encode())]), PARENT)
    assert trace_ids(recorder.spans) == {other}
    way = recorder.one(f"process {TOPICS.feedback}")
    assert [f"{link.context.trace_id:032x}" for link in way.links] == [TRACE]


async def test_a_verdict_about_an_event_without_a_trace_begins_one(recorder: Recorder) -> None:
    """Events of the time before traces were switched on could not be decided."""
    await decide(recorder, verdict(), None)
    assert parent_of(recorder.one(f"process {TOPICS.feedback}")) is None


@pytest.mark.parametrize("answers", [True, False])
async def test_a_call_of_an_llm_is_in_the_trace_of_its_event(
    recorder: Recorder, answers: bool
) -> None:
    """Nobody would see that an event waited for an LLM, for how long, or why it failed."""
    behaviour = ok(priority="low") if answers else error(400)
    event = Event(id="c-1", kind="ticket", text="my card is gone")
    async with LlmServer(behaviour) as server:
        settings = configured(endpoint(server.base_url))
        rules, model = Rules.of([], ImpactOptions(), LABELS), cast("Any", NoModel())
        enrichment = EnrichmentAgent(settings, model, rules, lambda: 0, None, recorder.traces)
        enrichment.answered = FakeAnswered()
        record_ = replace(record(escalated(event)), headers=FROM_OUTSIDE)
        (incoming_,) = await recorder.traces.reading(as_events)(record_)
        process = recorder.traces.processing("enrich", AtOnce(enrichment))
        ((_, outcome),) = [known async for known in process([incoming_])]
        assert not get_current_span().get_span_context().is_valid, "the next event is another one"
        recorder.traces.settled(incoming_, outcome, [])
        await enrichment.stop()
    call, agent = recorder.one("chat m"), recorder.one("enrich")
    way = recorder.one(f"process {record_.origin.topic}")
    assert trace_ids(recorder.spans) == {TRACE}
    assert parent_of(call) == parent_of(agent) == id_of(way)
    assert call.attributes["triage.llm.endpoint"] == "tier-0"
    assert call.attributes["server.address"] == "127.0.0.1"
    assert ("gen_ai.usage.input_tokens" in call.attributes) is answers
    assert (call.attributes.get("error.type") == "rejected") is not answers
    assert not call.events
    assert "card is gone" not in "".join(span.to_json() for span in recorder.spans)


def test_switched_off_nothing_stands_between_the_pipeline_and_its_agents() -> None:
    """Traces that nobody wants would cost time for every event."""
    outcome, records, process = DeadLettered("s", "E", "m"), [object()], AtOnce(accept_all)
    assert open_traces(Settings()) is NO_TRACES
    assert NO_TRACES.reading(read_one) is read_one
    assert NO_TRACES.processing("classify", process) is process
    assert NO_TRACES.sending(incoming(), outcome, cast("Any", records)) is records
    assert NO_TRACES.calling(records) is records


async def test_switched_off_the_headers_are_as_they_were() -> None:
    """Consumers would see a header that they did not ask for."""
    producer = FakeProducer(prompt=True)
    async with Bench(accept_all, producer, read_one) as bench:
        await bench.accept_record(incoming(headers=FROM_OUTSIDE))
        await settle_down()
    assert list(producer.sent[0].headers) == [("triage.schema", b"triage.event.v1")]


def test_switched_off_nothing_of_opentelemetry_is_imported() -> None:
    """A worker would start slower, and not at all without packages that it does not need."""
    program = (
        "import sys\n"
        "from streams.cli import main\n"
        "from streams.config import Settings\n"
        "from streams.worker import Worker\n"
        "Worker(Settings(), ['classify', 'enrich', 'feedback'])\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


ON = msgspec.structs.replace(Settings(), traces=TracesSection(enabled=True))


def test_without_the_packages_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker would end with a traceback."""
    monkeypatch.delitem(sys.modules, "streams.spans")
    monkeypatch.setitem(sys.modules, "opentelemetry.context", None)
    with pytest.raises(ConfigError, match=r"^traces.enabled: .*triage-stream\[traces\]"):
        open_traces(ON)


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_BSP_MAX_QUEUE_SIZE", "0")],
)
def test_a_variable_that_cannot_be_used_is_an_error(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spans would go nowhere, and nobody would know why."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"^traces: "):
        exporting("group")


async def test_the_worker_ends_although_the_collector_does_not_answer() -> None:
    """A collector that is away would hold a worker that was told to stop."""
    asked, away = threading.Event(), threading.Event()

    class Away(SpanProcessor):
        def shutdown(self) -> None:
            asked.set()
            away.wait()

    await SpanTraces("group", Away()).stop()
    assert asked.is_set()
    away.set()
