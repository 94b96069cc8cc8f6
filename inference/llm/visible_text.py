"""Text by people we do not know, made safe to show: to a model that is asked, to an analyst who reads its answer."""

import re

_LINE_END = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")

# What no reader sees and a model reads all the same: controls, bidirectional overrides, zero-width and filler
# characters, variation selectors, tags, private use, surrogates. Ranges because `re` knows no Unicode categories; a
# test holds them against Unicode's own.
_UNSEEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ud800-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff"
    "]+"
)


def visible_text(text: str) -> str:
    """The text without any character that cannot be seen; of controls only line feed and tab are left.

    For eyes and for large models. What the small model reads has its own rule, `inference.tokenizer.legible`, which
    its weights were trained with.
    """
    return _UNSEEN.sub("", _LINE_END.sub("\n", text))


def one_line(text: str, max_chars: int) -> str:
    """Legible, every run of white space one space, at most `max_chars` characters."""
    return truncated(" ".join(visible_text(text).split()), max_chars)


def truncated(text: str, max_chars: int) -> str:
    """At most `max_chars` characters (at least 1); what was cut ends in an ellipsis."""
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"
