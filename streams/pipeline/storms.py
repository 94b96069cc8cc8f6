"""Pause a partition when too many of its records are invalid.

A producer that sends garbage, or a decoder that lost its schema, would otherwise turn a whole topic
into dead letters, the good events that follow included.

A record counts once, however many events it holds: it is invalid if more than half of them are. One
bad export of a thousand rows says no more about those who send next than one bad event does.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from streams.config import StormsSection
from streams.kafka.offsets import Partition

log = logging.getLogger(__name__)

MAX_PAUSE_FACTOR = 16


@dataclass(slots=True)
class _Weather:
    """What the last records of one partition were like, and until when it is paused."""

    recent: deque[bool]
    """For each of the last records: whether it was invalid."""
    run: int = 0
    pause_s: float = 0.0
    """How long the partition is paused now; 0 if it is not."""
    until_s: float = 0.0
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Storms:
    """Which partitions are paused because of invalid records.

    A paused partition lets one record through when its pause is over. If that one is valid, the
    partition goes on; otherwise it is paused for twice as long, up to 16 times `pause_s`.
    """

    def __init__(
        self, section: StormsSection, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._section = section
        self._clock = clock
        self._weather: dict[Partition, _Weather] = {}

    def note(self, partition: Partition, *, invalid: bool) -> None:
        """Note how a record ended."""
        weather = self._of(partition)
        weather.run = weather.run + 1 if invalid else 0
        weather.recent.append(invalid)
        if weather.pause_s:
            self._after_pause(partition, weather, invalid=invalid)
        elif invalid and self._too_many(weather):
            self._pause(partition, weather, self._section.pause_s)

    def why_paused(self) -> dict[Partition, str]:
        """For each paused partition: a sentence that says why."""
        return {
            partition: (
                f"{partition} is paused because too many of its events are invalid; look at "
                "`triage deadletters`, and mend their producer"
            )
            for partition, weather in self._weather.items()
            if weather.pause_s
        }

    async def wait(self, partition: Partition) -> bool:
        """Wait while the partition is paused.

        Returns:
            Whether the next record is let through to see if the storm is over. The caller must wait
            until that record has ended before it asks again.
        """
        weather = self._of(partition)
        if not weather.pause_s:
            return False
        await asyncio.sleep(max(0.0, weather.until_s - self._clock()))
        return True

    def forget(self) -> None:
        """Forget all partitions, because they were revoked."""
        self._weather.clear()

    def _of(self, partition: Partition) -> _Weather:
        weather = self._weather.get(partition)
        if weather is None:
            recent: deque[bool] = deque(maxlen=self._section.window_events)
            weather = self._weather[partition] = _Weather(recent)
        return weather

    def _too_many(self, weather: _Weather) -> bool:
        section = self._section
        if section.max_run and weather.run >= section.max_run:
            return True
        full = len(weather.recent) == section.window_events
        return bool(
            section.max_share < 1
            and full
            and sum(weather.recent) > section.max_share * section.window_events
        )

    def _pause(self, partition: Partition, weather: _Weather, pause_s: float) -> None:
        weather.pause_s = pause_s
        weather.until_s = self._clock() + pause_s
        log.error("%s", self.why_paused()[partition])

    def _after_pause(self, partition: Partition, weather: _Weather, *, invalid: bool) -> None:
        if self._clock() < weather.until_s:
            return  # it was read before the pause
        if invalid:
            longest_s = MAX_PAUSE_FACTOR * self._section.pause_s
            self._pause(partition, weather, min(2 * weather.pause_s, longest_s))
            return
        log.warning("%s goes on: its events are valid again", partition)
        weather.pause_s = 0.0
        weather.run = 0
        weather.recent.clear()
