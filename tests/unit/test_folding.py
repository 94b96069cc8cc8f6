"""Tests of folding: two spellings of a name that a person takes for one are one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.folding import MAX_CHARS, fold

SPELLINGS = (
    "ACME",
    " acme\t",
    "a\u200bcme",
    "\ufeffacme\u2060",
    "\uff21\uff23\uff2d\uff25",
    "ac\u00adme",
    "acme\ufe0f",
    "\u3164acme\u00a0",
    "\u202eacme\u202c",
    "acme\x00",
)


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings_of_one_name(name: str) -> None:
    """Otherwise a sender could write its tenant so that no policy about it applies."""
    assert fold(name) == "acme"


def test_other_names_stay_other_names() -> None:
    """Otherwise one tenant would get the policy of another."""
    assert len({fold(name) for name in ("acme", "acm e", "acme-1", "acm\u00e9", "bcme", "")}) == 6
    assert fold(" Acme \u2003 Corp ") == fold("acme corp")


@given(st.text(max_size=40))
def test_folding_twice_changes_nothing(name: str) -> None:
    """Otherwise a name from the configuration and one from an event would not meet."""
    assert fold(fold(name)) == fold(name)


def test_the_work_is_bounded() -> None:
    """Otherwise a run of combining marks would hold the whole worker for seconds."""
    assert len(fold("a" + "\u0315\u0316" * 200_000)) <= MAX_CHARS
