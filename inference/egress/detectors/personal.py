"""Finds numbers that belong to a person.

They are the numbers of payment cards, social security, bank accounts and telephones.
"""

import re
from collections.abc import Iterator, Sequence

import phonenumbers
from stdnum import iban, luhn

from inference.egress.kinds import Span, ValueKind
from inference.egress.options import PHONE_REGIONS

# At least twelve single digits in a row are a number that somebody spelled digit by digit.
_SPELLED = re.compile(r"(?<!\d)\d(?:[ \n./_-]{1,2}\d(?!\d)){11,}+")
_DIGITS = re.compile(r"\d++")
_CARD_RUN = re.compile(r"(?<![0-9A-Za-z])\d(?:[ \t\n./_*-]{0,3}\d){11,}+")
_GROUPED_CARD = re.compile(
    r"(?<!\d)[2-6]\d{3}([ \t\n./_*-]{1,3}|, ?)\d{4}(?:\1\d{4}){2}(?!\d)"
    r"|(?<!\d)3[47]\d\d([ .-])\d{6}\2\d{5}(?!\d)"
)
_SSN = re.compile(r"(?<![\d-])\d{3}([ .-])\d{2}\1\d{4}(?![\d-]|\.\d)")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d\d(?:[ \n.-]?[A-Z0-9]){11,30}", re.IGNORECASE)
_IBAN_GROUPED = re.compile(
    r"[A-Z]{2}\d\d(?:[ -][A-Z0-9]{4}){3,7}(?:[ -][A-Z0-9]{1,3})?(?![A-Za-z0-9])"
)
_IBAN_COMPACT = re.compile(r"[A-Z]{2}\d\d(?=[A-Z0-9]{0,22}\d{6})[A-Z0-9]{11,30}(?![A-Za-z0-9])")
_ANNOUNCED = re.compile(
    r"(?<![a-z])(?:(?P<ssn>ssn|social[ _-]?security(?:[ _-]?(?:number|no))?|tax[ _-]?id|itin)"
    r"|(?P<card>(?:credit[ _-]?|debit[ _-]?)?card[ _-]?(?:number|no|nr)|pan)"
    r"|(?P<iban>iban|(?:bank[ _-]?)?account[ _-]?(?:number|no))"
    r"|(?P<phone>(?:tele|mobile|cell)?[ _-]?phone(?:[ _-]?(?:number|no))?|msisdn|tel|telefone?|fax"
    r"|mobile|mobil|whatsapp"
    r"|call(?: me)?(?: at| on)?|handy))"
    r"[\"'.]{0,2}[ \t]{0,3}(?:is|was|no|number|nr|n°)?[ \t\"'.:=#]{0,5}"
    r"(?P<value>\+?\(?\+?\d(?:[ ()./-]{0,2}\d){5,24})",
    re.IGNORECASE,
)
_PHONE_RUN = re.compile(r"(?<!\w)(?<!\d[.,])\d(?:[ ()./-]{0,3}\d){6,}+(?!\w)")
_PHONE_PREFIX = re.compile(r"(?:\+[ (]{0,2}|\()$")
_FIRST_DIGITS_OF_CARDS = {
    13: "4", 14: "3", 15: "312", 16: "234568", 12: "56", 17: "56", 18: "56", 19: "456",
}  # fmt: skip
"""The first digits that a card number of each length can have."""
_MIN_PHONE_DIGITS, _MIN_NATIONAL_DIGITS, _MAX_BARE_DIGITS = 7, 9, 11
_MAX_PHONE_DIGITS, _MAX_CARD_DIGITS = 16, 19
_TRUNK_PREFIX_OPTIONAL = {"BR"}
_MIN_ANNOUNCED_DIGITS: dict[ValueKind, int] = {"ssn": 9, "card": 12, "iban": 8, "phone": 7}
_MAX_GROUPS, _MAX_RUN_CHARS = 7, 160
_MAX_LOOKUPS = 1_000
# A Unix timestamp between 2017 and 2030, in seconds, milliseconds, microseconds or nanoseconds.
_TIMESTAMP = re.compile(r"1[5-8]\d{8}(?:\d{3}|\d{6}|\d{9})?")
_MIN_IBAN_CHARS, _MAX_IBAN_CHARS = 15, 34


def find_cards(text: str) -> Iterator[Span]:
    """Find card numbers that pass the Luhn check (ISO/IEC 7812).

    Four groups of four digits count without the check if they begin like a card number.
    """
    yield from (Span(*match.span(), "card") for match in _SPELLED.finditer(text))
    for match in _CARD_RUN.finditer(text):
        yield from _cards_in_run(match)
    yield from (Span(*match.span(), "card") for match in _GROUPED_CARD.finditer(text))


def _cards_in_run(run: re.Match[str]) -> Iterator[Span]:
    if len(run[0]) > _MAX_RUN_CHARS:
        yield Span(*run.span(), "card")
        return
    for start, end in _windows(run, _MAX_CARD_DIGITS):
        digits = _digits(run.string[start:end])
        if digits[0] in _FIRST_DIGITS_OF_CARDS.get(len(digits), "") and luhn.is_valid(digits):
            yield Span(start, end, "card")


def find_ssns(text: str) -> Iterator[Span]:
    """Find US social security numbers that are written in groups."""
    yield from (Span(*match.span(), "ssn") for match in _SSN.finditer(text))


