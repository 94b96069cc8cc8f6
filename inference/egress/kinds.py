"""The kinds of value that are kept inside: a closed list, the same in placeholders, counts and configuration."""

from typing import Literal, NamedTuple, get_args

ValueKind = Literal["email", "phone", "card", "ssn", "iban", "ip", "mac", "host", "user", "secret"]

VALUE_KINDS: tuple[ValueKind, ...] = get_args(ValueKind)
GUARDED: frozenset[ValueKind] = frozenset({"secret", "card", "ssn", "iban"})
"""Never allowed out by a policy, and never put back into what a model has written."""


class Found(NamedTuple):
    """Characters [start, end) of a text; without a kind they were recognised as harmless and stay."""

    start: int
    end: int
    kind: ValueKind | None
