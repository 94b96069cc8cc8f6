"""A budget that holds: in a day, for a tenant, with many calls in flight, over midnight."""

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
    """Time that passes when told to."""

    now_s: float = NOON_S

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now_s


def budget(clock: Clock | None = None, **options: Any) -> Budget:
    """A budget of a dollar a day, unless said otherwise."""
    return Budget(BudgetOptions(**{"usd_per_day": 1.0} | options), clock=clock or Clock())


def spend(budget_: Budget, tenant: str, usd: float) -> Reservation:
    """Reserve and spend all of it."""
    reservation = budget_.reserve(tenant, usd)
    assert reservation is not None
    budget_.settle(reservation, usd)
    return reservation


def test_calls_in_flight_count() -> None:
    """A hundred questions asked at once would each find the budget unspent."""
    day = budget()
    open_ = [day.reserve("a", 0.1) for _ in range(100)]
    assert sum(each is not None for each in open_) == 10
    assert day.spent_usd() == 0


def test_what_was_not_spent_is_free_again() -> None:
    """A day's budget would be gone after a few calls that cost a tenth of what they might have."""
    day = budget()
    first = day.reserve("a", 0.9)
    assert day.reserve("a", 0.2) is None
    assert first is not None
    day.settle(first, 0.3)
    assert day.spent_usd() == day.spent_usd("a") == 0.3
    assert day.reserve("a", 0.7) is not None


def test_settling_twice_changes_nothing() -> None:
    """A caller's `finally` after an error would give money back that is spent."""
    day = budget()
    day.settle(spend(day, "a", 0.5), 0.0)
    assert day.spent_usd() == 0.5
    assert day.reserve("a", 0.6) is None


def test_a_tenant_has_its_own_limit_below_everyones() -> None:
    """One customer's flood of tickets would spend what is meant for all."""
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


def test_nothing_may_be_spent_under_a_limit_of_nothing() -> None:
    """Zero would mean unlimited."""
    day = budget(usd_per_day=0.0)
    assert day.reserve("a", 0.000_001) is None
    assert day.reserve("a", 0.0) is not None


def test_what_others_spent_today_counts() -> None:
    """Every worker, and every restart of one, would have the day's budget for itself."""
    day = budget()
    day.note("a", 0.6, NOON_S - 60)
    day.note("a", 5.0, NOON_S - DAY_S)
    day.note("a", 5.0, NOON_S + DAY_S)
    assert day.spent_usd("a") == 0.6
    assert day.reserve("b", 0.5) is None


def test_midnight_begins_a_new_day() -> None:
    """The budget would last once, or a call over midnight would be taken out of two days."""
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


def test_a_clock_put_back_gives_no_second_day() -> None:
    """A correction of the clock around midnight would hand the budget out again."""
    clock = Clock(20_000 * DAY_S + 1.0)
    day = budget(clock)
    spend(day, "a", 1.0)
    clock.now_s -= 2.0
    assert day.reserve("a", 0.1) is None


def test_a_cost_below_zero_gives_nothing_back() -> None:
    """A server that answers with negative usage could make the budget endless."""
    day = budget()
    reservation = day.reserve("a", 0.5)
    assert reservation is not None
    day.settle(reservation, -100.0)
    assert day.spent_usd() == 0


def test_a_million_tenants_do_not_eat_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Invented tenant names would grow a dictionary until the worker dies, or each have a limit of its own."""
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


def test_refused_and_free_questions_leave_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """The accounts would be used up by tenants who never spent anything."""
    monkeypatch.setattr(budgets, "MAX_TENANTS", 10)
    day = budget()
    for number in range(100):
        assert day.reserve(f"dear{number}", 2.0) is None
        spend(day, f"free{number}", 0.0)
        day.note(f"elsewhere{number}", 0.0, NOON_S)
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
def test_no_interleaving_overspends(
    steps: list[tuple[str, str, float, float]], chance: random.Random
) -> None:
    """Some order of questions, answers and midnights would spend more than was allowed."""
    clock = Clock()
    day = budget(clock, usd_per_tenant_per_day=0.4, tenants={"a": 0.9, "b": 0.0})
    open_: list[tuple[Reservation, str, float]] = []
    paid: defaultdict[tuple[float, str], float] = defaultdict(float)
    """What each tenant's questions cost in the end, by the day they were let through."""
    for step, tenant, worst_usd, share in steps:
        if step == "tomorrow":
            clock.now_s += DAY_S
        elif step == "reserve" and (reservation := day.reserve(tenant, worst_usd)) is not None:
            open_.append((reservation, tenant, worst_usd * share))
            paid[clock.now_s, tenant] += worst_usd * share
        elif step == "settle" and open_:
            reservation, _, actual_usd = open_.pop(chance.randrange(len(open_)))
            day.settle(reservation, actual_usd)
        assert day.spent_usd() <= 1.0
        assert all(day.spent_usd(each) <= day.limit_usd(each) for each in "abcdef")
    for (now_s, tenant), usd in paid.items():
        assert usd <= day.limit_usd(tenant) + 1e-9
        assert sum(usd for (date, _), usd in paid.items() if date == now_s) <= 1.0 + 1e-9
