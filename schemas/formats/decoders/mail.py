"""Mail as it travels: RFC 5322 with MIME.

The standard library takes care of single headers, parameters and encodings. Its parser of whole
mails is not used: it calls itself once for each part inside a part, and its reader of addresses
takes quadratic time. Here the number of parts and their depth are bounded, and the rest is linear.
"""

import binascii
import html
import re
from collections.abc import Iterator
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from schemas.formats.decoders.characters import decode_text
from schemas.formats.decoders.fields import Budget, without_blanks
from schemas.formats.decoders.times import read_time
from schemas.formats.instants import to_rfc3339

_MAX_PARTS = 200
_MAX_DEPTH = 8
_MAX_HEADER_BYTES = 65_536
_MAX_VALUE_CHARS = 4_000
_MAX_PARAMETER_CHARS = 1_000
_MAX_ID_CHARS = 500
_MAX_REFERENCES = 100

_MBOX_LINE = re.compile(rb"From [^\n]{1,300}\n")
_HEADER = re.compile(rb"([A-Za-z][A-Za-z0-9-]{0,60})[ \t]*:")
_BLANK_LINE = re.compile(rb"\n\r?\n|\A\r?\n")
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*+)\?=")
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,500}>")
_WHITE_SPACE = re.compile(r"\s+")

# A mail has a sender, and one of the others.
_SENDERS = frozenset({"from", "return-path", "received", "delivered-to"})
_OTHERS = frozenset(
    {"to", "cc", "subject", "date", "message-id", "mime-version", "content-type", "from"}
)
_FEW = (
    *("reply-to", "sender", "return-path", "delivered-to", "list-id", "auto-submitted"),
    *("importance", "priority", "x-priority", "x-mailer", "x-spam-flag", "x-spam-status"),
    *("authentication-results", "received-spf"),
)
_READ = (
    *("message-id", "subject", "from", "to", "cc", "date", "in-reply-to", "references"),
    *("content-type", "content-transfer-encoding", "content-disposition", *_FEW),
)
_READ_HEADER = re.compile(
    rf"^({'|'.join(_READ)})[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)".encode(), re.IGNORECASE | re.MULTILINE
)

_Headers = dict[str, str]
_Body = list[tuple[Literal["plain", "html"], str]]


def recognises(data: bytes) -> bool:
    """Whether the data begins with headers, among them a sender and another one of a mail."""
    data = _without_mbox_line(data)
    if _HEADER.match(data) is None:
        return False
    names = set()
    for line in data[:_MAX_HEADER_BYTES].split(b"\n"):
        if not line.strip():
            break
        name = _HEADER.match(line)
        if name is not None:
            names.add(name[1].decode().lower())
        elif line[:1] not in {b" ", b"\t"}:
            return False
        if names & _SENDERS and len(names & (_OTHERS | _SENDERS)) > 1:
            return True
    return False


def decode(data: bytes, received_at: float | None, budget: Budget) -> dict[str, Any]:
    """The document of a mail. Of a header that occurs twice, the first is taken.

    Raises:
        LimitExceeded: the mail has too many values.
    """
    headers, body = _split(_without_mbox_line(data))
    reader = _Reader(budget)
    texts = reader.read(headers, body, 0)
    date = headers.get("date", "")
    mail = {
        "message_id": _message_id(headers),
        "subject": _decoded(headers, "subject"),
        "from": _decoded(headers, "from"),
        "to": _decoded(headers, "to"),
        "cc": _decoded(headers, "cc"),
        "date": _date(date, received_at),
        "date_text": date,
        "in_reply_to": next(iter(_ids(headers, "in-reply-to")), None),
        "references": _ids(headers, "references"),
        "headers": {name: _decoded(headers, name) for name in _FEW if name in headers},
        "attachments": reader.attachments,
        "parts_left_out": reader.left_out or None,
    }
    budget.take(len(mail))
    return {"mail": without_blanks(mail), **_joined(texts)}


