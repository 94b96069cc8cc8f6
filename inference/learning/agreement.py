"""How often a candidate answers as the model that is served, on the same live events."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from schemas.triaged import Label

MAX_PAIRS = 200
"""So many different pairs of answers are counted by name."""


class Agreement(msgspec.Struct, kw_only=True):
    """Counts over the events that both have answered.

    `same` of the `events` have the same values on all deciding axes. `both`, `only_current` and
    `only_candidate` were accepted. `same_axes` counts the equal values of each axis. `pairs` counts
    the different answers as ``axis: value of the current model -> value of the candidate``.
    """

    events: int = 0
    same: int = 0
    both: int = 0
    only_current: int = 0
    only_candidate: int = 0
    same_axes: dict[str, int] = msgspec.field(default_factory=dict)
    pairs: dict[str, int] = msgspec.field(default_factory=dict)

    def note(
        self,
        current: Mapping[str, Label],
        candidate: Mapping[str, Label],
        deciding: Sequence[str],
        *,
        current_accepts: bool,
        candidate_accepts: bool,
    ) -> None:
        """Count one event."""
        self.events += 1
        self.both += current_accepts and candidate_accepts
        self.only_current += current_accepts and not candidate_accepts
        self.only_candidate += candidate_accepts and not current_accepts
        different = []
        for axis, label in candidate.items():
            if axis not in current:
                continue
            if current[axis].value == label.value:
                self.same_axes[axis] = self.same_axes.get(axis, 0) + 1
            elif axis in deciding:
                different.append(f"{axis}: {current[axis].value} -> {label.value}")
        self.same += not different
        for pair in different:
            if pair in self.pairs or len(self.pairs) < MAX_PAIRS:
                self.pairs[pair] = self.pairs.get(pair, 0) + 1

    @property
    def share_same(self) -> float:
        """The share of the events with the same values on all deciding axes."""
        return self.same / max(1, self.events)

    @property
    def current_coverage(self) -> float:
        """The share of the events that the served model accepted."""
        return (self.both + self.only_current) / max(1, self.events)

    @property
    def candidate_coverage(self) -> float:
        """The share of the events that the candidate would have accepted."""
        return (self.both + self.only_candidate) / max(1, self.events)


def together(agreements: Iterable[Agreement]) -> Agreement:
    """The sum of what several workers have counted."""
    total = Agreement()
    for each in agreements:
        total.events += each.events
        total.same += each.same
        total.both += each.both
        total.only_current += each.only_current
        total.only_candidate += each.only_candidate
        for axis, count in each.same_axes.items():
            total.same_axes[axis] = total.same_axes.get(axis, 0) + count
        for pair, count in each.pairs.items():
            if pair in total.pairs or len(total.pairs) < MAX_PAIRS:
                total.pairs[pair] = total.pairs.get(pair, 0) + count
    return total
