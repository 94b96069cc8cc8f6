"""The comparison with peers: what it does must be the same for all, and must never fail the run."""

import ast
import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import aiokafka
import numpy as np
import pytest

from benchmarks.peers import __main__ as command
from benchmarks.peers import environments, fitting, models, quality, worker
from benchmarks.peers.environments import PEERS, NotRunError
from benchmarks.peers.measurement import Latency, Speed


class Partition(NamedTuple):
    """A partition, as aiokafka names it."""

    topic: str
    partition: int


class Fetched(NamedTuple):
    """A record, of which the worker reads the value."""

    value: bytes


class _Consumer:
    """One record, and then the signal to stop."""

    def __init__(self, *_: str, **__: object) -> None:
        value = json.dumps({"id": "e-1", "text": "a"}).encode()
        self.batches = [{Partition("in", 0): [Fetched(value)]}]

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    async def getmany(self, **_: int) -> dict[Partition, list[Fetched]]:
        if self.batches:
            return self.batches.pop()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)
        return {}

    async def commit(self) -> None:
        happened.append("committed")


class _Producer:
    """Acknowledges each record when the loop has turned once."""

    def __init__(self, **_: object) -> None: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    async def send(self, topic: str, value: bytes, key: bytes) -> asyncio.Task[None]:
        happened.append(f"sent {key.decode()} to {topic}: {json.loads(value)['queue']}")
        return asyncio.create_task(self.acknowledge())

    async def acknowledge(self) -> None:
        await asyncio.sleep(0)
        happened.append("acknowledged")


happened: list[str] = []


def test_peers_do_not_read_what_a_sensor_concludes() -> None:
    """A label of the rows is made of these fields: a peer that reads them copies the answer."""
    event = {"text": "scan", "event": {"alert": {"severity": 1, "signature": "ET SCAN"}}}
    assert worker.text_of(event) == "scan\nalert.signature ET SCAN"


@pytest.mark.parametrize("module", [worker, models, fitting])
def test_what_runs_in_a_peers_environment_imports_nothing_of_the_product(module: Any) -> None:
    """The product is not installed there, and a peer must not profit from its code."""
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    imported = {
        name.split(".")[0] if not name.startswith("benchmarks") else name
        for node in ast.walk(tree)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in getattr(node, "names", [])]
            if isinstance(node, ast.Import)
            else []
        )
    }
    assert not imported & {"schemas", "inference", "agents", "streams"}
    assert all(name.startswith("benchmarks.peers") for name in imported if "benchmarks" in name)


def test_an_environment_that_cannot_be_made_gives_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a registry, the benchmark must go on and say why a row is missing."""

    def fail(command: list[str], *_: Any) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="…\nERROR: no registry\n")

    monkeypatch.setattr(environments, "BUILD", environments.ROOT / "build" / "none")
    monkeypatch.setattr(environments, "_run", fail)
    with pytest.raises(NotRunError, match="model2vec cannot be installed: ERROR: no registry"):
        environments.python_of("model2vec")
    row = command.Result("model2vec", 1, 2, note="not run: ERROR: no registry")
    assert command._cells(row)[-1] == "not run: ERROR: no registry"
    with pytest.raises(NotRunError, match="--encoder"):
        command._prepare(PEERS[0], None, tmp_path, 2)  # type: ignore[arg-type]


def test_a_peers_coverage_is_taken_where_it_is_as_often_wrong_as_we_are() -> None:
    """At another risk, the coverages of two workers cannot be compared."""
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    correct = np.array([True, True, False, True])
    assert quality._at_risk(confidence, correct, 0.0).coverage == 0.5
    assert quality._at_risk(confidence, correct, 0.25).coverage == 1.0


def test_a_rate_that_a_worker_cannot_keep_is_named_so() -> None:
    """An empty cell would look as if nobody had measured."""
    speed = Speed(30.0, 50.0, 900.0)
    row = command.Result("peer", 10, 2, speed=speed, ratio=0.1)
    assert "does not keep up" in command._cells(row)
    speed.latencies.append(Latency(20.0, 31.0, 90.0))
    assert "31 / 90 at 20/s" in command._cells(row)


@pytest.mark.filterwarnings("ignore:The max_iter was reached")
def test_a_model_is_fitted_and_answers_the_test_rows_in_their_order(tmp_path: Path) -> None:
    """The answers are compared with the rows by their place: sorted ones would all look wrong."""
    rows = [
        {"domain": domain, "part": part, "text": f"{queue} {'x' * length}", "queue": queue}
        for domain in ("alerts", "tickets")
        for part, lengths in (("train", range(8)), ("test", (9, 1)))
        for length in lengths
        for queue in ("network scan", "stolen card")
    ]
    (tmp_path / "rows.ndjson").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    fitting.fit_tfidf(tmp_path)
    fitting.answer(tmp_path, "tfidf")
    answers = json.loads((tmp_path / "tfidf" / "answers.json").read_text("utf-8"))
    expected = ["network scan", "stolen card"] * 2
    assert [queue for queue, _ in answers["tickets"]] == expected


async def test_the_peers_worker_commits_after_the_acknowledgements(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A peer that commits first would be quicker than a worker that loses nothing."""
    happened.clear()
    monkeypatch.setattr(aiokafka, "AIOKafkaConsumer", _Consumer)
    monkeypatch.setattr(aiokafka, "AIOKafkaProducer", _Producer)
    monkeypatch.setitem(
        models.OPENERS, "stub", lambda *_: lambda _domain, texts: [("network", 0.9)] * len(texts)
    )
    specification = {
        "model": "stub",
        "directory": str(tmp_path),
        "batch": 1,
        "threads": 1,
        "topics": {"in": ("alerts", "out")},
        "bootstrap_servers": "",
        "group_id": "g",
    }
    try:
        await worker.work(specification)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    assert happened == ["sent e-1 to out: network", "acknowledged", "committed"]
