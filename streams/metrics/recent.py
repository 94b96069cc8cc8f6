"""What the last decisions of a domain say of the model: its coverage, its drift, its mix."""

import logging
import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from inference.acceptance.mix import MixWatch
from schemas.event import Domain

log = logging.getLogger(__name__)

RECENT_EVENTS = 1000
MIX_DELTA = 0.01
"""With this probability a worker ever says that the mix has changed although it has not."""
MIX_EVERY_S = 5.0
"""The mix is judged by one event in so many seconds, so that a burst does not count as a change."""

QueueShares = Mapping[str, float]


@dataclass(slots=True)
class RecentDecisions:
    """The last decisions of one domain: which were accepted, and to which queues they went."""

    usual: QueueShares
    accepted: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT_EVENTS))
    queues: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT_EVENTS))
    mix: MixWatch = field(default_factory=lambda: MixWatch(MIX_DELTA))
    mixed_at_s: float = -math.inf

    def note_mix(self, domain: Domain, category: str, at_s: float) -> None:
        """Take an event for the mix, if the last one was long enough ago."""
        if at_s - self.mixed_at_s < MIX_EVERY_S or self.mix.changed is not None:
            return
        self.mixed_at_s = at_s
        self.mix.add(category, at_s)
        if self.mix.changed is not None:
            log.warning(
                "the mix of %s has changed: there are more events of the category %s than among "
                "the first ones; see whether the model was calibrated on such events",
                domain,
                self.mix.changed,
            )

    def coverage(self) -> float:
        """The share of them that was accepted."""
        return sum(self.accepted) / len(self.accepted)

    def drift(self) -> float:
        """Total variation distance of the recent queues from those of the calibration sample."""
        seen = Counter(self.queues)
        names = self.usual.keys() | seen.keys()
        return (
            sum(abs(seen[name] / len(self.queues) - self.usual.get(name, 0.0)) for name in names)
            / 2
        )
