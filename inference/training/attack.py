"""MITRE ATT&CK and Atomic Red Team as alerts that are labelled with their tactics.

`python -m inference.training.attack` writes the rows.

Each row is one text about one technique: its description, a way to detect it, a report of its use,
or a test of it. Alerts are about the same things, and many vendors wrote these texts. A row is
labelled with the tactics of its technique and with nothing else, so it trains the tactic axis only.
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
from schemas.codec import prepared

ATTACK, ATOMICS = "MITRE ATT&CK", "Atomic Red Team"
LICENCES = {ATTACK: "ATT&CK-terms", ATOMICS: "MIT"}
KILL_CHAIN = "mitre-attack"
MAX_PROCEDURES = 8
"""How many procedures of one technique become rows.

Some techniques have hundreds of known procedures. Without a limit they would outweigh the
techniques that have only one.
"""

_LINK, _CITATION = re.compile(r"\[([^\]]*)\]\([^)]*\)"), re.compile(r"\(Citation:[^)]*\)")
_ARGUMENT = re.compile(r"#\{(\w+)\}")

_AtomicTest = tuple[str, str, str]
"""The number of the technique, the id of the test, and its text."""


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
    """A STIX object of any type. It has the fields of all types that are read here."""

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

    def technique_number(self) -> str:
        """The number that ATT&CK gives to a technique, such as T1003.001, or else the STIX id."""
        for reference in self.external_references:
            if reference.source_name == KILL_CHAIN:
                return reference.external_id
        return self.id


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
        # Sorted by hash, the choice is arbitrary but does not depend on the order in the file.
        refs = sorted(self.procedures, key=lambda ref: hashlib.sha256(ref.encode()).digest())
        for ref in refs[:MAX_PROCEDURES]:
            yield self.procedures[ref]


def main() -> None:
    """Write the rows as NDJSON, one JSON object per line, in the format `triage train` reads."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.training.attack", description=main.__doc__
    )
    parser.add_argument(
        "--attack",
        type=Path,
        required=True,
        help="enterprise-attack of MITRE's STIX data: one file that holds the whole bundle, or the "
        "folder of github.com/mitre/cti that holds one file per object",
    )
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
    """Rows that are labelled with tactics. All of them are in the split ``train``.

    `attack` is a STIX bundle, or a folder of STIX bundles. `atomics` is the folder atomics of
    Atomic Red Team.

    Raises:
        DataError: a file cannot be read, or `attack` holds no technique.
    """
    techniques = _techniques(_objects(attack)).values()
    if not techniques:
        raise DataError(
            f"{attack} holds no ATT&CK technique; give the STIX data of enterprise-attack"
        )
    for technique in techniques:
        for position, text in enumerate(technique.texts()):
            yield _row(f"{technique.number}-{position}", ATTACK, technique.tactics, text)
    if atomics:
        tactics = {technique.number: technique.tactics for technique in techniques}
        for number, test_id, text in _atomic_tests(atomics):
            if number in tactics:
                yield _row(test_id, ATOMICS, tactics[number], text)


def _row(name: str, source: str, tactics: list[str], text: str) -> dict[str, Any]:
    return {
        "id": f"attack-{name}",
        "source": source,
        "kind": "alert",
        "text": text,
        "labels": {"tactics": tactics},
        "split": "train",
        "license": LICENCES[source],
    }


def _objects(path: Path) -> dict[str, _Object]:
    """The STIX objects by their id, without those that MITRE withdrew."""
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    objects = {ref: stix_object for file in files for ref, stix_object in _read_bundle(file)}
    return {
        ref: stix_object
        for ref, stix_object in objects.items()
        if not (stix_object.revoked or stix_object.x_mitre_deprecated)
    }


def _read_bundle(file: Path) -> list[tuple[str, _Object]]:
    try:
        bundle = msgspec.json.decode(file.read_bytes(), type=prepared(_Bundle))
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(
            f"{file} is no STIX bundle: {error}; give the STIX data of enterprise-attack"
        ) from None
    return [(stix_object.id, stix_object) for stix_object in bundle.objects]


def _techniques(objects: Mapping[str, _Object]) -> dict[str, _Technique]:
    """The techniques by their STIX id, with the procedures and detections that refer to them."""
    techniques = {
        ref: _technique(stix_object)
        for ref, stix_object in objects.items()
        if stix_object.type == "attack-pattern"
    }
    for ref, relationship in sorted(objects.items()):
        technique = techniques.get(relationship.target_ref)
        if not technique:
            continue
        if relationship.relationship_type == "uses" and relationship.description:
            technique.procedures[ref] = _plain(relationship.description)
        elif relationship.relationship_type == "detects" and relationship.source_ref in objects:
            technique.detections += _analytics(objects[relationship.source_ref], objects)
    return techniques


def _technique(pattern: _Object) -> _Technique:
    tactics = [
        phase.phase_name
        for phase in pattern.kill_chain_phases
        if phase.kill_chain_name == KILL_CHAIN
    ]
    return _Technique(
        tactics, pattern.technique_number(), pattern.name, _plain(pattern.description)
    )


def _analytics(strategy: _Object, objects: Mapping[str, _Object]) -> Iterator[str]:
    """One text for each analytic of a detection strategy."""
    for ref in strategy.x_mitre_analytic_refs:
        if analytic := objects.get(ref):
            logs = "; ".join(
                f"{log.name} {log.channel}" for log in analytic.x_mitre_log_source_references
            )
            yield f"{strategy.name}\n{_plain(analytic.description)}\n{logs}"


def _atomic_tests(atomics: Path) -> Iterator[_AtomicTest]:
    for file in sorted(atomics.glob("T*/T*.yaml")):
        try:
            yield from _read_tests(file)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError):
            raise DataError(
                f"{file} is no atomic test; give the folder atomics of Atomic Red Team"
            ) from None


def _read_tests(file: Path) -> Iterator[_AtomicTest]:
    document = yaml.safe_load(file.read_text("utf-8"))
    for test in document["atomic_tests"]:
        parts = (test["name"], _plain(test.get("description") or ""), _command(test))
        text = "\n".join(filter(None, parts))
        yield document["attack_technique"], test["auto_generated_guid"], text


def _command(test: dict[str, Any]) -> str:
    """The command of a test, or its manual steps. Arguments are replaced by their defaults."""
    executor, arguments = test["executor"], test.get("input_arguments") or {}
    command = executor.get("command") or executor.get("steps") or ""

    def default(argument: re.Match[str]) -> str:
        return str(arguments.get(argument[1], {}).get("default", ""))

    return _ARGUMENT.sub(default, command).strip()


def _plain(text: str) -> str:
    """The text without links, citations and HTML tags for code."""
    text = _CITATION.sub("", _LINK.sub(r"\1", text))
    return text.replace("<code>", "`").replace("</code>", "`").strip()


if __name__ == "__main__":
    main()
