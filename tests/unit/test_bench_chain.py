"""`make bench`: its parts exist with these options, and its table says what the rows say."""

import argparse
import importlib
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from benchmarks import __main__ as chain
from benchmarks import aims, earlier, repeats
from benchmarks.aims import AIMS, Aim
from benchmarks.latency.__main__ import PROFILE
from benchmarks.parts import PARTS, Part, run
from benchmarks.pipeline import group_cpu_s
from tests.unit.test_latency_benchmark import latency_rows

HERE = {"cpu": "A", "cores": 2, "load": 1.5, "at": "2026-11-30"}
PARTS_BY_NAME = {part.name: part for part in PARTS}


class UnderstoodError(Exception):
    """The options were read without an error."""


def row(name: str, ratio: float | None, **more: Any) -> dict[str, Any]:
    """A row as a benchmark writes it."""
    return {"name": name, "ratio": ratio, "value": 7.0, "machine": HERE} | more


def printed(rows: dict[str, list[aims.Row]]) -> str:
    """What a person sees."""
    console = Console(width=200, file=StringIO())
    aims.show(rows, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_part_exists_and_knows_its_options(
    part: Part, quick: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The chain would fail after an hour, at a part that was renamed or takes other options."""
    _, _, module, *options = part.command(tmp_path, quick=quick, before=tmp_path)
    package = importlib.import_module(module)
    if hasattr(package, "__path__"):
        package = importlib.import_module(f"{module}.__main__")
    parse = argparse.ArgumentParser.parse_args

    def parse_only(parser: argparse.ArgumentParser) -> None:
        raise UnderstoodError(vars(parse(parser)))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    monkeypatch.setattr(sys, "argv", [module, *options])
    with pytest.raises(UnderstoodError) as read:
        package.main()
    assert read.value.args[0]["out"] == tmp_path / part.rows


def test_a_quick_run_overwrites_no_rows_and_no_plots(tmp_path: Path) -> None:
    """Figures of a few events would stand in the documentation."""
    for part in PARTS:
        command = part.command(tmp_path, quick=True, before=None)
        written = [Path(value) for value in command if value.endswith((".ndjson", ".svg"))]
        assert written
        assert all(path.parent == tmp_path for path in written)


def test_the_table_says_met_and_missed_and_what_was_not_measured() -> None:
    """An aim that is missed would look met, or a part that failed would look as if it had none."""
    text = printed(
        {
            "latency": [row("alone, p50", 1.804), row("at 40% of the drain rate, p50", 4.2)],
            "throughput": [row("pipeline on real Kafka", 0.78), row("triage classify", 1.02)],
            "backlog": [],
        }
    )
    lines = {line.split("│")[2].strip(): line for line in text.splitlines() if "│" in line}
    assert "1.80" in lines["alone, p50 to the bare model's one event"]
    assert "met" in lines["alone, p50 to the bare model's one event"]
    assert "4.20" in lines["at 40 % of the drain rate, p50"]
    assert "missed" in lines["at 40 % of the drain rate, p50"]
    assert "missed" in lines["pipeline to the bare model, from a backlog"]
    assert "not measured" in lines["rate of the last part to the first"]
    shown = lines["`triage classify` to the bare model"]
    assert "only shown" in shown
    assert "met" not in shown
    assert not any("peers" in line for line in lines.values()), "not chosen"


def test_the_last_row_that_fits_is_the_figure() -> None:
    """The first 100,000 of a million events would be compared with themselves."""
    rows = [
        row("backlog; rate until 100,000 events", 1.0),
        row("backlog; rate until 1,000,000 events", 0.4),
    ]
    (aim,) = (aim for aim in AIMS if aim.row == "backlog; rate until .*")
    assert aim.measured(rows) == 0.4
    assert aim.verdict(0.4) == "missed"
    pauses = [row("pause; untouched", 1.0, value=3.0), row("pause; moved", 1.0, value=2.0)]
    assert Aim("p", "w", "pause; .*", is_value=True, is_worst=True).measured(pauses) == 3.0
    assert Aim("p", "w", "alone", is_value=True).measured([row("alone", None)]) == 7.0
    assert Aim("p", "w", "alone").measured([row("alone", None), row("alone, p99", 3.0)]) is None


def test_hardware_and_versions_stand_under_the_table() -> None:
    """Ratios of two machines would look like those of one, or each load like a machine."""
    text = printed(
        {
            "latency": [row("a", 1.0), row("b", 1.0, machine=HERE | {"load": 9.0})],
            "peers": [row("c", 1.0, machine=HERE | {"cpu": "B"})],
        }
    )
    assert "latency: cpu A, cores 2\n" in text
    assert "peers: cpu B, cores 2\n" in text


def test_where_the_time_goes_stands_under_the_table() -> None:
    """An aim would be missed without a reason."""
    assert "4.00 ms,  50%  worker" in printed(
        {"latency": [row(f"{PROFILE}worker", 0.5, value=4.0)]}
    )


def test_every_aim_is_a_row_that_its_part_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A row that was renamed would be reported as not measured for ever."""
    monkeypatch.setattr(
        repeats, "_processor_s", lambda file, *_: 1.0 + file.is_relative_to(tmp_path)
    )
    rows: dict[str, Any] = {part.name: chain.rows_of(part, chain.RESULTS) for part in PARTS}
    rows["latency"] = latency_rows()
    samples = list(repeats.alerts())[:2]
    rows["vendors"] = [
        {"name": each.name, "ratio": each.ratio}
        for change in repeats.CHANGES
        for each in repeats.classify_rows(change, samples, 1, tmp_path, tmp_path)
    ]
    assert {aim.part for aim in AIMS} == set(PARTS_BY_NAME)
    assert [aim.what for aim in AIMS if aim.measured(rows[aim.part]) is None] == []


def test_parts_that_share_a_file_have_their_own_rows(tmp_path: Path) -> None:
    """The curve of an earlier run, on another machine, would stand under the pauses of this one."""
    lines = [row("curve; 8 workers", 1.0), row("pause usual; 1 to 2", 1.0)]
    (tmp_path / "scaling.ndjson").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    assert chain.rows_of(PARTS_BY_NAME["curve"], tmp_path) == lines[:1]
    assert chain.rows_of(PARTS_BY_NAME["pauses"], tmp_path) == lines[1:]
    assert chain.rows_of(PARTS_BY_NAME["latency"], tmp_path) == []


def test_a_part_that_fails_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An hour of measurements would be lost to the one that cannot run here."""
    ran: list[str] = []

    def fails_first(command: list[str]) -> bool:
        ran.append(command[2])
        return len(ran) > 1

    monkeypatch.setattr(chain, "run", fails_first)
    monkeypatch.setattr(chain, "QUICK_RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["bench", "--quick", "--parts", "instructions", "peers"])
    with pytest.raises(SystemExit) as ended:
        chain.main()
    assert ended.value.code == 1
    assert ran == ["benchmarks.instructions", "benchmarks.peers"]
    said = capsys.readouterr()
    assert "part 1 of 2, instructions: the encoder with AVX2" in said.err
    assert "instructions failed, see above" in " ".join(said.err.split())
    assert "not measured" in said.out


def test_without_the_earlier_commit_the_rest_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy of the sources without their history could measure nothing."""
    monkeypatch.setattr(chain, "TREES", tmp_path)
    assert chain._before("0000000") is None
    assert "git has no commit 0000000" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_tree_gets_only_the_settings_that_it_knows(tmp_path: Path) -> None:
    """It would refuse to start, because settings that it does not know are errors."""
    config = tmp_path / "streams" / "config.py"
    config.parent.mkdir()
    config.write_text(
        "class Model:\n    __struct_fields__ = ('path',)\n"
        "class Settings:\n    __struct_fields__ = ('model', 'mappings')\n"
        "    model, mappings = Model(), []\n"
    )
    given = {"TRIAGE_MODEL__PATH": "p", "TRIAGE_MODEL__CACHED_TEXTS": "0", "TRIAGE_MAPPINGS": "[]"}
    known = earlier.variables(tmp_path, os.environ | given)
    assert {name for name in known if name.startswith("TRIAGE_M")} == {
        "TRIAGE_MODEL__PATH",
        "TRIAGE_MAPPINGS",
    }
    assert known["PYTHONPATH"] == str(tmp_path)


def test_a_part_says_by_its_exit_code_whether_it_was_done() -> None:
    """A part that failed would count as measured, with the rows of an earlier run."""
    assert run([sys.executable, "-c", ""])
    assert not run([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_processor_time_of_a_group_is_that_of_all_its_processes() -> None:
    """The broker would seem to cost nothing: it is the child of the process that was started."""
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", start],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    )
    assert process.stdout is not None
    process.stdout.readline()
    used_s = group_cpu_s(process.pid)
    process.communicate(b"\n")
    assert used_s >= 0.3
    assert group_cpu_s(process.pid) == 0.0
