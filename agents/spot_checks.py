"""Which accepted events a person checks: drawn at random, so that they speak for all of them.

An event is drawn if a number that belongs to its id and content is below the probability in force.
The number is the same whenever the event is read again. Senders cannot foresee it if the workers
have a key. Without a key, a sender who knows this program can choose ids that are never drawn.

The probability is at least the configured share. It is higher if the share would give fewer checks
a day than the configured number. It depends only on how many events were accepted before, and never
on the event.
"""

import math
from collections import deque
from dataclasses import dataclass, field

from schemas.event import Domain
from schemas.signing import WorkerKeys
from schemas.triaged import TriagedEvent

HOUR_S = 3_600.0
HOURS = 24


@dataclass(slots=True)
class _Volume:
    """How many events were accepted in each of the last 24 hours, the oldest first."""

    since_s: float
    hours: deque[tuple[int, int]] = field(default_factory=deque)
    total: int = 0

    def note(self, at_s: float) -> None:
        """Count an event. One that is older than the latest hour is counted in that hour."""
        hour = int(at_s // HOUR_S)
        if self.hours and hour <= self.hours[-1][0]:
            latest, count = self.hours[-1]
            self.hours[-1] = (latest, count + 1)
        else:
            self.hours.append((hour, 1))
        self.total += 1
        while self.hours[0][0] <= self.hours[-1][0] - HOURS:
            self.total -= self.hours.popleft()[1]

    def per_day(self, at_s: float) -> float | None:
        """The events of a day at the present rate; None if less than an hour was seen."""
        hours = (at_s - self.since_s) / HOUR_S
        if hours < 1.0:
            return None
        # Not less than what was seen: a quiet first hour says little about the day.
        return self.total * max(1.0, HOURS / hours)


class SpotChecks:
    """Draws spot checks from the accepted events that one worker sees.

    Args:
        share: the share of accepted events that is drawn at least, in [0, 1]. 0 draws none.
        at_least_per_day: so many a day are drawn of the accepted events of each domain, where there
            are so many. It is a mean, which follows the volume of the last 24 hours.
        partitions: the number of partitions of an input topic. Each partition is answerable for its
            part of `at_least_per_day`, so that it does not matter which worker has it.
        keys: the keys of the workers.
    """

    def __init__(
        self, share: float, at_least_per_day: int, *, partitions: int, keys: WorkerKeys
    ) -> None:
        self._share = share
        self._per_partition = at_least_per_day / partitions
        self._keys = keys
        self._volumes: dict[tuple[str, int, Domain], _Volume] = {}

    def draw(self, triaged: TriagedEvent, received_at_s: float) -> float | None:
        """The probability with which an accepted event was drawn; None if it was not drawn.

        Call it once for each accepted event, in the order in which they are read. `received_at_s`
        is when the event entered its topic, in seconds since the epoch.
        """
        if not self._share:
            return None
        probability = self._probability(triaged, received_at_s)
        lot = self._keys.lot(triaged.domain, triaged.tenant, triaged.id, triaged.input_digest)
        return probability if lot < probability else None

    def _probability(self, triaged: TriagedEvent, received_at_s: float) -> float:
        place = (triaged.origin.topic, triaged.origin.partition, triaged.domain)
        volume = self._volumes.setdefault(place, _Volume(received_at_s))
        per_day = volume.per_day(received_at_s)
        volume.note(received_at_s)
        if per_day is None:
            return self._share
        return max(self._share, min(1.0, self._per_partition / max(per_day, math.ulp(1.0))))


NO_SPOT_CHECKS = SpotChecks(0.0, 0, partitions=1, keys=WorkerKeys())
