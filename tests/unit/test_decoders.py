"""What is not JSON: CEF, LEEF, syslog, Windows event XML and mail."""

import json
from importlib.resources import files
from typing import Any

import orjson
import pytest

from schemas.errors import InvalidEvent, LimitExceeded
from schemas.event import Event, Origin
from schemas.formats import read_event, read_events
from schemas.formats.decoders import Decoded, decode_other
from schemas.formats.decoders.times import read_time
from schemas.formats.envelope import Envelope
from schemas.formats.shipped import shipped_formats
from schemas.limits import LIMITS, Limits

ORIGIN = Origin(topic="in", partition=0, offset=1)
RECEIVED_AT = 1935748800.0  # 2031-05-05T12:00:00Z
SHIPPED = ("cef", "leef", "syslog", "syslog-json", "syslog-fields", "windows-event", "mail")


def decoded(record: str | bytes, received_at: float | None = RECEIVED_AT) -> Decoded:
    """What a record is decoded to."""
    data = record.encode() if isinstance(record, str) else record
    return decode_other(data, LIMITS, received_at)


def document(record: str | bytes) -> dict[str, Any]:
    """The one document of a record."""
    found = decoded(record).document
    assert isinstance(found, dict)
    return found


def read(record: str) -> Event:
    """The event that the shipped mappings read from a record."""
    content = document(record)
    mapping = shipped_formats().recognise(content)
    assert mapping is not None
    return mapping.read(content, Envelope(id="record", kind="ticket"))


def refusal(record: bytes) -> str:
    """The sentence with which a record is refused."""
    with pytest.raises(InvalidEvent) as caught:
        decode_other(record, LIMITS)
    return str(caught.value)


# --- the small inputs that failed


def test_cef_behind_a_syslog_header() -> None:
    """The commonest format of security products would be a dead letter, or an event of one line."""
    event = read(
        "<134>May  2 10:11:12 fw01 CEF:0|ExampleFW|UTM|7.2|0211|virus:infected blocked|8|"
        "start=1930000000000 src=10.0.0.5 dst=203.0.113.9 externalId=56 fname=invoice.exe "
        "msg=File is infected and was blocked"
    )
    assert (event.kind, event.title) == ("alert", "virus:infected blocked")
    assert event.body == "File is infected and was blocked"
    assert (event.id, event.source) == ("ExampleFW/UTM/56", "ExampleFW UTM")
    assert event.occurred_at == "2031-02-27T23:06:40Z"
    assert event.stated is not None
    assert (event.stated.severity, event.stated.original) == ("high", {"severity": "8"})
    assert event.event is not None
    assert event.event["syslog"]["host"] == "fw01"


def test_leef_with_a_delimiter_of_its_own() -> None:
    """All attributes would be read as one, because LEEF 2.0 may separate them by any character."""
    event = read(
        "LEEF:2.0|ExampleVault|PAM|12.1|Logon|^|devTime=May 02 2031 10:11:12^sev=7^usrName=adm_k"
        "^msg=Logon outside of the permitted hours"
    )
    assert event.title == "Logon outside of the permitted hours"
    assert event.occurred_at == "2031-05-02T10:11:12Z"
    assert event.stated is not None
    assert event.stated.severity == "high"
    assert event.key_fields["user"] == "adm_k"


def test_json_behind_a_syslog_header() -> None:
    """The JSON would be lost in a message, or the time and the host of the header would be lost."""
    content = document(
        "<13>1 2031-05-02T10:11:12Z sensor-1 detect - - - "
        '{"category":"COMMAND AND CONTROL","detection":"Hidden tunnel","id":13281}'
    )
    assert content["json"]["id"] == 13281
    (event,) = read_events(orjson.dumps(content), origin=ORIGIN, kind="alert")
    assert isinstance(event, Event)
    assert (event.title, event.source) == ("Hidden tunnel", "detect")
    assert event.occurred_at == "2031-05-02T10:11:12Z"
    assert event.event == content["json"]
    assert event.attributes["syslog"]["host"] == "sensor-1"


def test_windows_event_xml() -> None:
    """An event of Windows would be a dead letter, or its data would have numbers for names."""
    event = read(
        "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
        "<Provider Name='ExampleDefender'/><EventID>1116</EventID><Level>3</Level>"
        "<TimeCreated SystemTime='2031-05-02T10:11:12.000Z'/><EventRecordID>41116</EventRecordID>"
        "<Computer>ws-7</Computer></System><EventData>"
        "<Data Name='Threat Name'>Trojan:Script/Example</Data>"
        "<Data Name='Path'>C:\\Users\\k\\Downloads\\invoice.js</Data></EventData></Event>"
    )
    assert event.id == "ws-7:ExampleDefender:41116"
    assert event.source == "ExampleDefender"
    assert event.title == "ExampleDefender event 1116: Trojan:Script/Example"
    assert event.body is not None
    assert "Path: C:\\Users\\k\\Downloads\\invoice.js" in event.body
    assert event.occurred_at == "2031-05-02T10:11:12Z"
    assert event.stated is not None
    assert event.stated.severity == "medium"
    assert event.event is not None
    assert event.event["Event"]["EventData"]["Threat Name"] == "Trojan:Script/Example"


