"""What hostile bytes cost the decoders: no crash, no document that cannot be written, linear time.

The inputs are the same in every run.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
import orjson
import pytest

from schemas.errors import InvalidEvent
from schemas.formats.decoders import decode_other
from schemas.formats.envelope import Envelope
from schemas.formats.shipped import shipped_formats
from schemas.limits import LIMITS

RECEIVED_AT = 1935748800.0  # 2031-05-05T12:00:00Z
FUZZED = 20_000
NESTED = 32  # levels of the small samples; more would be a fault of a decoder
WIDE = msgspec.structs.replace(LIMITS, max_event_nodes=1_000_000, max_event_bytes=64_000_000)

SAMPLES: dict[str, tuple[bytes, ...]] = {
    "cef": (
        (
            b"CEF:0|Ex\\|ample|UTM|7.2|0211|virus|8|start=1930000000000 src=10.0.0.5 "
            b"cs1Label=Rule cs1=a b msg=x\\=y\\n C:\\\\t rt=May  2 10:11:12"
        ),
        (b"<134>May  2 10:11:12 fw01 CEF:1|V|P|1|2|n|Very-High|a=b a=c d[0].e=f request=h?x=y"),
    ),
    "leef": (
        (b"LEEF:2.0|V|P|1|Logon|^|devTime=02.05.2031^devTimeFormat=dd.MM.yyyy^sev=7^a=b=c"),
        (b"<13>1 - h a - - - LEEF:1.0|V|P|1|x|src=1\tsev=5\tdevTime=May 02 2031 10:11:12"),
        (b"LEEF:2.0|V|P|1|x|0x5E|a=b^c=d#011e=f"),
    ),
    "syslog": (
        (
            b'<13>1 2031-05-02T10:11:12.1+02:00 h a 1 m [x@1 a="b\\"c" d="]"][y] '
            b"\xef\xbb\xbfm \xc3\xa9"
        ),
        (b"<86>May  2 10:11:12 web-03 sshd[99]: Failed password for root"),
        (b'<189>date=2031-05-02 time=10:11:12 a="b" c=d tz="+0200" msg="x \\" y"'),
        (b'<13>Feb 29 10:11:12 h a: [k:"v"; l:"w"; m:"x"]'),
        (b'<14>May  2 10:11:12 PA 1,2031/05/02 10:11:12,1,THREAT,url,1,2,3,4,"a, b"'),
        (b"<189>41: r1: 7: *May  2 10:11:12.123 UTC: %SYS-5-CONFIG_I: x"),
        (b'11 <13>{"a":1}9 <13>a b c'),
        (b'<13>x @cee: {"a":[1,{"b":2}]}\n<13>1 - - - - - -'),
    ),
    "windows-xml": (
        (
            b"<?xml version='1.0'?><Event xmlns='x'><System><Provider Name='P'/><EventID "
            b"Q='0'>1</EventID></System><EventData><Data>a</Data><Data Name='b'>&lt;c&#65;"
            b"<![CDATA[d]]></Data></EventData><UserData><R><S>t</S></R></UserData><RenderingInfo><Message>m</Message></RenderingInfo></Event>"
        ),
        (b"<!DOCTYPE Event [<!ENTITY a 'b'>]><Event>&a;</Event>"),
        (b"<Events><Event><System/></Event><!-- c --><Event><?p i?></Event></Events>"),
    ),
    "mail": (
        (
            b"From: =?utf-8?q?D=C3=B6?= <d@x>\r\nTo: a\r\nSubject: =?iso-8859-1?b?Zvxy?= "
            b"x\r\nDate: Fri, 2 May 2031 10:00:00 +0200\r\nMessage-ID: <1@x>\r\nReferences: "
            b"<a> <b>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
            b'Content-Type: multipart/alternative; boundary="c d"\r\n\r\n--c d\r\n'
            b"Content-Type: text/plain; charset=cp1252\r\nContent-Transfer-Encoding: "
            b"base64\r\n\r\nSGFsbG8=\r\n--c d\r\nContent-Type: text/html\r\n"
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\n<b>=C3=BC</b>=\r\n--c "
            b"d--\r\n--b\r\nContent-Disposition: attachment; filename*0*=utf-8''a%20; "
            b"filename*1=b\r\n\r\nx\r\n--b--\r\n"
        ),
        (
            b"From a@x Fri\nReceived: x\n\ty\nFrom: a\nContent-Type: message/rfc822; "
            b'name="\\""\n\nFrom: b\n'
        ),
    ),
}
PIECES = (
    *(b"|", b"=", b"\\", b'"', b"[", b"]", b"<", b">", b"&", b";", b",", b":", b" ", b"\t", b"\n"),
    *(
        b"\r\n\r\n",
        b"\x00",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98\x80",
        b"\xff\xfe",
        b"--b",
        b"#011",
    ),
    *(
        b"=?utf-8?b?",
        b"?=",
        b"99999999999999999999",
        b"-1",
        b"<!DOCTYPE",
        b"]]>",
        b"&#0;",
        b"{",
        b"%s",
    ),
    *(b"CEF:0|", b"LEEF:2.0|", b"<13>", b"<Event>", b"</Event>", b"charset=idna;", b"xmlns:a='b' "),
)


def mutations(name: str, seed: int, number: int) -> Iterator[bytes]:
    """Samples with bytes changed, cut out, doubled and put in; and some that are only random."""
    rng = random.Random(f"{name}{seed}")
    samples = SAMPLES[name]
    for turn in range(number):
        if turn % 20 == 0:
            yield rng.randbytes(rng.randrange(200))
            continue
        data = bytearray(rng.choice(samples))
        for _ in range(rng.choice((1, 1, 2, 4, 12))):
            start = rng.randrange(len(data) + 1)
            end = min(len(data), start + rng.choice((0, 0, 1, 1, 3, 20, 80)))
            how = rng.randrange(4)
            if how == 0:
                data[start:end] = rng.choice(PIECES)
            elif how == 1:
                data[start:end] = rng.randbytes(end - start)
            elif how == 2:
                data[start:start] = data[start:end] * rng.randrange(1, 4)
            else:
                del data[start:end]
        yield bytes(data)


def depth(value: Any) -> int:
    """How deep a small document is nested."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@pytest.mark.parametrize("name", SAMPLES)
