"""Signatures, notices and footers at the end of a message."""

import re
from itertools import islice
from typing import Final

from schemas.formats.text.lines import has_word
from schemas.formats.text.names import names
from schemas.formats.text.phrases import (
    BANNER_STARTS,
    CLOSINGS,
    DEVICES,
    FOOTER_STARTS,
    MOBILE_STARTS,
    NOTICE_STARTS,
    NOTICE_WORDS,
    ONE_WORD_CLOSINGS,
    POSTSCRIPTS,
    SENTENCE_WORDS,
    THANKS,
    WEAK_NOTICE_WORDS,
)

MAX_SIGNATURE_LINES: Final = 30
MAX_PARAGRAPH_LINES: Final = 60
_MAX_ROUNDS = 6
_MAX_CANDIDATES = 4
_LONGEST_CLOSING = 60
_LONGEST_LINE = 160
_LINE_WORDS = 7
_NAME_WORDS = 5
_SHORT_WORD = 4
_MOBILE_WORDS = 9
_NOTICE_WORDS = 2
_FOOTER_CHARS = 400

_RULES = "_-=\u2013\u2014\u2500"
_JOINTS = re.compile(r" ?[/|,&] ?| and | und | et | y | e ")
_COMPANY = re.compile(
    r"registered (?:in|office)|company (?:no|number|reg)|amtsgericht|handelsregister|\bhrb\b"
    r"|geschäftsführer|ust-?id|\bvat\b|siège social|\brcs\b|\bsiret\b|registro mercantil"
    r"|\bnif\b|\bcif\b|\bcnpj\b|\bsitz\b"
)
_PHONE = re.compile(r"\+?\(?\d[\d ()/.-]{6,20}\d")
_ADDRESS = re.compile(
    r"@|mailing list|www\.|https?://|\b(?:tel|fax|mob|mobile|phone|tél|telefon|móvil|cel)\b[.:]?"
)
_FOOTER_WORDS = re.compile(
    r"click|link|http|www|here|preferenc|settings|because|hier|klick|weil|cliquez|ici|parce|car "
    r"|clic|aquí|porque|clique|aqui|mail|\|"
)
_STARTS = (*NOTICE_STARTS, *FOOTER_STARTS, *MOBILE_STARTS)
_FIRST_WORDS = frozenset(phrase.split()[0].strip(",.") for phrase in CLOSINGS | THANKS)
_PARTICLES = names("de da do dos das del la le van von der den di du y e und and & the")
_PROXIES = ("i. a", "i.a", "i. v", "i.v", "ppa", "p.p.", "gez.", "p.o.")


def signature_flags(lines: list[str], *, may_be_all: bool = False) -> list[bool]:
    """Which lines are a signature, a notice or a footer.

    There are always words above them, unless `may_be_all`.
    """
    flags = [False] * len(lines)
    first = next((n for n, line in enumerate(lines) if has_word(line)), len(lines))
    if not may_be_all:
        first += 1
    end = len(lines)
    for _ in range(_MAX_ROUNDS):
        end = _without_blanks(lines, end)
        cut = _footer_start(lines, first, end)
        if cut is None:
            cut = _signature_start(lines, first, end)
        if cut is None:
            break
        start, stop = cut
        flags[start:stop] = [True] * (stop - start)
        if stop < end:
            break
        end = start
    return flags


def banner_end(lines: list[str]) -> int:
    """How many of the first lines warn of an external sender, as mail programs do."""
    start = next((n for n, line in enumerate(lines) if line.strip()), 0)
    if not lines or not _lowered(lines[start]).lstrip("[").startswith(BANNER_STARTS):
        return 0
    end = start
    while end < len(lines) and lines[end].strip():
        end += 1
    return end if end < len(lines) else start + 1


def _without_blanks(lines: list[str], end: int) -> int:
    while end and not has_word(lines[end - 1]) and lines[end - 1].strip() not in {"--", "\u2014"}:
        end -= 1
    return end


def _lowered(line: str) -> str:
    return " ".join(line.replace("\u2019", "'").strip(" *_\t\xa0").lower().split())


