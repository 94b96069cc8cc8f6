"""Tests of the budget: its limits hold per day and per tenant.

They hold with many concurrent calls, and over midnight.
"""

import random
from collections import defaultdict
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.llm import budget as budgets
from inference.llm.budget import Budget, Reservation
from inference.llm.options import BudgetOptions

DAY_S = 86_400
NOON_S = 20_000 * DAY_S + DAY_S / 2


@dataclass
class Clock:
    """A clock that a test sets."""

    now_s: float = NOON_S

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now_s


def budget(clock: Clock | None = None, **options: Any) -> Budget:
    """A budget of one dollar per day, unless the options change it."""
    return Budget(BudgetOptions(**{"usd_per_day": 1.0} | options), clock=clock or Clock())


def spend(budget_: Budget, tenant: str, usd: float) -> Reservation:
    """Reserve this much and spend all of it."""
    reservation = budget_.reserve(tenant, usd)
    assert reservation is not None
    budget_.settle(reservation, usd)
    return reservation


def test_reserved_money_counts() -> None:
    """Otherwise each of a hundred concurrent prompts would find the budget unspent."""
    day = budget()
    reservations = [day.reserve("a", 0.1) for _ in range(100)]
    assert sum(reservation is not None for reservation in reservations) == 10
    assert day.spent_usd() == 0


def test_reserved_money_that_was_not_spent_is_free_again() -> None:
    """Otherwise a few calls that cost less than reserved would use up the day."""
    day = budget()
    first = day.reserve("a", 0.9)
    assert day.reserve("a", 0.2) is None
    assert first is not None
    day.settle(first, 0.3)
    assert day.spent_usd() == day.spent_usd("a") == 0.3
    assert day.reserve("a", 0.7) is not None


def test_settling_twice_changes_nothing() -> None:
    """Otherwise the `finally` of a caller would give back money that is spent."""
    day = budget()
    day.settle(spend(day, "a", 0.5), 0.0)
    assert day.spent_usd() == 0.5
    assert day.reserve("a", 0.6) is None


def test_a_tenant_has_its_own_limit_below_everyones() -> None:
    """Otherwise the tickets of one tenant could spend the money of all."""
    day = budget(usd_per_tenant_per_day=0.2, tenants={"large": 0.5, "none": 0.0, "greedy": 7.0})
    limits = [day.limit_usd(tenant) for tenant in ("any", "large", "none", "greedy")]
    assert limits == [0.2, 0.5, 0.0, 1.0]
    spend(day, "any", 0.2)
    assert day.reserve("any", 0.01) is None
    assert day.reserve("none", 0.01) is None
    spend(day, "large", 0.5)
    spend(day, "other", 0.2)
    assert day.reserve("greedy", 0.2) is None
    assert day.spent_usd() == 0.9


def test_a_limit_of_zero_allows_only_what_is_free() -> None:
    """Otherwise zero would mean no limit."""
    day = budget(usd_per_day=0.0)
    assert day.reserve("a", 0.000_001) is None
    assert day.reserve("a", 0.0) is not None


def test_what_other_workers_spent_today_counts() -> None:
    """Otherwise every worker, and every restart, would have the whole budget of the day."""
    day = budget()
    day.note("a", 0.6, NOON_S - 60)
    day.note("a", 5.0, NOON_S - DAY_S)
    day.note("a", 5.0, NOON_S + DAY_S)
    assert day.spent_usd("a") == 0.6
    assert day.reserve("b", 0.5) is None


def test_midnight_begins_a_new_day() -> None:
    """Otherwise the budget would never be renewed, or a call over midnight would count twice."""
    clock = Clock()
    day = budget(clock)
    over_midnight = day.reserve("a", 1.0)
    assert over_midnight is not None
    clock.now_s += DAY_S
    today = day.reserve("a", 0.6)
    assert today is not None
    day.settle(over_midnight, 0.9)
    assert day.spent_usd() == 0
    day.settle(today, 0.6)
    assert day.spent_usd("a") == 0.6


