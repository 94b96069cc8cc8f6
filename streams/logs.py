"""Structured logs on stderr: one JSON object per line, or plain lines for a terminal.

A message may quote what somebody sent. So no control character reaches the log, and no text can
begin a line that looks like a record of its own.
"""

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pythonjsonlogger.orjson import OrjsonFormatter

from schemas.visible_text import printable, printable_json, printable_lines
from streams.config import LogSection

OURS = ("schemas", "inference", "agents", "streams")
"""Our own packages. Only their records are written at the level debug."""
MAX_FIELD_CHARS = 16_000
"""Log collectors refuse or split lines that are much longer."""
MAX_MESSAGES = 1_000
MAX_REPEATS, REPEAT_WINDOW_S = 5, 10.0
"""A library may write one message so often in so many seconds. While a broker is away, aiokafka
writes a hundred lines a second."""


class PrintableFormatter(logging.Formatter):
    """Plain lines. The lines of a traceback are indented, so that they are no records."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's
        """The line of the record itself."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's
        """The traceback."""
        return _indented(super().formatException(ei))  # type: ignore[arg-type] # logging's type

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - logging's
        """The stack, if one was asked for."""
        return _indented(super().formatStack(stack_info))


class PrintableJsonFormatter(OrjsonFormatter):  # type: ignore[misc] # it has no types
    """JSON lines whose strings have escapes in place of what cannot be seen."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """The fields, with long texts cut. Of a traceback the end says what happened."""
        return {
            name: value[-MAX_FIELD_CHARS:] if isinstance(value, str) else value
            for name, value in log_data.items()
        }

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """The fields as one JSON object."""
        return printable_json(
            {
                name: value if isinstance(value, int | float | str | None) else str(value)
                for name, value in log_data.items()
            }
        )


class FewRepeats(logging.Filter):
    """Leaves out what a library says too often, and says how much was left out.

    Records are alike if their logger and their message before formatting are.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._windows: dict[tuple[str, str], _Window] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record."""
        if record.name.partition(".")[0] in OURS:
            return True
        now_s = self._clock()
        if len(self._windows) >= MAX_MESSAGES:
            self._windows.clear()  # somebody puts what changes into the message itself
        window = self._windows.setdefault((record.name, str(record.msg)), _Window(now_s))
        if now_s - window.began_s >= REPEAT_WINDOW_S:
            left_out = window.written - MAX_REPEATS
            window.began_s, window.written = now_s, 0
            if left_out > 0:
                record.msg = f"{record.msg} (and {left_out} like it were left out)"
        window.written += 1
        return window.written <= MAX_REPEATS


@dataclass(slots=True)
class _Window:
    """How often a message came since a moment in seconds."""

    began_s: float
    written: int = 0


def configure(section: LogSection) -> None:
    """Send the records of every logger of the process to one handler."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        PrintableJsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
        if section.format == "json"
        else PrintableFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    handler.addFilter(FewRepeats())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_level_of_libraries(section.level))
    for name in OURS:
        logging.getLogger(name).setLevel(section.level.upper())


def clean_last_resort() -> None:
    """Let warnings be printable in a process that does not configure logging."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(PrintableFormatter("%(message)s"))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in printable_lines(text))


def _level_of_libraries(level: str) -> int:
    """One level above ours: the debug records of aiokafka and openai hold whole events."""
    if level == "debug":
        return logging.INFO
    return max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()])
