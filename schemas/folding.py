"""One spelling of a name, for every place where names are compared.

A sender chooses the spelling of its tenant and its source. Without folding, ``ACME`` or ``acme``
with a character that nobody sees would be another tenant, to which no policy applies.
"""

import unicodedata
from functools import lru_cache

MAX_CHARS = 512
"""How much of a name is read. Normalising a long run of combining marks takes quadratic time."""

# Unicode does not count these invisible characters as format characters (Cf).
_FILLERS = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164}
_FILLERS |= {0xFFA0, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}


@lru_cache(maxsize=4096)
def fold(name: str) -> str:
    """The name without regard to case, width, white space around it and invisible characters.

    White space inside becomes one space. Folding a folded name changes nothing. Only the first
    `MAX_CHARS` characters are read.
    """
    visible = "".join(filter(_is_visible, name[:MAX_CHARS]))
    cased = unicodedata.normalize("NFKC", visible).casefold()
    # Case folding may decompose a character, and normalising may reveal a filler.
    again = "".join(filter(_is_visible, unicodedata.normalize("NFKC", cased)))
    return " ".join(again.split())


def _is_visible(character: str) -> bool:
    if character.isspace():
        return True
    return (
        unicodedata.category(character) not in {"Cf", "Cc", "Cs"} and ord(character) not in _FILLERS
    )