def test_a_clock_that_is_put_back_renews_nothing() -> None:
    """Otherwise a correction of the clock around midnight would renew the budget."""
    clock = Clock(20_000 * DAY_S + 1.0)
    day = budget(clock)
    spend(day, "a", 1.0)
    clock.now_s -= 2.0
    assert day.reserve("a", 0.1) is None


def test_a_negative_cost_gives_nothing_back() -> None:
    """Otherwise a server that reports a negative usage could remove every limit."""
    day = budget()
    reservation = day.reserve("a", 0.5)
    assert reservation is not None
    day.settle(reservation, -100.0)
    assert day.spent_usd() == 0


def test_the_number_of_accounts_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise invented names would use up the memory, or each have a limit of its own."""
    monkeypatch.setattr(budgets, "MAX_TENANTS", 10)
    day = budget(usd_per_day=1_000, usd_per_tenant_per_day=0.5, tenants={"known": 2.0})
    for number in range(100):
        if (reservation := day.reserve(f"t{number}", 0.25)) is not None:
            day.settle(reservation, 0.25)
    assert len(day._accounts) == 11
    assert day.spent_usd() == 10 * 0.25 + 0.5
    assert day.spent_usd("t99") == 0.5
    assert day.reserve("t99", 0.25) is None
    assert day.reserve("known", 2.0) is not None


def test_refused_and_free_prompts_leave_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise tenants that never spent anything would use up the accounts."""
    monkeypatch.setattr(budgets, "MAX_TENANTS", 10)
    day = budget()
    for number in range(100):
        assert day.reserve(f"costly{number}", 2.0) is None
        spend(day, f"free{number}", 0.0)
        day.note(f"elsewhere{number}", 0.0, NOON_S)
    assert not day._accounts


def test_concurrent_free_prompts_can_both_be_settled() -> None:
    """Otherwise the second answer of a free model would be lost to a KeyError."""
    day = budget()
    reservations = [day.reserve("a", 0.0), day.reserve("a", 0.0)]
    for reservation in reservations:
        assert reservation is not None
        day.settle(reservation, 0.0)
    assert not day._accounts


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "settle", "tomorrow"]),
        st.sampled_from("abcdef"),
        st.floats(0, 0.5),
        st.floats(0, 1),
    ),
    max_size=60,
)


@mock.patch.object(budgets, "MAX_TENANTS", 3)
@given(steps=STEPS, chance=st.randoms(use_true_random=False))
def test_no_order_of_steps_overspends(
    steps: list[tuple[str, str, float, float]], chance: random.Random
) -> None:
    """Otherwise some order of prompts, answers and midnights would exceed a limit."""
    clock = Clock()
    day = budget(clock, usd_per_tenant_per_day=0.4, tenants={"a": 0.9, "b": 0.0})
    open_: list[tuple[Reservation, str, float]] = []
    paid: defaultdict[tuple[float, str], float] = defaultdict(float)
    """What the prompts of each tenant cost, by the day on which they were reserved."""
    for step, tenant, max_usd, share in steps:
        if step == "tomorrow":
            clock.now_s += DAY_S
        elif step == "reserve" and (reservation := day.reserve(tenant, max_usd)) is not None:
            open_.append((reservation, tenant, max_usd * share))
            paid[clock.now_s, tenant] += max_usd * share
        elif step == "settle" and open_:
            reservation, _, actual_usd = open_.pop(chance.randrange(len(open_)))
            day.settle(reservation, actual_usd)
        assert day.spent_usd() <= 1.0
        assert all(day.spent_usd(name) <= day.limit_usd(name) for name in "abcdef")
    for (now_s, tenant), usd in paid.items():
        assert usd <= day.limit_usd(tenant) + 1e-9
        assert sum(usd for (date, _), usd in paid.items() if date == now_s) <= 1.0 + 1e-9