def test_no_bytes_break_a_decoder(name: str) -> None:
    """A record could stop the worker, or become an event that no later step can write.

    An error other than `InvalidEvent` ends the test.
    """
    names = set()
    for number, data in enumerate(mutations(name, 7, FUZZED)):
        try:
            decoded = decode_other(data, LIMITS, RECEIVED_AT)
        except InvalidEvent:
            continue
        names.add(decoded.name)
        orjson.dumps(decoded.document)
        if number % 8 == 0 and isinstance(decoded.document, dict):
            assert depth(decoded.document) < NESTED
            mapping = shipped_formats().recognise(decoded.document)
            if mapping is not None and mapping.open is None:
                read(mapping, decoded.document)
    assert name in names


def read(mapping: Any, content: dict[str, Any]) -> None:
    """Read an event, which may be refused."""
    try:
        mapping.read(content, Envelope(id="record", kind="ticket"))
    except InvalidEvent:
        return


Fill = Callable[[int], bytes]


def repeated(unit: bytes, *, before: bytes = b"", after: bytes = b"") -> Fill:
    """Data of about a given size that is one unit again and again."""
    return lambda size: before + unit * (size // len(unit)) + after


def nested_parts(size: int) -> bytes:
    """A mail whose parts are inside each other."""
    part = b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n"
    return MAIL + b"".join(part % (level, level) for level in range(size // len(part)))


CEF, LEEF = b"CEF:0|V|P|1|2|n|5|", b"LEEF:2.0|V|P|1|2|^|"
SYSLOG, RFC5424 = b"<13>May  2 10:11:12 h app[1]: ", b"<13>1 2031-05-02T10:11:12Z h a p m "
XML, XML_END = b"<Event><EventData>", b"</EventData></Event>"
MAIL = b"From: a@b.c\nTo: d\n"
MULTIPART = MAIL + b"Content-Type: multipart/mixed; boundary=b\n\n"
QUOTED = MAIL + b"Content-Transfer-Encoding: quoted-printable\n\n"

WORST: dict[str, Fill] = {
    "cef pairs": repeated(b"a=b ", before=CEF),
    "cef labels": repeated(b"a=b aLabel=q ", before=CEF),
    "cef escapes": repeated(b"\\=", before=CEF + b"a="),
    "cef backslashes": repeated(b"\\", before=CEF + b"a="),
    "cef word": repeated(b"a", before=CEF),
    "cef spaces": repeated(b" ", before=CEF),
    "cef header": repeated(b"\\|", before=b"CEF:0|"),
    "cef account": repeated(b"a.", before=CEF + b"a="),
    "leef pairs": repeated(b"a=b^", before=LEEF),
    "leef spaces": repeated(b"a=b ", before=b"LEEF:1.0|a|b|c|d|"),
    "leef bars": repeated(b"|", before=b"LEEF:1.0|"),
    "leef escaped tabs": repeated(b"#011", before=b"LEEF:1.0|a|b|c|d|"),
    "syslog pairs": repeated(b"a=b ", before=SYSLOG),
    "syslog quotes": repeated(b'a="b" ', before=SYSLOG),
    "syslog open quotes": repeated(b'a="', before=SYSLOG),
    "syslog escaped quotes": repeated(b'\\"', before=SYSLOG + b'a=b c="'),
    "syslog spaces": repeated(b" ", before=SYSLOG + b"a=b c=d "),
    "syslog words": repeated(b"ab ", before=SYSLOG + b"a=b "),
    "syslog brackets": repeated(b'a:"b";', before=SYSLOG + b"["),
    "syslog columns": repeated(b"a,", before=SYSLOG),
    "syslog open column": repeated(b'""a,', before=SYSLOG + b'1,2,3,4,5,6,7,8,9,"'),
    "syslog elements": repeated(b'[a b="c"]', before=RFC5424),
    "syslog parameters": repeated(b' b="c"', before=RFC5424 + b"[a"),
    "syslog open elements": repeated(b'[a b=\\"', before=RFC5424 + b'[a b="'),
    "syslog open parameters": repeated(b' b="c', before=RFC5424 + b"[a"),
    "syslog frames": repeated(b"4 <1>x"),
    "syslog host": repeated(b"a:", before=b"<13>May  2 10:11:12 "),
    "syslog json": repeated(b"[", before=SYSLOG),
    "syslog bytes": repeated(b"\xff", before=SYSLOG),
    "xml data": repeated(b"<Data>a</Data>", before=XML, after=XML_END),
    "xml elements": repeated(b"a<b/>", before=XML, after=XML_END),
    "xml references": repeated(b"a&amp;", before=XML, after=XML_END),
    "xml sections": repeated(b"<![CDATA[a]]>", before=XML, after=XML_END),
    "xml depth": repeated(b"<a>", before=XML),
    "xml open attribute": repeated(b"a", before=b"<Event a='"),
    "xml open comment": repeated(b"- ", before=b"<Event><!--"),
    "mail headers": repeated(b"a: b\n", before=MAIL),
    "mail senders": repeated(b"From: b\n", before=MAIL),
    "mail encoded words": repeated(b"=?a?q?", before=MAIL + b"Subject: "),
    "mail folds": repeated(b"\n a", before=MAIL + b"Subject: "),
    "mail comments": repeated(b"(", before=b"Subject: x\nFrom: "),
    "mail references": repeated(b"<", before=MAIL + b"References: "),
    "mail parameters": repeated(b";a=b", before=MAIL + b"Content-Type: text/plain"),
    "mail quoted parameter": repeated(b";", before=MAIL + b'Content-Type: text/plain;a="'),
    "mail nested": nested_parts,
    "mail parts": repeated(b"--b\n\nx\n", before=MULTIPART),
    "mail described parts": repeated(b"--b\nContent-Type: a/b;name=a\n\nx\n", before=MULTIPART),
    "mail same boundary": repeated(
        b"--b\nContent-Type: multipart/mixed; boundary=b\n\n", before=MULTIPART
    ),
    "mail no boundaries": repeated(b"\n--bx", before=MULTIPART),
    "mail quoted-printable": repeated(b"= ", before=QUOTED),
    "mail white space": repeated(b" \t", before=QUOTED),
    "mail base64": repeated(b"=", before=MAIL + b"Content-Transfer-Encoding: base64\n\n"),
    "plain words": repeated(b"hello world "),
    "plain lines": repeated(b"a: b\n"),
    "plain table": repeated(b"a,b,c\n"),
    "utf-16": repeated(b"a\x00", before=b"\xff\xfe"),
    "json lines": repeated(b'{"a":1}\n'),
    "json string": repeated(b"CEF:0|a", before=b'"', after=b'"'),
}


def cpu_seconds(data: bytes, limits: Any = WIDE, max_events: int = 1_000_000) -> float:
    """The least CPU time of several tries, which leaves out what other processes cost."""
    tries = []
    for _ in range(3):
        start = time.process_time()
        with suppress(InvalidEvent):
            decode_other(data, limits, RECEIVED_AT, max_events)
        tries.append(time.process_time() - start)
    return min(tries)


@pytest.mark.parametrize("name", WORST)
def test_time_is_linear(name: str) -> None:
    """A record of a megabyte could stop a partition for minutes.

    Four times the data takes four times as long; quadratic work would take sixteen times. Times
    below the floor are too short to be compared.
    """
    small, large = cpu_seconds(WORST[name](50_000)), cpu_seconds(WORST[name](200_000))
    floor = 0.004
    assert large < 10 * max(small, floor)


@pytest.mark.parametrize("name", WORST)
def test_a_hundred_kilobytes_are_decoded_in_time(name: str) -> None:
    """The goal is 20 ms under the default limits; a loaded or slow machine may take ten times."""
    assert cpu_seconds(WORST[name](100_000), LIMITS, 1_000) < 1.0
