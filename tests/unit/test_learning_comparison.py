"""The test that a candidate must pass, and its error rate by simulation."""

import random
from typing import Any

from inference.learning.comparison import ERROR, Compared, Comparison, compare

MARGIN = 0.05
RUNS = 400


def compared(served: bool, candidate: bool, **fields: Any) -> Compared:
    """An event that was escalated, and accepted by the candidate only."""
    about: dict[str, Any] = {
        "chosen": "escalated",
        "probability": 1.0,
        "served_right": served,
        "candidate_right": candidate,
        "served_accepts": False,
        "candidate_accepts": True,
    }
    return Compared(**about | fields)


def judged(rows: list[Compared], *, accepts_any: bool = False) -> Comparison:
    """The comparison on these events."""
    return compare(rows, margin=MARGIN, served_accepts_any=accepts_any)


def stream(rng: random.Random, served: float, candidate: float, count: int) -> list[Compared]:
    """So many events, which the models get wrong with these probabilities."""
    return [compared(rng.random() >= served, rng.random() >= candidate) for _ in range(count)]


def test_a_candidate_that_is_worse_seldom_passes() -> None:
    """A worse model would be served more often than the stated error rate, by looking often."""
    passed = 0
    for seed in range(RUNS):
        rows = stream(random.Random(seed), 0.10, 0.15, 400)
        passed += judged(rows).ways["escalated"].evidence >= 1 / ERROR
    # Of 400 with a probability of 0.05 each, more than 32 are as likely as one in two hundred.
    assert passed <= 32


def test_a_candidate_that_is_better_passes_soon() -> None:
    """A candidate would have to wait for thousands of decisions."""
    needed = []
    for seed in range(20):
        rows = stream(random.Random(seed), 0.30, 0.08, 150)
        found = [n for n in range(1, 151) if judged(rows[:n]).finding == "better"]
        needed.append(found[0] if found else 1000)
    assert sorted(needed)[10] <= 60, needed


def test_a_candidate_that_is_as_good_passes() -> None:
    """A candidate that accepts more and is no worse would never be served."""
    passed = sum(
        judged(stream(random.Random(seed), 0.03, 0.03, 400)).ways["escalated"].evidence >= 1 / ERROR
        for seed in range(20)
    )
    assert passed >= 16


def test_a_candidate_that_is_worse_is_withdrawn() -> None:
    """A bad candidate would take the place of the next one for ever."""
    comparison = judged([compared(True, False)] * 12)
    assert comparison.finding == "worse"
    assert "escalated" in comparison.reason
    assert judged([compared(True, True)] * 500).finding == "better"


def test_checks_of_accepted_events_are_needed_if_any_are_accepted() -> None:
    """A candidate that fails on what is accepted today would be served."""
    rows = [compared(False, True)] * 30
    assert judged(rows).finding == "better"
    assert judged(rows, accepts_any=True).finding == "undecided"
    assert "0 spot_check" in judged(rows, accepts_any=True).reason
    checked = [compared(True, True, chosen="spot_check", probability=0.02, served_accepts=True)]
    assert judged(rows + checked * 100, accepts_any=True).finding == "better"


def test_estimates_weigh_the_chance_of_being_chosen() -> None:
    """Spot checks stand for fifty events each; without that, accepted events would hardly count."""
    checked = compared(True, True, chosen="spot_check", probability=0.02, served_accepts=True)
    rows = [*[compared(False, True)] * 50, checked]
    comparison = judged(rows)
    assert comparison.served_coverage == 0.5
    assert comparison.served_wrong == 0.5
    assert comparison.served_accepted_wrong == 0.0


def test_what_people_decided_unasked_is_not_tested() -> None:
    """Whoever looks for mistakes of one model would decide which one is served."""
    comparison = judged([compared(False, True, chosen="corrected")] * 100)
    assert comparison.rows == 0
    assert comparison.finding == "undecided"


def test_it_must_accept_more() -> None:
    """A model that is as good and accepts less would be served."""
    rows = [compared(True, True, candidate_accepts=False, served_accepts=False)] * 200
    assert judged(rows).finding == "undecided"
    assert "accept more" in judged(rows).reason


def test_an_undecided_comparison_says_how_many_decisions_are_missing() -> None:
    """A person would wait without knowing for what: "more" is no number."""
    rows = [compared(True, True)] * 30
    before = judged(rows)
    more = before.ways["escalated"].more
    assert f"about {more} escalated ones" in before.reason
    assert judged(rows + [compared(True, True)] * more).ways["escalated"].evidence >= 1 / ERROR
    fewer = judged(rows + [compared(True, True)] * (more // 2))
    assert fewer.ways["escalated"].evidence < 1 / ERROR
    assert judged([compared(True, False)] * 5).ways["escalated"].more > more
