"""The examples of consumers, as processes of their own, on a real Kafka."""

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from schemas.triaged import TriagedEvent
from streams.config import Settings
from streams.kafka.admin import create_topics
from streams.kafka.producer import Producer
from streams.kafka.record import Record
from tests.outputs import Outputs
from tests.processes import WorkerProcess
from tests.records import triaged

pytestmark = [pytest.mark.broker, pytest.mark.kafka, pytest.mark.timeout(300)]

CONSUME = Path(__file__).resolve().parents[2] / "examples" / "consume"
CI = os.environ.get("CI") == "true"
LEFT_OUT = "holds no triaged event"
TIMEOUT_S = 60.0
FIRST = {"id": "5158", "title": "I lost my card", "body": "I lost my card, please block it"}
SECOND = FIRST | {"body": "Forget the card, I was charged twice for the new one"}

Rows = dict[str, tuple[str | None, int]]
"""For each id: the digest of the message that is current, and the revision."""


class PythonTable:
    """The example in Python, and the table that it keeps."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._database = settings, folder / "triaged.sqlite"
        self._log = folder / "python.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process."""
        command = [
            sys.executable,
            str(CONSUME / "python" / "consumer.py"),
            f"--bootstrap-servers={self._settings.kafka.bootstrap_servers}",
            f"--prefix={self._settings.topics.prefix}",
            f"--group={self._settings.topics.prefix}-table",
            f"--database={self._database}",
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def rows(self) -> Rows:
        """The rows now."""
        if not self._database.exists():
            return {}
        with sqlite3.connect(self._database, timeout=30) as database:
            try:
                rows = database.execute("SELECT row FROM triaged").fetchall()
            except sqlite3.OperationalError:
                return {}  # the table has not been made yet
        return dict(_row(json.loads(row)["decision"]) for (row,) in rows)

    def end(self) -> tuple[int, str]:
        """End the process with SIGTERM; its exit code and what it has printed."""
        return _end(self._process), self._log.read_text("utf-8")

    def kill(self) -> None:
        """End the process as a crash would."""
        _kill(self._process)


class NodeView:
    """The example in Node.js, and the view that it prints."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._code = folder / "node"
        self._out, self._log = folder / "node.out", folder / "node.log"
        self._process: subprocess.Popen[bytes] | None = None

    def install(self) -> None:
        """Install its package. Skip the test if that cannot be done here; in CI it must be."""
        shutil.copytree(CONSUME / "node", self._code, ignore=shutil.ignore_patterns("node_modules"))
        why = "there is no npm"
        if shutil.which("node") and shutil.which("npm"):
            command = ["npm", "ci", "--no-audit", "--no-fund"]
            run = subprocess.run(
                command, cwd=self._code, capture_output=True, text=True, check=False
            )
            why = f"npm ci failed: {run.stderr[-500:]}" if run.returncode else ""
        if why and CI:
            pytest.fail(f"CI needs Node.js and npm: {why}")
        if why:
            pytest.skip(why)

    def start(self) -> None:
        """Start the process."""
        command = [
            "node",
            "consumer.mjs",
            f"--bootstrap-servers={self._settings.kafka.bootstrap_servers}",
            f"--prefix={self._settings.topics.prefix}",
        ]
        with self._out.open("wb") as out, self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._code, stdout=out, stderr=log)

    def rows(self) -> Rows:
        """The rows now."""
        text = self._out.read_text("utf-8") if self._out.exists() else ""
        whole = text.rpartition("\n")[0]
        return dict(_row(json.loads(line)) for line in whole.splitlines())

    def end(self) -> tuple[int, str]:
        """End the process with SIGTERM; its exit code and what it has printed as errors."""
        return _end(self._process), self._log.read_text("utf-8")

    def kill(self) -> None:
        """End the process as a crash would."""
        _kill(self._process)


Consumer = PythonTable | NodeView


@pytest.fixture(params=["python", "node"])
def consumer(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Iterator[Any]:
    """One of the examples, not yet started."""
    example: Consumer
    if request.param == "python":
        example = PythonTable(settings, tmp_path)
    else:
        example = NodeView(settings, tmp_path)
        example.install()
    yield example
    example.kill()


async def test_a_later_message_of_the_same_ticket(
    settings: Settings, tmp_path: Path, consumer: Consumer
) -> None:
    """A person would be shown the decision about what a customer no longer says.

    Both messages arrive under the same id. A late revision of the first one comes after the second
    message, and is a higher one than that.
    """
    await create_topics(settings)
    outputs = Outputs(settings)
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    worker.start()
    consumer.start()
    try:
        worker.wait_until_ready()
        await send(settings, "tickets.v1", [FIRST])
        await outputs.read_until(lambda: len(ended(outputs)) == 1)
        (first,) = ended(outputs)
        await wait_for(consumer, lambda rows: rows.get("5158") == place(first))
        await send(settings, "tickets.v1", [SECOND])
        await outputs.read_until(lambda: len(ended(outputs)) == 2)
        second = next(each for each in ended(outputs) if each.input_digest != first.input_digest)
        await wait_for(consumer, lambda rows: rows.get("5158") == place(second))
        # A late revision of the first one, the first one once more, and then a mark on the same
        # partition: it is read last.
        late = msgspec.structs.replace(first, revision=first.revision + 1, queue="cash_atm")
        mark = msgspec.structs.replace(second, id="mark")
        again = [msgspec.to_builtins(each) for each in (late, first, mark)]
        await send(settings, "tickets.triaged.v1", again, key="5158")
        await wait_for(consumer, lambda rows: "mark" in rows)
        assert worker.end() == 0, worker.log()
    finally:
        if worker.alive:
            worker.kill()
    assert consumer.rows()["5158"] == place(second)
    code, errors = consumer.end()
    assert (code, LEFT_OUT in errors) == (0, False), errors


async def test_a_consumer_that_was_killed_goes_on(settings: Settings, consumer: Consumer) -> None:
    """After a crash, rows would be missing or would show an older decision."""
    await create_topics(settings)
    first, *later = [
        [msgspec.to_builtins(triaged(f"a-{number}", revision=revision)) for number in range(200)]
        for revision in range(3)
    ]
    await send(settings, "alerts.triaged.v1", [*first, {"no": "decision"}])
    consumer.start()
    await wait_for(consumer, lambda rows: len(rows) > 50)
    consumer.kill()
    for decisions in (*later, first):
        await send(settings, "alerts.triaged.v1", decisions)
    consumer.start()
    expected = {f"a-{number}": (None, 2) for number in range(200)}
    await wait_for(consumer, lambda rows: rows == expected)
    code, errors = consumer.end()
    assert (code, LEFT_OUT in errors) == (0, True), errors


async def send(settings: Settings, topic: str, values: list[Any], key: str | None = None) -> None:
    """Produce JSON to a topic, keyed by id unless there is a `key`, and wait for the broker."""
    name = f"{settings.topics.prefix}.{topic}"
    producer = Producer(settings.kafka)
    await producer.start()
    try:
        await producer.confirm(
            [
                await producer.send(
                    Record(name, (key or value.get("id", "none")).encode(), orjson.dumps(value))
                )
                for value in values
            ]
        )
    finally:
        await producer.stop()


async def wait_for(consumer: Consumer, holds: Callable[[Rows], bool]) -> None:
    """Wait until the rows of the consumer are as they should be."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not holds(rows := await asyncio.to_thread(consumer.rows)):
        assert time.monotonic() < deadline_s, f"{len(rows)} rows: {dict(list(rows.items())[:5])}"
        await asyncio.sleep(0.2)


def ended(outputs: Outputs) -> list[TriagedEvent]:
    """For each message of ticket 5158: the decision that ended it."""
    ends = [t for t in outputs.triaged if t.id == "5158" and t.status != "provisional"]
    return list({t.input_digest: t for t in ends}.values())


def place(decision: TriagedEvent) -> tuple[str | None, int]:
    """What a row shows of a decision."""
    return decision.input_digest, decision.revision


def _row(decision: dict[str, Any]) -> tuple[str, tuple[str | None, int]]:
    return decision["id"], (decision["input_digest"], decision["revision"])


def _end(process: subprocess.Popen[bytes] | None) -> int:
    assert process is not None
    process.terminate()
    return process.wait(TIMEOUT_S)


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.kill()
        process.wait(TIMEOUT_S)
