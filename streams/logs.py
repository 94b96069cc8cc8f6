"""Structured logs on stderr: one JSON object per line, or plain lines for a terminal."""

import logging
import sys

from pythonjsonlogger.orjson import OrjsonFormatter

from streams.config import LogSection

NOISY = ("aiokafka", "faust", "mode", "kafka", "httpx2", "httpcore2", "openai")


def configure(section: LogSection) -> None:
    """Send the records of every logger of the process to one handler."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        OrjsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
        if section.format == "json"
        else logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(section.level.upper())
    if section.level != "debug":
        for name in NOISY:
            logging.getLogger(name).setLevel(logging.WARNING)