class _Reader:
    """Walks through the parts of a mail."""

    def __init__(self, budget: Budget) -> None:
        self.attachments: list[dict[str, Any]] = []
        self.left_out = False  # the mail has more parts than are read
        self._parts = 0
        self._budget = budget

    def read(self, headers: _Headers, body: bytes, depth: int) -> _Body:
        """The texts of one part that a person would see, in order."""
        about = _about(headers)
        content_type = about.get_content_type()
        boundary = _boundary(about)
        if content_type.startswith("multipart/") and boundary:
            if depth >= _MAX_DEPTH:
                self.left_out = True
                return []
            texts = list(self._texts(body, boundary, depth))
            if content_type == "multipart/alternative":
                return _preferred(texts)
            return [text for part in texts for text in part]
        name = _file_name(about)
        if name is None and not _is_attached(about) and _is_text(content_type):
            text = decode_text(
                _plain_bytes(headers, body), _parameter(about, "content-type", "charset")
            )
            kind: Literal["plain", "html"] = "html" if content_type == "text/html" else "plain"
            return [(kind, text.replace("\r\n", "\n"))] if text.strip() else []
        self._attach(name, content_type, headers, body)
        return []

    def _texts(self, body: bytes, boundary: bytes, depth: int) -> Iterator[_Body]:
        for part in _parts(body, boundary):
            self._parts += 1
            if self._parts > _MAX_PARTS:
                self.left_out = True
                return
            yield self.read(*_split(part), depth + 1)

    def _attach(self, name: str | None, content_type: str, headers: _Headers, body: bytes) -> None:
        self._budget.take(4)
        if content_type == "message/rfc822":
            name = name or _decoded(_split(body)[0], "subject")
        self.attachments.append(
            without_blanks({"name": name, "type": content_type, "size": _size(headers, body)})
        )


def _without_mbox_line(data: bytes) -> bytes:
    line = _MBOX_LINE.match(data)
    return data if line is None else data[line.end() :]


def _split(data: bytes) -> tuple[_Headers, bytes]:
    """The headers that are read, the first of each name, and the body of a mail or part."""
    end = _BLANK_LINE.search(data)
    head = data if end is None else data[: end.start() + 1]
    headers: _Headers = {}
    for match in _READ_HEADER.finditer(head[:_MAX_HEADER_BYTES]):
        name = match[1].decode().lower()
        if name not in headers:
            value = _FOLD.sub("", decode_text(match[2][: 2 * _MAX_VALUE_CHARS]))
            headers[name] = value.strip()[:_MAX_VALUE_CHARS]
    return headers, b"" if end is None else data[end.end() :]


def _about(headers: _Headers) -> Message:
    """The standard library's view of the headers that describe the content."""
    message = Message()
    for name in ("content-type", "content-disposition"):
        if name in headers:
            message[name] = headers[name][:_MAX_PARAMETER_CHARS]
    return message


def _boundary(about: Message) -> bytes | None:
    boundary = _parameter(about, "content-type", "boundary")
    return boundary.rstrip().encode("utf-8", "replace") if boundary else None


def _file_name(about: Message) -> str | None:
    name = _parameter(about, "content-disposition", "filename")
    name = name or _parameter(about, "content-type", "name")
    return _one_line(_decode_words(name)) if name else None


def _parameter(about: Message, header: str, name: str) -> str | None:
    """A parameter of a header, also if it is encoded as RFC 2231 says.

    The standard library would decode it with any codec whose name is in the mail.
    """
    try:
        value = about.get_param(name, header=header)
    except (ValueError, LookupError, TypeError):
        return None
    if isinstance(value, tuple):
        charset, _language, encoded = value
        return decode_text(encoded.encode("latin-1", "replace"), charset)
    return value


def _is_attached(about: Message) -> bool:
    return str(about.get("content-disposition", "")).strip().lower().startswith("attachment")


def _is_text(content_type: str) -> bool:
    return content_type in {"text/plain", "text/html"} or content_type.startswith("multipart/")


