"""The watch over the mix of events: it finds changes, and seldom any where there are none."""

import random
from collections.abc import Callable

import pytest

from inference.acceptance.binomial import binomial_tail
from inference.acceptance.mix import OTHER, REFERENCE_EVENTS, REFERENCE_S, MixWatch, reference_bound

DAY_S = 86_400.0
EVERY_S = DAY_S / REFERENCE_EVENTS
SHARES = {"billing": 0.5, "access": 0.3, "refunds": 0.17, "out_of_scope": 0.03}


def watched(
    shares: Callable[[int], dict[str, float]], events: int, seed: int, delta: float = 0.05
) -> tuple[MixWatch, int]:
    """A mix watch after so many events beyond the reference, and when it found a change."""
    generator, mix = random.Random(seed), MixWatch(delta)
    for number in range(REFERENCE_EVENTS + events + 1):
        of_now = shares(number - REFERENCE_EVENTS)
        (category,) = generator.choices(list(of_now), list(of_now.values()))
        mix.add(category, number * EVERY_S)
        if mix.changed is not None:
            return mix, number - REFERENCE_EVENTS
    return mix, events


def test_a_mix_that_stays_is_seldom_a_change() -> None:
    """People would look for a change that is none."""
    changed = sum(
        watched(lambda _: SHARES, 3_000, seed)[0].changed is not None for seed in range(20)
    )
    assert changed <= 4


@pytest.mark.parametrize("at", [0, 3_000])
def test_out_of_scope_events_that_rise_are_a_change(at: int) -> None:
    """The events that the promise does not know would go unnoticed."""
    risen = {name: share * 0.82 / 0.97 for name, share in SHARES.items()} | {"out_of_scope": 0.18}
    for seed in range(5):
        mix, found = watched(lambda n: risen if n >= at else SHARES, at + 600, seed)
        assert mix.changed == "out_of_scope"
        assert at <= found < at + 600
        assert mix.evidence == 1.0


def test_a_category_that_was_never_seen_is_a_change() -> None:
    """A new product whose events all go to a new queue would go unnoticed."""
    new = {name: share * 0.9 for name, share in SHARES.items()} | {"spam": 0.1}
    mix, _ = watched(lambda n: new if n > 0 else SHARES, 600, seed=1)
    assert mix.changed == OTHER


def test_a_small_rise_is_tolerated() -> None:
    """Every week would be a change: real shares are never the same twice."""
    moved = SHARES | {"billing": 0.47, "access": 0.33}
    changed = sum(
        watched(lambda n: moved if n > 0 else SHARES, 2_000, seed)[0].changed is not None
        for seed in range(5)
    )
    assert changed == 0


def test_the_reference_spans_a_day() -> None:
    """The night would be a change against the morning."""
    mix = MixWatch(0.05)
    for number in range(3 * REFERENCE_EVENTS):
        mix.add("a", number)
    assert mix.evidence == 0.0
    mix.add("a", REFERENCE_S)
    for number in range(100):
        mix.add("b", REFERENCE_S + number)
    assert mix.changed == OTHER


def test_a_change_stays_found() -> None:
    """The metric would forget the change before anybody has seen it."""
    risen = {"spam": 1.0}
    mix, _ = watched(lambda n: risen if n > 0 else SHARES, 300, seed=2)
    for _ in range(1_000):
        mix.add("billing", 0.0)
    assert mix.evidence == 1.0


def test_the_bound_is_that_of_clopper_and_pearson() -> None:
    """The reference would be taken for the truth, and its luck for a change."""
    bound = reference_bound(3, 100, 0.05)
    assert binomial_tail(3, 100, bound) == pytest.approx(0.05, rel=1e-3)
    assert reference_bound(100, 100, 0.05) < 1.0
