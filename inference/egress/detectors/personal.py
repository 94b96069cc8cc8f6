"""Numbers that belong to a person: payment cards, social security numbers, bank accounts and telephones."""

import re
from collections.abc import Iterator, Sequence

import phonenumbers
from stdnum import iban, luhn

from inference.egress.kinds import Found, ValueKind
from inference.egress.options import PHONE_REGIONS

# A number spelled digit by digit; where somebody lists a dozen digits, they are not to be shown.
_SPELLED = re.compile(r"(?<!\d)\d(?:[ \n./_-]{1,2}\d(?!\d)){11,}+")
_DIGITS = re.compile(r"\d++")
_CARD_RUN = re.compile(r"(?<![0-9A-Za-z])\d(?:[ \t\n./_*-]{0,3}\d){11,}+")
_GROUPED_CARD = re.compile(
    r"(?<!\d)[2-6]\d{3}([ \t\n./_*-]{1,3}|, ?)\d{4}(?:\1\d{4}){2}(?!\d)|(?<!\d)3[47]\d\d([ .-])\d{6}\2\d{5}(?!\d)"
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
    r"[\"'.]{0,2}[ \t]{0,3}(?:is|was|no|number|nr|n°)?[ \t\"'.:=#]{0,5}(?P<value>\+?\(?\+?\d(?:[ ()./-]{0,2}\d){5,24})",
    re.IGNORECASE,
)
_PHONE_RUN = re.compile(r"(?<!\w)(?<!\d[.,])\d(?:[ ()./-]{0,3}\d){6,}+(?!\w)")
_LEAD = re.compile(r"(?:\+[ (]{0,2}|\()$")
_BRANDS = {13: "4", 14: "3", 15: "312", 16: "234568", 12: "56", 17: "56", 18: "56", 19: "456"}
_MIN_PHONE, _MIN_NATIONAL, _MAX_BARE, _MAX_PHONE, _MAX_CARD = 7, 9, 11, 16, 19
_TRUNK_OPTIONAL = {"BR"}
_MIN_ANNOUNCED: dict[ValueKind, int] = {"ssn": 9, "card": 12, "iban": 8, "phone": 7}
_MAX_GROUPS, _MAX_RUN_CHARS = 7, 160
_MAX_TRIED = 1_000
# Bare digits of ten or thirteen that are an instant of this generation, in seconds or milliseconds.
_INSTANT = re.compile(r"1[5-8]\d{8}(?:\d{3}|\d{6}|\d{9})?")


def find_cards(text: str) -> Iterator[Found]:
    """Card numbers that pass the Luhn check (ISO/IEC 7812), and any four groups of four that begin like one."""
    yield from (Found(*match.span(), "card") for match in _SPELLED.finditer(text))
    for match in _CARD_RUN.finditer(text):
        if len(match[0]) > _MAX_RUN_CHARS:
            yield Found(*match.span(), "card")
            continue
        for start, end in _windows(match, _MAX_CARD):
            digits = _digits(text[start:end])
            if digits[0] in _BRANDS.get(len(digits), "") and luhn.is_valid(digits):
                yield Found(start, end, "card")
    yield from (Found(*match.span(), "card") for match in _GROUPED_CARD.finditer(text))


def find_ssns(text: str) -> Iterator[Found]:
    """US social security numbers by their groups."""
    yield from (Found(*match.span(), "ssn") for match in _SSN.finditer(text))


def find_ibans(text: str) -> Iterator[Found]:
    """Account numbers by their check digits (ISO 13616), and what is written like one although they are wrong."""
    for match in _IBAN.finditer(text):
        end = _valid_iban_end(match[0])
        if end:
            yield Found(match.start(), match.start() + end, "iban")
            continue
        for pattern in (_IBAN_GROUPED, _IBAN_COMPACT):
            if shaped := pattern.match(text, match.start()):
                yield Found(*shaped.span(), "iban")


