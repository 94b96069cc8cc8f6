"""How analysts close alerts, in three words: true positive, benign, false positive.

Each product has words of its own for them.
"""

import re

TRUE_POSITIVE, BENIGN, FALSE_POSITIVE = "true positive", "benign", "false positive"
DISPOSITION = "disposition"
"""The axis whose labels are read as dispositions."""
HARMLESS = (BENIGN, FALSE_POSITIVE)
"""The dispositions of an alert that nobody has to act on."""

_WORDS = {
    TRUE_POSITIVE: "true positive|tp|malicious|confirmed|confirmed threat|threat|incident|"
    "compromised|true positive suspicious activity|suspicious activity|malware|phishing",
    BENIGN: "benign|benign positive|benign true positive|benign positive suspicious but expected|"
    "suspicious but expected|informational expected activity|expected activity|authorized|"
    "authorised|authorized activity|security testing|acceptable risk|known good|btp",
    FALSE_POSITIVE: "false positive|fp|incorrect alert logic|false positive incorrect alert logic|"
    "inaccurate data|false positive inaccurate data|not malicious|noise",
}
_NONE = (
    "|undetermined|unknown|not set|not available|none|null|n a|open|new|in progress|active|"
    "inconclusive|other|pending|duplicate|unassigned|to be determined|tbd"
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NOT_LETTER = re.compile(r"[^a-z]+")
_BY_WORD = {word: name for name, words in _WORDS.items() for word in words.split("|")}
_NO_ANSWER = frozenset(_NONE.split("|"))


def disposition_of(value: str) -> str | None:
    """The disposition that a product's word means; None if it is no answer.

    A word that is not known here stays as it is: a desk may have dispositions of its own.
    """
    word = _NOT_LETTER.sub(" ", _CAMEL.sub(" ", value).lower()).strip()
    if word in _NO_ANSWER:
        return None
    return _BY_WORD.get(word, value)


def is_harmless(value: str) -> bool:
    """Whether a disposition says that nobody has to act; one that is not known here does not."""
    return disposition_of(value) in HARMLESS
