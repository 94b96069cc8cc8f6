"""Spot checks: which accepted events are drawn, with which probability."""

from collections.abc import Sequence
from typing import Any

import pytest

from agents.spot_checks import NO_SPOT_CHECKS, SpotChecks
from schemas.event import Origin
from schemas.signing import WorkerKeys
from schemas.triaged import TriagedEvent
from tests.records import triaged

KEYS = WorkerKeys(b"k" * 32)
HOUR_S, DAY_S = 3_600.0, 86_400.0


def spot_checks(
    share: float = 0.02, at_least: int = 0, *, partitions: int = 1, keys: WorkerKeys = KEYS
) -> SpotChecks:
    """Spot checks with a key."""
    return SpotChecks(share, at_least, partitions=partitions, keys=keys)


def events(count: int, *, prefix: str = "e", **changes: Any) -> list[TriagedEvent]:
    """Accepted events with different ids."""
    return [triaged(f"{prefix}-{number}", **changes) for number in range(count)]


def draw(checks: SpotChecks, accepted: Sequence[TriagedEvent], every_s: float = 0.0) -> list[float]:
    """The probabilities of those that were drawn, of events at such a distance in time."""
    drawn = [checks.draw(event, number * every_s) for number, event in enumerate(accepted)]
    return [probability for probability in drawn if probability is not None]


def test_the_share_is_drawn() -> None:
    """More or fewer people would be needed than were asked for."""
    drawn = draw(spot_checks(0.02), events(20_000))
    assert set(drawn) == {0.02}
    assert 330 < len(drawn) < 470  # 3.5 standard deviations around 400


def test_a_share_of_zero_draws_nothing() -> None:
    """Nobody could switch spot checks off."""
    assert draw(spot_checks(0.0, 20), events(200), HOUR_S) == []
    assert draw(NO_SPOT_CHECKS, events(200)) == []


def test_the_same_event_is_drawn_again_or_not_again() -> None:
    """A redelivery would add checks that the recorded probability knows nothing of."""
    first, second = (
        [event.id for event in events(2_000) if checks.draw(event, 0.0)]
        for checks in (spot_checks(), spot_checks())
    )
    assert first == second
    assert first


def test_a_redelivery_after_a_restart_draws_no_event_that_was_not_drawn() -> None:
    """Each restart would send further events to people, and the estimate would be wrong."""
    checks, restarted = spot_checks(0.02, 1_000), spot_checks(0.02, 1_000)
    accepted = events(2_000)
    drawn = {event.id for n, event in enumerate(accepted) if checks.draw(event, n * 60.0)}
    again = {event.id for event in accepted[-50:] if restarted.draw(event, 2_000 * 60.0)}
    assert again <= drawn


def test_who_has_no_key_cannot_foresee_the_draw() -> None:
    """A sender would choose ids that nobody ever checks."""
    accepted = events(20_000)
    drawn, foreseen = (
        {event.id for event in accepted if checks.draw(event, 0.0)}
        for checks in (spot_checks(), spot_checks(keys=WorkerKeys()))
    )
    # Independent draws share 0.02 * 0.02 * 20,000 = 8 of about 400 events.
    assert len(drawn & foreseen) < 25


@pytest.mark.parametrize(
    "changes", [{"input_digest": "1" * 64}, {"tenant": "acme"}, {"domain": "tickets"}]
)
def test_another_event_with_the_same_id_has_a_draw_of_its_own(changes: dict[str, Any]) -> None:
    """One id that was never drawn would carry any content past the checks."""
    plain = {event.id for event in events(5_000) if spot_checks().draw(event, 0.0)}
    other = {event.id for event in events(5_000, **changes) if spot_checks().draw(event, 0.0)}
    assert plain != other


@pytest.mark.parametrize("per_day", [100, 400])
def test_so_many_a_day_are_drawn_where_the_share_is_too_small(per_day: int) -> None:
    """A small desk would have two checks a day, and learn of a breach after months."""
    days = 10
    drawn = draw(spot_checks(0.02, 20), events(per_day * days), DAY_S / per_day)
    assert 16 * days < len(drawn) < 26 * days
    assert all(0.02 <= probability <= 1.0 for probability in drawn)


def test_all_are_drawn_where_fewer_are_accepted_than_are_to_be_checked() -> None:
    """A desk with ten accepted events a day would have less than ten checks."""
    drawn = draw(spot_checks(0.02, 20), events(100), DAY_S / 10)
    assert len(drawn) >= 97  # the first ones are within the first hour
    assert drawn[-1] == 1.0


def test_each_partition_draws_its_part() -> None:
    """Four partitions, on one worker or on four, would have four times as many checks."""
    checks = spot_checks(0.02, 20, partitions=4)
    days, per_day, drawn = 10, 400, 0
    for number in range(days * per_day):
        origin = Origin(topic="triage.alerts.v1", partition=number % 4, offset=number)
        event = triaged(f"e-{number}", origin=origin)
        drawn += checks.draw(event, number * DAY_S / per_day) is not None
    assert 16 * days < drawn < 26 * days


def test_a_burst_after_a_quiet_hour_is_not_checked_as_a_whole() -> None:
    """One quiet hour at night would make people check every event of the next morning."""
    checks = spot_checks(0.02, 20)
    checks.draw(triaged("first"), 0.0)
    burst = [checks.draw(event, 2 * HOUR_S) for event in events(2_000)]
    assert sum(probability is not None for probability in burst) < 300


def test_an_event_from_before_is_counted_and_drawn() -> None:
    """A rewound partition would stop the worker."""
    checks = spot_checks(1.0, 20)
    assert checks.draw(triaged("a"), 10 * DAY_S) == 1.0
    assert checks.draw(triaged("b"), 5 * DAY_S) == 1.0


def test_the_numbers_are_uniform_and_depend_on_every_part() -> None:
    """The recorded probability would not be the one that events are drawn with."""
    lots = [KEYS.lot("tickets", str(number)) for number in range(20_000)]
    for bound in (0.1, 0.5, 0.9):
        below = sum(lot < bound for lot in lots) / len(lots)
        assert abs(below - bound) < 0.02
    assert KEYS.lot("a", "bc") != KEYS.lot("ab", "c")
    assert KEYS.lot("a", None) != KEYS.lot("a")
