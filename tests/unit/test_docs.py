"""The documentation: its links lead somewhere, and its examples are valid on every machine."""

import ast
import re
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import yaml

from inference.egress.policy import Policy
from inference.labels.file import to_labels
from inference.llm.client.failure import FailureStatus
from inference.model.artifact import DEFAULT_MODEL, MANIFEST
from inference.model.manifest import Manifest
from inference.rules.ruling import Rules
from schemas.event import DOMAINS, Domain
from streams.config import load
from streams.problems import ProblemKind

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# Written in two parts, so that this file does not contain what it forbids.
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
LLM_PAGE = DOCS / "how-to" / "llm.md"
KAFKA_PAGE = DOCS / "how-to" / "kafka.md"
OPERATIONS_PAGE = DOCS / "how-to" / "operations.md"
THREAT_MODEL = DOCS / "threat-model.md"
CHANGELOG = ROOT / "CHANGELOG.md"
ALERT_RULES = ROOT / "docker" / "alerts.rules.yml"
RUNBOOK_LINES = ["Means", "Look at", "Do"]
EXAMPLE = ROOT / "examples" / "triage.toml"
STATUSES_WITHOUT_FAILURE = {
    "answered",
    "llm_off",
    "kept_inside",
    "redaction_failed",
    "shed",
    "high_impact",
    "failed",
}
"""How an event can end in the LLM tier without a failed call."""

FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
TOML_BLOCK = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
# Alerts about somebody's machine name its files.
SAMPLES = ROOT / "streams" / "samples"
AUTHORED = ROOT / "inference" / "training" / "authored"
PLANTED = (ROOT / "tests/planted.py", ROOT / "tests/unit/test_redaction.py")
SKIPPED = {".git", ".venv", "build", "dist", "__pycache__"}


def tree() -> list[Path]:
    """Every file that is committed, or will be."""
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
    """The content of every text file."""
    content = {}
    for path in tree():
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            content[path] = data.decode("utf-8", "replace")
    return content


def pages() -> list[Path]:
    """Every page of Markdown."""
    return sorted(path for path in tree() if path.suffix == ".md")


def page_id(path: Path) -> str:
    """The name of a page in the output of pytest."""
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    used: Counter[str] = Counter()
    unique = set()
    for heading in HEADING.findall(FENCED.sub("", page.read_text("utf-8"))):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        repeats = used[anchor]
        used[anchor] += 1
        if repeats:
            anchor = f"{anchor}-{repeats}"
        unique.add(anchor)
    return unique


def broken_links(page: Path) -> Iterator[str]:
    """The relative links of a page that lead to no file, or to no heading of it."""
    for name, anchor in LINK.findall(FENCED.sub("", page.read_text("utf-8"))):
        target = page
        if name:
            target = page.parent / name
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield f"{name}#{anchor}"


def test_no_file_mentions_a_machine_or_a_registry() -> None:
    """The documentation would name a path or a mirror that exists on one machine only."""
    mentions = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path, text in texts().items()
        if path.parent not in (SAMPLES, AUTHORED)
        and path not in PLANTED  # their events may mention any path
        for number, line in enumerate(text.splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert not mentions, "\n".join(mentions)


@pytest.mark.parametrize("page", pages(), ids=page_id)
def test_every_relative_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    """A reader would click on a link to a page or a section that was moved."""
    assert list(broken_links(page)) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    """The test above would pass for every page."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`, c!\n## Same\n## Same\n```\n# no heading\n```\n"
        "[1](#a-b-c) [2](page.md#same-1) [3](#no-heading) [4](gone.md) [5](https://a.example/#x)\n",
        "utf-8",
    )
    assert list(broken_links(page)) == ["#no-heading", "gone.md#"]


def labels() -> dict[Domain, Mapping[str, Sequence[str]]]:
    """The label sets of the shipped model."""
    manifest = msgspec.json.decode((DEFAULT_MODEL / MANIFEST).read_bytes(), type=Manifest)
    return {
        domain: {axis: spec.labels for axis, spec in manifest.domains[domain].axes.items()}
        for domain in DOMAINS
    }


def configurations() -> Iterator[tuple[str, str]]:
    """The name and the text of every configuration that the documentation shows."""
    yield page_id(EXAMPLE), EXAMPLE.read_text("utf-8")
    for page in sorted(DOCS.rglob("*.md")):
        for number, text in enumerate(TOML_BLOCK.findall(page.read_text("utf-8")), 1):
            if not is_labels_file(text):
                yield f"{page_id(page)} {number}", text


def is_labels_file(text: str) -> bool:
    """Whether a block is a labels file, and no configuration."""
    return set(tomllib.loads(text)) <= set(DOMAINS)


def test_every_labels_file_in_the_documentation_is_valid() -> None:
    """A user who copies an example would get an error."""
    blocks = TOML_BLOCK.findall((DOCS / "how-to" / "labels.md").read_text("utf-8"))
    files = [tomllib.loads(text) for text in blocks if is_labels_file(text)]
    assert [bool(list(to_labels(file).places())) for file in files] == [True, True]


@pytest.mark.parametrize(
    "text", [text for _, text in configurations()], ids=[name for name, _ in configurations()]
)
def test_every_configuration_in_the_documentation_is_valid(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who copies an example would get an error."""
    for variable in re.findall(r'_env = "(\w+)"', text):
        monkeypatch.setenv(variable, "secret")
    (tmp_path / "triage.toml").write_text(text, encoding="utf-8")
    settings = load(tmp_path / "triage.toml", {})
    sets = labels()
    rules = Rules.of(settings.rules, settings.impact, sets)
    assert not rules.expired(now=datetime(2026, 12, 31, tzinfo=UTC))
    axes = {
        axis: {value for domain in DOMAINS for value in sets[domain].get(axis, ())}
        for axis in sets["alerts"]
    }
    Policy(settings.egress).check(axes)


def test_every_status_is_explained() -> None:
    """An operator would look up a status and find nothing about it."""
    explained = set(re.findall(r"^\| `(\w+)` \|", LLM_PAGE.read_text("utf-8"), flags=re.MULTILINE))
    assert explained - {"out_of_scope"} == STATUSES_WITHOUT_FAILURE | set(get_args(FailureStatus))


def test_the_keys_in_comments_of_the_example_are_valid(tmp_path: Path) -> None:
    """A user who removes the comment sign from a line of the example would get an error."""
    text = EXAMPLE.read_text("utf-8")
    path = tmp_path / "triage.toml"
    path.write_text(re.sub(r"^#(?=\S)", "", text, flags=re.MULTILINE), encoding="utf-8")
    settings = load(path, {"TRIAGE_LLM__TIERS": '["small"]'})
    assert settings.rules
    Rules.of(settings.rules, settings.impact, labels())


def first_cells(page: Path, heading: str, pattern: str) -> set[str]:
    """The first cells of the tables below a heading of a page, those that match a pattern."""
    section = page.read_text("utf-8").split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(rf"^\| `({pattern})` \|", section, flags=re.MULTILINE))


