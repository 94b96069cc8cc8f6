"""Which language a text is in, and whether it is a language at all.

py3langid says it: a naive Bayes classifier on runs of bytes. It needs no network, and the same text
always gives the same answer. It is loaded when it is first needed.
"""

import threading
from functools import cache
from typing import Any

ENGLISH = "English"
NO_LANGUAGE = "no language"
"""What a text reads like that has letters but no words."""

MAX_CHARS, MIN_LETTERS = 400, 10
MAX_ENGLISH, MIN_FOREIGN = 0.02, 0.2
"""A text is in another language if English is at most so probable and that language at least so.

Chosen on sentences of our own (`tests/data/languages.toml`) and on the validation rows, so that no
English text is called foreign because of its names.
"""
LIKELY_ENGLISH = 0.5
MIN_NO_LANGUAGE = 0.4

_LOADING = threading.Lock()
_ENGLISH_CODES = ("en", "pcm")
_NO_LANGUAGE_CODE = "zxx"
_NAMES = {
    "af": "Afrikaans", "ar": "Arabic", "ary": "Arabic", "arz": "Arabic", "az": "Azerbaijani",
    "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali", "bs": "Bosnian", "ca": "Catalan",
    "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek",
    "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish",
    "fr": "French", "ga": "Irish", "gl": "Galician", "gu": "Gujarati", "he": "Hebrew",
    "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian",
    "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh",
    "ko": "Korean", "la": "Latin", "lb": "Luxembourgish", "lt": "Lithuanian", "lv": "Latvian",
    "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi", "ms": "Malay",
    "mt": "Maltese", "ne": "Nepali", "nl": "Dutch", "nn": "Norwegian", "no": "Norwegian",
    "pa": "Punjabi", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sl": "Slovenian", "so": "Somali", "sq": "Albanian", "sr": "Serbian",
    "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai",
    "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek",
    "vi": "Vietnamese", "yue": "Chinese", "wuu": "Chinese", "zh": "Chinese", "zu": "Zulu",
}  # fmt: skip
ANOTHER = "another language"


def identify(text: str) -> str:
    """`ENGLISH`, the English name of another language, `ANOTHER`, `NO_LANGUAGE`, or ``""``.

    It is empty if the text has too few letters, or if it could be English.
    """
    words = _common_words(text)
    if sum(map(str.isalpha, words)) < MIN_LETTERS:
        return ""
    probabilities = dict(_identifier().rank(words))
    english = max(probabilities[code] for code in _ENGLISH_CODES)
    code = max(probabilities, key=probabilities.__getitem__)
    if english >= LIKELY_ENGLISH:
        return ENGLISH
    if probabilities[_NO_LANGUAGE_CODE] >= MIN_NO_LANGUAGE:
        return NO_LANGUAGE
    if english > MAX_ENGLISH or probabilities[code] < MIN_FOREIGN:
        return ""
    return _NAMES.get(code, ANOTHER)


def load() -> None:
    """Load what `identify` needs, if that was not done yet: it takes about a second."""
    _identifier()


def _common_words(text: str) -> str:
    """The words of a text in lower case, without names if enough words are left.

    A name is a word that starts with a capital letter or has a dot or an underscore inside.
    """
    words = text[:MAX_CHARS].split()
    common = [word for word in words if not _is_name(word)]
    if sum(map(len, common)) < MIN_LETTERS:
        common = words
    return " ".join(common).lower()


def _is_name(word: str) -> bool:
    core = word.strip(".,!?;:")
    return word[:1].isupper() or "." in core or "_" in core


def _identifier() -> Any:
    # Two threads that ask at once must not both load it: it takes a second and 76 MB.
    with _LOADING:
        return _load()


@cache
def _load() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415 - slow to load

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
