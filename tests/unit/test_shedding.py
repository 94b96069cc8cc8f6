"""Tests of shedding: the cases that go to review without the LLM when too many wait."""

import random

import pytest

from inference.llm.shedding import Shedding


def test_nothing_is_shed_within_the_limit() -> None:
    """Otherwise events would get no answer although there is time for them."""
    shedding = Shedding(10)
    assert not any(
        shedding.sheds(percent / 100, backlog) for percent in range(100) for backlog in (0, 5, 10)
    )


@pytest.mark.parametrize(("backlog", "share"), [(20, 0.5), (100, 0.9), (11, 1 / 11)])
def test_the_share_grows_with_the_backlog(backlog: int, share: float) -> None:
    """Otherwise the backlog would never shrink, or the LLM would have nothing to do."""
    chance, shedding = random.Random(1), Shedding(10)
    for _ in range(500):
        shedding.sheds(chance.random(), 0)
    shed = sum(shedding.sheds(chance.random(), backlog) for _ in range(2000)) / 2000
    assert shed == pytest.approx(share, abs=0.05)


def test_the_least_uncertain_are_shed_first() -> None:
    """Otherwise the LLM would never see the events that need it most."""
    shedding = Shedding(10)
    for number in range(100):
        shedding.sheds(number / 100, 0)
    assert shedding.sheds(0.1, 20)
    assert not shedding.sheds(0.9, 20)


def test_of_cases_with_the_same_risk_a_share_is_shed() -> None:
    """Otherwise all out-of-distribution events, whose risk is 1, would be shed."""
    shedding = Shedding(10)
    shed = sum(shedding.sheds(1.0, 20) for _ in range(2000)) / 2000
    assert shed == pytest.approx(0.5, abs=0.06)