def find_ibans(text: str) -> Iterator[Span]:
    """Find account numbers with valid check digits (ISO 13616).

    Numbers with wrong check digits count too if they are written like an IBAN.
    """
    for match in _IBAN.finditer(text):
        length = _valid_iban_length(match[0])
        if length:
            yield Span(match.start(), match.start() + length, "iban")
            continue
        for pattern in (_IBAN_GROUPED, _IBAN_COMPACT):
            if shaped := pattern.match(text, match.start()):
                yield Span(*shaped.span(), "iban")


def _valid_iban_length(run: str) -> int:
    """The length of the longest valid number at the beginning of a run, 0 if there is none.

    The run may also contain the word after the number.
    """
    ends = [match.end() for match in re.finditer(r"[A-Za-z0-9]", run)]
    candidates = ends[_MIN_IBAN_CHARS - 1 : _MAX_IBAN_CHARS]
    return next((end for end in reversed(candidates) if _is_iban(run[:end])), 0)


def _is_iban(text: str) -> bool:
    return bool(iban.is_valid(text.replace(".", "").replace("\n", "")))


def find_announced(text: str) -> Iterator[Span]:
    """Find numbers after a word that names their kind, valid or not."""
    for match in _ANNOUNCED.finditer(text):
        kind: ValueKind = next(kind for kind in _MIN_ANNOUNCED_DIGITS if match[kind])
        if len(_digits(match["value"])) >= _MIN_ANNOUNCED_DIGITS[kind]:
            yield Span(*match.span("value"), kind)


class PhoneFinder:
    """Finds telephone numbers that libphonenumber calls valid.

    After `_MAX_LOOKUPS` different candidates, every further one counts as a number without lookup.
    """

    def __init__(self, regions: Sequence[str] = PHONE_REGIONS) -> None:
        self._regions = regions
        self._known: dict[str, bool] = {}

    def __call__(self, text: str) -> Iterator[Span]:
        """Find international numbers of any country, and national numbers of the regions."""
        end_of_last = 0
        for match in _PHONE_RUN.finditer(text):
            if len(match[0]) > _MAX_RUN_CHARS:
                continue  # `find_cards` has already replaced it.
            for start, end in _windows(match, _MAX_PHONE_DIGITS):
                # A sign and a bracket before the first group are part of the number.
                prefix = _PHONE_PREFIX.search(text, max(end_of_last, start - 3), start)
                first = prefix.start() if prefix else start
                if start >= end_of_last and self._is_phone(text[first:end]):
                    end_of_last = end
                    yield Span(first, end, "phone")

    def _is_phone(self, raw: str) -> bool:
        digits = _digits(raw)
        if len(digits) < _MIN_PHONE_DIGITS:
            return False
        if raw not in self._known:
            # A lookup takes a fraction of a millisecond. A hostile text must not cause a hundred
            # thousand of them.
            self._known[raw] = len(self._known) >= _MAX_LOOKUPS or self._look_up(raw, digits)
        return self._known[raw]

    def _look_up(self, raw: str, digits: str) -> bool:
        is_international = raw[0] == "+" or digits.startswith("00")
        if is_international and _is_possible(f"+{digits.lstrip('0')}"):
            return True
        bare = raw.isdecimal()
        if len(digits) < _MIN_NATIONAL_DIGITS or (bare and _TIMESTAMP.fullmatch(digits)):
            return False
        return any(_is_national(digits, region, bare=bare) for region in self._regions)


def _windows(run: re.Match[str], max_digits: int) -> Iterator[tuple[int, int]]:
    """Yield [start, end) of every sequence of whole groups of digits in a run.

    From each group on, the longest comes first. Several numbers may stand side by side in a run.
    """
    groups = [match.span() for match in _DIGITS.finditer(run.string, *run.span())]
    for first, (start, _) in enumerate(groups):
        ends, digit_count = [], 0
        for group_start, group_end in groups[first : first + _MAX_GROUPS]:
            digit_count += group_end - group_start
            if digit_count > max_digits:
                break
            ends.append(group_end)
        yield from ((start, end) for end in reversed(ends))


def _is_possible(number: str) -> bool:
    try:
        return bool(phonenumbers.is_possible_number(phonenumbers.parse(number)))
    except phonenumbers.NumberParseException:
        return False


def _is_national(digits: str, region: str, *, bare: bool) -> bool:
    """Whether the digits are a number as people in `region` dial it.

    `bare` digits have no sign or bracket between them. They are more often an id or a count, so
    the conditions for them are stricter.
    """
    if bare and len(digits) > _MAX_BARE_DIGITS:
        code = str(phonenumbers.country_code_for_region(region))
        return digits.startswith(code) and _is_possible(f"+{digits}")
    if bare and not _has_trunk_prefix(digits, region):
        return False
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return False
    if bare and len(digits) <= _MIN_NATIONAL_DIGITS and not _is_mobile(number):
        return False
    return bool(phonenumbers.is_valid_number(number))


def _has_trunk_prefix(digits: str, region: str) -> bool:
    """Whether the digits begin with 0, if national numbers of the region have to."""
    trunk_prefix = phonenumbers.ndd_prefix_for_region(region, True)
    if trunk_prefix != "0" or region in _TRUNK_PREFIX_OPTIONAL:
        return True
    return digits[0] == trunk_prefix


def _is_mobile(number: phonenumbers.PhoneNumber) -> bool:
    return bool(phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.MOBILE)


def _digits(text: str) -> str:
    return "".join(filter(str.isdecimal, text))