def test_mail_as_it_travels() -> None:
    """A mail that was put on a topic as it is would be a dead letter."""
    event = read(
        "From: D <d@example.com>\r\nTo: support@example.com\r\n"
        "Subject: =?utf-8?q?I_lost_my_card?=\r\nDate: Fri, 2 May 2031 10:00:00 +0200\r\n"
        "Message-ID: <m1@example.com>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        "I lost my card on the train, please bl=\r\nock it\r\n"
    )
    assert (event.id, event.kind) == ("<m1@example.com>", "ticket")
    assert event.title == "I lost my card"
    assert event.body == "I lost my card on the train, please block it"
    assert event.occurred_at == "2031-05-02T08:00:00Z"


@pytest.mark.parametrize("name", SHIPPED)
def test_samples_that_ship_are_read_as_they_say(name: str) -> None:
    """`triage formats show` would show a sample that the product reads in another way."""
    text = files("schemas.formats").joinpath("samples", f"{name}.json").read_text("utf-8")
    for sample in json.loads(text):
        content = document(sample["record"])
        mapping = shipped_formats().recognise(content)
        assert mapping is not None
        assert mapping.name == name
        if mapping.open is not None:
            continue  # what is inside is recognised by another format
        event = mapping.read(content, Envelope(id="record", kind="ticket"))
        got = {
            "id": event.id,
            "occurred_at": event.occurred_at,
            "source": event.source,
            "title": event.title,
            "severity": event.stated and event.stated.severity,
            "priority": event.stated and event.stated.priority,
        }
        expected = {key: value for key, value in sample["expect"].items() if key != "queue"}
        assert {key: got[key] for key in expected} == expected


# --- CEF


def cef(extension: str) -> dict[str, str]:
    """The extension of a CEF message."""
    fields: dict[str, str] = document(f"CEF:0|V|P|1|2|n|5|{extension}")["cef"]["extension"]
    return fields


def test_header_fields_of_cef_are_unescaped() -> None:
    """A bar in the name of an event would cut the header at the wrong place."""
    header = document(r"CEF:1|Example \| Co|A\\B|1.0|42|a \| b|Very-High|")["cef"]
    assert (header["version"], header["device_vendor"]) == ("1", "Example | Co")
    assert (header["device_product"], header["name"]) == ("A\\B", "a | b")
    assert (header["severity"], header["extension"]) == ("Very-High", {})


def test_values_of_cef_may_hold_spaces_and_equals_signs() -> None:
    """A message of several words, or the query of an address, would be cut into fields."""
    fields = cef(r"msg=two words and a\=b request=https://example.com/?page=2&q=x y dst=192.0.2.1")
    assert fields == {
        "msg": "two words and a=b",
        "request": "https://example.com/?page=2&q=x y",
        "dst": "192.0.2.1",
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (r"first\nsecond", "first\\nsecond"),  # an account of a domain looks the same
        (r"first line\nsecond line", "first line\nsecond line"),
        (r"C:\Windows\notepad.exe", r"C:\Windows\notepad.exe"),
        (r"C:\\Windows\\notepad.exe", r"C:\Windows\notepad.exe"),
        (r"\\server\nas\report.doc", r"\\server\nas\report.doc"),
        (r"CORP\nina", r"CORP\nina"),
        (r"a\\\=b", r"a\=b"),
    ],
)
def test_escapes_in_values_of_cef(value: str, text: str) -> None:
    """The path of a file or an account would get a line end in its middle."""
    assert cef(f"x={value}")["x"] == text


def test_custom_fields_of_cef_have_their_labels_as_names() -> None:
    """A mapping could not name a custom field, because its number changes with the product."""
    fields = cef("cs1=Block all cs1Label=Rule cn2=7 cn2Label=Hits cs3=x cs3Label=msg msg=own")
    assert (fields["Rule"], fields["Hits"], fields["cs1"]) == ("Block all", "7", "Block all")
    assert fields["msg"] == "own"


def test_a_field_that_occurs_twice_is_kept_twice() -> None:
    """The second value of a field would be lost."""
    assert cef("src=192.0.2.1 src=192.0.2.2") == {"src": "192.0.2.1", "src#2": "192.0.2.2"}


@pytest.mark.parametrize(
    ("extension", "time"),
    [
        ("rt=1935483072000", "2031-05-02T10:11:12Z"),
        ("rt=May 02 2031 10:11:12", "2031-05-02T10:11:12Z"),
        ("rt=May 02 2031 10:11:12.345 UTC", "2031-05-02T10:11:12.345000Z"),
        ("rt=May 02 10:11:12", "2031-05-02T10:11:12Z"),
        ("end=2031-05-02T10:11:12+02:00 rt=soon", "2031-05-02T08:11:12Z"),
        ("rt=May 02 2031 10:11:12 XYZ", None),
    ],
)
def test_times_of_cef(extension: str, time: str | None) -> None:
    """The time of an event would be lost, or would be the one of its delivery."""
    assert document(f"CEF:0|V|P|1|2|n|5|{extension}")["cef"].get("time") == time


@pytest.mark.parametrize(
    ("severity", "level"),
    [
        *zip(
            ("0", "3", "4", "8", "10", "Low", "Medium", "High", "Very-High"),
            ("low", "low", "medium", "high", "critical", "low", "medium", "high", "critical"),
            strict=True,
        )
    ],
)
def test_severity_of_cef_is_a_number_or_a_word(severity: str, level: str) -> None:
    """What a product calls very high would not reach a person."""
    event = read(f"CEF:0|V|P|1|2|name|{severity}|msg=x")
    assert event.stated is not None
    assert event.stated.severity == level


# --- real products' lines, in the shapes of their public documentation

LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "Vectra, JSON": (
        '<13>May  2 10:11:12 S180 vectra_json_v2 -: {"detection_id": 13281, "threat": 60}',
        {"syslog.app": "vectra_json_v2", "json.detection_id": 13281},
    ),
    "Vectra, JSON of a lockdown": (
        '<13>May  2 10:11:12 S180 vectra_json_account - :{"category": "HOST_LOCKDOWN"}',
        {"syslog.app": "vectra_json_account", "json.category": "HOST_LOCKDOWN"},
    ),
    "F5 Advanced WAF, pairs": (
        (
            '<131>May  2 10:11:12 bigip-1 ASM:unit_hostname="bigip-1",policy_name="/Common/shop",'
            'violations="Attack signature detected",support_id="22"'
        ),
        {"syslog.app": "ASM", "fields.unit_hostname": "bigip-1", "fields.support_id": "22"},
    ),
    "Trend Micro Deep Security": (
        (
            "<14>May  2 10:11:12 dsm CEF: 0|Trend Micro|Deep Security "
            "Agent|20.0.1|4000000|Eicar_test_file|6|cn1=1 cn1Label=Host ID dvchost=web-1 "
            "filePath=C:\\temp\\eicar.com act=Delete msg=Realtime TrendMicroDsTenant=Primary"
        ),
        {
            "cef.device_product": "Deep Security Agent",
            "cef.extension.Host ID": "1",
            "cef.extension.filePath": "C:\\temp\\eicar.com",
            "syslog.host": "dsm",
        },
    ),
    "Palo Alto, CEF": (
        (
            "<14>1 2031-05-02T10:11:12Z pa-1 - - - - CEF:0|Palo Alto "
            "Networks|PAN-OS|10.2|url|THREAT|1|rt=May 02 2031 10:11:12 GMT "
            "deviceExternalId=0011 src=192.0.2.5 dst=198.51.100.7 cs1Label=Rule cs1=allow all "
            'act=block-url request="shop.example.com/"'
        ),
        {
            "cef.time": "2031-05-02T10:11:12Z",
            "cef.extension.Rule": "allow all",
            "cef.extension.act": "block-url",
        },
    ),
    "Palo Alto, CSV": (
        (
            "<14>May  2 10:11:12 PA-220 1,2031/05/02 "
            "10:11:12,001606001116,THREAT,url,2049,2031/05/02 "
            "10:11:12,192.0.2.5,198.51.100.7,0.0.0.0,0.0.0.0,rule1,corp\\k,,web-browsing,vsys1"
            ',trust,untrust,"a, b",x'
        ),
        {"columns.3": "THREAT", "columns.18": "a, b", "syslog.host": "PA-220"},
    ),
    "FortiGate": (
        (
            '<189>date=2031-05-02 time=10:11:12 devname="FG-1" devid="FG100" tz="+0200" '
            'logid="0211008192" type="utm" subtype="virus" level="warning" msg="File is '
            'infected."'
        ),
        {
            "fields.subtype": "virus",
            "fields.msg": "File is infected.",
            "syslog.timestamp": "2031-05-02T08:11:12Z",
        },
    ),
    "FortiGate without a priority": (
        'date=2031-05-02 time=10:11:12 devname="FG-1" logid="0211008192" type="utm"',
        {"fields.devname": "FG-1", "syslog.timestamp": "2031-05-02T10:11:12Z"},
    ),
    "Check Point": (
        (
            '<134>1 2031-05-02T10:11:12Z CP-GW CheckPoint 1234 - [action:"Drop"; '
            'flags:"393216"; product:"IPS"; attack:"Port \\"scan\\""; src:"192.0.2.1"]'
        ),
        {"fields.action": "Drop", "fields.attack": 'Port "scan"', "syslog.app": "CheckPoint"},
    ),
    "Cisco ASA": (
        (
            "<166>May 02 2031 10:11:12 asa01 : %ASA-4-106023: Deny tcp src outside:192.0.2.1/4 "
            'dst inside:198.51.100.2/22 by access-group "out"'
        ),
        {
            "mnemonic": "ASA-4-106023",
            "syslog.host": "asa01",
            "syslog.timestamp": "2031-05-02T10:11:12Z",
        },
    ),
    "Cisco IOS": (
        (
            "<189>41: rtr1: 000123: *May  2 10:11:12.123 UTC: %SEC_LOGIN-4-LOGIN_FAILED: Login "
            "failed"
        ),
        {
            "mnemonic": "SEC_LOGIN-4-LOGIN_FAILED",
            "syslog.host": "rtr1",
            "syslog.timestamp": "2031-05-02T10:11:12.123000Z",
        },
    ),
    "Cisco Meraki": (
        (
            "<134>1 1935483072.337961231 MX84 security_event ids_alerted signature=1:28423:1 "
            "priority=1 dhost=00:15:5D:1E:08:04 direction=egress protocol=tcp/ip "
            "src=192.0.2.2:80"
        ),
        {
            "syslog.app": "security_event",
            "fields.signature": "1:28423:1",
            "syslog.timestamp": "2031-05-02T10:11:12.337961Z",
        },
    ),
    "Juniper SRX": (
        (
            "<14>1 2031-05-02T10:11:12.123+02:00 SRX01 RT_IDP - IDP_ATTACK_LOG_EVENT "
            '[junos@2636.1.1.1.2.39 epoch-time="1935483072" attack-name="HTTP:MISC:\\"X\\"" '
            'source-address="192.0.2.1"] an attack'
        ),
        {
            "syslog.structured_data.junos@2636.1.1.1.2.39.attack-name": 'HTTP:MISC:"X"',
            "syslog.msgid": "IDP_ATTACK_LOG_EVENT",
            "syslog.timestamp": "2031-05-02T08:11:12.123000Z",
            "message": "an attack",
        },
    ),
    "SonicWall": (
        (
            '<129>id=firewall sn=18B1690729A8 time="2031-05-02 10:11:12 UTC" fw=192.0.2.1 '
            'pri=1 c=32 m=608 msg="IPS Detection Alert: WEB-ATTACKS" n=4 src=192.0.2.9:1234:X1'
        ),
        {
            "fields.msg": "IPS Detection Alert: WEB-ATTACKS",
            "syslog.severity": "alert",
            "syslog.timestamp": "2031-05-02T10:11:12Z",
        },
    ),
    "Sophos UTM": (
        (
            '<30>2031:05:02-10:11:12 utm httpproxy[123]: id="0001" severity="info" '
            'sys="SecureWeb" name="web request blocked" action="block"'
        ),
        {
            "syslog.app": "httpproxy",
            "syslog.procid": "123",
            "fields.name": "web request blocked",
            "syslog.timestamp": "2031-05-02T10:11:12Z",
        },
    ),
    "pfSense": (
        (
            "<134>May  2 10:11:12 filterlog[4711]: "
            "5,,,1000000103,igb1,match,block,in,4,0x0,,64,0,0,DF"
        ),
        {"syslog.app": "filterlog", "columns.6": "block"},
    ),
    "Microsoft Defender for Cloud Apps, time and CEF": (
        (
            "2031-05-02T10:11:12.531Z "
            "CEF:0|MCAS|SIEM_Agent|0.102.17|ALERT|policy|3|externalId=596a cn1Label=riskScore "
            "cn1= cs1Label=portalURL cs1=https://example.com/#/alerts/596a"
        ),
        {
            "syslog.timestamp": "2031-05-02T10:11:12.531000Z",
            "cef.extension.portalURL": "https://example.com/#/alerts/596a",
            "cef.extension.cn1": "",
        },
    ),
    "Infoblox, words before CEF": (
        (
            "2031-05-02T10:11:12+00:00 daemon infoblox.example named[14792]: info "
            'CEF:0|Infoblox|NIOS|8.3|RPZ-QNAME|Local-Data|7|app=DNS msg="rpz rewrite [A] via '
            'a" Acct-Session-Id=8333 CAT=RPZ'
        ),
        {"cef.extension.Acct-Session-Id": "8333", "prefix": "infoblox.example named[14792]: info"},
    ),
    "an exporter without a priority": (
        ("May 12 23:20:50 myhost LEEF:1.0|IBM|QRadar|1.0|12345|src=192.0.2.1\tdst=192.0.2.2"),
        {"leef.attributes.dst": "192.0.2.2", "syslog.host": "myhost"},
    ),
    "Juniper SRX, RFC 3164": (
        (
            "<14>May  2 10:11:12 srx-1 RT_FLOW - RT_FLOW_SESSION_DENY [junos@2636.1.1.1.2.129 "
            'source-address="192.0.2.1" destination-address="192.0.2.2" protocol-id="6"]'
        ),
        {"syslog.host": "srx-1", "fields.source-address": "192.0.2.1"},
    ),
    "Cisco ASA without a header": (
        ("%ASA-5-111008: User 'admin' executed the 'configure' command."),
        {"mnemonic": "ASA-5-111008"},
    ),
    "OpenSSH": (
        ("<86>May  2 10:11:12 web-03 sshd[99]: Failed password for root from 203.0.113.9 port 4"),
        {
            "syslog.app": "sshd",
            "syslog.facility": "authpriv",
            "message": "Failed password for root from 203.0.113.9 port 4",
        },
    ),
    "a log file of rsyslog": (
        "2031-05-02T10:11:12.123456+02:00 mx1 postfix/smtpd[12]: NOQUEUE: reject: RCPT",
        {"syslog.app": "postfix/smtpd", "syslog.timestamp": "2031-05-02T08:11:12.123456Z"},
    ),
    "VMware ESXi": (
        (
            "<166>2031-05-02T10:11:12.123Z esx01 Hostd: info hostd[1] [Originator@6876 "
            "sub=Vimsvc] Event 1: Login failure"
        ),
        {"syslog.app": "Hostd", "syslog.host": "esx01"},
    ),
    "Suricata behind rsyslog": (
        '<165>1 2031-05-02T10:11:12Z ids suricata 12 - - @cee: {"event_type":"alert"}',
        {"json.event_type": "alert", "syslog.app": "suricata"},
    ),
    "Microsoft Exchange, LEEF 1.0": (
        (
            "<13>1 2031-05-02T10:11:12Z mail leef - - - LEEF:1.0|Microsoft|MSExchange|2013 "
            "SP1|15345|src=192.0.2.0\tdst=198.51.100.1\tsev=5\tdevTime=02/May/2031:10:11:12 "
            "+0200"
        ),
        {"leef.attributes.dst": "198.51.100.1", "leef.time": "2031-05-02T08:11:12Z"},
    ),
    "Lancope StealthWatch, LEEF 2.0": (
        "LEEF:2.0|Lancope|StealthWatch|1.0|41|0x5E|src=192.0.2.0^dst=198.51.100.1^sev=5",
        {"leef.attributes.sev": "5", "leef.event_id": "41"},
    ),
    "Imperva, tabs that a relay wrote as #011": (
        (
            "<14>May  2 10:11:12 imperva LEEF:1.0|Imperva|SecureSphere|14|Alert|Alert "
            "ID=77#011sev=High#011eventName=SQL injection"
        ),
        {"leef.attributes.eventName": "SQL injection", "leef.attributes.sev": "High"},
    ),
    "Snare, tabs in a message": (
        ("<13>May  2 10:11:12 ws7 MSWinEventLog\t1\tSecurity\t123\tFri May 02 10:11:12 2031\t4625"),
        {"syslog.host": "ws7", "syslog.timestamp": "2031-05-02T10:11:12Z"},
    ),
}


