"""ATT&CK and Atomic Red Team as labelled text: every part of them is read, and nothing that is withdrawn."""

import json
from pathlib import Path
from typing import Any

import pytest

from inference.errors import DataError
from inference.evaluation.card import ATTRIBUTIONS
from inference.labelled import read_rows
from inference.training.attack import LICENCES, MAX_PROCEDURES, main, rows_of

ATOMIC = """\
attack_technique: T1003.001
atomic_tests:
- name: Dump with a tool
  auto_generated_guid: 0be2230c
  description: See [the tool](https://example.com).
  input_arguments:
    file: {description: where to, default: out.dmp}
  executor: {name: command_prompt, command: 'dump -ma lsass.exe #{file} #{nowhere}'}
- name: By hand
  auto_generated_guid: 1be2230c
  executor: {name: manual, steps: Open the task manager}
"""


def technique(ref: str = "attack-pattern--1", **changes: Any) -> dict[str, Any]:
    """A technique of two tactics and a phase of somebody else's kill chain."""
    chain = [
        ("mitre-attack", "credential-access"),
        ("mitre-attack", "impact"),
        ("other", "delivery"),
    ]
    return {
        "type": "attack-pattern",
        "id": ref,
        "name": "LSASS Memory",
        "description": "Adversaries read [LSASS](https://example.com) with <code>rundll32</code>.(Citation: X 2020)",
        "kill_chain_phases": [
            {"kill_chain_name": one, "phase_name": phase} for one, phase in chain
        ],
        "external_references": [{"source_name": "mitre-attack", "external_id": "T1003.001"}],
    } | changes


def uses(number: int, **changes: Any) -> dict[str, Any]:
    """Somebody seen using it."""
    said = {
        "type": "relationship",
        "id": f"relationship--{number}",
        "relationship_type": "uses",
        "source_ref": "malware--1",
        "target_ref": "attack-pattern--1",
        "description": f"Worm {number} read it.",
    }
    return said | changes


def detection() -> list[dict[str, Any]]:
    """How it is detected: a strategy of one analytic."""
    log = {"name": "WinEventLog:Sysmon", "channel": "EventCode=10"}
    return [
        {"type": "x-mitre-detection-strategy", "id": "strategy--1", "name": "Reading of LSASS",
         "x_mitre_analytic_refs": ["analytic--1", "analytic--gone"]},
        {"type": "x-mitre-analytic", "id": "analytic--1", "name": "Analytic 1", "description": "A process opened it.",
         "x_mitre_log_source_references": [log]},
        {"type": "relationship", "id": "relationship--d", "relationship_type": "detects", "source_ref": "strategy--1",
         "target_ref": "attack-pattern--1"},
    ]  # fmt: skip


