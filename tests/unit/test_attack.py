"""Rows from ATT&CK and Atomic Red Team: all parts are read, and nothing that was withdrawn."""

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
    """A technique with two tactics and a phase of another kill chain."""
    chain = [
        ("mitre-attack", "credential-access"),
        ("mitre-attack", "impact"),
        ("other", "delivery"),
    ]
    return {
        "type": "attack-pattern",
        "id": ref,
        "name": "LSASS Memory",
        "description": "Adversaries read [LSASS](https://example.com) with <code>rundll32</code>."
        "(Citation: X 2020)",
        "kill_chain_phases": [
            {"kill_chain_name": name, "phase_name": phase} for name, phase in chain
        ],
        "external_references": [{"source_name": "mitre-attack", "external_id": "T1003.001"}],
    } | changes


def uses(number: int, **changes: Any) -> dict[str, Any]:
    """A procedure: a report that malware used the technique."""
    relationship = {
        "type": "relationship",
        "id": f"relationship--{number}",
        "relationship_type": "uses",
        "source_ref": "malware--1",
        "target_ref": "attack-pattern--1",
        "description": f"Worm {number} read it.",
    }
    return relationship | changes


def detection() -> list[dict[str, Any]]:
    """A detection strategy for the technique, with one analytic."""
    log = {"name": "WinEventLog:Sysmon", "channel": "EventCode=10"}
    strategy = {
        "type": "x-mitre-detection-strategy",
        "id": "strategy--1",
        "name": "Reading of LSASS",
        "x_mitre_analytic_refs": ["analytic--1", "analytic--gone"],
    }
    analytic = {
        "type": "x-mitre-analytic",
        "id": "analytic--1",
        "name": "Analytic 1",
        "description": "A process opened it.",
        "x_mitre_log_source_references": [log],
    }
    relationship = {
        "type": "relationship",
        "id": "relationship--d",
        "relationship_type": "detects",
        "source_ref": "strategy--1",
        "target_ref": "attack-pattern--1",
    }
    return [strategy, analytic, relationship]


def bundle(path: Path, *objects: dict[str, Any]) -> Path:
    """Write a STIX bundle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "bundle", "id": "bundle--1", "objects": objects}))
    return path


def texts(path: Path, atomics: Path | None = None) -> list[str]:
    """The texts of the rows."""
    return [row["text"] for row in rows_of(path, atomics)]


def test_all_texts_of_a_technique_become_rows_with_its_tactics(tmp_path: Path) -> None:
    """Training would miss a part of ATT&CK, or learn a label from another kill chain."""
    rows = list(rows_of(bundle(tmp_path / "attack.json", technique(), uses(1), *detection())))
    assert [row["text"] for row in rows] == [
        "LSASS Memory\nAdversaries read LSASS with `rundll32`.",
        "Reading of LSASS\nA process opened it.\nWinEventLog:Sysmon EventCode=10",
        "Worm 1 read it.",
    ]
    assert {tuple(row["labels"]["tactics"]) for row in rows} == {("credential-access", "impact")}


def test_a_folder_of_bundles_gives_the_same_rows_as_one_bundle(tmp_path: Path) -> None:
    """One of the two forms in which MITRE publishes its data could not be read."""
    objects = [technique(), uses(1), *detection()]
    whole = bundle(tmp_path / "whole.json", *objects)
    for stix_object in objects:
        file = tmp_path / "pieces" / stix_object["type"] / f"{stix_object['id']}.json"
        bundle(file, stix_object)
    # MITRE's folder holds the whole bundle too.
    bundle(tmp_path / "pieces" / "whole.json", *objects)
    assert texts(tmp_path / "pieces") == texts(whole)


@pytest.mark.parametrize(
    "withdrawn", [{"revoked": True}, {"x_mitre_deprecated": True}], ids=["revoked", "deprecated"]
)
def test_what_was_withdrawn_is_not_read(tmp_path: Path, withdrawn: dict[str, bool]) -> None:
    """Training would read what MITRE has withdrawn, because MITRE's files still hold it."""
    old = technique("attack-pattern--2", name="Old", **withdrawn)
    objects = [technique(), old, uses(1, **withdrawn), uses(2)]
    headlines = [text.partition("\n")[0] for text in texts(bundle(tmp_path / "a.json", *objects))]
    assert headlines == ["LSASS Memory", "Worm 2 read it."]


def test_the_procedures_of_a_technique_are_limited(tmp_path: Path) -> None:
    """Common techniques would outweigh the others, or the rows would depend on the file order."""
    procedures = [uses(number) for number in range(3 * MAX_PROCEDURES)]
    forward = texts(bundle(tmp_path / "a.json", technique(), *procedures))
    assert len(forward) == 1 + MAX_PROCEDURES
    assert texts(bundle(tmp_path / "b.json", technique(), *procedures[::-1])) == forward


def test_atomic_tests_are_read_with_their_commands(tmp_path: Path) -> None:
    """Training would miss the commands that alerts show, or read placeholders like `#{file}`."""
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
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path: Path, content: str) -> None:
    """A user who gives the wrong file would not learn which file is needed."""
    (tmp_path / "attack.json").write_text(content)
    with pytest.raises(DataError, match="give the STIX data of enterprise-attack") as raised:
        list(rows_of(tmp_path / "attack.json"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", ["a: [", "attack_technique: T1", "[]"])
def test_a_wrong_atomic_test_is_refused_in_one_sentence(tmp_path: Path, content: str) -> None:
    """A user who gives the wrong folder would not learn which folder is needed."""
    (tmp_path / "T1").mkdir()
    (tmp_path / "T1" / "T1.yaml").write_text(content)
    with pytest.raises(DataError, match="give the folder atomics of Atomic Red Team"):
        list(rows_of(bundle(tmp_path / "attack.json", technique()), tmp_path))


def test_the_command_writes_what_training_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`triage train --reference` would refuse the rows."""
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


def test_the_card_attributes_both_sources() -> None:
    """A model card would break the licences, which require attribution."""
    assert LICENCES.keys() <= ATTRIBUTIONS.keys()