def at(content: Any, path: str) -> Any:
    """The value at a path whose keys may have dots."""
    for mark in range(len(path), 0, -1):
        if (mark == len(path) or path[mark] == ".") and isinstance(content, dict):
            head, rest = path[:mark], path[mark + 1 :]
            if head in content:
                return at(content[head], rest) if rest else content[head]
    return content[int(path)] if isinstance(content, list) else None


@pytest.mark.parametrize("product", LINES)
def test_lines_of_products(product: str) -> None:
    """A field that tells what happened would be lost in one long message."""
    line, expected = LINES[product]
    content = document(line)
    assert {path: at(content, path) for path in expected} == expected


# --- syslog


@pytest.mark.parametrize(
    "record",
    [
        b"21 <13>1 - h a - - - one22 <13>1 - h a - - - \xc3\xa9t\n",
        b"<13>1 - h a - - - one\n<13>1 - h a - - - \xc3\xa9t\n",
    ],
)
def test_several_messages_of_one_record(record: bytes) -> None:
    """A relay that joins messages would lose all but the first."""
    content = decoded(record).document
    assert isinstance(content, list)
    assert [each["message"] for each in content] == ["one", "ét"]


def test_a_message_of_several_lines_is_one() -> None:
    """A stack trace would become one event per line."""
    content = document("<11>May  2 10:11:12 app-1 app[3]: Error\n  at a()\n  at b()")
    assert content["message"] == "Error\n  at a()\n  at b()"