def _footer_start(lines: list[str], first: int, end: int) -> tuple[int, int] | None:
    """Where a notice or footer begins that fills the end of the last paragraph."""
    start = end
    while start > max(first, end - MAX_PARAGRAPH_LINES) and lines[start - 1].strip():
        start -= 1
    starts = (n for n in range(start, end) if _may_be_footer(lines[n]))
    for number in islice(starts, _MAX_CANDIDATES):
        if _is_footer(lines, number, end):
            return number, end
    return None


def _is_footer(lines: list[str], start: int, end: int) -> bool:
    """Whether a notice or a footer begins at `start` and reaches to `end`."""
    line = _lowered(lines[start][:_FOOTER_CHARS])
    if line.startswith(MOBILE_STARTS):
        return end == start + 1 and _is_mobile(line)
    if line.startswith(FOOTER_STARTS):
        text = _lowered(" ".join(lines[start:end]))
        return not _tells(text) and _FOOTER_WORDS.search(text) is not None
    if line.startswith(NOTICE_STARTS):
        text = _lowered(" ".join(lines[start:end]))
        strong = sum(word in text for word in NOTICE_WORDS)
        weak = sum(word in text for word in WEAK_NOTICE_WORDS)
        return strong > 0 and strong + weak >= _NOTICE_WORDS and not _tells(text)
    return False


def _tells(text: str) -> bool:
    """Whether a person tells something of himself: no notice says "I" or "my card"."""
    words = set(text.replace(",", " ").replace(".", " ").split())
    return not words.isdisjoint(
        {"i", "i'm", "my", "ich", "mein", "meine", "j'ai", "mon", "mi", "yo"}
    )


def _is_mobile(line: str) -> bool:
    words = [word for word in line.split() if "http" not in word]
    if len(words) > _MOBILE_WORDS or not any(device in line for device in DEVICES):
        return False
    rest = {word.strip(".,") for word in words} - {"my", "mon", "mi", "meu", "meinem"}
    return rest.isdisjoint(SENTENCE_WORDS - {"wurde"})


def _signature_start(lines: list[str], first: int, end: int) -> tuple[int, int] | None:
    """Where a signature begins and stops. What follows a signature may be a postscript."""
    candidates = 0
    for number in range(max(first, end - MAX_SIGNATURE_LINES), end):
        line = lines[number].strip(" \t\xa0*")
        if not line or len(line) > _LONGEST_CLOSING:
            continue
        if lines[number] == "-- ":
            return number, end
        if line in {"\u2014", "\u2013"} or (len(line) > 1 and not line.strip(_RULES)):
            candidates += 1
            stop = _block_end(lines, number + 1, end)
            if stop == end > number + 1 and _begins_signature(lines, number + 1, end):
                return number, end
        elif _closes(lines, number, end):
            return number, _block_end(lines, number + 1, end)
        if candidates == _MAX_CANDIDATES:
            break
    return None


def _begins_signature(lines: list[str], start: int, end: int) -> bool:
    """Whether the block below a rule is a signature: a name, a contact or a notice is in it."""
    rest = [line for line in lines[start:end] if line.strip()]
    if not rest:
        return False
    return _is_name(rest[0]) or any(_is_contact(line) for line in rest) or _closing(rest[0])


def _closing(line: str) -> bool:
    return _lowered(line).rstrip(" ,.!;:-") in CLOSINGS


def _closes(lines: list[str], number: int, end: int) -> bool:
    """Whether a line ends the message, such as "Best regards" or "Thanks, Dana"."""
    words = _lowered(lines[number]).split(maxsplit=1)
    if not words or words[0].strip(",.!;:-/|") not in _FIRST_WORDS:
        return False
    line = _lowered(lines[number])
    phrase = line
    while phrase and not phrase[-1].isalnum():
        phrase = phrase[:-1]
    below = next((row for row in lines[number + 1 : end] if row.strip()), "")
    if phrase in CLOSINGS or _is_double_closing(phrase):
        return not below or _is_signature_line(below) or _may_be_footer(below)
    if phrase in THANKS:
        return _is_name(below)
    head, comma, name = lines[number].strip(" \t\xa0*_").partition(",")
    if comma and _lowered(head) in CLOSINGS | THANKS and _is_name(name):
        return not below or _is_signature_line(below)
    return _has_name_behind(lines[number]) and (not below or _is_signature_line(below))


