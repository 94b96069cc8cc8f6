"""The kinds of value that redaction replaces.

The list is closed. Placeholders, counts and the configuration use the same names.
"""

from typing import Literal, NamedTuple, get_args

ValueKind = Literal["email", "phone", "card", "ssn", "iban", "ip", "mac", "host", "user", "secret"]

VALUE_KINDS: tuple[ValueKind, ...] = get_args(ValueKind)
NEVER_SENT: frozenset[ValueKind] = frozenset({"secret", "card", "ssn", "iban"})
"""No policy can let these kinds out, and they are never restored in a text that a model wrote."""


class Span(NamedTuple):
    """The characters [start, end) of a text that a detector recognised.

    `kind` is None if they were recognised as harmless: they then stay in the text.
    """

    start: int
    end: int
    kind: ValueKind | None
