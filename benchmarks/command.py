"""`triage classify` as a process of its own."""

import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from schemas.event import Domain


def classify_rate(events: Iterable[tuple[Domain, bytes]], directory: Path) -> tuple[float, float]:
    """Events per second after the first answer, and the seconds until that (start, model, self-test)."""
    file = directory / "events.ndjson"
    lines = [line for _, line in events]
    file.write_bytes(b"\n".join(lines) + b"\n")
    started_s = time.perf_counter()
    arrivals = []
    with subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "classify", str(file)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        arrivals.extend(time.perf_counter() for _ in process.stdout or ())
    # The first batch came at once, when it was ready: it is what the clock starts after, not what it counts.
    first_s = arrivals[0]
    counted = [at_s for at_s in arrivals if at_s > first_s + 0.05]
    return len(counted) / (arrivals[-1] - first_s), first_s - started_s
