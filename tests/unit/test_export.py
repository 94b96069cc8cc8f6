"""The exported contract: JSON Schemas and the AsyncAPI document."""

from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from schemas.audit.record import (
    AuditRecord,
    ErasedRows,
    ErasureRecord,
    UnreadOffsets,
    UnreadRecord,
)
from schemas.export import export
from schemas.label_record import LabelRecord
from schemas.triaged import Verdict
from tests.records import case

CASE = case("a-1")
SAMPLES: dict[str, msgspec.Struct] = {
    "event": CASE.event,
    "triaged_event": CASE.triaged,
    "case": CASE,
    "label_record": LabelRecord(
        id="a-1",
        domain="alerts",
        tenant="default",
        source=None,
        labels={"queue": "cloud"},
        decided_by="human",
        by="kim",
        decided_at="2026-01-01T00:00:00.000Z",
        chosen="escalated",
        event=CASE.event,
    ),
    "verdict": Verdict(triaged=CASE.triaged, labels={"queue": "cloud"}, by="kim"),
    "audit_record": AuditRecord(
        seal="sha256",
        tenant="default",
        writer="w",
        sequence=0,
        previous="",
        at="2026-01-01T00:00:00.000Z",
        id="e-1",
        domain="alerts",
        revision=0,
        status="final",
        decided_by="slm",
        labels={"queue": "cloud"},
        queue="cloud",
        input_digest="a",
        output_digest="b",
        model_digest="c",
        calibration_digest="d",
        enrichment=None,
        origin=CASE.triaged.origin,
        digest="e",
    ),
    "erasure_record": ErasureRecord(
        seal="sha256",
        tenant="default",
        writer="w",
        sequence=0,
        previous="",
        at="2026-01-01T00:00:00.000Z",
        by="kim",
        rows=3,
        selection=ErasedRows(id="e-1"),
        cluster="",
        topic="triage.audit.v1",
        digest="e",
    ),
    "unread_record": UnreadRecord(
        seal="sha256",
        tenant="default",
        writer="w",
        sequence=0,
        previous="",
        at="2026-01-01T00:00:00.000Z",
        offsets=UnreadOffsets(topic="triage.alerts.v1", partition=0, first=7, last=9),
        cause="expired",
        cluster="",
        topic="triage.audit.v1",
        digest="e",
    ),
}


def load(path: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    document: dict[str, Any] = orjson.loads(path.read_bytes())
    return document


def references(node: Any) -> set[str]:
    """Every $ref at or below a node."""
    if isinstance(node, list):
        return set().union(*(references(child) for child in node))
    if not isinstance(node, dict):
        return set()
    below = set().union(*(references(child) for child in node.values()))
    if isinstance(node.get("$ref"), str):
        return below | {node["$ref"]}
    return below


def resolve(document: Any, reference: str) -> Any:
    """The node that a local $ref points to. KeyError if there is none."""
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document


def test_files_are_the_same_every_time(tmp_path: Path) -> None:
    """A schema that is kept in a repository would change with every export."""
    first = {path.name: path.read_bytes() for path in export(tmp_path / "one")}
    second = {path.name: path.read_bytes() for path in export(tmp_path / "deep" / "two")}
    assert first == second
    assert list(first) == sorted([*(f"{name}.schema.json" for name in SAMPLES), "asyncapi.json"])


def test_every_reference_resolves(tmp_path: Path) -> None:
    """A code generator would stop at a $ref that points to nothing."""
    for path in export(tmp_path):
        document = load(path)
        assert all(resolve(document, reference) for reference in references(document)), path.name


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_have_the_fields_of_their_schema(name: str, tmp_path: Path) -> None:
    """The exported schema would not describe the records on the topics."""
    export(tmp_path)
    schema = load(tmp_path / f"{name}.schema.json")
    definition = resolve(schema, schema["$ref"])
    sample = msgspec.to_builtins(SAMPLES[name])
    assert msgspec.convert(sample, type(SAMPLES[name])) == SAMPLES[name]
    assert set(definition["required"]) <= set(sample) <= set(definition["properties"])
    # Only input events may have fields that we do not know.
    assert definition.get("additionalProperties", True) is (name == "event")
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_asyncapi_has_the_topics_under_their_prefix(tmp_path: Path) -> None:
    """The document would name topics that do not exist."""
    export(tmp_path, prefix="soc")
    document = load(tmp_path / "asyncapi.json")
    assert {channel["address"] for channel in document["channels"].values()} == {
        "soc.alerts.v1",
        "soc.tickets.v1",
        "soc.alerts.triaged.v1",
        "soc.tickets.triaged.v1",
        "soc.enrichment.v1",
        "soc.review.v1",
        "soc.feedback.v1",
        "soc.labels.v1",
        "soc.audit.v1",
        "soc.deadletter.v1",
    }
    payload = document["components"]["messages"]["alerts.triaged.v1"]["payload"]
    assert resolve(document, payload["$ref"])["title"] == "TriagedEvent"
