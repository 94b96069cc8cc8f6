"""Sample records in every format that we read, and functions that make hostile records.

The functions take a seeded `random.Random`, so that the same seed makes the same records.
"""

import base64
import json
import random
from collections.abc import Callable
from typing import Any, NamedTuple

Headers = list[tuple[str, bytes | None]]


class Record(NamedTuple):
    """One Kafka record as a producer sends it."""

    value: bytes | None
    key: bytes | None
    headers: Headers


NATIVE = {
    "id": "a-1",
    "kind": "alert",
    "text": "powershell.exe started by winword.exe",
    "source": "edr",
    "tenant": "acme",
    "occurred_at": "2026-01-02T03:04:05Z",
    "attributes": {"rule": "T1059"},
    "event": {"process": {"name": "powershell.exe", "pid": 4711}},
}
TICKET = {
    "id": 42,
    "kind": "ticket",
    "title": "Cartão não chegou",
    "body": "Pedi o cartão há três semanas. Onde está?",
}
OCSF = {
    "class_uid": 2004,
    "category_uid": 2,
    "time": 1767323045000,
    "severity_id": 4,
    "finding_info": {
        "uid": "f-1",
        "title": "Root login without MFA",
        "desc": "The root user signed in.",
    },
    "metadata": {
        "version": "1.3.0",
        "tenant_uid": "acme",
        "product": {"name": "Cloud Guard", "vendor_name": "Acme"},
    },
}
ECS = {
    "@timestamp": "2026-01-02T03:04:05.678Z",
    "ecs": {"version": "8.11.0"},
    "event": {"kind": "alert", "id": "e-1", "module": "endpoint", "category": ["malware"]},
    "rule": {"name": "Ransom note written"},
    "message": "README.txt written to 200 folders",
    "host": {"name": "ws-17"},
}
KIBANA = {
    "@timestamp": "2026-01-02T03:04:05.678Z",
    "kibana.alert.uuid": "k-1",
    "kibana.alert.rule.name": "Impossible travel",
    "kibana.alert.reason": "two countries within ten minutes",
    "event.kind": "signal",
}
VENDOR = {
    "Records": [{"eventName": "ConsoleLogin", "errorMessage": "Failed authentication"}],
    "region": "eu-west-1",
}
CLOUDEVENT = {
    "specversion": "1.0",
    "id": "c-1",
    "type": "com.example.alert",
    "source": "/sensors/7",
    "time": "2026-01-02T03:04:05Z",
    "datacontenttype": "application/json",
    "partitionkey": "p",
    "data": {"text": "door forced open"},
}
BINARY_HEADERS: Headers = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"c-2"),
    ("ce_type", b"com.example.alert"),
    ("ce_source", b"/sensors/7"),
    ("ce_time", b"2026-01-02T03:04:05Z"),
    ("content-type", b"application/json"),
]
SAMPLES: tuple[dict[str, Any], ...] = (NATIVE, TICKET, OCSF, ECS, KIBANA, VENDOR, CLOUDEVENT)
FIELDS = (
    "id",
    "kind",
    "text",
    "title",
    "body",
    "event",
    "source",
    "tenant",
    "occurred_at",
    "attributes",
)


def dump(document: object) -> bytes:
    """A document as UTF-8 JSON, as most producers write it."""
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


Content = tuple[bytes | None, Headers]
"""The value and the headers of a record."""


def _plain(make: Callable[[random.Random], bytes | None]) -> Callable[[random.Random], Content]:
    return lambda rng: (make(rng), [])


def _sample(rng: random.Random) -> dict[str, Any]:
    document = dict(rng.choice(SAMPLES))
    if "id" in document:
        document["id"] = f"fuzz-{rng.randrange(1_000_000)}"
    return document


