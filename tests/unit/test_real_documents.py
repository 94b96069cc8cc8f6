"""Small inputs as vendors and help desks send them, one for each kind of fault that they met."""

from typing import Any

import orjson
import pytest

from schemas.errors import InvalidEvent
from schemas.event import Event, Kind, Origin
from schemas.formats import read_events

ORIGIN = Origin(topic="in", partition=2, offset=7)
RECORD_ID = "in-2-7"


def read(document: Any, kind: Kind = "alert") -> list[Event]:
    """The events in a record; every one of them must be readable."""
    value = document.encode() if isinstance(document, str) else orjson.dumps(document)
    events = read_events(value, origin=ORIGIN, kind=kind)
    readable = [event for event in events if isinstance(event, Event)]
    assert len(readable) == len(events)
    again = read_events(value, origin=ORIGIN, kind=kind)
    assert again == events, "a redelivery would be read as another event"
    return readable


def read_one(document: Any, kind: Kind = "alert") -> Event:
    """The one event in a record."""
    (event,) = read(document, kind)
    return event


WAZUH = {
    "id": "1700000000.4242",
    "timestamp": "2031-05-02T10:11:12.000+0200",
    "rule": {
        "level": 10,
        "id": "5763",
        "description": "sshd: brute force, many failed logins from one address",
        "groups": ["syslog", "sshd"],
    },
    "agent": {"id": "007", "name": "web-03"},
    "manager": {"name": "mgr"},
    "location": "/var/log/auth.log",
    "full_log": "May  2 10:11:12 web-03 sshd[99]: Failed password for root from 203.0.113.9",
}


def test_the_id_the_time_and_the_source_of_a_vendor_survive() -> None:
    """A SIEM's alert would come out under an id that nobody can look up."""
    event = read_one(WAZUH)
    assert (event.id, event.source) == ("1700000000.4242", "wazuh")
    assert event.occurred_at == "2031-05-02T08:11:12Z"
    assert event.title == WAZUH["rule"]["description"]  # type: ignore[index]
    assert event.stated is not None
    assert event.stated.original["severity"] == "10"


ALERTMANAGER = {
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "SuspiciousLogin", "severity": "critical"},
            "annotations": {"summary": "Login by an administrator from a country never seen"},
            "startsAt": "2031-05-02T10:00:00Z",
            "fingerprint": "9c1e",
        }
    ],
    "version": "4",
    "groupKey": "{}:{}",
    "receiver": "triage",
}


def test_an_alert_of_a_group_has_an_id_of_its_own() -> None:
    """A new firing of an alert would replace the one of last week."""
    event = read_one(ALERTMANAGER)
    assert "9c1e" in event.id
    assert "2031-05-02T10:00:00Z" in event.id
    assert event.title == "Login by an administrator from a country never seen"
    assert event.stated is not None
    assert (event.stated.severity, event.stated.status) == ("critical", "open")


def test_what_a_vendor_calls_critical_is_stated() -> None:
    """Nobody would see that the sensor asked for a person."""
    document = {
        "metadata": {"eventType": "DetectionSummaryEvent", "eventCreationTime": 1930000000000},
        "event": {
            "DetectName": "Hands-on-keyboard activity",
            "DetectDescription": "Activity of a human adversary should be investigated urgently",
            "Severity": 5,
            "SeverityName": "Critical",
            "ComputerName": "SRV-DB-2",
            "DetectId": "ldt:aa:1",
        },
    }
    event = read_one(document)
    assert (event.id, event.source) == ("ldt:aa:1", "crowdstrike")
    assert event.stated is not None
    assert event.stated.severity == "critical"


def test_a_title_does_not_make_a_document_ours() -> None:
    """The description and the entities of an alert would be hidden from rules and model."""
    document = {
        "id": "d-1",
        "title": "Suspicious execution",
        "description": "A hidden PowerShell started by a Word macro dumped LSASS",
        "severity": "low",
        "entities": [{"type": "host", "name": "ws-7"}],
    }
    event = read_one(document)
    assert (event.id, event.title) == ("d-1", "Suspicious execution")
    assert (event.body, event.event) == (document["description"], document)


