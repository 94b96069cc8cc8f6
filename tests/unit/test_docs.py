"""What is written in the tree holds on every machine."""

import re
import subprocess
from pathlib import Path

import pytest

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
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
# Alerts about somebody's machine name its files.
SAMPLES = ROOT / "streams" / "samples"
AUTHORED = ROOT / "inference" / "training" / "authored"
SKIPPED = {".git", ".venv", "build", "dist", "__pycache__"}


def tree() -> list[Path]:
    """Every file that is or would be committed."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-coz", "--exclude-standard"], capture_output=True, check=False
    )
    if listed.returncode == 0:
        files = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    else:
        files = [path for path in ROOT.rglob("*") if not SKIPPED & set(path.relative_to(ROOT).parts)]
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
        if path.parent not in (SAMPLES, AUTHORED)  # events in which any path may be told of
        for number, line in enumerate(text.splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", [path for path in tree() if path.suffix == ".md"], ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    """A reader would click on a page that was moved."""
    missing = [link for link in LINK.findall(path.read_text("utf-8")) if not (path.parent / link).exists()]
    assert not missing
