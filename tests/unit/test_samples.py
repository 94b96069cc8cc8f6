"""The sample events of `triage demo`: formats, languages, malformed lines and repeats."""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas.errors import InvalidEvent
from schemas.event import KIND_OF_DOMAIN, Domain, Event, Origin
from schemas.formats import read_event

SAMPLES = Path(__file__).parents[2] / "streams" / "samples"
# Malformed on purpose: a line that is cut off, an array, an event without text, an unknown kind,
# an empty text, and a body that is a list.
MALFORMED: dict[Domain, int] = {"alerts": 5, "tickets": 5}
# Sent twice on purpose, like records that a producer sends again.
REPEATED: dict[Domain, int] = {"alerts": 2, "tickets": 1}
MIN_EVENTS = 300
MIN_FORMATS = 5
MIN_LANGUAGES = 5

both = pytest.mark.parametrize("domain", ["alerts", "tickets"])


def read_lines(domain: Domain) -> list[bytes]:
    """The lines of one sample file."""
    return (SAMPLES / f"{domain}.ndjson").read_bytes().splitlines()


def read_events(domain: Domain) -> Iterator[Event | InvalidEvent]:
    """What the pipeline makes of each line: an event, or the error about it."""
    for offset, line in enumerate(read_lines(domain)):
        try:
            yield read_event(
                line,
                origin=Origin(topic=domain, partition=0, offset=offset),
                kind=KIND_OF_DOMAIN[domain],
            )
        except InvalidEvent as error:
            yield error


def good_events(domain: Domain) -> list[Event]:
    """The events of all lines that can be read."""
    return [event for event in read_events(domain) if isinstance(event, Event)]


def format_of(document: dict[str, Any]) -> str:
    """The format of one alert, recognised by a field that only this format has."""
    markers = {
        "class_uid": "OCSF",
        "@timestamp": "ECS",
        "specversion": "CloudEvents",
        "eventSource": "CloudTrail",
        "EventID": "Windows",
        "displayMessage": "Okta",
        "flow_id": "Suricata",
        "protoPayload": "Google Cloud",
        "schemaVersion": "GuardDuty",
    }
    vendor = document.get("event") or {}
    return next(
        (name for field, name in markers.items() if field in document or field in vendor),
        "native",
    )


@both
def test_the_expected_number_of_lines_is_malformed(domain: Domain) -> None:
    """The table of the demo would report dead letters that nobody expects."""
    outcomes = list(read_events(domain))
    assert sum(isinstance(outcome, InvalidEvent) for outcome in outcomes) == MALFORMED[domain]


@both
def test_ids_are_unique_except_for_the_repeats(domain: Domain) -> None:
    """Two samples with one id would look like one event with two different decisions."""
    lines = Counter(read_lines(domain))
    ids = Counter(event.id for event in good_events(domain))
    assert sum(count == 2 for count in ids.values()) == REPEATED[domain]
    assert sum(count == 2 for count in lines.values()) == REPEATED[domain]
    assert max(ids.values()) == 2


@both
def test_every_good_event_has_its_own_id_and_kind(domain: Domain) -> None:
    """The id would depend on the offset, and change if a line is added above."""
    for event in good_events(domain):
        assert re.fullmatch(rf"{KIND_OF_DOMAIN[domain]}-\d{{4}}", event.id)
        assert event.kind == KIND_OF_DOMAIN[domain]


def test_there_are_enough_events_for_a_demo() -> None:
    """The demo would send fewer than 300 events."""
    assert len(read_lines("alerts")) + len(read_lines("tickets")) >= MIN_EVENTS


def test_alerts_have_many_formats() -> None:
    """The demo would show the format of one vendor only."""
    documents = [orjson.loads(line) for line in read_lines("alerts") if not is_cut_off(line)]
    formats = Counter(format_of(document) for document in documents if isinstance(document, dict))
    frequent = [name for name, count in formats.items() if count >= 2]
    assert len(frequent) >= MIN_FORMATS, formats


def test_tickets_have_many_languages() -> None:
    """The demo would show English only."""
    locales = [event.attributes.get("locale", "") for event in good_events("tickets")]
    languages = Counter(locale.split("-")[0] for locale in locales if locale)
    assert len(languages) >= MIN_LANGUAGES, languages
    assert sum(languages.values()) - languages["en"] >= len(locales) // 5, languages


@both
def test_samples_name_no_real_address(domain: Domain) -> None:
    """A public IP address or a real mailbox in a sample could belong to somebody."""
    text = (SAMPLES / f"{domain}.ndjson").read_text(encoding="utf-8")
    for address in {
        ipaddress.ip_address(match) for match in re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", text)
    }:
        assert address.is_private, address  # true for the networks for documentation, too
    mailboxes = re.findall(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)+)", text)
    reserved = re.compile(
        r"(?:.*\.)?example\.(?:com|org|net)|example-[a-z]+\.iam\.gserviceaccount\.com"
    )
    assert [host for host in mailboxes if not reserved.fullmatch(host)] == []


def is_cut_off(line: bytes) -> bool:
    """Whether the line is not JSON."""
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return True
    return False