LISTS = {
    "array": [{"title": "Disk nearly full"}, {"title": "Ransomware note found"}],
    "records": {"Records": [{"eventName": "CreateUser"}, {"eventName": "AssumeRole"}]},
    "alerts": {"alerts": [{"summary": "Disk 1 is full"}, {"summary": "Ransomware note found"}]},
    "cloudevents": [
        {"specversion": "1.0", "type": "t", "data": {"title": "Disk nearly full"}},
        {"specversion": "1.0", "type": "t", "data": {"title": "Ransomware note found"}},
    ],
}


@pytest.mark.parametrize("name", LISTS)
def test_every_element_of_a_list_is_an_event(name: str) -> None:
    """Only the first alert of a batch would be read, or two elements would share an id."""
    events = read(LISTS[name])
    assert [event.id for event in events] == [f"{RECORD_ID}#0", f"{RECORD_ID}#1"]


def test_elements_keep_ids_of_their_own() -> None:
    """The same event in two batches would be two events."""
    records = [{"eventName": "CreateUser", "eventID": "e-1"}, {"eventID": "e-2", "name": "x"}]
    assert [event.id for event in read({"Records": records})] == ["e-1", "e-2"]


def test_a_list_is_one_dead_letter_where_splitting_is_off() -> None:
    """An operator who wants one event per record would get many."""
    with pytest.raises(InvalidEvent, match=r"formats\.split is off; set it to true"):
        read_events(orjson.dumps(LISTS["array"]), origin=ORIGIN, kind="alert", split=False)


def test_too_many_events_are_one_dead_letter() -> None:
    """One record could take the worker away from all others."""
    with pytest.raises(InvalidEvent, match=r"formats\.max_events_per_record is 2; raise it"):
        read_events(orjson.dumps([{"title": "x"}] * 3), origin=ORIGIN, kind="alert", max_events=2)


def test_json_in_a_string_is_opened() -> None:
    """A notification would be read as a line of JSON."""
    document = {
        "Type": "Notification",
        "MessageId": "m-77",
        "Subject": "ALARM",
        "Timestamp": "2031-05-02T10:00:00Z",
        "Message": '{"title":"Root login without MFA","severity":"high","id":"f-12"}',
    }
    event = read_one(document)
    assert (event.id, event.title) == ("f-12", "Root login without MFA")
    assert event.occurred_at == "2031-05-02T10:00:00Z"


def test_an_event_bus_is_opened() -> None:
    """The finding would be hidden in an envelope."""
    document = {
        "version": "0",
        "id": "eb-1",
        "detail-type": "Security Finding",
        "source": "vendor.guard",
        "time": "2031-05-02T10:00:00Z",
        "region": "eu-west-1",
        "detail": {
            "id": "fnd-9",
            "title": "Instance talks to a command and control domain",
            "description": "The instance queried a domain used by a botnet",
            "severity": 8,
        },
    }
    event = read_one(document)
    assert (event.id, event.source) == ("fnd-9", "vendor.guard")
    assert event.occurred_at == "2031-05-02T10:00:00Z"
    assert event.title == "Instance talks to a command and control domain"
    assert event.body == "The instance queried a domain used by a botnet"


def test_cef_is_read() -> None:
    """A firewall's events would all be dead letters."""
    event = read_one(
        "<134>May  2 10:11:12 fw01 CEF:0|ExampleFW|UTM|7.2|0211|virus:infected blocked|8|"
        "start=1930000000000 src=10.0.0.5 dst=203.0.113.9 externalId=56 fname=invoice.exe "
        "msg=File is infected and was blocked"
    )
    assert event.title == "virus:infected blocked"
    assert event.body == "File is infected and was blocked"
    assert event.occurred_at == "2031-02-27T23:06:40Z"
    assert event.stated is not None
    assert event.stated.original["severity"] == "8"
    assert "56" in event.id
    assert "ExampleFW" in (event.source or "")


def test_leef_is_read() -> None:
    """A vault's events would all be dead letters."""
    event = read_one(
        "LEEF:2.0|ExampleVault|PAM|12.1|Logon|^|devTime=May 02 2031 10:11:12^sev=7^usrName=adm_k^"
        "msg=Logon outside of the permitted hours"
    )
    assert "Logon" in f"{event.title} {event.body}"
    assert event.occurred_at == "2031-05-02T10:11:12Z"
    assert event.stated is not None
    assert event.stated.original["severity"] == "7"