def test_a_wrong_count_does_not_cost_the_message() -> None:
    """Senders that count characters instead of bytes would send dead letters."""
    assert document("4 <13>1 - h a - - - hello")["message"] == "hello"


def test_a_document_that_was_cut_is_still_a_message() -> None:
    """A long event of Windows or in JSON, which a relay has cut, would be a dead letter."""
    for message in ("<Event><System><EventID>1</Eve", '{"title": "x", "bo'):
        assert document(f"<13>1 - h a - - - {message}")["message"] == message


def test_structured_data_that_is_broken_is_part_of_the_message() -> None:
    """A line with a bracket in the wrong place would be a dead letter."""
    content = document('<13>1 - h a - - [x@1 k="v"][broken k="v" message')
    assert content["syslog"]["structured_data"] == {"x@1": {"k": "v"}}
    assert content["message"] == '[broken k="v" message'


def test_windows_event_and_cef_inside_a_json_string() -> None:
    """A collector that wraps a line in quotes would make a dead letter of it."""
    assert decoded(json.dumps("CEF:0|V|P|1|2|n|5|msg=x")).name == "cef"
    assert decoded(json.dumps('{"title": "x"}')) == Decoded(name="json", document={"title": "x"})
    assert decoded("<13>1 - h a - - - <Event><System/></Event>").name == "windows-xml"


def test_several_json_documents_in_one_record() -> None:
    """A batch of lines, as Splunk's collectors send it, would be a dead letter."""
    assert decoded('{"a": 1}\n{"a": 2}\n').document == [{"a": 1}, {"a": 2}]


# --- times


@pytest.mark.parametrize(
    ("text", "received_at", "time"),
    [
        ("Dec 31 23:59:59", 1924992000.0, "2030-12-31T23:59:59Z"),  # received on 1 January 2031
        ("Jan  1 00:00:01", 1924991999.0, "2031-01-01T00:00:01Z"),  # received on 31 December 2030
        ("Feb 29 12:00:00", 1835438400.0, "2028-02-29T12:00:00Z"),
        ("Feb 29 12:00:00", 1935748800.0, "2032-02-29T12:00:00Z"),
        ("Feb 30 12:00:00", 1935748800.0, None),
        ("May  2 10:11:12", None, None),
        ("May  2 10:11:12", float("nan"), None),
        ("Fri May 02 10:11:12 CEST 2031", None, "2031-05-02T08:11:12Z"),
        ("2031/05/02 10:11:12", None, "2031-05-02T10:11:12Z"),
        ("02/May/2031:10:11:12 +0230", None, "2031-05-02T07:41:12Z"),
        ("05/02/2031 10:11:12", None, None),  # May or February: nobody can tell
        ("1935483072.5", None, "2031-05-02T10:11:12.500000Z"),
        ("2031-05-02 10:11:12 +9999", None, None),
        ("", None, None),
    ],
)
def test_times_without_a_year(text: str, received_at: float | None, time: str | None) -> None:
    """A line of New Year's Eve would be dated a year off, or two deliveries would differ."""
    assert read_time(text, received_at) == time


