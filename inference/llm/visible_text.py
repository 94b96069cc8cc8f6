"""Makes text by unknown people safe to show to a model, and to an analyst who reads its answer."""

import re

_LINE_END = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")

# Characters that no reader sees but a model reads: controls, bidirectional overrides, zero-width
# and filler characters, variation selectors, tags, private use, surrogates. They are written as
# ranges because `re` has no Unicode categories; a test compares them with Unicode's own data.
_INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    "\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ud800-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U0010ffff"
    "]+"
)


def visible_text(text: str) -> str:
    """Remove every character that cannot be seen; the only controls left are line feed and tab.

    This rule is for people and for large models. The small model has its own rule, which its
    weights were trained with: `inference.model.tokenizer.replace_control_characters`.
    """
    return _INVISIBLE.sub("", _LINE_END.sub("\n", text))


def one_line(text: str, max_chars: int) -> str:
    """Return the visible text as one line of at most `max_chars` characters.

    Every run of white space becomes one space.
    """
    return truncated(" ".join(visible_text(text).split()), max_chars)


def truncated(text: str, max_chars: int) -> str:
    """Return at most `max_chars` (1 or more) characters; a text that was cut ends in "…"."""
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"