def _is_double_closing(phrase: str) -> bool:
    """Whether the line is made of closings, such as "Thanks and regards" in two languages."""
    parts = [part.strip() for part in _JOINTS.split(phrase)]
    return (
        1 < len(parts) <= _MAX_CANDIDATES
        and not CLOSINGS.isdisjoint(parts)
        and all(part in CLOSINGS or part in THANKS for part in parts)
    )


def _has_name_behind(line: str) -> bool:
    """Whether a closing and a name stand in one line without a comma."""
    words = line.strip(" \t\xa0*_").split()
    for count in range(1, min(len(words), 6)):
        closings = CLOSINGS if count > 1 else ONE_WORD_CLOSINGS
        if " ".join(words[:count]).lower() in closings and _is_name(" ".join(words[count:])):
            return True
    return False


def _block_end(lines: list[str], start: int, end: int) -> int:
    """The number of the first line that is no part of a signature that begins at `start`."""
    number = start
    while number < end:
        if lines[number].strip() and not _is_signature_line(lines[number]):
            stop = _paragraph_end(lines, number, end)
            if not _is_footer(lines, number, stop):
                return number
            number = stop
        number += 1
    return end


def _paragraph_end(lines: list[str], start: int, end: int) -> int:
    for number in range(start, min(end, start + MAX_PARAGRAPH_LINES)):
        if not lines[number].strip():
            return number
    return end


def _may_be_footer(line: str) -> bool:
    return _lowered(line[:_LONGEST_LINE]).startswith(_STARTS)


def _is_contact(line: str) -> bool:
    return _ADDRESS.search(line.lower()) is not None or _PHONE.search(line) is not None


def _is_signature_line(line: str) -> bool:
    """Whether a line may stand in a signature: a name, a title, a telephone number, an address."""
    text = line.strip(" \t\xa0*_>|")
    lowered = _lowered(text)
    if not has_word(text):
        return True
    if len(text) > _LONGEST_LINE or lowered.startswith(POSTSCRIPTS):
        return False
    if _is_of_a_company(lowered):
        return True
    words = lowered.replace(",", " ").replace("|", " ").split()
    if lowered.startswith(_PROXIES):
        return len(words) <= _LINE_WORDS
    is_sentence = not SENTENCE_WORDS.isdisjoint(word.strip(".!?:;") for word in words)
    return not is_sentence and (_is_contact(text) or _is_title(text, len(words)))


def _is_of_a_company(line: str) -> bool:
    """Whether the line is what a program or a register of companies asks for."""
    if line.startswith(MOBILE_STARTS):
        return _is_mobile(line)
    return _COMPANY.search(line) is not None and not _tells(line)


def _is_title(text: str, words: int) -> bool:
    """Whether a line without a sentence in it may be a title, a company or a street."""
    if text[-1] in "?!" or (text[-1] == "." and words > _NAME_WORDS):
        return False
    if words > _LINE_WORDS and not _is_capitalised(text):
        return False
    return not text[0].islower()


def _is_capitalised(text: str) -> bool:
    """Whether all but the short words begin with capitals, as in long titles."""
    return all(len(word) < _SHORT_WORD or not word[0].islower() for word in text.split())


def _is_name(line: str) -> bool:
    """Whether a line is one to five words that begin with capitals, as names do."""
    text = line.strip(" \t\xa0*_.,")
    words = text.replace(",", " ").split()
    if not 1 <= len(words) <= _NAME_WORDS or any(map(str.isdigit, text)):
        return False
    if text[-1] in "?!:" or not SENTENCE_WORDS.isdisjoint(word.lower() for word in words):
        return False
    return all(word[0].isupper() or word.lower() in _PARTICLES for word in words)