@pytest.mark.parametrize(
    ("text", "pattern", "time"),
    [
        ("05/02/2031 10:11:12", "MM/dd/yyyy HH:mm:ss", "2031-05-02T10:11:12Z"),
        ("02.05.2031 10:11:12 PM", "dd.MM.yyyy hh:mm:ss a", "2031-05-02T22:11:12Z"),
        ("2031-05-02T10:11:12.5+0200", "yyyy-MM-dd'T'HH:mm:ss.SSSZ", "2031-05-02T08:11:12.500000Z"),
        ("May 02 2031 10:11:12", "dd dd yyyy yyyy", "2031-05-02T10:11:12Z"),
        ("May 02 2031 10:11:12", "yyyy %s %", "2031-05-02T10:11:12Z"),
        ("x", "yyyy QQQ", None),
        ("2yy", "d'yy'", None),
    ],
)
def test_time_in_the_format_that_leef_names(text: str, pattern: str, time: str | None) -> None:
    """A date of another habit would be read with its day and month exchanged, or not at all."""
    assert read_time(text, None, pattern) == time


# --- characters


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("Anmeldung für Müller".encode(), "Anmeldung für Müller"),
        ("Anmeldung für Müller".encode("cp1252"), "Anmeldung für Müller"),
        ("für Müllerü".encode()[:-1], "für Müller\ufffd"),
        (b"a\x00b", "a\x00b"),
    ],
)
def test_characters_of_a_syslog_message(message: bytes, text: str) -> None:
    """A line in Windows' own encoding, or one that was cut, would be refused or unreadable."""
    assert document(b"<13>1 - h a - - - " + message)["message"] == text


@pytest.mark.parametrize("codec", ["utf-16", "utf-32", "utf-8-sig"])
def test_byte_order_marks(codec: str) -> None:
    """What PowerShell writes would be a dead letter."""
    event = (
        "<?xml version='1.0' encoding='utf-16'?><Event><System><Level>2</Level></System></Event>"
    )
    assert document(event.encode(codec))["Event"]["System"] == {"Level": "2"}
    assert decoded('{"title": "x"}'.encode(codec)).document == {"title": "x"}


# --- Windows events


def test_parts_of_a_windows_event() -> None:
    """The rendered message, user data or unnamed data of an event would be lost."""
    content = document(
        "<e:Event xmlns:e='x'><System><Provider Name='P' Guid='{1}'/>"
        "<EventID Qualifiers='16384'>7</EventID><Execution ProcessID='4' ThreadID='8'/></System>"
        "<EventData><Data>first</Data><Data>second</Data><Data Name='A'>1</Data>"
        "<Data Name='A'>2</Data><Binary>00FF</Binary></EventData>"
        "<UserData><Rule xmlns='y'><PolicyName>EXE</PolicyName></Rule></UserData>"
        "<RenderingInfo Culture='en-US'><Message>It &lt;failed&gt; &#x41;</Message>"
        "<Keywords><Keyword>a</Keyword><Keyword>b</Keyword></Keywords></RenderingInfo></e:Event>"
    )
    assert content["message"] == "It <failed> A"
    assert content["Event"] == {
        "System": {
            "Provider": {"Name": "P", "Guid": "{1}"},
            "EventID": "7",
            "Qualifiers": "16384",
            "Execution": {"ProcessID": "4", "ThreadID": "8"},
        },
        "EventData": {
            "param1": "first",
            "param2": "second",
            "A": "1",
            "A#2": "2",
            "Binary": "00FF",
        },
        "UserData": {"Rule": {"PolicyName": "EXE"}},
        "RenderingInfo": {
            "Message": "It <failed> A",
            "Keywords": {"Keyword": "a", "Keyword#2": "b"},
            "Culture": "en-US",
        },
    }


def test_several_windows_events() -> None:
    """An export of `wevtutil` would be one event, or none."""
    event = "<Event><System><EventID>{}</EventID></System></Event>"
    content = decoded(f"<Events>{event.format(1)}{event.format(2)}</Events>").document
    assert isinstance(content, list)
    assert [each["Event"]["System"]["EventID"] for each in content] == ["1", "2"]


LAUGHS = "<!DOCTYPE Event [<!ENTITY a 'ha'>{}]><Event>&a9;</Event>".format(
    "".join(f"<!ENTITY a{level} '{f'&a{level - 1};' * 10}'>" for level in range(1, 10))
)


@pytest.mark.parametrize(
    "record",
    [
        LAUGHS,
        "<!DOCTYPE Event [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><Event>&x;</Event>",
        "<!DOCTYPE Event SYSTEM 'http://127.0.0.1/x.dtd'><Event/>",
        "<!DOCTYPE Event [<!ENTITY % p SYSTEM 'http://127.0.0.1/'>%p;]><Event/>",
        "<Event xmlns:xi='http://www.w3.org/2001/XInclude'><xi:include href='/x'/></Event>",
        "<Event>&undefined;</Event>",
        "<Event><System></Event>",
        "<Event/><Event/>",
    ],
)
def test_hostile_xml_is_refused(record: str) -> None:
    """A record could read a file of the worker, open a connection, or fill its memory."""
    with pytest.raises(InvalidEvent):
        decoded(record)


def test_xml_that_is_nested_deep_is_beyond_the_limits() -> None:
    """A document that cannot be written again would stop the worker after its triage."""
    with pytest.raises(LimitExceeded):
        decoded("<Event>" + "<a>" * LIMITS.max_event_depth)


# --- mail


def mail(head: str, body: str = "", **options: Any) -> dict[str, Any]:
    """The document of a mail."""
    return document(f"From: a@example.com\n{head}\n\n{body}".encode(options.get("codec", "utf-8")))