def bundle(path: Path, *objects: dict[str, Any]) -> Path:
    """A STIX bundle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "bundle", "id": "bundle--1", "objects": objects}))
    return path


def texts(path: Path, atomics: Path | None = None) -> list[str]:
    """What the rows say."""
    return [row["text"] for row in rows_of(path, atomics)]


def test_description_detections_and_procedures_are_rows_of_the_techniques_tactics(
    tmp_path: Path,
) -> None:
    """A part of ATT&CK that is not read teaches nothing, and a tactic of another kill chain is no label."""
    rows = list(rows_of(bundle(tmp_path / "attack.json", technique(), uses(1), *detection())))
    assert [row["text"] for row in rows] == [
        "LSASS Memory\nAdversaries read LSASS with `rundll32`.",
        "Reading of LSASS\nA process opened it.\nWinEventLog:Sysmon EventCode=10",
        "Worm 1 read it.",
    ]
    assert {tuple(row["labels"]["tactics"]) for row in rows} == {("credential-access", "impact")}


def test_a_folder_of_bundles_is_the_same_as_one(tmp_path: Path) -> None:
    """MITRE publishes both, and the one in pieces also holds the other."""
    objects = [technique(), uses(1), *detection()]
    whole = bundle(tmp_path / "whole.json", *objects)
    for one in objects:
        bundle(tmp_path / "pieces" / one["type"] / f"{one['id']}.json", one)
    bundle(tmp_path / "pieces" / "whole.json", *objects)
    assert texts(tmp_path / "pieces") == texts(whole)


@pytest.mark.parametrize(
    "withdrawn", [{"revoked": True}, {"x_mitre_deprecated": True}], ids=lambda one: next(iter(one))
)
def test_what_was_withdrawn_is_not_read(tmp_path: Path, withdrawn: dict[str, bool]) -> None:
    """MITRE keeps what it no longer stands by."""
    old = technique("attack-pattern--2", name="Old", **withdrawn)
    said = texts(bundle(tmp_path / "attack.json", technique(), old, uses(1, **withdrawn), uses(2)))
    assert [text.partition("\n")[0] for text in said] == ["LSASS Memory", "Worm 2 read it."]


def test_a_technique_used_by_everybody_does_not_drown_the_others(tmp_path: Path) -> None:
    """Some have hundreds of procedures; which are taken must not hang on the order of a file."""
    seen = [uses(number) for number in range(3 * MAX_PROCEDURES)]
    forward = texts(bundle(tmp_path / "a.json", technique(), *seen))
    assert len(forward) == 1 + MAX_PROCEDURES
    assert texts(bundle(tmp_path / "b.json", technique(), *seen[::-1])) == forward


def test_atomic_tests_are_read_with_their_commands(tmp_path: Path) -> None:
    """The command is what an alert would show; `#{file}` is in no alert."""
    (tmp_path / "atomics" / "T1003.001").mkdir(parents=True)
    (tmp_path / "atomics" / "T1003.001" / "T1003.001.yaml").write_text(ATOMIC)
    attack = bundle(tmp_path / "attack.json", technique())
    assert texts(attack, tmp_path / "atomics")[1:] == [
        "Dump with a tool\nSee the tool.\ndump -ma lsass.exe out.dmp",
        "By hand\nOpen the task manager",
    ]


@pytest.mark.parametrize(
    "content", ["not JSON", "[]", '{"objects": [{"id": 3}]}', '{"objects": []}']
)
def test_another_file_is_a_sentence(tmp_path: Path, content: str) -> None:
    """Whoever gives the wrong file learns which one is wanted."""
    (tmp_path / "attack.json").write_text(content)
    with pytest.raises(DataError, match="give the STIX data of enterprise-attack") as raised:
        list(rows_of(tmp_path / "attack.json"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", ["a: [", "attack_technique: T1", "[]"])
def test_another_atomic_is_a_sentence(tmp_path: Path, content: str) -> None:
    """As above, of Atomic Red Team."""
    (tmp_path / "T1").mkdir()
    (tmp_path / "T1" / "T1.yaml").write_text(content)
    with pytest.raises(DataError, match="give the folder atomics of Atomic Red Team"):
        list(rows_of(bundle(tmp_path / "attack.json", technique()), tmp_path))


def test_the_command_writes_what_training_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that `triage train --reference` refuses would be of no use."""
    attack, out = bundle(tmp_path / "attack.json", technique(), uses(1)), tmp_path / "rows.ndjson"
    monkeypatch.setattr("sys.argv", ["attack", "--attack", str(attack), "--out", str(out)])
    main()
    rows = read_rows([out])
    assert [row.gold for row in rows] == [{"tactic": ("credential-access", "impact")}] * 2
    assert {row.part for row in rows} == {"train"}
    monkeypatch.setattr(
        "sys.argv", ["attack", "--attack", str(tmp_path / "none.json"), "--out", str(out)]
    )
    with pytest.raises(SystemExit):
        main()


def test_the_card_names_whose_text_it_was() -> None:
    """Both are free to use for whoever says so."""
    assert LICENCES.keys() <= ATTRIBUTIONS.keys()
