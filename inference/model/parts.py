"""The parts of an event, so that a text beside what happened cannot hide it.

The model reads one text per event, and whoever writes the event can add to it. A benign text that
is appended lowers the severity of the whole, but not that of the part it stands beside.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from inference.model.input_text import EventContent

MIN_WORDS = 8
"""Shorter sentences are joined: of a few words the model cannot know how severe they are."""
MAX_PARTS = 8
MAX_CHARS = 12_000
"""How much text is cut into parts. The model reads less than that of the whole."""
WINDOW_WORDS, MAX_WINDOWS = 6, 600

# A sentence ends at white space after its mark, so that host names and versions stay whole.
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"\w+")


def split_content(content: EventContent) -> list[EventContent]:
    """The parts of an event, in order; none if it has only one.

    Each is a run of sentences, of the event's text or of a long text in its document. The last one
    is the rest of the document. The work is bounded, however large the event is.
    """
    texts = list(_runs(_long_texts(content)))
    if len(texts) > MAX_PARTS:
        size = -(-len(texts) // MAX_PARTS)
        texts = [" ".join(texts[start : start + size]) for start in range(0, len(texts), size)]
    parts = [EventContent(text, (), has_document=False) for text in texts]
    leaves = tuple(leaf for leaf in content.leaves if leaf[1] and not _is_long(leaf[1]))
    if leaves or content.key_fields:
        parts.append(replace(content, plain_text="", leaves=leaves))
    return parts if len(parts) > 1 else []


def repeated_share(text: str) -> float:
    """The share of the windows of `WINDOW_WORDS` words that occur more than once, in [0, 1]."""
    words = _WORD.findall(text[:MAX_CHARS].lower())[: MAX_WINDOWS + WINDOW_WORDS - 1]
    windows = Counter(
        tuple(words[start : start + WINDOW_WORDS]) for start in range(len(words) - WINDOW_WORDS + 1)
    )
    if not windows:
        return 0.0
    return sum(count for count in windows.values() if count > 1) / windows.total()


def _long_texts(content: EventContent) -> Iterator[str]:
    """The text of the event and the long texts of its document, at most `MAX_CHARS` together."""
    left = MAX_CHARS
    for text in (content.plain_text, *(text for _, text in content.leaves)):
        if left <= 0:
            return
        if text is content.plain_text or (_is_long(text) and text not in content.plain_text):
            yield text[:left]
            left -= len(text)


def _is_long(text: str) -> bool:
    return text.count(" ") >= MIN_WORDS - 1 and len(text.split(None, MIN_WORDS)) >= MIN_WORDS


def _runs(texts: Iterator[str]) -> Iterator[str]:
    """Runs of sentences with at least `MIN_WORDS` words; the last of a text may be shorter."""
    for text in texts:
        run: list[str] = []
        words = 0
        for sentence in _SENTENCE.split(text):
            if not sentence.strip():
                continue
            run.append(sentence.strip())
            words += len(sentence.split())
            if words >= MIN_WORDS:
                yield " ".join(run)
                run, words = [], 0
        if run:
            yield " ".join(run)
