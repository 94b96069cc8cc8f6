"""The formats that ship: each is recognised in its own samples, and only there."""

import tomllib
from importlib.resources import files

import pytest

from inference.model.artifact import DEFAULT_MODEL, load_manifest
from schemas.event import Event, Origin
from schemas.formats import Mapping, Reading, read_record, shipped_formats
from schemas.formats.shipped import samples_of, source_of
from tests.shipped_samples import Sample, shipped_samples

ORIGIN = Origin(topic="in", partition=0, offset=1)
FORMATS = shipped_formats().mappings
SAMPLES = list(shipped_samples())
RECEIVED_AT = 1_930_000_000.0  # the year of times that have none

formats = pytest.mark.parametrize("mapping", FORMATS, ids=lambda mapping: mapping.name)
samples = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


def readings_of(sample: Sample) -> list[Reading]:
    """How the record of a sample is read."""
    return read_record(sample.value, origin=ORIGIN, kind=sample.kind, received_at=RECEIVED_AT)


def test_many_formats_ship() -> None:
    """The files of the formats would be missing from the package."""
    assert len(FORMATS) > 100
    assert len({mapping.name for mapping in FORMATS}) == len(FORMATS)


@formats
def test_a_format_is_described(mapping: Mapping) -> None:
    """A user could not tell what a format is, copy it, or try its sample."""
    assert mapping.title
    assert (mapping.reference or "").startswith("https://")
    assert f'name = "{mapping.name}"' in (source_of(mapping.name) or "")
    assert samples_of(mapping.name), "it has no sample"


def test_every_sample_belongs_to_a_format() -> None:
    """A sample under a misspelt name would never be tried."""
    named = {f"{mapping.name}.json" for mapping in FORMATS}
    folder = files("schemas.formats").joinpath("samples")
    assert {entry.name for entry in folder.iterdir() if entry.name.endswith(".json")} <= named


@samples
def test_a_sample_is_read_as_expected(sample: Sample) -> None:
    """A vendor's id, time, severity or title would be lost."""
    readings = readings_of(sample)
    assert all(isinstance(reading.event, Event) for reading in readings)
    assert sample.format.name in readings[0].formats
    event = readings[0].event
    assert isinstance(event, Event)
    stated = {
        name: getattr(event.stated, name, None) for name in ("severity", "priority", "status")
    }
    fields = ("id", "kind", "occurred_at", "source", "title", "body", "link", "tenant")
    read = {name: getattr(event, name) for name in fields} | stated
    expected = {name: value for name, value in sample.expect.items() if name in read}
    assert {name: read[name] for name in expected} == expected


def test_the_queue_of_a_sample_is_one_of_its_kind() -> None:
    """A mail of a customer would be judged as an alert, and no queue could be right."""
    domains = load_manifest(DEFAULT_MODEL).domains
    for sample in SAMPLES:
        event = readings_of(sample)[0].event
        assert isinstance(event, Event)
        queues = domains[event.domain].axes["queue"].labels
        assert sample.expect.get("queue", queues[0]) in queues, sample.name


@samples
def test_no_other_format_takes_a_sample(sample: Sample) -> None:
    """Which of two vendors a document belongs to would depend on the order of the files."""
    for reading in readings_of(sample):
        taking = [each.name for each in shipped_formats().all_of(reading.document)]
        assert taking == [] or taking[0] == reading.formats[-1]
        assert len(taking) <= 1 or set(taking[1:]) <= GENERAL


GENERAL = {
    mapping["name"]
    for name in ("decoded.toml", "envelopes.toml")
    for mapping in tomllib.loads(
        files("schemas.formats").joinpath("vendors", name).read_text("utf-8")
    )["mappings"]
}
"""Formats that many vendors write; those of single products come before them."""