def _parts(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """The parts between the lines with the boundary. The last may have no such line behind it."""
    mark = b"--" + boundary
    start = None
    position = body.find(mark)
    while position >= 0:
        end = position + len(mark)
        if position == 0 or body[position - 1 : position] == b"\n":
            line_end = body.find(b"\n", end, end + 200)
            rest = body[end:line_end] if line_end >= 0 else body[end : end + 200]
            if rest.strip() in {b"", b"--"}:
                if start is not None:
                    yield body[start : position - 1].removesuffix(b"\r")
                if rest.strip() == b"--":
                    return
                start = line_end + 1 if line_end >= 0 else len(body)
        position = body.find(mark, end)
    if start is not None:
        yield body[start:]


def _plain_bytes(headers: _Headers, body: bytes) -> bytes:
    """The body without its transfer encoding. What is not encoded as it says is left as it is."""
    encoding = headers.get("content-transfer-encoding", "").strip().lower()
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    if encoding == "base64":
        return _from_base64(body) or body
    return body


def _from_base64(data: bytes) -> bytes:
    for padding in (b"", b"=", b"=="):
        try:
            return binascii.a2b_base64(data + padding)
        except binascii.Error:
            continue
    return b""


def _size(headers: _Headers, body: bytes) -> int:
    """The size of an attachment in bytes, without decoding it."""
    if headers.get("content-transfer-encoding", "").strip().lower() != "base64":
        return len(body)
    characters = len(body) - sum(body.count(blank) for blank in (b"\r", b"\n", b" ", b"="))
    return characters * 3 // 4


def _preferred(alternatives: list[_Body]) -> _Body:
    """Of several forms of the same text, the plain one, else the last."""
    readable = [texts for texts in alternatives if texts]
    plain = (texts for texts in readable if all(kind == "plain" for kind, _ in texts))
    return next(plain, readable[-1] if readable else [])


def _joined(texts: _Body) -> dict[str, str]:
    """The texts as one: plain if all are, else HTML in which the plain ones are escaped."""
    if all(kind == "plain" for kind, _ in texts):
        return without_blanks({"text": "\n".join(text for _, text in texts).strip()})
    pages = (text if kind == "html" else _as_html(text) for kind, text in texts)
    return {"html": "\n".join(pages)}


def _as_html(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>"


def _message_id(headers: _Headers) -> str | None:
    value = headers.get("message-id", "")
    return value if len(value) <= _MAX_ID_CHARS else None


def _ids(headers: _Headers, name: str) -> list[str]:
    return _MESSAGE_ID.findall(headers.get(name, ""))[:_MAX_REFERENCES]


def _date(text: str, received_at: float | None) -> str | None:
    if not text or len(text) > 100:  # noqa: PLR2004 - a longer one is no date
        return None
    try:
        return to_rfc3339(parsedate_to_datetime(text).isoformat())
    except (ValueError, TypeError, IndexError, OverflowError):
        return read_time(text, received_at)


def _decoded(headers: _Headers, name: str) -> str:
    """A header as one line, with its encoded words decoded."""
    return _one_line(_decode_words(headers.get(name, "")))


def _one_line(text: str) -> str:
    return _WHITE_SPACE.sub(" ", text).strip()


def _decode_words(text: str) -> str:
    """Decode the encoded words of RFC 2047.

    White space between two of them is not part of the text. Words of the same character set that
    follow each other are joined first, because senders cut inside a character.
    """
    parts: list[str] = []
    pending, charset, position = b"", "", 0
    for word in _ENCODED_WORD.finditer(text):
        between = text[position : word.start()]
        if between.strip() or word[1].lower() != charset or not position:
            parts.append(decode_text(pending, charset))
            parts.append(between if between.strip() or not position else "")
            pending = b""
        charset = word[1].lower()
        pending += _word_bytes(word)
        position = word.end()
    parts.append(decode_text(pending, charset))
    return "".join(parts) + text[position:]


def _word_bytes(word: re.Match[str]) -> bytes:
    content = word[3].encode("utf-8", "replace")
    if word[2] in "bB":
        return _from_base64(content) or content
    return binascii.a2b_qp(content, header=True)
