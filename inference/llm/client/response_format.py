"""The strongest way of binding an answer to a schema that a server understands, found by asking.

Servers differ and say so in their own ways: llama.cpp's Python server answers `json_schema` with a 500 and obeys a
schema inside `json_object`; OpenAI refuses that schema with a 400; others know neither. So the next weaker form is
tried when one that has never worked is refused, and the first that works is kept.
"""

import time
from typing import Any, Literal

from inference.llm.options import ResponseMode

ResponseFormat = Literal["json_schema", "json_object_with_schema", "json_object", "none"]

_FORMS: tuple[ResponseFormat, ...] = (
    "json_schema",
    "json_object_with_schema",
    "json_object",
    "none",
)
_STRONGEST: dict[ResponseMode, ResponseFormat] = {
    "json_schema": "json_schema",
    "json_object": "json_object_with_schema",
    "none": "none",
}

SEARCH_AGAIN_S = 60.0
"""Between two searches: a service that is down, not choosy, must not be asked every question four times."""
KEEP_WEAKER_S = 3600.0
"""A weaker form is kept this long: one bad moment of a server must not weaken its answers for ever."""


class ResponseFormatSearch:
    """Which form to ask with, and which to try next.

    Costs at most three calls more a minute while nothing works, and one an hour where only a weaker form does.
    """

    def __init__(self, configured: ResponseMode) -> None:
        self._forms = _FORMS[_FORMS.index(_STRONGEST[configured]) :]
        self._form = self._forms[0]
        self._proven = False
        self._until_s = 0.0
        self._search_from_s = 0.0

    @property
    def form(self) -> ResponseFormat:
        """The form to ask with now."""
        if self._form != self._forms[0] and time.monotonic() >= self._until_s:
            self._form, self._proven = self._forms[0], False
        return self._form

    def weaker(self, refused: ResponseFormat) -> tuple[ResponseFormat, ...]:
        """The forms worth trying after `refused`; none where the refusal is not about the form."""
        if self._form != refused:  # found by another call in the meantime
            return (self._form,)
        if self._proven or time.monotonic() < self._search_from_s:
            return ()
        self._search_from_s = time.monotonic() + SEARCH_AGAIN_S
        return self._forms[self._forms.index(refused) + 1 :]

    def works(self, form: ResponseFormat) -> None:
        """Keep a form that was answered with a completion."""
        if form != self._form:
            self._until_s = time.monotonic() + KEEP_WEAKER_S
        self._form, self._proven = form, True


def response_format(form: ResponseFormat, schema: dict[str, Any]) -> dict[str, Any] | None:
    """The request's `response_format`; None leaves it out."""
    if form == "json_schema":
        return {
            "type": "json_schema",
            "json_schema": {"name": "triage", "strict": True, "schema": schema},
        }
    if form == "json_object_with_schema":
        return {"type": "json_object", "schema": schema}
    return {"type": "json_object"} if form == "json_object" else None