def test_plain_text_is_preferred_to_html() -> None:
    """A mail would be read twice, once with its markup."""
    content = mail(
        'Subject: x\nContent-Type: multipart/alternative; boundary="a b"',
        "preamble\n--a b\nContent-Type: text/plain\n\nwords\n"
        "--a b\nContent-Type: text/html\n\n<p>words</p>\n--a b--\nepilogue",
    )
    assert (content["text"], "html" in content) == ("words", False)


def test_html_alone_is_given_on_as_html() -> None:
    """A mail without plain text would have no text."""
    content = mail("Subject: x\nContent-Type: text/html", "<p>words</p>")
    assert (content["html"], "text" in content) == ("<p>words</p>", False)


def test_plain_text_beside_html_is_kept() -> None:
    """The footer of a mailing list would be read instead of the mail."""
    content = mail(
        "Subject: x\nContent-Type: multipart/mixed; boundary=b",
        "--b\nContent-Type: text/html\n\n<p>words</p>\n--b\n\na < b\n--b--",
    )
    assert content["html"] == "<p>words</p>\n<pre>a &lt; b</pre>"


def test_attachments_are_named_and_not_read() -> None:
    """The bytes of an attachment would be read as words."""
    content = mail(
        "Subject: x\nContent-Type: multipart/mixed; boundary=b",
        "--b\n\nwords\n--b\nContent-Type: application/pdf; name=old.pdf\n"
        "Content-Disposition: attachment; filename*=utf-8''r%C3%A9sum%C3%A9.pdf\n"
        "Content-Transfer-Encoding: base64\n\nSGVsbG8gd29ybGQ=\n"
        "--b\nContent-Type: text/plain; name=log.txt\n\nsecret\n"
        "--b\nContent-Type: message/rfc822\n\nSubject: =?utf-8?q?F=C3=BCr?= you\n\nnested\n--b--",
    )
    assert content["text"] == "words"
    assert content["mail"]["attachments"] == [
        {"name": "résumé.pdf", "type": "application/pdf", "size": 11},
        {"name": "log.txt", "type": "text/plain", "size": 6},
        {"name": "Für you", "type": "message/rfc822", "size": 41},
    ]


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("=?utf-8?q?I_lost?= =?utf-8?q?_my_card?=", "I lost my card"),
        ("=?utf-8?Q?f=C3?= =?utf-8?Q?=BCr?=", "für"),
        ("=?iso-8859-1?q?f=FCr?= uns", "für uns"),
        ("a =?utf-8?b?w7xiZXI=?= b", "a über b"),
        ("=?utf-8*en?q?card?=", "card"),
        ("=?punycode?q?bcher-kva?=", "bcher-kva"),
        ("=?x-unknown?q?f=C3=BCr?=", "für"),
        ("=?utf-8?b?a?=", "a"),
        ("=?utf-8?q?open", "=?utf-8?q?open"),
        ("two\n lines", "two lines"),
        ("für", "für"),
    ],
)
def test_encoded_words(header: str, text: str) -> None:
    """A subject would be shown to the model as its encoding."""
    assert mail(f"Subject: {header}")["mail"]["subject"] == text


@pytest.mark.parametrize(
    ("charset", "body"),
    [
        ("iso-8859-1", b"f\xfcr"),
        ("x-unknown", b"f\xc3\xbcr"),
        ("us-ascii", b"f\xfcr"),
        ("utf-8", b"f\xfcr"),
        ("utf-16-le", "für".encode("utf-16-le")),
        ("unicode_escape", b"f\xfcr"),
        ('"utf-8"', b"f\xc3\xbcr"),
        ("", b"f\xc3\xbcr"),
        ("zlib", b"f\xfcr"),
    ],
)
def test_character_sets_of_mail(charset: str, body: bytes) -> None:
    """A mail with a wrong character set would be lost, or be run through any of Python's codecs."""
    head = f"From: a@example.com\nSubject: x\nContent-Type: text/plain; charset={charset}\n\n"
    assert document(head.encode() + body)["text"] == "für"


@pytest.mark.parametrize(
    ("encoding", "body", "text"),
    [
        ("base64", "SGVsbG8=", "Hello"),
        ("base64", "SGVsbG8", "Hello"),
        ("base64", "a", "a"),
        ("quoted-printable", "a=3Db=\n c=", "a=b c"),
        ("x-unknown", "a=3D", "a=3D"),
    ],
)
def test_transfer_encodings(encoding: str, body: str, text: str) -> None:
    """The words of a mail would stay encoded."""
    content = mail(f"Subject: x\nContent-Transfer-Encoding: {encoding}", body)
    assert content["text"] == text


def test_of_headers_that_occur_twice_the_first_counts() -> None:
    """A second subject would hide the first from the person who reads the mail."""
    assert mail("Subject: first\nSubject: second\nMessage-ID: <1>")["mail"] == {
        "message_id": "<1>",
        "subject": "first",
        "from": "a@example.com",
    }


def test_replies_name_what_they_answer() -> None:
    """A consumer could not join a reply with its ticket."""
    content = mail(
        "Subject: Re: x\nIn-Reply-To: <a@x>\nReferences: <b@x>\n <a@x>\nImportance: high"
    )
    assert content["mail"]["in_reply_to"] == "<a@x>"
    assert content["mail"]["references"] == ["<b@x>", "<a@x>"]
    assert content["mail"]["headers"] == {"importance": "high"}


def test_a_mail_that_is_nested_without_end() -> None:
    """The standard library's parser would end with a RecursionError at a thousand parts."""
    head = "".join(
        f"Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"
        for level in range(10_000)
    )
    assert mail(f"Subject: x\n{head}")["mail"] == {
        "subject": "x",
        "from": "a@example.com",
        "parts_left_out": True,
    }


