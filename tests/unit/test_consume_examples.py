"""The examples of consumers: which decision about an event they keep."""

import json
import os
import runpy
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import encode
from schemas.event import Origin
from schemas.triaged import Timing
from tests.records import provisional

CONSUME = Path(__file__).resolve().parents[2] / "examples" / "consume"
ORDER: Any = SimpleNamespace(**runpy.run_path(str(CONSUME / "python" / "order.py")))
CASES: list[dict[str, Any]] = json.loads((CONSUME / "order-cases.json").read_text("utf-8"))


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The example in Python."""
    monkeypatch.syspath_prepend(CONSUME / "python")
    import consumer  # type: ignore[import-not-found]

    yield consumer
    for name in ("consumer", "order"):
        del sys.modules[name]


def decision(
    digest: str | None, partition: int, offset: int, revision: int, second: int = 0
) -> dict[str, Any]:
    """A decision as it is published, about the message `digest` of ticket t-1."""
    received_at = f"2026-02-02T02:40:0{second}.250Z"
    triaged = provisional(
        revision=revision,
        input_digest=digest,
        title=f"message {digest}",
        origin=Origin(topic="triage.tickets.v1", partition=partition, offset=offset),
        timing=Timing(received_at=received_at, triaged_at="", inference_s=0.0, total_s=0.0),
    )
    document: dict[str, Any] = json.loads(encode(triaged))
    return document


def record(value: object) -> Any:
    """A record of the triaged topic."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return SimpleNamespace(topic="triage.tickets.triaged.v1", partition=0, offset=3, value=data)


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_the_current_decision_in_python(consumer: ModuleType, case: dict[str, Any]) -> None:
    """A table would show the decision about an older message, or one that was overtaken."""
    decisions = [decision(*each) for each in case["decisions"]]
    row, current = None, []
    for each in decisions:
        row = consumer.current_row(row, each)
        current.append(next(n for n, kept in enumerate(decisions) if kept is row["decision"]))
    assert current == case["current"]


def test_the_current_decision_in_node() -> None:
    """The two examples would keep different decisions."""
    if shutil.which("node") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs Node.js; .ci/run installs it")
        pytest.skip("there is no node")
    run = subprocess.run(
        ["node", "--test"], cwd=CONSUME / "node", capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"pass {len(CASES) + 2}\n" in run.stdout


def test_the_table_has_one_row_for_each_event(consumer: ModuleType) -> None:
    """A person would see an event twice, or a forged record would stop the consumer."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute(consumer.TABLE)
    other = decision("X", 0, 1, 0) | {"tenant": "other"}
    broken = [
        b"",
        b"{broken",
        b"[]",
        {},
        decision("A", 0, 9, 0) | {"revision": "9"},
        decision("A", 0, 9, 0) | {"id": {"a": 1}},
        decision("A", 0, 9, 0) | {"origin": None},
    ]
    good = [decision("A", 0, 5, 0), other, decision("A", 0, 5, 1)]
    consumer.save(database, [record(value) for value in (*good[:2], *broken, good[2])])
    consumer.save(database, [record(decision("B", 0, 7, 0)), record(decision("A", 0, 5, 2))])
    rows = database.execute("SELECT tenant, id, title, revision FROM triaged ORDER BY tenant")
    assert rows.fetchall() == [("acme", "t-1", "message B", 0), ("other", "t-1", "message X", 0)]


def test_a_row_that_has_not_changed_is_the_same_object(consumer: ModuleType) -> None:
    """The consumer would write to its database for each redelivery."""
    row = consumer.current_row(None, decision("A", 0, 5, 1))
    assert consumer.current_row(row, decision("A", 0, 5, 0)) is row


@given(
    revisions=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    copies=st.integers(1, 2),
    order=st.randoms(use_true_random=False),
)
def test_the_order_of_arrival_does_not_matter(
    revisions: list[int], copies: int, order: Random
) -> None:
    """Two consumers that read the same records would show different decisions.

    Messages follow each other in one partition, each with revisions up to a number. They come in
    any order, some of them again.
    """
    arriving = copies * [
        decision(f"message {number}", 0, number, revision)
        for number, last in enumerate(revisions)
        for revision in range(last + 1)
    ]
    order.shuffle(arriving)
    row: Any = None
    for each in arriving:
        row = ORDER.current_row(row, each)
    assert row["decision"] == decision(
        f"message {len(revisions) - 1}", 0, len(revisions) - 1, revisions[-1]
    )
