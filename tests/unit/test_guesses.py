"""What is guessed of documents that no format describes: each test stands for a kind of fault."""

import orjson
import pytest

from schemas.event import Event, Kind, Origin
from schemas.formats import Rejected, read_events
from schemas.formats.guess_leaves import MAX_NODES
from schemas.formats.instants import to_rfc3339

RECORD_ID = "records-0-7"


def events_of(document: object, kind: Kind = "alert") -> list[Event]:
    """The events of a record that holds this document; none of them may be rejected."""
    origin = Origin(topic="records", partition=0, offset=7)
    events = read_events(orjson.dumps(document), origin=origin, kind=kind)
    assert not any(isinstance(event, Rejected) for event in events)
    return [event for event in events if isinstance(event, Event)]


def event_of(document: object, kind: Kind = "alert") -> Event:
    """The one event of such a record."""
    (event,) = events_of(document, kind)
    return event


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-24 14:42:35 UTC",
        "2026-03-24 14:42:35 (UTC)",
        "2026-03-24 14:42:35 +0000 UTC",
        "2026-03-24 15:42:35 +0100",
        "2026-03-24 14:42:35 UTC+0000",
        "2026/03/24 14:42:35",
        "24/Mar/2026:14:42:35 +0000",
        "24-Mar-2026 14:42:35",
        "24 March 2026 14:42:35 GMT",
        "Tue, 24 Mar 2026 16:42:35 +0200",
        "Tue Mar 24 14:42:35 2026",
        "Tue Mar 24 14:42:35 2026 UTC",
        "Tue Mar 24 14:42:35 UTC 2026",
        "Tue Mar 24 2026 15:42:35 GMT+0100 (CET)",
        "Mar 24, 2026 2:42:35 PM",
        "March 24, 2026 at 2:42:35 PM UTC",
        "3/24/2026 2:42:35 PM",
        "03/24/2026 14:42:35",
        "24/03/2026 14:42:35",
        "24.03.2026 14:42:35",
        "20260324T144235Z",
        "20260324T144235",
        "20260324144235",
        "/Date(1774363355000)/",
        "/Date(1774363355000+0100)/",
        "1774363355.000",
        "134188369550000000",
        134188369550000000,
        639099601550000000,
    ],
)
def test_the_usual_forms_of_a_time_are_read(text: object) -> None:
    """An alert without a time cannot be put in order, or found at the time that a person knows."""
    assert to_rfc3339(text) == "2026-03-24T14:42:35Z"


def test_a_time_keeps_its_fraction() -> None:
    """Two events of one second would lose their order."""
    assert to_rfc3339("2026-03-24 14:42:35.266529825 +0000 UTC") == "2026-03-24T14:42:35.266529Z"
    assert to_rfc3339("1774363355.25") == "2026-03-24T14:42:35.250000Z"
    assert to_rfc3339("3/4/2026 12:05 AM") == "2026-03-04T00:05:00Z"
    assert to_rfc3339("3/4/2026 12:05 PM") == "2026-03-04T12:05:00Z"


@pytest.mark.parametrize(
    "text",
    [
        "03/04/2026 14:42:35",
        "2026-03-24 14:42:35 CET",
        "2026-03-24 14:42:35 +0000 or so",
        "2026-03-24 14:42:35 +99:00",
        "31/Feb/2026:14:42:35 +0000",
        "24/Mrz/2026:14:42:35 +0000",
        "3/24/2026 14:42 PM",
        "Mar 24, 2026",
        "20261324144235",
        "/Date(x)/",
        "1.5",
        "version 2026.03.24 14:42",
    ],
)
def test_a_time_that_nobody_can_be_sure_of_is_not_read(text: str) -> None:
    """A wrong time is worse than none: a person would look for the event on another day."""
    assert to_rfc3339(text) is None


@pytest.mark.parametrize(
    "time",
    [
        {"published": "2026-03-24T14:42:35Z"},
        {"creationDate": "2026-03-24T14:42:35Z"},
        {"security_event_date": "2026-03-24T14:42:35Z"},
        {"generatedDateTime": "2026-03-24T14:42:35Z"},
        {"serverTimestamp": 1774363355000},
        {"date_created": "1774363355000"},
        {"sys_created_on": "2026-03-24 14:42:35"},
        {"created_time": {"display_value": "Mar 24, 2026 02:42 PM", "value": "1774363355000"}},
        {"timestamp": {"$date": "2026-03-24T14:42:35Z"}},
        {"data": {"messageTime": "2026-03-24T14:42:35Z"}},
    ],
)
def test_the_usual_names_of_a_time_are_found(time: dict[str, object]) -> None:
    """Most products name their times in one of these ways; the event would have none."""
    event = event_of({"headline": "Unusual sign-in", "verdict": "suspicious"} | time)
    assert event.occurred_at == "2026-03-24T14:42:35Z"


