"""Conditions in CEL over an event and its labels: compiled and checked once, evaluated per event.

CEL (the Common Expression Language, github.com/google/cel-spec) always ends and changes nothing.
But its cost depends on the data, and strangers write the data. So a condition reads no more than
`MAX_VALUES` values of an event, no loop may stand inside another loop, no loop reads a collection
longer than `MAX_ELEMENTS`, and a loop whose body reads the event is limited by `MAX_LOOP_WORK`.
Every pattern is a literal that is known to compile. Patterns are RE2, which matches in linear time.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain, islice
from typing import Any, Self

import cel

from inference.errors import ConfigError
from schemas.event import Event, Stated
from schemas.triaged import Label

VARIABLES = ("event", "stated", "labels", "confidence", "now")
MODEL_VARIABLES = frozenset({"labels", "confidence"})
"""What only the small model, or a rule that sets labels, can fill."""
EVENT_FIELDS = (
    *("id", "kind", "domain", "tenant", "source", "title", "text", "body", "occurred_at"),
    *("attributes", "event"),
)
STATED_FIELDS = ("severity", "priority", "status")
"""What the sender says, in our words; `original`, in its own, is in the document."""
MAX_CHARS = 2_000
"""The evaluator recurses into each operator: about ten thousand of them would overflow its
stack."""
MAX_VALUES = 10_000
"""How many values an event may have in the fields that conditions read. They are converted for the
evaluator, which takes some three microseconds per value."""
MAX_ELEMENTS = 1_000
MAX_LOOP_WORK = 10_000_000
"""The work of a loop, in characters that are copied: the evaluator copies the fields of the event
that the body reads, once for each element. The limit stands for about fifty milliseconds."""

_CHARS_PER_VALUE = 50

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
    """What conditions may read of one event. It is converted when the first condition asks for it.

    Args:
        event: a text field that it lacks reads as ``""``, and so does what its sender does not
            state; a missing vendor document reads as an empty map.
        labels: its label on each axis.
        now: an aware datetime.
        reads: everything that any of the conditions reads. The rest is not converted, because a
            large vendor document takes milliseconds.
    """

    def __init__(
        self, event: Event, labels: Mapping[str, Label], now: datetime, reads: Collection[str]
    ) -> None:
        self._event, self._labels, self._now, self._reads = event, labels, now, reads

    @cached_property
    def context(self) -> Any:
        """The variables, as the evaluator holds them."""
        values: dict[str, Any] = {"event": self._fields}
        if "stated" in self._reads:
            stated = self._event.stated or Stated()
            values["stated"] = {name: getattr(stated, name) or "" for name in STATED_FIELDS}
        if "labels" in self._reads:
            values["labels"] = {axis: label.value for axis, label in self._labels.items()}
        if "confidence" in self._reads:
            values["confidence"] = {axis: label.confidence for axis, label in self._labels.items()}
        if "now" in self._reads:
            values["now"] = self._now
        return cel.Context(variables=values)

    @cached_property
    def size(self) -> "Size":
        """How large the fields are that conditions read."""
        return _measure(self._fields)

    def loop_work(self, names: Collection[str], *, collects: bool) -> int:
        """The work of a loop whose body reads these fields, in characters.

        A loop that collects a new list copies what it has collected, once for each element.
        """
        elements = self.size.elements
        read = _measure([self._fields.get(name) for name in names]).chars_to_copy if names else 0
        if collects:
            return elements * (self.size.chars_to_copy + elements * read)
        return elements * read

    @cached_property
    def _fields(self) -> dict[str, Any]:
        names = [name for name in EVENT_FIELDS if f"event.{name}" in self._reads]
        values = {name: getattr(self._event, name) for name in names}
        absent: dict[str, Any] = {"event": {}}
        return {
            name: absent.get(name, "") if value is None else value for name, value in values.items()
        }


@dataclass(frozen=True, slots=True)
class Size:
    """How large a document is.

    `elements` is the length of its longest list or map. If it has more than `MAX_VALUES` values,
    no more are counted.
    """

    values: int
    chars: int
    elements: int

    @property
    def chars_to_copy(self) -> int:
        """How many characters the evaluator copies with the document, roughly."""
        return self.chars + self.values * _CHARS_PER_VALUE


def _measure(document: Any) -> Size:
    values = chars = elements = 0
    waiting: list[Any] = [document]
    while waiting and values <= MAX_VALUES:
        value = waiting.pop()
        values += 1
        if isinstance(value, str):
            chars += len(value)
        elif isinstance(value, dict | list):
            elements = max(elements, len(value))
            values += len(value) if len(value) > MAX_VALUES else 0
            waiting.extend(islice(_children(value), MAX_VALUES))
    return Size(values, chars, elements)


def _children(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    """The values that are inside. A key counts as a value too, because it is converted as well."""
    return chain(value.keys(), value.values()) if isinstance(value, dict) else value


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that has passed every check.

    `reads` names the variables and event fields that it reads.
    """

    reads: frozenset[str]
    loops: bool
    _read_in_loops: frozenset[str]
    _collects: bool
    _program: Any

    @classmethod
    def compile(cls, source: str, *, axes: Collection[str], subject: str) -> Self:
        """Compile a condition about events that are labelled on `axes`.

        `subject` begins the sentence of an error: for instance ``rule 'night shift'``.

        Raises:
            ConfigError: says what is wrong with the condition.
        """
        try:
            return cls._compile(source, axes)
        except ValueError as error:
            raise ConfigError(f"{subject} {error}", key="rules") from None

    @classmethod
    def _compile(cls, source: str, axes: Collection[str]) -> Self:
        if len(source) > MAX_CHARS:
            raise ValueError(
                f"is longer than {MAX_CHARS:,} characters; split it into several rules"
            )
        program = _parse(source)
        # What stands inside quotes is no name and no parenthesis.
        bare = re.sub(rf"{_LITERAL}|//[^\n]*", '""', source)
        _check_names(program, bare, axes)
        _check_cost(source, bare)
        loops = _LOOP.search(bare) is not None
        return cls(_reads(program, bare), loops, _read_in_loops(bare), _collects(bare), program)

    @property
    def reads_labels(self) -> bool:
        """Whether it reads what the model says about an event."""
        return not self.reads.isdisjoint(MODEL_VARIABLES)

    def holds(self, facts: Facts) -> bool:
        """Whether the condition is true of an event.

        Raises:
            LookupError: it reads a field that this event does not have.
            Exception: it fails on this event in another way. The message may hold content of the
                event: never log it.
        """
        size = facts.size
        if size.values > MAX_VALUES:
            raise ValueError("the event has too many values for a condition")
        if self.loops and size.elements > MAX_ELEMENTS:
            raise ValueError("a list or map of the event is too long to loop over")
        work = facts.loop_work(self._read_in_loops, collects=self._collects) if self.loops else 0
        if work > MAX_LOOP_WORK:
            raise ValueError("the event is too large to be read in a loop")
        value = self._program.execute(facts.context)
        if not isinstance(value, bool):
            raise TypeError("the condition is neither true nor false")
        return value


