"""What is written in the tree holds on every machine."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from inference.egress.policy import Policy
from inference.llm.client.failure import FailureStatus
from inference.model.artifact import DEFAULT_MODEL, MANIFEST, Manifest
from inference.rules.ruling import Rules
from schemas.event import DOMAINS, Domain
from streams.config import load

ROOT = Path(__file__).resolve().parents[2]
# Spelled apart, so that this file does not mention what it forbids.
FORBIDDEN = re.compile(
    "|".join(
        (
            "/" + r"(work|root)/(?!\.\.\.)",
            "/" + r"home/(?!triage)\w+/",
            "/" + r"tmp/(probe|brief)",
            r"py" + r"pi\.org|files\.python" + r"hosted",
            r"repo1?\.maven\.(apache\.)?org",
            r"registry\.(npm" + r"js\.org|yarn)",
            r"proxy\.go" + r"lang\.org",
        )
    )
)
LLM = ROOT / "docs" / "llm.md"
TOML = re.findall(r"^```toml\n(.*?)^```", LLM.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
# How an event can end in the LLM tier without a call that failed.
UNASKED = {
    "answered",
    "llm_off",
    "kept_inside",
    "redaction_failed",
    "shed",
    "high_impact",
    "failed",
}
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
# Alerts about somebody's machine name its files.
SAMPLES = ROOT / "streams" / "samples"
AUTHORED = ROOT / "inference" / "training" / "authored"
PLANTED = (ROOT / "tests/planted.py", ROOT / "tests/unit/test_redaction.py")
SKIPPED = {".git", ".venv", "build", "dist", "__pycache__"}


def tree() -> list[Path]:
    """Every file that is or would be committed."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-coz", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        files = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    else:
        files = [
            path for path in ROOT.rglob("*") if not SKIPPED & set(path.relative_to(ROOT).parts)
        ]
    return [path for path in files if path.is_file()]


def texts() -> dict[Path, str]:
    """Every file that can be read as text."""
    found = {}
    for path in tree():
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            found[path] = data.decode("utf-8", "replace")
    return found


def test_no_file_mentions_a_machine_or_a_registry() -> None:
    """A path or a mirror that exists on one machine only would be documented as if it were everywhere."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path, text in texts().items()
        if path.parent not in (SAMPLES, AUTHORED)
        and path not in PLANTED  # events in which any path may be told of
        for number, line in enumerate(text.splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "path", [path for path in tree() if path.suffix == ".md"], ids=lambda path: path.name
)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    """A reader would click on a page that was moved."""
    missing = [
        link for link in LINK.findall(path.read_text("utf-8")) if not (path.parent / link).exists()
    ]
    assert not missing


def labels() -> dict[Domain, Mapping[str, Sequence[str]]]:
    """The label sets of the shipped model."""
    manifest = msgspec.json.decode((DEFAULT_MODEL / MANIFEST).read_bytes(), type=Manifest)
    return {
        domain: {axis: spec.labels for axis, spec in manifest.domains[domain].axes.items()}
        for domain in DOMAINS
    }


@pytest.mark.parametrize("example", [*TOML, (ROOT / "examples" / "triage.toml").read_text("utf-8")])
def test_every_configuration_shown_can_be_used(example: str, tmp_path: Path) -> None:
    """Whoever copies an example would be told that it is wrong."""
    (tmp_path / "triage.toml").write_text(example, encoding="utf-8")
    settings = load(tmp_path / "triage.toml", {})
    sets = labels()
    rules = Rules.of(settings.rules, settings.impact, sets)
    assert not rules.expired(now=datetime(2026, 12, 31, tzinfo=UTC))
    axes = {
        axis: {value for domain in DOMAINS for value in sets[domain].get(axis, ())}
        for axis in sets["alerts"]
    }
    Policy.of(settings.egress).check(axes)


def test_every_status_is_explained() -> None:
    """An operator would look up a status and find nothing about it."""
    explained = set(re.findall(r"^\| `(\w+)` \|", LLM.read_text("utf-8"), flags=re.MULTILINE))
    assert explained - {"out_of_scope"} == UNASKED | set(get_args(FailureStatus))


def test_the_example_uncommented_is_an_example_too(tmp_path: Path) -> None:
    """The keys shown as comments would be refused by whoever needs them first."""
    text = (ROOT / "examples" / "triage.toml").read_text("utf-8")
    path = tmp_path / "triage.toml"
    path.write_text(re.sub(r"^#(?=\S)", "", text, flags=re.MULTILINE), encoding="utf-8")
    settings = load(path, {"TRIAGE_LLM__TIERS": '["small"]'})
    assert settings.rules
    Rules.of(settings.rules, settings.impact, labels())
