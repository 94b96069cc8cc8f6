"""One event in one trace, from its input record to the verdict of a person, on a real broker."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.traceparent import TRACEPARENT_HEADER, traceparent_of
from streams.config import Settings, TracesSection
from streams.kafka.admin import create_topics
from streams.kafka.record import Record
from streams.topics import Topics
from tests.integration.test_llm_pipeline import serving
from tests.integration.test_pipeline import send
from tests.llm_server import ok
from tests.llm_tier import configured, endpoint
from tests.outputs import Outputs
from tests.processes import WorkerProcess
from tests.tiny_model import LABELS

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
TICKETS = 12
WORDS = "zxq wvut"


@contextmanager
def collecting() -> Iterator[tuple[str, list[Any]]]:
    """A collector of spans in a thread: its address, and the spans that it was sent."""
    spans: list[Any] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = ExportTraceServiceRequest.FromString(body)
            spans.extend(
                span
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            )
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", spans
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def of_event(outputs: Outputs, id_: str) -> list[str]:
    """The trace contexts of the records about an event, but for those of the audit topic."""
    return [
        traceparent_of(record.headers) or "none"
        for record in outputs.records
        if record.key == id_.encode()
    ]


async def test_one_event_is_one_trace_from_its_record_to_the_verdict(
    settings: Settings, tmp_path: Path
) -> None:
    """The trace would break at one of the topics, and nobody could say where an event waited."""
    with serving(ok(priority="low")) as llm, collecting() as (address, spans):
        settings = configured(endpoint(llm.base_url), settings=settings)
        settings = msgspec.structs.replace(settings, traces=TracesSection(enabled=True))
        await create_topics(settings)
        names, outputs = Topics(settings.topics.prefix), Outputs(settings)
        worker = WorkerProcess(
            settings,
            tmp_path / "worker.log",
            environ={"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_BSP_SCHEDULE_DELAY": "200"},
        )
        worker.start()
        try:
            worker.wait_until_ready()
            documents = [{"id": f"e-{n}", "text": f"{WORDS} {n}"} for n in range(TICKETS)]
            headers = [(TRACEPARENT_HEADER, PARENT.encode())]
            await send(
                settings,
                [
                    Record(names.input("tickets"), None, json.dumps(each).encode(), headers)
                    for each in documents
                ],
            )
            await outputs.read_until(lambda: any(each.revision for each in outputs.triaged))
            id_ = next(each.id for each in outputs.triaged if each.revision)
            queue = min(LABELS["tickets"]["queue"])
            verdict = {"id": id_, "labels": {"queue": queue}, "by": "a.novak"}
            value = json.dumps(verdict).encode()
            await send(settings, [Record(names.feedback, id_.encode(), value)])
            await outputs.read_until(
                lambda: any(each.decided_by == "human" for each in outputs.triaged),
                [names.triaged("tickets"), names.enrichment, names.labels],
            )
            assert worker.end() == 0, worker.log()
        finally:
            if worker.alive:
                worker.kill()
    contexts = of_event(outputs, id_)
    assert {context[3:35] for context in contexts} == {TRACE}
    assert len(set(contexts)) == len(contexts) >= 4
    decision = next(
        record
        for record in outputs.on(names.triaged("tickets"))
        if record.key == id_.encode() and b'"human"' in (record.value or b"")
    )
    path = way_to(traceparent_of(decision.headers) or "", spans)
    # The view of cases may have read the decision from either topic first.
    assert path.pop(3) in (f"send {names.triaged('tickets')}", f"send {names.review}")
    assert path == [
        f"process {names.input('tickets')}",
        f"send {names.enrichment}",
        f"process {names.enrichment}",
        f"process {names.feedback}",
        f"send {names.triaged('tickets')}",
    ]
    assert {"read", "classify", "enrich", "chat m", "feedback"} <= {span.name for span in spans}
    assert WORDS not in "".join(map(str, spans))


def way_to(context: str, spans: list[Any]) -> list[str]:
    """The names of the spans from the sender's, which is left out, to the one of this context."""
    by_id = {span.span_id.hex(): span for span in spans}
    names, id_ = [], context[36:52]
    while id_ != SPAN:
        span = by_id[id_]
        assert span.trace_id.hex() == TRACE
        names.append(span.name)
        id_ = span.parent_span_id.hex()
    return names[::-1]
