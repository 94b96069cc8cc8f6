"""What every message to a person keeps to, read from the code itself."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [
    path
    for package in ("schemas", "inference", "agents", "streams")
    for path in sorted((ROOT / package).rglob("*.py"))
]
ASKS_FOR_MORE = re.compile(
    r"\bmore (rows|labels|labelled|decisions|verdicts|checks|tickets|alerts|of them)\b"
    r"|\brows more\b"
)
NUMBER = r"(\{\}|\d)"
HAS_NUMBER = re.compile(
    rf"{NUMBER} (rows )?more|about {NUMBER}|at least {NUMBER}|more \w+ by \w+ are needed: {NUMBER}"
)
SAYS_WHERE = re.compile(r"says? (about )?how many rows more|^rows more until|^Rows more: ")
"""Headings of a column that has the numbers, and sentences that point to one."""


def messages(module: ast.Module) -> Iterator[str]:
    """The texts of a module that are no docstrings; a value in an f-string is `{}`."""
    inside: set[int] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inside.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values}
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
    for node in ast.walk(module):
        if not isinstance(node, ast.Constant) or id(node) in inside:
            continue
        if isinstance(node.value, str):
            yield node.value


def vague(source: str) -> list[str]:
    """The messages that ask for more and do not say how many."""
    return [
        text
        for text in messages(ast.parse(source))
        if ASKS_FOR_MORE.search(text) and not HAS_NUMBER.search(text)
        if not SAYS_WHERE.search(text)
    ]


def test_no_message_asks_for_more_without_a_number() -> None:
    """A person would have to guess how many rows are enough."""
    found = {str(path.relative_to(ROOT)): vague(path.read_text("utf-8")) for path in MODULES}
    assert {path: texts for path, texts in found.items() if texts} == {}
    assert sum(len(list(messages(ast.parse(path.read_text("utf-8"))))) for path in MODULES) > 3_000


@pytest.mark.parametrize(
    ("source", "is_vague"),
    [
        ("a = 'calibrate on more rows'", True),
        ("a = f'{axis}: give more labels'", True),
        ("a = f'calibrate on about {n} more rows like these'", False),
        ("a = 'label 30 more tickets'", False),
        ("def f():\n    '''Asks for more rows.'''", False),
    ],
)
def test_a_vague_message_is_found(source: str, is_vague: bool) -> None:
    """The test above would pass for every message."""
    assert bool(vague(source)) is is_vague