def test_a_mail_with_a_hundred_thousand_headers() -> None:
    """Each header would cost memory, although only a few are read."""
    data = b"From: a@example.com\nSubject: x\n" + b"X: y\n" * 100_000 + b"To: late\n\nwords"
    content = decode_other(data, LIMITS).document
    assert content == {"mail": {"subject": "x", "from": "a@example.com"}, "text": "words"}


# --- limits and refusals


@pytest.mark.parametrize(
    "record",
    [
        "CEF:0|V|P|1|2|n|5|" + "a=b " * 200,
        "LEEF:1.0|V|P|1|2|" + "a=b\t" * 200,
        "<13>1 - h a - - " + '[a b="c"]' * 100,
        "<13>" + "a=b " * 200,
        "<13>" + "a," * 200,
        '<13>{"a":[' + "1," * 200 + "1]}",
        "<Event>" + "<a/>" * 200 + "</Event>",
        "From: a\nTo: b\nContent-Type: multipart/mixed; boundary=b\n\n"
        + "--b\nContent-Disposition: attachment\n\n" * 60,
    ],
)
def test_documents_are_within_the_limits(record: str) -> None:
    """A record of a megabyte could become millions of values."""
    with pytest.raises(LimitExceeded):
        decode_other(record.encode(), Limits(max_event_nodes=100))


def test_long_records_and_many_events_are_refused() -> None:
    """A record could hold more events than the configuration allows."""
    with pytest.raises(LimitExceeded):
        decode_other(b"<13>" + b"x" * 1_000, Limits(max_event_bytes=1_000))
    for many in (b"<13>x\n" * 11, b"5 <13>x" * 11, b'{"a":1}\n' * 11):
        with pytest.raises(LimitExceeded, match="max_events_per_record"):
            decode_other(many, LIMITS, None, 10)


def test_a_single_line_of_a_megabyte() -> None:
    """A long line would be cut or refused, although the limits allow it."""
    content = document(b"<13>1 - h a - - - " + b"x" * 1_000_000)
    assert len(content["message"]) == 1_000_000


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (b"\x1f\x8b\x08\x00abc", "gzip; send it decompressed"),
        (b"\x28\xb5\x2f\xfdabc", "zstd; send it decompressed"),
        (b"PK\x03\x04abc", "a ZIP archive"),
        (b"Obj\x01\x04", "an Avro file"),
        (b"\x08\x96\x01\x12\x07testing\x1a\x02\x00\x01", "Protobuf"),
        (bytes(range(256)), "Protobuf"),
        (b"ElfFile\x00\x00", "a binary Windows event log"),
        (b"%PDF-1.4", "a PDF file"),
        ("Hello".encode("utf-16-le"), "UTF-16 without a byte order mark"),
        (b"", "blank"),
        (b"\r\n", "blank"),
        (b"\x00" * 20, "blank"),
        (b"a,b,c\n1,2,3\n", "CSV"),
        (b"a;b;c\n1;2;3\n", "CSV"),
        (b"---\ntitle: x\n", "YAML"),
        (b"title: x\nbody: y\n", "YAML"),
        (b"<html><body>x</body></html>", "an HTML page"),
        (b"<!DOCTYPE html><p>x", "an HTML page"),
        (b"<note><to>x</to></note>", "XML, and of XML only Windows events"),
        (b"<?xml version='1.0'?><rss/>", "XML, and of XML only Windows events"),
        (b"aGVsbG8gd29ybGQg" * 8, "base64"),
        (b"I lost my card", "plain text, not JSON"),
        (b"May  2 10:11:12 I lost my card", "plain text, not JSON"),
        (b"2031-05-02T10:11:12Z my card was lost, see a=b c=d e", "plain text, not JSON"),
        (b"Please see a=b c=d e=f", "plain text, not JSON"),
        ("Ich habe meine Karte verloren. Größe: 3".encode(), "plain text, not JSON"),
        (b"42", "plain text, not JSON"),
        (b'"only words"', "plain text, not JSON"),
    ],
)
def test_what_cannot_be_read_is_named(record: bytes, words: str) -> None:
    """The person who finds the dead letter would have to guess what the sender did."""
    sentence = refusal(record)
    assert sentence.startswith(f"the record is {words}") or words in sentence
    assert "\n" not in sentence


def test_broken_json_is_still_called_json() -> None:
    """A missing brace would be called plain text."""
    assert refusal(b'{"title": "x"').startswith("the record is not JSON")


def test_the_commas_of_a_mail_are_no_values() -> None:
    """A long mail would be refused, because it has more commas than a document may have values."""
    record = b"From: a@example.com\nSubject: x\n\n" + b"a, b; {c} " * 10_000
    assert read_event(record, origin=ORIGIN, kind="ticket").title == "x"
    with pytest.raises(LimitExceeded):
        read_event(b'{"a": [' + b"1," * 30_000 + b"1]}", origin=ORIGIN, kind="ticket")


def test_documents_can_be_written_again() -> None:
    """A character that JSON cannot hold would stop the worker at the next topic."""
    for record in (b"<13>\xed\xa0\x80x", b"\xff\xfe\x00\xd8<\x001\x00>\x00", b"CEF:0|\xff|\x00|"):
        try:
            content = decode_other(record, LIMITS).document
        except InvalidEvent:
            continue
        orjson.dumps(content)
