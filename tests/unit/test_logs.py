"""The log of a worker: what a line says, and which lines are written."""

import logging
import sys
from collections.abc import Iterator

import orjson
import pytest

from streams.config import LogSection
from streams.logs import MAX_REPEATS, OURS, REPEAT_WINDOW_S, FewRepeats, configure


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    """Put back the handlers and levels that `configure` replaces."""
    loggers = [logging.getLogger(name) for name in (None, *OURS)]
    levels = [logger.level for logger in loggers]
    handlers = list(loggers[0].handlers)
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def log_lines(capsys: pytest.CaptureFixture[str], section: LogSection) -> list[str]:
    """What stderr holds after a warning, a debug line, an error and a line of aiokafka."""
    configure(section)
    ours, theirs = logging.getLogger("streams.worker"), logging.getLogger("aiokafka.client")
    ours.warning("%s is gone", "broker-1")
    ours.debug("a detail")
    theirs.info("a detail of a library")
    theirs.debug("Request to broker-1: ProduceRequest with a whole event")
    out, err = capsys.readouterr()
    assert out == "", "stdout is for results"
    return err.splitlines()


def test_a_json_line_has_documented_names(capsys: pytest.CaptureFixture[str]) -> None:
    """A log collector would not find the level or the time of a line."""
    (line,) = log_lines(capsys, LogSection(format="json", level="info"))
    document = orjson.loads(line)
    assert document.pop("time")
    assert document == {
        "level": "WARNING",
        "logger": "streams.worker",
        "message": "broker-1 is gone",
    }


def test_a_traceback_stays_on_the_line_of_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A log collector would take each line of a traceback for a record of its own."""
    configure(LogSection(format="json", level="info"))
    logging.getLogger("streams").error("failed", exc_info=ValueError("a reason"))
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: a reason" in orjson.loads(line)["exc_info"]


def test_a_line_for_a_terminal_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A person at a terminal would have to read JSON."""
    (line,) = log_lines(capsys, LogSection(format="plain", level="info"))
    assert line.endswith(" WARNING streams.worker: broker-1 is gone")


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["broker-1 is gone", "a detail", "a detail of a library"]),
        ("info", ["broker-1 is gone"]),
        ("error", []),
    ],
)
def test_the_level_decides_what_is_written(
    capsys: pytest.CaptureFixture[str], level: str, written: list[str]
) -> None:
    """Details of the libraries would hide our warnings, or the log would hold whole events.

    aiokafka and openai write what they send and receive at the level debug.
    """
    section = LogSection(format="plain", level=level)  # type: ignore[arg-type] # one of the levels
    lines = log_lines(capsys, section)
    assert [line.partition(": ")[2] for line in lines] == written


def test_a_second_configuration_replaces_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    """Every line would be written twice."""
    configure(LogSection(format="json", level="info"))
    assert len(log_lines(capsys, LogSection(format="plain", level="info"))) == 1
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    assert handler.stream is sys.stderr


def test_what_a_library_repeats_is_left_out_and_counted() -> None:
    """A broker that is away would fill the log with a hundred lines a second."""
    now_s = 0.0
    few = FewRepeats(lambda: now_s)

    def record(name: str, message: str = "no connection to %s") -> logging.LogRecord:
        return logging.LogRecord(name, logging.ERROR, "", 0, message, ("node 3",), None)

    written = [few.filter(record("aiokafka")) for _ in range(100)]
    assert written == [True] * MAX_REPEATS + [False] * (100 - MAX_REPEATS)
    assert few.filter(record("aiokafka", "another message of %s"))
    assert all(few.filter(record("streams.worker")) for _ in range(100)), "our own are all written"
    now_s = REPEAT_WINDOW_S
    later = record("aiokafka")
    assert few.filter(later)
    assert later.getMessage() == "no connection to node 3 (and 95 like it were left out)"
    now_s = 2 * REPEAT_WINDOW_S
    last = record("aiokafka")
    assert few.filter(last)
    assert last.getMessage() == "no connection to node 3"
