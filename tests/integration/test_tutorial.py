"""Runs the tutorial "your own queues in ten minutes", from names to the first accepted ticket."""

import os
import re
import shutil
import sys
from pathlib import Path

import orjson
import pytest

from streams.local.brokers.loopback import free_ports
from tests.documented_commands import commands_in, run_commands

# The ten minutes that it promises.
pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorials" / "own-model.md").read_text(encoding="utf-8")
HEADING = "## Your own queues in ten minutes\n"


def tutorial() -> str:
    """The part of the page that leads to the first accepted ticket."""
    return re.split(r"^## ", PAGE.split(HEADING)[1], flags=re.MULTILINE)[0]


def test_the_tutorial_shows_the_files_that_it_uses() -> None:
    """A reader would write other files than those that were tried."""
    shown = re.findall(r"^```(?:toml|csv)\n(.*?)^```", tutorial(), flags=re.MULTILINE | re.DOTALL)
    files = "".join(
        (ROOT / "examples" / "desk" / name).read_text(encoding="utf-8")
        for name in ("labels.toml", "closed.csv", "triage.toml")
    )
    lines = [line for block in shown for line in block.splitlines() if line]
    assert len(lines) > 10
    known = {re.sub(r"\s*#.*", "", line) for line in files.splitlines()}
    assert [line for line in lines if line not in known] == []


def test_the_tutorial_leads_to_an_accepted_ticket(tmp_path: Path) -> None:
    """Whoever tries it with own queues would get stuck on the way."""
    (port,) = free_ports(1)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environ = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TRIAGE_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
        "TRIAGE_HTTP__PORT": "0",
        "TRIAGE_REVIEW__STATE": str(tmp_path / "cases"),
    }
    broker = f"triage broker --port {port} &"
    commands = [broker if line == "triage broker &" else line for line in commands_in(tutorial())]
    assert broker in commands
    settled = {broker: f"127.0.0.1:{port}", "triage worker &": "working: agents"}
    printed = run_commands(commands, cwd=tmp_path, environ=environ, logs=tmp_path, settled=settled)
    (zero,) = (text for command, text in printed.items() if command.startswith("echo"))
    proposed = orjson.loads(zero.splitlines()[-1])
    assert (proposed["status"], proposed["queue"]) == ("provisional", "parcels")
    watched = printed["triage watch --from-beginning --limit 6"]
    for ticket in ("t-1", "t-2", "t-3", "t-4"):
        (line,) = (line for line in watched.splitlines() if ticket in line)
        assert "final" in line, "it is accepted"
        assert "slm" in line
    assert "needs_review" in watched
    assert "t-5" in printed["triage review list"]
    assert "t-5 is decided" in printed["triage review decide t-5 queue=parcels --by you"]