def test_the_time_of_a_rule_is_not_that_of_its_alert() -> None:
    """Every alert of a rule would seem to be from the day on which somebody wrote the rule."""
    alert = {"summary": "Rule matched", "rule": {"name": "A", "created_at": "2020-01-01T00:00:00Z"}}
    assert event_of(alert).occurred_at is None
    event = event_of(alert | {"data": {"updated_at": "2026-03-24T14:42:35Z"}})
    assert event.occurred_at == "2026-03-24T14:42:35Z"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"alert_unique_id": "bd13-fe", "msg": "x"}, "bd13-fe"),
        ({"internalId": "M9w5", "risk_level": "Medium"}, "M9w5"),
        ({"EventGuid": "{AD0E}", "x": 1}, "{AD0E}"),
        ({"alarm_id": 93001001, "notification_id": 8810001}, "93001001"),
        ({"acme.alert.id": "A-7", "acme.version": "2", "alert.id": "A-8"}, "A-8"),
        ({"guid": "G-1", "messageID": "m@example.com"}, "G-1"),
        ({"alert_id": "definition", "uuid": "U-1"}, "U-1"),
        ({"class_uid": 3002, "metadata": {"uid": "M-1"}, "type_name": "Logon"}, "M-1"),
    ],
)
def test_the_usual_names_of_an_id_are_found(document: dict[str, object], expected: str) -> None:
    """Without the vendor's id nobody can join the decision back to the alert."""
    assert event_of(document).id == expected


@pytest.mark.parametrize(
    "document",
    [
        {"message": "An account failed to log on", "EventID": 4625},
        {"message": "An account failed to log on", "event": {"id": "4625"}},
        {"message": "Teardown TCP connection", "message_id": "302014"},
        {"message": "Command run", "uid": 1000},
        {"message": "Rule matched", "rule": {"id": "R-7"}, "rule_id": "R-7"},
        {"message": "Host isolated", "host": {"id": "H-7"}, "agent": {"id": "A-7"}},
        {"message": "Sign-in", "data": {"id": "U-7", "email": "jo@example.com"}},
        {"event": "site.updated", "data": {"id": "S-7", "name": "Example"}},
        {"event_type": "object deleted", "object": {"id": "S-7"}},
        {"message": "Sign-in", "user.id": "U-7", "host.id": "H-7"},
        {"message": "Mail delivered", "message_id": "<CAF7@mail.example.com>"},
        {"message": "Request", "trace_id": "T-7", "session_id": "S-7", "correlationId": "C-7"},
    ],
)
def test_the_id_of_a_type_a_rule_a_person_or_a_thing_is_not_that_of_the_event(
    document: dict[str, object],
) -> None:
    """Two events would share an id, and the later one would replace the earlier one."""
    assert event_of(document).id == RECORD_ID


def test_a_mail_that_is_a_ticket_keeps_its_id() -> None:
    """A mail is delivered again with its own id, and must not become a second ticket."""
    mail = {"subject": "Card", "message_id": "<CAF7@mail.example.com>", "from": "a@example.com"}
    assert event_of(mail, "ticket").id == "<CAF7@mail.example.com>"


def test_a_changed_ticket_keeps_its_id() -> None:
    """An update of a ticket is about the same ticket, unlike one of a thing that an alert names."""
    ticket = {"event": "ticket.updated", "data": {"id": "T-7", "subject": "Card was charged twice"}}
    assert event_of(ticket, "ticket").id == "T-7"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"event_type": "admin_login_attempt", "useragent": {"name": "Chrome"}}, "admin_login_att"),
        ({"event_type": "sign_in_as", "context": {"display_name": "Ana Novak"}}, "sign_in_as"),
        ({"name": "canary-1", "description": "FTP login attempt"}, "FTP login attempt"),
        ({"action": "policy.deleted", "actor": {"name": "Jo"}}, "policy.deleted"),
        ({"type": "event", "eventTypeName": "INVITED_TO_ORG"}, "INVITED_TO_ORG"),
        ({"type": "user", "operation": "LoginFrom"}, "LoginFrom"),
        ({"acme": {"rule": {"name": "Impossible travel"}}, "x": 1}, "Impossible travel"),
        ({"event.type": "x", "alert.name": "Code injection", "host.name": "pc"}, "Code injection"),
        ({"alarm_text": "Stolen credentials found", "name": "pc-7"}, "Stolen credentials found"),
    ],
)
def test_a_title_says_what_happened_and_not_to_whom(
    document: dict[str, object], expected: str
) -> None:
    """The model reads the title first: the name of a host or a browser says nothing."""
    title = event_of(document).title
    assert title is not None
    assert title.startswith(expected)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"title": "A", "observer": {"product": "Acme NDR"}}, "Acme NDR"),
        ({"title": "A", "dataSource.name": "Acme EDR"}, "Acme EDR"),
        ({"title": "A", "source": "198.51.100.7"}, None),
        ({"title": "A", "source": {"type": "user", "name": "Jo", "login": "jo"}}, None),
        ({"title": "A", "source": "email", "vendor": "Acme"}, "Acme"),
        ({"title": "A", "provider": "aws"}, None),
        ({"title": "A", "console_link": "https://acme.app.tracebit.com/alerts/1"}, "tracebit"),
        ({"provider": "okta", "alert_url": "https://acme.tracebit.com/alerts/1"}, "tracebit"),
        ({"title": "A", "url": "https://api.app.shortcut.com/api/v3/stories/1"}, "shortcut"),
        ({"title": "A", "url": "https://github.com/acme/malware.zip"}, None),
        ({"title": "A", "alert_url": "https://zendesk.com.example.net/alerts/1"}, None),
        ({"title": "A", "alert_url": "https://zendesk.com@example.net/alerts/1"}, None),
    ],
)
def test_a_source_is_a_product_and_no_address_person_or_channel(
    document: dict[str, object], expected: str | None
) -> None:
    """The model reads the product, and rules name it: a wrong one is worse than none."""
    assert event_of(document | {"verdict": "bad"}).source == expected


