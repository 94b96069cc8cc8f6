"""The passages of a folder of runbooks that share most with an event's words: BM25 over paragraphs.

Robertson and Zaragoza (2009), "The Probabilistic Relevance Framework: BM25 and Beyond", through bm25s (Lù, 2024).
Words, because runbooks are found by what the small model's embedding smooths over: names of products and techniques.
"""

import itertools
import logging
import re
import textwrap
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import bm25s
import numpy as np

# It logs every step of building an index at DEBUG, past any level set on the root.
logging.getLogger("bm25s").setLevel(logging.WARNING)

SUFFIXES = (".md", ".txt")
MAX_FILES = 1_000
MAX_FILE_BYTES = 1_048_576
MAX_PASSAGE_CHARS = 800
MAX_HEADING_CHARS = 120
MAX_QUERY_CHARS = 4_000
MAX_QUERY_WORDS = 200
SCORE_DECIMALS = 4

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*)")
_FENCE = re.compile(r"\s{0,3}(```|~~~)")
_BLANK_LINES = re.compile(r"\n[ \t]*\n")
_NOT_IN_ANCHOR = re.compile(r"[^\w-]+")


@dataclass(frozen=True, slots=True)
class Passage:
    """Part of a runbook; `id` is its file, heading and turn (``phishing.md#steps-2``), `score` its BM25."""

    id: str
    text: str
    score: float


class Runbooks:
    """An index over passages, in memory; the same for the same files."""

    def __init__(self, passages: Mapping[str, str]) -> None:
        """Index texts by id.

        Raises:
            ValueError: there is no word in any of them.
        """
        self._passages = list(passages.items())
        tokens = bm25s.tokenize(list(passages.values()), stopwords="en", show_progress=False)
        if not tokens.vocab:
            raise ValueError(
                "the runbooks hold no word to search for: write some, or unset [retrieval] runbooks"
            )
        self._index = bm25s.BM25()
        self._index.index(tokens, show_progress=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read and index every ``*.md`` and ``*.txt`` below a folder; hidden files and folders are left out.

        Raises:
            ValueError: one sentence: no such folder, nothing in it, or a file that is too large, not UTF-8, not
                readable, or a link to somewhere else.
        """
        passages: dict[str, str] = {}
        for file in _files(folder):
            name = file.relative_to(folder).as_posix()
            for anchor, text in _cut(_read(file)):
                passages[_unused(f"{name}{anchor}", passages)] = text
        if not passages:
            raise ValueError(
                f"no runbook in {folder}: put *.md or *.txt files there, or unset [retrieval] runbooks"
            )
        return cls(passages)

    def __len__(self) -> int:
        return len(self._passages)

    def best(self, text: str, count: int) -> list[Passage]:
        """At most `count` passages that share a word with the text, best first; equals in order of file and place."""
        (words,) = bm25s.tokenize(
            text[:MAX_QUERY_CHARS], stopwords="en", return_ids=False, show_progress=False
        )
        # Each word once: an event that repeats one must not choose what is quoted beside it.
        distinct = list(dict.fromkeys(words))[:MAX_QUERY_WORDS]
        if not distinct:
            return []
        scores = self._index.get_scores(distinct)
        order = np.argsort(-scores, kind="stable")[:count]
        best = [
            (self._passages[i], round(float(scores[i]), SCORE_DECIMALS))
            for i in order
            if scores[i] > 0
        ]
        return [Passage(id_, passage, score) for (id_, passage), score in best]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"no folder {folder}: point [retrieval] runbooks at one, or unset it")
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    if len(files) > MAX_FILES:
        raise ValueError(
            f"{folder} holds more than {MAX_FILES} runbooks: point [retrieval] runbooks at fewer"
        )
    for file in files:
        if not file.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{file} is a link to outside the runbooks' folder: copy the file in")
    return files


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"{file} is larger than {MAX_FILE_BYTES} bytes: split it")
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise ValueError(
            f"{file} cannot be read ({error.strerror}): make it readable or remove it"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not UTF-8: save it as such") from None


def _cut(text: str) -> Iterator[tuple[str, str]]:
    """Passages with their anchors ("" above the first heading), each under the headings it stands below."""
    for headings, body in _sections(text):
        anchor = _NOT_IN_ANCHOR.sub("-", headings[-1].lower()).strip("-") if headings else ""
        title = " > ".join(headings)[-MAX_HEADING_CHARS:]
        for part in _parts(body, MAX_PASSAGE_CHARS - len(title) - 1):
            yield f"#{anchor}" if anchor else "", f"{title}\n{part}".strip()


def _sections(text: str) -> Iterator[tuple[list[str], str]]:
    """Bodies with the headings above them, outermost first; a ``#`` in a fenced block is a comment of its commands."""
    headings: dict[int, str] = {}
    body: list[str] = []
    fenced = False
    for line in text.split("\n"):
        fenced ^= bool(_FENCE.match(line))
        heading = None if fenced else _HEADING.match(line)
        if heading:
            yield list(headings.values()), "\n".join(body)
            body, level = [], len(heading[1])
            headings = {above: title for above, title in headings.items() if above < level}
            headings[level] = heading[2].rstrip()
        else:
            body.append(line)
    yield list(headings.values()), "\n".join(body)


def _parts(body: str, max_chars: int) -> Iterator[str]:
    """Whole paragraphs, as many together as fit; one that does not fit is broken between words."""
    part = ""
    for paragraph in _BLANK_LINES.split(body):
        for piece in textwrap.wrap(
            paragraph.strip("\n"), max_chars, replace_whitespace=False, expand_tabs=False
        ):
            if part and len(part) + len(piece) + 2 > max_chars:
                yield part
                part = ""
            part = f"{part}\n\n{piece}" if part else piece
    if part:
        yield part


def _unused(name: str, taken: Container[str]) -> str:
    """The name, or with the first number from 2 that nobody has."""
    separator = "-" if "#" in name else "#"
    numbered = (f"{name}{separator}{turn}" for turn in itertools.count(2))
    return name if name not in taken else next(one for one in numbered if one not in taken)