def _parse(source: str) -> Any:
    try:
        return cel.compile(source)
    except ValueError as error:
        place = re.search(r"<input>:(\d+):(\d+)", str(error))
        where = f" at line {place[1]}, column {place[2]}" if place else ""
        raise ValueError(f"is not valid CEL{where}; correct it") from None


def _reads(program: Any, bare: str) -> frozenset[str]:
    fields = set(re.findall(rf"\bevent\b(?:{_MEMBER})?", bare))
    if "" in fields:
        # Without the name of a field after it, `event` may be read as a whole or by a quoted name.
        fields = set(EVENT_FIELDS)
    return frozenset(program.variables()) | {f"event.{field}" for field in fields}


def _check_names(program: Any, bare: str, axes: Collection[str]) -> None:
    loop_variables = set(_LOOP.findall(bare))
    unknown = set(program.variables()) - set(VARIABLES) - _TYPES - loop_variables
    if unknown:
        raise ValueError(f"reads {min(unknown)!r}; it may read {', '.join(VARIABLES)}")
    called = {name for name in program.functions() if name.isidentifier()}
    if missing := called - _FUNCTIONS:
        raise ValueError(
            f"calls {min(missing)!r}, which is no function here; "
            f"it may call {', '.join(sorted(_FUNCTIONS))}"
        )
    if fields := set(re.findall(rf"(?<![\w.])event{_MEMBER}", bare)) - set(EVENT_FIELDS):
        raise ValueError(f"reads 'event.{min(fields)}'; an event has {', '.join(EVENT_FIELDS)}")
    if fields := set(re.findall(rf"(?<![\w.])stated{_MEMBER}", bare)) - set(STATED_FIELDS):
        raise ValueError(
            f"reads 'stated.{min(fields)}'; a sender states {', '.join(STATED_FIELDS)}"
        )
    if others := set(re.findall(rf"(?<![\w.])(?:labels|confidence){_MEMBER}", bare)) - set(axes):
        raise ValueError(f"reads the axis {min(others)!r}; the model has {', '.join(sorted(axes))}")


def _check_cost(source: str, bare: str) -> None:
    if _nests(bare):
        raise ValueError(
            "loops inside a loop, which a sender could make endless; write two conditions instead"
        )
    uses = len(re.findall(r"\bmatches\b", bare))
    if uses != len(re.findall(r"\bmatches\s*\(\s*\"\"\s*\)", bare)):
        raise ValueError(
            "takes a pattern from elsewhere; "
            "write it in quotes, as in event.text.matches('(?i)test')"
        )
    for pattern in re.findall(rf"\bmatches\s*\(\s*({_LITERAL})", source):
        try:
            cel.evaluate(f"''.matches({pattern})")
        except RuntimeError:
            raise ValueError(
                f"has the pattern {pattern}, which is no RE2 pattern; correct it"
            ) from None


def _nests(bare: str) -> bool:
    """Whether a loop stands inside a loop."""
    return any(_LOOP.fullmatch(token) for token in _tokens_in_loops(bare))


def _collects(bare: str) -> bool:
    """Whether some loop makes a new list."""
    return re.search(r"\.\s*(?:map|filter)\s*\(", bare) is not None


def _read_in_loops(bare: str) -> frozenset[str]:
    """The fields of the event that the body of a loop reads, beside its element."""
    reads = (token for token in _tokens_in_loops(bare) if token.startswith("event"))
    fields = {token.partition(".")[2] for token in reads}
    # Without the name of a field after it, `event` may be read as a whole.
    return frozenset(EVENT_FIELDS if "" in fields else fields)


def _tokens_in_loops(bare: str) -> Iterator[str]:
    """The beginnings of loops, the brackets and the fields of the event inside any loop."""
    open_loops: list[bool] = []
    for match in re.finditer(rf"{_LOOP.pattern}|[()]|\bevent\b(?:{_MEMBER})?", bare):
        found = match.group()
        if any(open_loops):
            yield found
        if found == ")":
            del open_loops[-1:]
        elif not found.startswith("event"):
            open_loops.append(found != "(")
