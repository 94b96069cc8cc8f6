"""Bytes of unknown encoding as text."""

import codecs
from contextlib import suppress
from encodings import aliases
from functools import cache

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
# Character sets by the names that Python gives them. Only these are decoded: some of Python's
# codecs, such as punycode and idna, take quadratic time, and others are no character sets.
_CHARSETS = frozenset(
    {
        *("ascii", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "koi8-r", "koi8-u", "tis-620"),
        *("gb2312", "gbk", "gb18030", "big5", "big5hkscs", "euc_kr", "cp949", "mac-roman"),
        *("shift_jis", "cp932", "euc_jp", "iso2022_jp", "cp437", "cp850", "cp852", "cp866"),
        *(f"iso8859-{number}" for number in (1, *range(2, 12), 13, 14, 15, 16)),
        *(f"cp{number}" for number in (874, *range(1250, 1259))),
    }
)
# Senders write these and mean the larger set, as every mail program and browser reads them.
_LARGER = {
    "ascii": None,
    "utf-8": None,
    "iso8859-1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
}
# Names that mail programs write and Python does not know.
_MORE_NAMES = {
    "ansi": "cp1252",
    "gb_2312_80": "gb18030",
    "iso_8859_8_i": "iso8859-8",
    "windows_31j": "cp932",
    "windows_874": "cp874",
    "x_gbk": "gb18030",
    "x_sjis": "cp932",
    "x_windows_949": "cp949",
}
_LONGEST_CHARSET = 40


def _normalized(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_").replace(".", "_")


@cache  # This loads the codecs, which takes 40 ms, and most records are UTF-8.
def _names() -> dict[str, str]:
    """Every name of the character sets that are decoded here, and Python's name of its codec."""
    names = {_normalized(codec): codec for codec in _CHARSETS}
    for name, module in aliases.aliases.items():
        with suppress(LookupError):  # a codec of another system
            codec = codecs.lookup(module).name
            if codec in _CHARSETS:
                names[_normalized(name)] = codec
    return {**names, **_MORE_NAMES}


def to_utf8(data: bytes) -> bytes:
    """The bytes without a byte order mark; UTF-16 and UTF-32 that have one become UTF-8.

    PowerShell and Windows' own tools write UTF-16. Without a mark it is not recognised.
    """
    if data.startswith(codecs.BOM_UTF8):
        return data[len(codecs.BOM_UTF8) :]
    if data.startswith(_UTF32_MARKS):  # first: one of these begins like a mark of UTF-16
        return data.decode("utf-32", "replace").encode()
    if data.startswith(_UTF16_MARKS):
        return data.decode("utf-16", "replace").encode()
    return data


def decode_text(data: bytes, charset: str | None = None) -> str:
    """The text in `data`. Bytes that are wrong in its character set become U+FFFD.

    If the character set is not known here, or is said to be UTF-8 or ASCII, the text is UTF-8; it
    is Windows-1252 if most of what is not ASCII is no UTF-8.
    """
    codec = _codec(charset)
    if codec is not None:
        return data.decode(codec, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    right = len(text) - len(text.encode("ascii", "ignore")) - wrong
    # A line that a relay cut inside its last character is still UTF-8.
    if right >= wrong:
        return text
    return data.decode("cp1252", "replace")


def _codec(charset: str | None) -> str | None:
    """Python's name of a character set that is decoded here, else None.

    Python itself is not asked for a name from a record, because it remembers each for ever.
    """
    if charset is None or len(charset) > _LONGEST_CHARSET or not charset.isascii():
        return None
    name = charset.partition("*")[0].strip()  # RFC 2231 allows a language behind it: utf-8*en
    codec = _names().get(_normalized(name))
    return None if codec is None else _LARGER.get(codec, codec)
