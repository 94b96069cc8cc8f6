"""Finds the strongest response format that a server understands.

A response format binds an answer to a schema. Servers differ in the formats that they know, and in
how they refuse one:

- The Python server of llama.cpp answers `json_schema` with a 500, and follows a schema that is
  inside `json_object`.
- OpenAI refuses a schema inside `json_object` with a 400.
- Other servers know neither.

So if a server refuses a format that has never worked, the next weaker one is tried, and the first
one that works is kept.
"""

import time
from typing import Any, Literal

from inference.llm.options import ResponseMode

ResponseFormat = Literal["json_schema", "json_object_with_schema", "json_object", "none"]

_STRONGEST_FIRST: tuple[ResponseFormat, ...] = (
    "json_schema",
    "json_object_with_schema",
    "json_object",
    "none",
)
_STRONGEST_OF_MODE: dict[ResponseMode, ResponseFormat] = {
    "json_schema": "json_schema",
    "json_object": "json_object_with_schema",
    "none": "none",
}

SEARCH_AGAIN_S = 60.0
"""Seconds between two searches. A service that is down must not get every prompt four times."""
KEEP_WEAKER_S = 3600.0
"""A weaker format is kept for this many seconds.

Otherwise one short failure of a server would weaken its answers for ever.
"""


class ResponseFormatSearch:
    """Says which response format to use, and which to try next.

    It costs at most three extra calls per minute while nothing works, and one per hour if only a
    weaker format works.
    """

    def __init__(self, configured: ResponseMode) -> None:
        strongest = _STRONGEST_FIRST.index(_STRONGEST_OF_MODE[configured])
        self._candidates = _STRONGEST_FIRST[strongest:]
        self._current = self._candidates[0]
        self._has_worked = False
        self._keep_until_s = 0.0
        self._next_search_s = 0.0

    @property
    def current(self) -> ResponseFormat:
        """The response format to use now."""
        if self._current != self._candidates[0] and time.monotonic() >= self._keep_until_s:
            self._current, self._has_worked = self._candidates[0], False
        return self._current

    def weaker_than(self, refused: ResponseFormat) -> tuple[ResponseFormat, ...]:
        """Return the formats to try after `refused`.

        There are none if the server has probably refused something else.
        """
        if self._current != refused:  # another call has found one that works in the meantime
            return (self._current,)
        if self._has_worked or time.monotonic() < self._next_search_s:
            return ()
        self._next_search_s = time.monotonic() + SEARCH_AGAIN_S
        return self._candidates[self._candidates.index(refused) + 1 :]

    def keep(self, response_format: ResponseFormat) -> None:
        """Keep a format that the server has answered with a completion."""
        if response_format != self._current:
            self._keep_until_s = time.monotonic() + KEEP_WEAKER_S
        self._current, self._has_worked = response_format, True


def request_field(response_format: ResponseFormat, schema: dict[str, Any]) -> dict[str, Any] | None:
    """Return the field `response_format` of a request; None to leave it out."""
    if response_format == "json_schema":
        return {
            "type": "json_schema",
            "json_schema": {"name": "triage", "strict": True, "schema": schema},
        }
    if response_format == "json_object_with_schema":
        return {"type": "json_object", "schema": schema}
    if response_format == "json_object":
        return {"type": "json_object"}
    return None