@pytest.mark.parametrize(
    "wrapped",
    [
        {"_results": ["T"]},
        {"entries": ["T"], "total": 2},
        {"requests": ["T"], "list_info": {"row_count": 2}},
        {"data": {"items": ["T"]}, "extensions": {"request_id": "r"}},
        {"result": {"records": ["T"]}},
    ],
)
def test_a_list_in_the_answer_of_an_api_becomes_its_events(wrapped: dict[str, object]) -> None:
    """The answer as a whole has no words, so all of its tickets would be lost."""
    tickets = [{"id": f"T-{number}", "subject": f"Question {number}"} for number in (1, 2)]
    text = orjson.dumps(wrapped).replace(b'["T"]', orjson.dumps(tickets))
    assert [event.id for event in events_of(orjson.loads(text), "ticket")] == ["T-1", "T-2"]


@pytest.mark.parametrize(
    "document",
    [
        {"id": "A-7", "items": [{"id": 1}, {"id": 2}]},
        {"timestamp": 1774363355, "activities": [{"id": 1}, {"id": 2}]},
        {"title": "Two detections", "detections": [{"id": 1}, {"id": 2}]},
        {"data": {"id": "A-7", "items": [{"id": 1}, {"id": 2}]}},
    ],
)
def test_a_list_inside_one_event_is_not_split(document: dict[str, object]) -> None:
    """One alert would become several, none of which says what happened."""
    assert len(events_of(document)) == 1


def test_a_document_of_many_fields_costs_a_bounded_amount_of_work() -> None:
    """A large document would hold up all the others; what is beyond the bound is not looked at."""
    filler = {f"field {number}": "x" for number in range(MAX_NODES)}
    assert event_of(filler | {"alert_id": "too late"}).id == RECORD_ID
    assert event_of({"alert_id": "in time"} | filler).id == "in time"


def test_an_ecs_alert_takes_its_title_from_the_fields_of_its_product() -> None:
    """A sensor that adds its own fields to ECS would have an alert without any words."""
    alert = {
        "@timestamp": "2026-03-24T14:42:35Z",
        "ecs": {"version": "8.6.0"},
        "event": {"kind": "alert", "module": "acme"},
        "acme": {"signature": "Exploit of a mail server"},
    }
    assert event_of(alert).title == "Exploit of a mail server"
    assert event_of(alert | {"message": "Blocked"}).title is None


def test_what_a_cloud_says_of_an_alert_stands_before_the_level_of_its_log() -> None:
    """The log of an activity is informational; the alert that it reports may be critical."""
    record = {
        "eventDataId": "7c1d",
        "eventTimestamp": "2026-03-24T14:42:35Z",
        "level": "Informational",
        "category": {"value": "Security"},
        "eventName": {"localizedValue": "Suspicious file executed"},
        "operationName": {"value": "Microsoft.Security/locations/alerts/activate"},
        "properties": {"Severity": "Critical"},
    }
    event = event_of(record)
    assert event.stated is not None
    assert event.stated.severity == "critical"
    assert event.title == "Suspicious file executed"


def test_a_row_of_log_analytics_is_read_without_the_types_in_its_names() -> None:
    """Every product that writes a table of its own has its fields as ``alert_id_s`` there."""
    event = event_of(
        {
            "TenantId": "0a1b",
            "SourceSystem": "RestAPI",
            "TimeGenerated": "2026-03-24T14:42:35Z",
            "alert_id_g": "7c1d",
            "alert_name_s": "Impossible travel",
            "severity_s": "Critical",
            "Type": "Acme_Alerts_CL",
        }
    )
    assert (event.id, event.title, event.source) == ("7c1d", "Impossible travel", "Acme_Alerts")
    assert event.occurred_at == "2026-03-24T14:42:35Z"
    assert event.stated is not None
    assert event.stated.severity == "critical"


def test_the_short_message_of_gelf_is_a_title() -> None:
    """A log that comes through Graylog would say nothing, and its document would be read alone."""
    document = {
        "version": "1.1",
        "host": "dc-7",
        "short_message": "Account locked after wrong passwords",
        "full_message": "The account was locked after ten wrong passwords within a minute.",
        "timestamp": 1774363355.31,
        "_Category": "User Account Management",
    }
    event = event_of(document)
    assert (event.title, event.body) == (document["short_message"], document["full_message"])
    assert event.occurred_at == "2026-03-24T14:42:35.310000Z"