def test_syslog_before_json_gives_its_time() -> None:
    """The JSON of a sensor would be lost, or the time in front of it."""
    event = read_one(
        '<13>1 2031-05-02T10:11:12Z sensor-1 detect - - - {"category":"COMMAND AND CONTROL",'
        '"detection":"Hidden tunnel","threat":82,"certainty":75,"id":13281}'
    )
    assert "Hidden tunnel" in (event.title or "")
    assert event.occurred_at == "2031-05-02T10:11:12Z"
    assert "13281" in event.id


def test_a_windows_event_in_xml_is_read() -> None:
    """Windows events that are forwarded as they are would all be dead letters."""
    event = read_one(
        "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
        "<Provider Name='ExampleDefender'/><EventID>1116</EventID><Level>3</Level>"
        "<TimeCreated SystemTime='2031-05-02T10:11:12.000Z'/><EventRecordID>41116</EventRecordID>"
        "<Computer>ws-7</Computer></System><EventData>"
        "<Data Name='Threat Name'>Trojan:Script/Example</Data>"
        "<Data Name='Path'>C:\\Users\\k\\Downloads\\invoice.js</Data></EventData></Event>"
    )
    assert "41116" in event.id
    assert event.occurred_at == "2031-05-02T10:11:12Z"
    assert event.event is not None
    assert "Trojan:Script/Example" in orjson.dumps(event.event).decode()


def test_a_title_that_is_nested_deep_is_found() -> None:
    """The model would read ids and links instead."""
    data = {
        "id": "PX1",
        "type": "incident",
        "self": "https://api.example/incidents/PX1",
        "title": "Impossible travel of the finance director",
        "urgency": "high",
        "service": {"id": "S1", "summary": "Identity", "type": "service_reference"},
    }
    inner = {"event_type": "incident.triggered", "resource_type": "incident", "data": data}
    event = read_one({"event": {**inner, "occurred_at": "2031-05-02T10:00:00Z"}})
    assert event.id == "PX1"
    assert event.title == "Impossible travel of the finance director"
    assert event.occurred_at == "2031-05-02T10:00:00Z"


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"kind": "Event", "title": "Job failed", "body": "The nightly job failed"}, "Job failed"),
        ({"event": "Botnet callback blocked", "source": "fw1"}, "Botnet callback blocked"),
        ({"title": "Leak", "tenant": {"id": 7, "name": "acme"}, "id": {"$oid": "65f0"}}, "Leak"),
    ],
)
def test_a_foreign_field_with_our_name_never_kills_the_record(
    document: dict[str, Any], text: str
) -> None:
    """A vendor's own `kind`, `event` or `tenant` would cost the alert."""
    event = read_one(document)
    assert (event.kind, event.title or event.text) == ("alert", text)


def test_a_small_number_is_qualified_by_its_source() -> None:
    """Alert 12 of one repository would replace alert 12 of another."""
    document = {"id": 12, "title": "Secret found", "repository": {"full_name": "acme/shop"}}
    assert read_one(document).id == "acme/shop#12"


def test_a_date_of_another_habit_is_kept() -> None:
    """An alert would be refused because of how its date is written."""
    document = {"title": "Risky sign-in", "id": "r-1", "createdDateTime": "3/24/2031 2:42:35 PM"}
    event = read_one(document)
    assert (event.id, event.event) == ("r-1", document)


