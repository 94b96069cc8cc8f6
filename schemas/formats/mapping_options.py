"""The tables of the mapping language: conditions and values, as they stand in a file."""

from typing import Any, Literal

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the value at a path must be; exactly one of the fields is given.

    Raises:
        ValueError: none or several of the fields are given.
    """

    prefix: str | None = None
    contains: str | None = None
    any: list[str | int | float | bool] | None = None
    absent: Literal[True] | None = None

    def __post_init__(self) -> None:
        """Check the condition when it is read from a file."""
        if sum(value is not None for value in msgspec.structs.astuple(self)) != 1:
            raise ValueError("a condition of `when` needs one of prefix, contains, any and absent")

    def holds(self, value: object) -> bool:
        """Whether the value at the path is as required."""
        if self.absent:
            return value is None or value is False
        if self.any is not None:
            return any(equals(value, each) for each in self.any)
        if not isinstance(value, str):
            return False
        if self.prefix is not None:
            return value.startswith(self.prefix)
        return self.contains is not None and self.contains in value


class ValueOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a value comes from, and what becomes of it.

    Exactly one of `path`, `literal`, `jmespath` and `join` is given. `with` stands between the
    parts of a `join`. `map` gives the values that replace others, `at_least` the smallest number of
    each level, and `format` the form of a time as `strptime` has it. `name` is what the model reads
    before a value of `read`.

    Raises:
        ValueError: none or several of the four are given, or the expression cannot be read.
    """

    path: str | None = None
    literal: str | None = None
    jmespath: str | None = None
    join: "list[str | ValueOptions] | None" = None
    separator: str = msgspec.field(default=" ", name="with")
    map: dict[str, str] | None = None
    at_least: dict[str, float] | None = None
    format: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        """Check the value when it is read from a file."""
        if (
            sum(each is not None for each in (self.path, self.literal, self.jmespath, self.join))
            != 1
        ):
            raise ValueError("a value needs one of path, literal, jmespath and join")
        if self.jmespath is not None:
            try:
                jmespath.compile(self.jmespath)
            except JMESPathError as error:
                raise ValueError(f"the JMESPath {self.jmespath!r} is wrong: {error}") from None


Value = str | ValueOptions
Values = str | ValueOptions | list[str | ValueOptions]


def listed(values: Values | list[Any]) -> list[Value]:
    """The values in their order, however they are written."""
    return values if isinstance(values, list) else [values]


def name_of(value: Value) -> str:
    """What the model reads before a value: its name, or else the last key of its path."""
    if isinstance(value, str):
        return value.rsplit(".", 1)[-1]
    return value.name or (value.path or "").rsplit(".", 1)[-1]


def place_of(value: Value) -> str:
    """Where a value comes from, for people to read."""
    if isinstance(value, str):
        return value
    if value.join is not None:
        return value.separator.join(place_of(part) for part in value.join)
    if value.literal is not None:
        return f'"{value.literal}"'
    return value.path or value.jmespath or ""


def matches(value: Any, expected: str | float | Condition) -> bool:
    """Whether a value is what `when` asks for."""
    if isinstance(expected, Condition):
        return expected.holds(value)
    if expected is True:
        return value is not None and value is not False
    return equals(value, expected)


def equals(value: Any, expected: str | float) -> bool:
    """Whether two values of JSON are the same."""
    # `True == 1` in Python, but in JSON they are different values.
    return bool(value == expected) and isinstance(value, bool) == isinstance(expected, bool)
