"""Measures `triage classify` in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load import NO_CACHE
from schemas.event import Domain


def classify_rate(events: Sequence[tuple[Domain, bytes]], directory: Path) -> tuple[float, float]:
    """Events per second of `triage classify`, and the seconds that it needs to start.

    The start is measured as the time for one event. It is subtracted from the time for all events.
    """
    start_s = _run_s(events[:1], directory)
    return (len(events) - 1) / (_run_s(events, directory) - start_s), start_s


def _run_s(events: Sequence[tuple[Domain, bytes]], directory: Path) -> float:
    file = directory / "events.ndjson"
    file.write_bytes(b"".join(line + b"\n" for _, line in events))
    command = [sys.executable, "-m", "streams.cli", "classify", str(file)]
    started_s = time.perf_counter()
    subprocess.run(
        command,
        env=os.environ | NO_CACHE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - started_s