def _invalid_utf8(rng: random.Random) -> bytes:
    data = dump(_sample(rng))
    position = rng.randrange(1, len(data))
    invalid = rng.choice((b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88"))
    return data[:position] + invalid + data[position:]


def _truncated(rng: random.Random) -> bytes:
    data = dump(_sample(rng))
    return data[: rng.randrange(len(data))]


def _flipped(rng: random.Random) -> bytes:
    data = bytearray(dump(_sample(rng)))
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


_WRONG: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    2**64,
    "",
    " \t\n",
    "\x00",
    [],
    ["a"],
    {},
    {"a": 1},
    "invoice",
)


def _wrong_types(rng: random.Random) -> bytes:
    document = _sample(rng)
    for _ in range(rng.randint(1, 3)):
        document[rng.choice((*FIELDS, *document))] = rng.choice(_WRONG)
    return dump(document)


def _not_an_object(rng: random.Random) -> bytes:
    return dump(rng.choice((None, True, 3, "text", [], [NATIVE], "{}")))


def _odd_text(rng: random.Random) -> bytes:
    marks = (
        "\x00",
        "\x1b[31m",
        "\u202e",
        "\ufeff",
        "\u200b",
        "\r\n",
        "\U0001f525",
        "a\u0300" * 20,
        "\ud7ff",
        "\x7f\x85",
    )
    text = "".join(rng.choice((*marks, "login failed ")) for _ in range(rng.randint(0, 12)))
    return dump(
        {"id": f"odd-{rng.randrange(1000)}", "kind": rng.choice(("alert", "ticket")), "text": text}
    )


def _duplicate_id(rng: random.Random) -> bytes:
    return dump(
        {"id": rng.choice(("dup-1", "dup-2")), "kind": "alert", "text": f"copy {rng.randrange(3)}"}
    )


def _odd_time(rng: random.Random) -> bytes:
    values = (
        0,
        -1,
        1e-9,
        10**30,
        2**63,
        1e308,
        253402300800,
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "yesterday",
        "2026-02-30T00:00:00Z",
        "2026-01-02T03:04:60Z",
        "1767323045",
        "9" * 5000,
        True,
        [1],
        {"a": 1},
    )
    return dump(
        {
            "id": f"time-{rng.randrange(1000)}",
            "text": "clock wrong",
            "occurred_at": rng.choice(values),
        }
    )


def _odd_json(rng: random.Random) -> bytes:
    """JSON that writers often get wrong, or that readers understand differently."""
    return rng.choice(
        (
            rb'{"id":"lone","text":"\ud800"}',
            rb'{"id":"lone","text":"\udc00 and more"}',
            rb'{"id":"nul","text":"a\u0000b"}',
            b'{"id":"nan","text":"x","score":NaN}',
            b'{"id":"inf","text":"x","score":-Infinity}',
            b'{"id":"inf","text":"x","score":1e999}',
            b'{"id":"one","id":"two","text":"duplicate keys","text":"last wins?"}',
            b'{"id":123456789012345678901234567890,"text":"big id"}',
            b'{"id":1,"text":"x","n":' + b"9" * 400 + b"}",
            b"{'id':'single','text':'quotes'}",
            b'{"id":"comma","text":"x",}',
            b'\xef\xbb\xbf{"id":"bom","text":"byte order mark"}',
            '{"id":"utf16","text":"x"}'.encode("utf-16"),
            b"",
            b" ",
            b"\x00",
            b"{}",
            b"null",
            b'{"id":"two","text":"x"}{"id":"values","text":"y"}',
        )
    )


def _framed(rng: random.Random) -> bytes:
    head = b"\x00" + rng.randrange(2**32).to_bytes(4, "big")
    avro = bytes(rng.randrange(256) for _ in range(rng.randrange(40)))
    payload = rng.choice((dump(_sample(rng)), avro, b"", b"{"))
    length = rng.choice((3, 5, 6, *[None] * 9))
    return (head + payload)[:length]


def _structured(rng: random.Random) -> Content:
    document: dict[str, Any] = {**CLOUDEVENT, "id": f"ce-{rng.randrange(1000)}"}
    inner = _sample(rng)
    if rng.random() < 0.5:
        document["data"] = rng.choice(
            (inner, dump(inner).decode(), "plain words", None, [], 7, "", CLOUDEVENT)
        )
    else:
        del document["data"]
        document["data_base64"] = rng.choice(
            (base64.b64encode(dump(inner)).decode(), "%%%", "é", 5, "", "AA==")
        )
    record_headers: list[Headers] = [
        [],
        [("content-type", b"application/cloudevents+json; charset=UTF-8")],
    ]
    return dump(document), rng.choice(record_headers)


def _binary(rng: random.Random) -> Content:
    record_headers = [header for header in BINARY_HEADERS if rng.random() < 0.8]
    record_headers += rng.choice(
        ([], [("ce_tag", b"\xff\xfe")], [("ce_id", None)], [("content-type", b"text/plain")])
    )
    value = rng.choice((dump(_sample(rng)), b"plain words", b"\xff", _truncated(rng), None))
    return value, record_headers


def _deep(rng: random.Random) -> bytes:
    depth = rng.choice((100, 129, 255, 1000, 1024, 100_000))
    inner = rng.choice(
        (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth, b"[" * depth)
    )
    return rng.choice((inner, b'{"id":"deep","text":"x","event":{"a":' + inner + b"}}"))


def _long(rng: random.Random) -> bytes:
    unit = rng.choice(("payment failed ", "x", "\x00", "\u200b", "{", "é", "\U0001f525 ", '"\\'))
    return dump(
        {
            "id": f"long-{rng.randrange(1000)}",
            "kind": "ticket",
            "text": unit * (100_000 // len(unit)),
        }
    )


def _megabyte(rng: random.Random) -> bytes:
    document = _sample(rng)
    document["padding"] = rng.choice(
        (
            {f"key{n}": n for n in range(70_000)},
            [[]] * 250_000,
            "y" * 1_000_000,
            [{"a": "b"}] * 80_000,
        )
    )
    data = dump(document)
    if rng.random() < 0.7:
        return data
    return data[: rng.randrange(len(data))]


SMALL: tuple[Callable[[random.Random], Content], ...] = (
    _plain(lambda rng: dump(_sample(rng))),
    _plain(_invalid_utf8),
    _plain(_truncated),
    _plain(_flipped),
    _plain(_wrong_types),
    _plain(_not_an_object),
    _plain(_odd_text),
    _plain(_duplicate_id),
    _plain(_odd_time),
    _plain(_odd_json),
    _plain(_framed),
    _plain(lambda rng: rng.randbytes(rng.randrange(64))),
    _plain(lambda _: None),
    _structured,
    _binary,
)
LARGE: tuple[Callable[[random.Random], Content], ...] = (
    _plain(_deep),
    _plain(_long),
    _plain(_megabyte),
)
