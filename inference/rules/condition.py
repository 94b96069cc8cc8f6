"""Conditions in CEL over an event and its labels: compiled and checked once, evaluated on every event.

CEL (the Common Expression Language, github.com/google/cel-spec) always ends and touches nothing, but what it costs is
decided by the data, and the data is written by strangers. So no loop may stand in a loop, a loop reads no collection
longer than `MAX_ELEMENTS`, and patterns are literals (matched in linear time) that are known to compile.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Self

import cel

from schemas.event import Event
from schemas.triaged import Label

VARIABLES = ("event", "labels", "confidence", "now")
EVENT_FIELDS = (
    *(
        "id",
        "kind",
        "domain",
        "tenant",
        "source",
        "title",
        "text",
        "body",
        "occurred_at",
        "attributes",
        "event",
    ),
)
MAX_CHARS = 2_000
"""The evaluator recurses into each operator: some ten thousand of them would overflow the stack of the process."""
MAX_ELEMENTS = 1_000

_FUNCTIONS = frozenset(
    {"contains", "startsWith", "endsWith", "matches", "size", "type", "dyn"}
    | {"string", "int", "uint", "double", "bytes", "timestamp", "duration"}
    | {"getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek"}
    | {"getHours", "getMinutes", "getSeconds", "getMilliseconds"}
)
_TYPES = frozenset({"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint"})
_LITERAL = (
    r'[rR]?"""(?:.|\n)*?"""'
    r"|[rR]?'''(?:.|\n)*?'''"
    r'|[rR]"[^"\n]*"'
    r"|[rR]'[^'\n]*'"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])*'"
)
_LOOP = re.compile(r"\.\s*(?:all|exists_one|exists|map|filter)\s*\(\s*(\w+)\s*,")
_MEMBER = r"\.(\w+)\b(?!\s*\()"


class Facts:
    """What expressions may read of one event, converted when the first of them asks.

    Args:
        event: a text field it lacks reads as ``""``, an absent vendor document as an empty map.
        labels: its label on each axis.
        now: an aware datetime.
        reads: what any of the expressions reads; a large vendor document costs milliseconds to convert.
    """

    def __init__(
        self, event: Event, labels: Mapping[str, Label], now: datetime, reads: Collection[str]
    ) -> None:
        self._event, self._labels, self._now, self._reads = event, labels, now, reads

    @cached_property
    def context(self) -> Any:
        """The variables, as the evaluator holds them."""
        values: dict[str, Any] = {"event": self._fields}
        if "labels" in self._reads:
            values["labels"] = {axis: label.value for axis, label in self._labels.items()}
        if "confidence" in self._reads:
            values["confidence"] = {axis: label.confidence for axis, label in self._labels.items()}
        if "now" in self._reads:
            values["now"] = self._now
        return cel.Context(variables=values)

    @cached_property
    def oversized(self) -> bool:
        """Whether some list or map of the event is too long to loop over."""
        waiting: list[Any] = [self._fields]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict | list):
                if len(value) > MAX_ELEMENTS:
                    return True
                waiting.extend(value.values() if isinstance(value, dict) else value)
        return False

    @cached_property
    def _fields(self) -> dict[str, Any]:
        names = [name for name in EVENT_FIELDS if f"event.{name}" in self._reads]
        values = {name: getattr(self._event, name) for name in names}
        absent: dict[str, Any] = {"event": {}}
        return {
            name: absent.get(name, "") if value is None else value for name, value in values.items()
        }


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition that has passed every check; `reads` names the variables and event fields it takes."""

    reads: frozenset[str]
    loops: bool
    _program: Any

    @classmethod
    def compile(cls, source: str, *, axes: Collection[str]) -> Self:
        """Compile one condition about events labelled on `axes`.

        Raises:
            ValueError: says what is wrong with it, without a full stop.
        """
        if len(source) > MAX_CHARS:
            raise ValueError(
                f"is longer than {MAX_CHARS:,} characters; split it into several rules"
            )
        try:
            program = cel.compile(source)
        except ValueError as error:
            place = re.search(r"<input>:(\d+):(\d+)", str(error))
            where = f" at line {place[1]}, column {place[2]}" if place else ""
            raise ValueError(f"is not valid CEL{where}; correct it") from None
        # A name inside quotes is no name, and a parenthesis no parenthesis.
        bare = re.sub(rf"{_LITERAL}|//[^\n]*", '""', source)
        _check_names(program, bare, axes)
        _check_cost(source, bare)
        return cls(_reads(program, bare), _LOOP.search(bare) is not None, program)

    def holds(self, facts: Facts) -> bool:
        """Whether the condition is true of an event.

        Raises:
            LookupError: it reads a field this event does not have.
            Exception: it fails on this event in another way. The message may hold the event's content: never log it.
        """
        if self.loops and facts.oversized:
            raise ValueError("a list or map of the event is too long to loop over")
        value = self._program.execute(facts.context)
        if not isinstance(value, bool):
            raise TypeError("the expression is neither true nor false")
        return value


def _reads(program: Any, bare: str) -> frozenset[str]:
    fields = set(re.findall(rf"\bevent\b(?:{_MEMBER})?", bare))
    # Without a field's name behind it, `event` may be read in any way: as a whole, or by a name in quotes.
    fields = set(EVENT_FIELDS) if "" in fields else fields
    return frozenset(program.variables()) | {f"event.{field}" for field in fields}


def _check_names(program: Any, bare: str, axes: Collection[str]) -> None:
    unknown = set(program.variables()) - set(VARIABLES) - _TYPES - set(_LOOP.findall(bare))
    if unknown:
        raise ValueError(f"reads {min(unknown)!r}; it may read {', '.join(VARIABLES)}")
    if missing := {name for name in program.functions() if name.isidentifier()} - _FUNCTIONS:
        raise ValueError(
            f"calls {min(missing)!r}, which is no function here; it may call {', '.join(sorted(_FUNCTIONS))}"
        )
    if fields := set(re.findall(rf"(?<![\w.])event{_MEMBER}", bare)) - set(EVENT_FIELDS):
        raise ValueError(f"reads 'event.{min(fields)}'; an event has {', '.join(EVENT_FIELDS)}")
    if others := set(re.findall(rf"(?<![\w.])(?:labels|confidence){_MEMBER}", bare)) - set(axes):
        raise ValueError(f"reads the axis {min(others)!r}; the model has {', '.join(sorted(axes))}")


def _check_cost(source: str, bare: str) -> None:
    if _nests(bare):
        raise ValueError(
            "loops inside a loop, which a sender could make endless; write two conditions instead"
        )
    if len(re.findall(r"\bmatches\b", bare)) != len(
        re.findall(r"\bmatches\s*\(\s*\"\"\s*\)", bare)
    ):
        raise ValueError(
            "takes a pattern from elsewhere; write it in quotes, as in event.text.matches('(?i)test')"
        )
    for pattern in re.findall(rf"\bmatches\s*\(\s*({_LITERAL})", source):
        try:
            cel.evaluate(f"''.matches({pattern})")
        except RuntimeError:
            raise ValueError(
                f"has the pattern {pattern}, which is no RE2 pattern; correct it"
            ) from None


def _nests(bare: str) -> bool:
    looping: list[bool] = []
    for token in re.finditer(rf"{_LOOP.pattern}|[()]", bare):
        if token.group() == ")":
            del looping[-1:]
        elif token.group() != "(" and any(looping):
            return True
        else:
            looping.append(token.group() != "(")
    return False