CARD = ("I lost my card", "I lost my card on the train, please block it")
DESKS: dict[str, tuple[dict[str, Any], str]] = {
    "zendesk": (
        {
            "id": "w-1",
            "event": {},
            "type": "zen:event-type:ticket.created",
            "time": "2031-05-02T10:00:00Z",
            "detail": {"id": "5158", "subject": CARD[0], "description": CARD[1]},
        },
        "5158",
    ),
    "jira": (
        {
            "webhookEvent": "jira:issue_created",
            "timestamp": 1930000000000,
            "user": {"displayName": "D", "avatarUrls": {"48x48": "https://avatar.example/25e5"}},
            "issue": {
                "id": "10021",
                "key": "KAN-22",
                "fields": {
                    "summary": CARD[0],
                    "description": CARD[1],
                    "status": {"name": "To Do"},
                    "created": "2031-05-02T10:00:00.000+0200",
                },
            },
        },
        "KAN-22",
    ),
    "rich text": (
        {
            "id": "10022",
            "key": "KAN-23",
            "fields": {
                "summary": CARD[0],
                "description": {
                    "type": "doc",
                    "version": 1,
                    "content": [
                        {
                            "type": "paragraph",
                            "content": [
                                {"type": "text", "text": "I lost my card on the train, "},
                                {"type": "text", "text": "please block it", "marks": []},
                            ],
                        }
                    ],
                },
            },
        },
        "KAN-23",
    ),
    "table row": (
        {
            "result": [
                {
                    "number": "INC0000060",
                    "sys_id": "1c74",
                    "short_description": CARD[0],
                    "description": CARD[1],
                    "sys_created_on": "2031-05-02 10:00:00",
                    "priority": "3",
                    "caller_id": {"link": "https://x.example/u/1", "value": "1"},
                    "state": "1",
                }
            ]
        },
        "INC0000060",
    ),
    "html": (
        {
            "id": "h-1",
            "title": CARD[0],
            "body": "<html><head><style>p{color:red}</style></head><body><div>I lost my card on "
            "the train,<br>please block it</div><script>x()</script></body></html>",
        },
        "h-1",
    ),
}


@pytest.mark.parametrize("name", DESKS)
def test_a_ticket_is_read_from_the_documents_of_desks(name: str) -> None:
    """A ticket would be labelled by the JSON around it, or come out under a foreign id."""
    document, id_ = DESKS[name]
    event = read_one(document, "ticket")
    assert (event.id, event.kind, event.title) == (id_, "ticket", CARD[0])
    assert " ".join((event.body or "").split()) == CARD[1]


def test_a_mail_is_read() -> None:
    """Tickets that arrive by mail would all be dead letters."""
    event = read_one(
        "From: D <d@example.com>\r\nTo: support@example.com\r\n"
        "Subject: =?utf-8?q?I_lost_my_card?=\r\nDate: Fri, 2 May 2031 10:00:00 +0200\r\n"
        "Message-ID: <m1@example.com>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable"
        "\r\n\r\nI lost my card on the train, please bl=\r\nock it\r\n",
        "ticket",
    )
    assert (event.id, event.title) == ("<m1@example.com>", CARD[0])
    assert (event.body or event.text or "").strip() == CARD[1]
    assert event.occurred_at == "2031-05-02T08:00:00Z"


QUOTED = "your refund for the double charge was sent to your card"
DRESSED = {
    "quoted reply": f"I can't log in.\n\nOn Mon, 3 Mar 2031 at 10:02, Support wrote:\n> {QUOTED}",
    "Outlook quote": "I can't log in.\n\nFrom: Support <support@example.com>\nSent: Monday, "
    f"3 March 2031 10:02\nTo: D\nSubject: RE: refund\n\n{QUOTED}",
    "signature": "I can't log in.\n\n-- \nD. Example\nHead of Purchasing | Example Ltd\n"
    "Tel +44 20 7946 0000\nThis e-mail is confidential and intended only for the addressee. If you "
    "are not the intended recipient please delete it.",
}


@pytest.mark.parametrize("name", DRESSED)
def test_only_the_message_of_a_ticket_is_read(name: str) -> None:
    """A ticket would be labelled by the mail that it quotes."""
    event = read_one({"id": "q-1", "text": DRESSED[name]}, "ticket")
    assert event.text == "I can't log in."
    assert event.cut_off is not None
    lost = set(DRESSED[name].split()) - set(f"{event.text} {event.cut_off}".split())
    assert not lost


def test_a_ticket_without_words_is_a_dead_letter_that_says_so() -> None:
    """It would be labelled by its field names, or be refused with a wrong reason."""
    record = [{"eventId": 1, "subscriptionType": "ticket.creation", "objectId": 901}]
    with pytest.raises(InvalidEvent, match="no words that a person wrote"):
        read_events(orjson.dumps(record), origin=ORIGIN, kind="ticket")
