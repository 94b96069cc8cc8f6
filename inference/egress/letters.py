"""Writes letters that look like Latin ones as Latin ones, so that a word cannot hide behind them.

The result is only searched. What is sent keeps its own letters.
"""

import unicodedata

# Pairs of a look-alike and the Latin letter that it is read as, after Unicode's list of confusables
# (UTS 39). Both cases of a letter get the same Latin letter, so that a search that ignores case
# finds a word of another alphabet in both.
_CYRILLIC = (
    "аaсcеeєeоoрpхxуyвbмmнhкkтtіiѕsјjԁdɡgһhԛqԝwѵvӏlґrгrпnшwьbзeиuцuјjӀlьb"
)  # fmt: skip
_GREEK = "αaβbεeσsιiκkοoρpτtχxγyυyνvωwσoηnμuζzϲcϳjςc"
_ARMENIAN = "օoսuհhոnցgքpտuզqԼlՏsՍuլl"
_LATIN = (
    "ɑaᴀaʙbɓbᴄcƈcɔcᴅdđdɖdɗdᴇeɛeəeǝeℯeꜰfƒfɢgǥgɠgʜhħhɦhıiɩiɪiᴊjȷjᴋkƙkłlʟlɫlɭlᴍmɱmɴnŋnɲnƞnøoᴏo"
    "ɵoᴘpƥpꞯqʠqʀrɍrɼrɽrꜱsʂsȿsᴛtŧtƭtʈtᴜuʉuᴠvʋvᴡwⱳwʏyƴyɏyᴢzƶzʐzȥz"
)  # fmt: skip
_SYMBOLS = {
    "ß": "s",
    "ѡ": "w",
    "℮": "e",
    "∪": "u",
    "∨": "v",
    "⋁": "v",
    "⍳": "i",
    "⍴": "p",
    "⍺": "a",
}
# Letters in squares and circles that Unicode does not count as spellings of the letters.
_FIRST_OF_ALPHABETS = (0x1F150, 0x1F170, 0x1F1E6)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def _pairs() -> dict[int, str]:
    letters = _CYRILLIC + _GREEK + _ARMENIAN + _LATIN
    table = dict(zip(letters[::2], letters[1::2], strict=True)) | _SYMBOLS
    upper = {key.upper(): latin.upper() for key, latin in table.items() if len(key.upper()) == 1}
    boxed = {
        chr(first + n): letter
        for first in _FIRST_OF_ALPHABETS
        for n, letter in enumerate(_ALPHABET)
    }
    return {ord(key): latin for key, latin in (boxed | upper | table).items()}


class _LatinTable(dict[int, str | int]):
    """A table for `str.translate` that decides about a code point when it first occurs."""

    def __missing__(self, code: int) -> str | int:
        self[code] = replacement = self._decide(code)
        return replacement

    def _decide(self, code: int) -> str | int:
        """The letter without its accents, if it has any."""
        base, *marks = unicodedata.decomposition(chr(code)).split()[:2] or [""]
        if not marks or base.startswith("<") or not unicodedata.combining(chr(int(marks[0], 16))):
            return code
        return self[int(base, 16)]


_LATIN_LETTERS = _LatinTable(_pairs())


def plain_letters(text: str) -> str:
    """Return the text with Latin letters without accents; its length does not change.

    Letters of other alphabets that look like Latin ones become these. So only compare the result
    with words that went through this function too.
    """
    return text if text.isascii() else text.translate(_LATIN_LETTERS)