def test_every_kind_of_problem_is_explained() -> None:
    """An operator would look up a kind of `triage_problems` and find nothing about it."""
    kinds = first_cells(KAFKA_PAGE, "When a worker is not ready", r"\w+")
    assert kinds == set(get_args(ProblemKind))


def alert_rules() -> list[dict[str, Any]]:
    """The rules of every alert."""
    groups = yaml.safe_load(ALERT_RULES.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_alert_has_a_section_that_says_what_to_do() -> None:
    """An operator would be called by an alert that no page names, or rely on one that is gone."""
    section = OPERATIONS_PAGE.read_text("utf-8").split("\n## When an alert fires\n", 1)[1]
    section = section.split("\n## ", 1)[0]
    parts = dict(part.split("\n", 1) for part in section.split("\n### ")[1:])
    assert list(parts) == list(dict.fromkeys(parts))
    assert set(parts) == {rule["alert"] for rule in alert_rules()}
    for name, text in parts.items():
        assert re.findall(r"^- \*\*(.+?):\*\*", text, re.MULTILINE) == RUNBOOK_LINES, name


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: rule["alert"])
def test_every_alert_names_its_section(rule: dict[str, Any]) -> None:
    """Whoever is called at night would look for the page, or follow a link to nowhere."""
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert ROOT / page == OPERATIONS_PAGE
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(OPERATIONS_PAGE)


def named_tests(text: str) -> set[str]:
    """The tests that a page names."""
    return set(re.findall(r"`(test_\w+)`", text))


def existing_tests() -> set[str]:
    """The names of all functions of the tests."""
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_the_tests_of_the_threat_model_exist() -> None:
    """The page would claim what no test shows any more, after one was renamed or removed."""
    named = named_tests(THREAT_MODEL.read_text("utf-8"))
    assert named
    assert not named - existing_tests()


def test_a_named_test_that_does_not_exist_is_found() -> None:
    """The test above would pass for every name."""
    here = "test_a_named_test_that_does_not_exist_is_found"
    gone = "test_that_was_" + "removed"
    assert named_tests(f"`{here}`, `{gone}` and test_plain") - existing_tests() == {gone}


def entries(version: str) -> dict[str, list[str]]:
    """The entries of one version of the changelog, by heading.

    Raises:
        ValueError: a heading is there twice.
    """
    headings: dict[str, list[str]] = {}
    for part in version.split("\n### ")[1:]:
        heading, _, text = part.partition("\n")
        if heading in headings:
            raise ValueError(f"{heading} is there twice")
        headings[heading] = [" ".join(entry.split()) for entry in text.split("\n- ")[1:]]
    return headings


def test_the_changelog_has_each_heading_and_each_entry_once() -> None:
    """A merge leaves the lines of both sides, and a reader misses those below a second heading."""
    for version in CHANGELOG.read_text("utf-8").split("\n## ")[1:]:
        every_entry = [entry for texts in entries(version).values() for entry in texts]
        assert every_entry
        assert [entry for entry, times in Counter(every_entry).items() if times > 1] == []


def test_a_heading_that_is_there_twice_is_found() -> None:
    """The test above would pass for every changelog."""
    with pytest.raises(ValueError, match="Fixed is there twice"):
        entries("1.0.0\n\n### Fixed\n\n- a\n\n### Added\n\n- b\n\n### Fixed\n\n- c\n")