def find_announced(text: str) -> Iterator[Found]:
    """Numbers after a word that says what they are, valid or not."""
    for match in _ANNOUNCED.finditer(text):
        kind: ValueKind = next(kind for kind in _MIN_ANNOUNCED if match[kind])
        if len(_digits(match["value"])) >= _MIN_ANNOUNCED[kind]:
            yield Found(*match.span("value"), kind)


class PhoneFinder:
    """Telephone numbers that libphonenumber holds valid, and after many candidates whatever looks like one."""

    def __init__(self, regions: Sequence[str] = PHONE_REGIONS) -> None:
        self._regions = regions
        self._known: dict[str, bool] = {}

    def __call__(self, text: str) -> Iterator[Found]:
        """Numbers of any country with its code, and of the regions as they are dialled there."""
        done = 0
        for match in _PHONE_RUN.finditer(text):
            if len(match[0]) > _MAX_RUN_CHARS:
                continue  # taken for cards already
            for start, end in _windows(match, _MAX_PHONE):
                # A sign and a bracket before the first group are part of the number.
                led = _LEAD.search(text, max(done, start - 3), start)
                lead = led.start() if led else start
                if start >= done and self._is_phone(text[lead:end]):
                    done = end
                    yield Found(lead, end, "phone")

    def _is_phone(self, raw: str) -> bool:
        digits = _digits(raw)
        if len(digits) < _MIN_PHONE:
            return False
        if raw not in self._known:
            # Asking costs a fraction of a millisecond: a hostile text must not ask a hundred thousand times.
            self._known[raw] = len(self._known) >= _MAX_TRIED or self._ask(raw, digits)
        return self._known[raw]

    def _ask(self, raw: str, digits: str) -> bool:
        if (raw[0] == "+" or digits.startswith("00")) and _is_possible(f"+{digits.lstrip('0')}"):
            return True
        bare = raw.isdecimal()
        if len(digits) < _MIN_NATIONAL or (bare and _INSTANT.fullmatch(digits)):
            return False
        return any(_is_national(digits, region, bare=bare) for region in self._regions)


def _windows(run: re.Match[str], max_digits: int) -> Iterator[tuple[int, int]]:
    """Every stretch of whole groups of digits in a run, longest first: numbers stand side by side."""
    groups = [match.span() for match in _DIGITS.finditer(run.string, *run.span())]
    for first, (start, _) in enumerate(groups):
        ends, count = [], 0
        for begin, end in groups[first : first + _MAX_GROUPS]:
            count += end - begin
            if count > max_digits:
                break
            ends.append(end)
        yield from ((start, end) for end in reversed(ends))


def _is_possible(number: str) -> bool:
    try:
        return bool(phonenumbers.is_possible_number(phonenumbers.parse(number)))
    except phonenumbers.NumberParseException:
        return False


def _is_national(digits: str, region: str, *, bare: bool) -> bool:
    """Whether it is a number as `region` dials it; digits without any sign of it are an id or a count more often."""
    trunk = phonenumbers.ndd_prefix_for_region(region, True)
    code = str(phonenumbers.country_code_for_region(region))
    if bare and digits.startswith(code) and len(digits) > _MAX_BARE:
        return _is_possible(f"+{digits}")
    if bare and (
        len(digits) > _MAX_BARE
        or (trunk == "0" and region not in _TRUNK_OPTIONAL and digits[0] != trunk)
    ):
        return False
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return False
    mobile = (
        not bare
        or len(digits) > _MIN_NATIONAL
        or phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.MOBILE
    )
    return bool(mobile and phonenumbers.is_valid_number(number))


def _valid_iban_end(run: str) -> int:
    """The longest beginning that is a valid number: the word after it may have been taken along."""
    ends = [match.end() for match in re.finditer(r"[A-Za-z0-9]", run)][14:34]
    return next(
        (
            end
            for end in reversed(ends)
            if iban.is_valid(run[:end].replace(".", "").replace("\n", ""))
        ),
        0,
    )


def _digits(text: str) -> str:
    return "".join(filter(str.isdecimal, text))
