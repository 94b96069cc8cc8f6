"""The shipped pages of the console: what is in the files, without a browser."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from schemas.triaged import Case

STATIC = Path(__file__).parents[2] / "streams" / "console" / "static"
VENDOR = STATIC / "vendor"
OURS = sorted(path for path in STATIC.rglob("*.js") if VENDOR not in path.parents)
IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*["'](\.[^"']+)["']""")
MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|DOMParser"
    r"|\beval\s*\(|new Function|setAttribute\(\s*[\"'](?:style|on)"
)
MAX_LINES = 500


def test_every_vendored_file_is_the_one_that_is_recorded() -> None:
    """A library that somebody has changed by hand is no longer the one that others have checked."""
    record = tomllib.loads((VENDOR / "vendored.toml").read_text())
    shipped = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "vendored.toml"
    }
    assert shipped == {name: entry["sha256"] for name, entry in record["files"].items()}
    for package, entry in record["packages"].items():
        folder = f"{package}-{entry['version']}"
        assert f"{folder}/LICENSE" in shipped


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.relative_to(STATIC).as_posix())
def test_no_module_makes_markup_or_code_of_text(path: Path) -> None:
    """An event's text that became markup would be a program of a stranger in the console."""
    source = path.read_text()
    assert MARKUP.findall(source) == []
    assert len(source.splitlines()) <= MAX_LINES
    missing = [found for found in IMPORT.findall(source) if not (path.parent / found).is_file()]
    assert missing == []


def test_every_reason_of_a_case_has_its_words() -> None:
    """The queue would show a name of the program in place of a reason that people can read."""
    named = re.findall(r"``(\w+)``", (Case.__doc__ or "").partition("`probability`")[0])
    reasons = {name for name in named if name != "final"}
    assert "promise_broken" in reasons
    tags = (STATIC / "format.js").read_text()
    sentences = (STATIC / "pages" / "why.js").read_text().partition("const sentences")[2]
    assert set(re.findall(r"^  (\w+): ", tags, re.MULTILINE)) >= reasons
    assert set(re.findall(r"^    (\w+):", sentences, re.MULTILINE)) >= reasons


KEYS_OF = re.compile(r"use(?:Held)?Keys\(\s*(\{.*?\})\s*(?:,|\))", re.DOTALL)
NAMED = re.compile(r"""(?:[{,]|^)\s*"?([a-z0-9/?])"?: """, re.MULTILINE)


def test_every_key_that_acts_is_in_the_list_of_keys_and_in_the_docs() -> None:
    """Nobody finds a key that is not written down, and who presses it by accident is lost."""
    blocks = [block for path in OURS for block in KEYS_OF.findall(path.read_text())]
    acting = {key.upper() for block in blocks for key in NAMED.findall(block)}
    assert {"A", "E", "P", "/", "0"} <= acting
    acting -= {"O"}  # for those who know it from their mail; it does what Enter does
    help_page = (STATIC / "pages" / "help.js").read_text()
    listed = set(re.findall(r"""[^\s,]+""", " ".join(re.findall(r'\["([^"]+)", "', help_page))))
    assert acting - listed == set()
    docs = Path(__file__).parents[2] / "docs" / "console" / "README.md"
    rows = re.findall(r"^\| ([^|]+) \|", docs.read_text(), re.MULTILINE)
    documented = {key for row in rows for key in re.split(r"[\s,]+", row)}
    # `?` lists them all, as the docs say before the tables.
    assert acting - documented == {"?"}


def test_the_first_page_has_no_inline_script_or_style() -> None:
    """The policy of the pages forbids both: the page would stay white."""
    page = (STATIC / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", page) == []
    named = re.findall(r"""(?:src|href)="([^"]+)\"""", page)
    assert named
    assert [name for name in named if not (STATIC / name).is_file()] == []


def test_styles_load_nothing_from_elsewhere() -> None:
    """The console works without internet, and tells nobody that it is open."""
    for path in STATIC.rglob("*.css"):
        assert re.findall(r"@import|url\(", path.read_text()) == [], path.name
