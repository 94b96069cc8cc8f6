"""Finds the passages of a folder of runbooks that share the most important words with an event.

The score is BM25 over passages: Robertson and Zaragoza (2009), "The Probabilistic Relevance
Framework: BM25 and Beyond", computed by bm25s (Lù, 2024). The search compares words and not
embeddings, because runbooks are found by names of products and techniques. The small model's
embedding smooths over such names.
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

from inference.errors import ConfigError

# bm25s logs every step of building an index at DEBUG and ignores the level of the root logger.
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
    """A part of a runbook.

    `id` has the file, the heading and, from the second passage on, a number:
    ``phishing.md#steps-2``. `score` is the BM25 score.
    """

    id: str
    text: str
    score: float


class Runbooks:
    """An index of passages in memory; the same files always give the same index."""

    def __init__(self, passages: Mapping[str, str]) -> None:
        """Index texts by id.

        Raises:
            ConfigError: no text contains a word.
        """
        self._passages = list(passages.items())
        tokens = bm25s.tokenize(list(passages.values()), stopwords="en", show_progress=False)
        if not tokens.vocab:
            raise _fault(
                "the runbooks hold no word to search for: write some, or unset [retrieval] runbooks"
            )
        self._index = bm25s.BM25()
        self._index.index(tokens, show_progress=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read and index every ``*.md`` and ``*.txt`` below a folder.

        Hidden files and folders are left out.

        Raises:
            ConfigError: there is no such folder or no runbook in it, or a file is too large, not
                UTF-8, not readable, or a link to a place outside the folder.
        """
        passages: dict[str, str] = {}
        for file in _files(folder):
            name = file.relative_to(folder).as_posix()
            for anchor, text in _split(_read(file)):
                passages[_unused_id(f"{name}{anchor}", passages)] = text
        if not passages:
            raise _fault(
                f"no runbook in {folder}: put *.md or *.txt files there, "
                "or unset [retrieval] runbooks"
            )
        return cls(passages)

    def __len__(self) -> int:
        return len(self._passages)

    def best(self, text: str, count: int) -> list[Passage]:
        """Return at most `count` passages that share a word with the text, the best first.

        Passages with the same score come in the order of files and of places in the file.
        """
        (words,) = bm25s.tokenize(
            text[:MAX_QUERY_CHARS], stopwords="en", return_ids=False, show_progress=False
        )
        # Each word counts once: otherwise the sender of an event could choose what is quoted by
        # repeating a word.
        distinct_words = list(dict.fromkeys(words))[:MAX_QUERY_WORDS]
        if not distinct_words:
            return []
        scores = self._index.get_scores(distinct_words)
        best = np.argsort(-scores, kind="stable")[:count]
        return [self._passage(i, float(scores[i])) for i in best if scores[i] > 0]

    def _passage(self, index: int, score: float) -> Passage:
        id_, text = self._passages[index]
        return Passage(id_, text, round(score, SCORE_DECIMALS))


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise _fault(f"no folder {folder}: point [retrieval] runbooks at one, or unset it")
    files = [file for file in sorted(folder.rglob("*")) if _is_runbook(file, folder)]
    if len(files) > MAX_FILES:
        raise _fault(
            f"{folder} holds more than {MAX_FILES} runbooks: point [retrieval] runbooks at fewer"
        )
    for file in files:
        if not file.resolve().is_relative_to(folder.resolve()):
            raise _fault(f"{file} is a link to outside the runbooks' folder: copy the file in")
    return files


def _is_runbook(file: Path, folder: Path) -> bool:
    is_hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix.lower() in SUFFIXES and file.is_file() and not is_hidden


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise _fault(f"{file} is larger than {MAX_FILE_BYTES} bytes: split it")
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise _fault(
            f"{file} cannot be read ({error.strerror}): make it readable or remove it"
        ) from None
    except UnicodeDecodeError:
        raise _fault(f"{file} is not UTF-8: save it as UTF-8") from None


def _split(text: str) -> Iterator[tuple[str, str]]:
    """Yield the passages of a runbook, each with its anchor; a passage begins with its headings."""
    for headings, body in _sections(text):
        anchor = _anchor(headings)
        title = " > ".join(headings)[-MAX_HEADING_CHARS:]
        for part in _parts(body, MAX_PASSAGE_CHARS - len(title) - 1):
            yield anchor, f"{title}\n{part}".strip()


def _anchor(headings: list[str]) -> str:
    """The innermost heading as in a URL, such as ``#steps``; empty before the first heading."""
    if not headings:
        return ""
    anchor = _NOT_IN_ANCHOR.sub("-", headings[-1].lower()).strip("-")
    return f"#{anchor}" if anchor else ""


def _sections(text: str) -> Iterator[tuple[list[str], str]]:
    """Yield the text below each heading, with all headings above it, the outermost first.

    In a fenced block a ``#`` begins a comment of a command, not a heading.
    """
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
    """Yield as many whole paragraphs together as fit; a longer paragraph is cut between words."""
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


def _unused_id(id_: str, taken: Container[str]) -> str:
    """The id, or the id with the first number from 2 on that makes it new."""
    if id_ not in taken:
        return id_
    separator = "-" if "#" in id_ else "#"
    numbered = (f"{id_}{separator}{number}" for number in itertools.count(2))
    return next(candidate for candidate in numbered if candidate not in taken)


def _fault(message: str) -> ConfigError:
    return ConfigError(message, key="retrieval.runbooks")
