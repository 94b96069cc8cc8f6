"""`python -m inference.training.attack`: MITRE ATT&CK and Atomic Red Team as alerts labelled with their tactics.

What ATT&CK says of a technique, how it is detected, how it was seen used and how it is tried out is what an alert is
about, in the words of many vendors; the tactics are the technique's own. Such rows teach the tactic alone.
"""

import argparse
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml
from rich.console import Console

from inference.errors import DataError

ATTACK, ATOMICS = "MITRE ATT&CK", "Atomic Red Team"
LICENCES = {ATTACK: "ATT&CK-terms", ATOMICS: "MIT"}
KILL_CHAIN = "mitre-attack"
MAX_PROCEDURES = 8
"""Of one technique: of some hundreds are known, and they would drown those of which there is one."""

_LINK, _CITATION = re.compile(r"\[([^\]]*)\]\([^)]*\)"), re.compile(r"\(Citation:[^)]*\)")
_ARGUMENT = re.compile(r"#\{(\w+)\}")


class _Phase(msgspec.Struct, frozen=True):
    kill_chain_name: str
    phase_name: str


class _Reference(msgspec.Struct, frozen=True):
    source_name: str
    external_id: str = ""


class _Log(msgspec.Struct, frozen=True):
    name: str
    channel: str = ""


class _Object(msgspec.Struct, frozen=True):
    """A STIX object of any type, with the fields that are read of some."""

    type: str
    id: str
    name: str = ""
    description: str = ""
    revoked: bool = False
    relationship_type: str = ""
    source_ref: str = ""
    target_ref: str = ""
    kill_chain_phases: tuple[_Phase, ...] = ()
    external_references: tuple[_Reference, ...] = ()
    x_mitre_deprecated: bool = False
    x_mitre_analytic_refs: tuple[str, ...] = ()
    x_mitre_log_source_references: tuple[_Log, ...] = ()


class _Bundle(msgspec.Struct, frozen=True):
    objects: tuple[_Object, ...]


@dataclass(slots=True)
class _Technique:
    tactics: list[str]
    number: str
    title: str
    description: str
    detections: list[str] = field(default_factory=list)
    procedures: dict[str, str] = field(default_factory=dict)

    def texts(self) -> Iterator[str]:
        yield f"{self.title}\n{self.description}"
        yield from self.detections
        chosen = sorted(self.procedures, key=lambda ref: hashlib.sha256(ref.encode()).digest())
        yield from (self.procedures[ref] for ref in chosen[:MAX_PROCEDURES])


def main() -> None:
    """Write the rows, one JSON object a line, as `triage train --data` reads them."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.training.attack", description=main.__doc__
    )
    parser.add_argument("--attack", type=Path, required=True, help="enterprise-attack of MITRE's STIX data: the bundle "
                        "in one file, or the folder of github.com/mitre/cti with a file an object")  # fmt: skip
    parser.add_argument(
        "--atomics", type=Path, help="the folder atomics of github.com/redcanaryco/atomic-red-team"
    )
    parser.add_argument("--out", type=Path, required=True, help="the NDJSON file to write")
    arguments = parser.parse_args()
    try:
        rows = list(rows_of(arguments.attack, arguments.atomics))
    except DataError as error:
        parser.error(str(error))
    arguments.out.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    Console().print(f"{len(rows)} rows are in {arguments.out}")


def rows_of(attack: Path, atomics: Path | None = None) -> Iterator[dict[str, Any]]:
    """Rows labelled with tactics, in the split ``train``.

    Raises:
        DataError: a file cannot be read, or there is no technique.
    """
    techniques = _techniques(_objects(attack))
    if not techniques:
        raise DataError(
            f"{attack} holds no ATT&CK technique; give the STIX data of enterprise-attack"
        )
    for one in techniques.values():
        for at, text in enumerate(one.texts()):
            yield _row(f"{one.number}-{at}", ATTACK, one.tactics, text)
    if atomics:
        by_number = {one.number: one for one in techniques.values()}
        for number, name, text in _tests(atomics):
            if number in by_number:
                yield _row(name, ATOMICS, by_number[number].tactics, text)


def _row(name: str, source: str, tactics: list[str], text: str) -> dict[str, Any]:
    return {"id": f"attack-{name}", "source": source, "kind": "alert", "text": text, "labels": {"tactics": tactics},
            "split": "train", "license": LICENCES[source]}  # fmt: skip


def _objects(path: Path) -> dict[str, _Object]:
    """Every object that is not withdrawn, by its id."""
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    found: dict[str, _Object] = {}
    for file in files:
        try:
            found |= {
                one.id: one for one in msgspec.json.decode(file.read_bytes(), type=_Bundle).objects
            }
        except (OSError, msgspec.DecodeError) as error:
            raise DataError(
                f"{file} is no STIX bundle: {error}; give the STIX data of enterprise-attack"
            ) from None
    return {ref: one for ref, one in found.items() if not (one.revoked or one.x_mitre_deprecated)}


def _techniques(objects: Mapping[str, _Object]) -> dict[str, _Technique]:
    found = {}
    for ref, one in objects.items():
        if one.type == "attack-pattern":
            tactics = [
                phase.phase_name
                for phase in one.kill_chain_phases
                if phase.kill_chain_name == KILL_CHAIN
            ]
            number = next(
                (
                    said.external_id
                    for said in one.external_references
                    if said.source_name == KILL_CHAIN
                ),
                ref,
            )
            found[ref] = _Technique(tactics, number, one.name, _plain(one.description))
    for ref, one in sorted(objects.items()):
        technique = found.get(one.target_ref)
        if technique and one.relationship_type == "uses" and one.description:
            technique.procedures[ref] = _plain(one.description)
        elif technique and one.relationship_type == "detects" and one.source_ref in objects:
            technique.detections += _analytics(objects[one.source_ref], objects)
    return found


def _analytics(strategy: _Object, objects: Mapping[str, _Object]) -> Iterator[str]:
    for ref in strategy.x_mitre_analytic_refs:
        if analytic := objects.get(ref):
            logs = "; ".join(
                f"{log.name} {log.channel}" for log in analytic.x_mitre_log_source_references
            )
            yield f"{strategy.name}\n{_plain(analytic.description)}\n{logs}"


def _tests(atomics: Path) -> Iterator[tuple[str, str, str]]:
    """Technique, id and text of every test."""
    for file in sorted(atomics.glob("T*/T*.yaml")):
        try:
            listed = yaml.safe_load(file.read_text("utf-8"))
            for test in listed["atomic_tests"]:
                said = (test["name"], _plain(test.get("description") or ""), _command(test))
                yield (
                    listed["attack_technique"],
                    test["auto_generated_guid"],
                    "\n".join(filter(None, said)),
                )
        except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError):
            raise DataError(
                f"{file} is no atomic test; give the folder atomics of Atomic Red Team"
            ) from None


def _command(test: dict[str, Any]) -> str:
    """What is run, or by hand what is done, with the default of every argument."""
    executor, arguments = test["executor"], test.get("input_arguments") or {}
    written = executor.get("command") or executor.get("steps") or ""
    return _ARGUMENT.sub(
        lambda found: str(arguments.get(found[1], {}).get("default", "")), written
    ).strip()


def _plain(text: str) -> str:
    return (
        _CITATION.sub("", _LINK.sub(r"\1", text))
        .replace("<code>", "`")
        .replace("</code>", "`")
        .strip()
    )


if __name__ == "__main__":
    main()
