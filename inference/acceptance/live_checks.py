"""The spot checks of every promise, as the labelled rows have them, and what they say.

The verdicts on spot checks count, and no others: corrections that nobody asked for are no random
sample. The order of the checks is that of the verdicts (`decided_at`, then the key), so that every
reader of the same rows comes to the same result.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from inference.acceptance.watch import Check, Watch, WatchReport
from inference.labels.renames import NO_RENAMES, Renames
from schemas.event import Domain
from schemas.instants import seconds_of
from schemas.label_record import LabelRecord
from schemas.triaged import CalibrationInfo

MAX_CHECKS = 50_000
"""So many checks of one promise are kept. If there are more, the older half is forgotten. A check
takes about 500 bytes."""
MAX_PROMISES = 64
"""So many promises are kept: those whose checks came last."""


class PromiseKey(NamedTuple):
    """What tells one promise from every other: its domain, and the digest of its calibration."""

    domain: Domain
    digest: str


@dataclass(frozen=True, slots=True)
class LiveReport:
    """What the checks of one promise say. `calibration` has the threshold as it was calibrated."""

    key: PromiseKey
    calibration: CalibrationInfo
    report: WatchReport


class _Place(NamedTuple):
    """The place of a check in the order of the verdicts."""

    decided_at_s: float
    key: bytes


class _Series:
    """The checks of one promise."""

    def __init__(self, calibration: CalibrationInfo) -> None:
        self.calibration = calibration
        self._checks: dict[bytes, tuple[_Place, Check]] = {}
        self._report: WatchReport | None = None

    def __len__(self) -> int:
        return len(self._checks)

    def note(self, key: bytes, check: Check, calibration: CalibrationInfo) -> None:
        if calibration.threshold > self.calibration.threshold:
            self.calibration = calibration  # the other one was lowered
        self._checks[key] = (_Place(check.decided_at_s, key), check)
        self._report = None

    def forget(self, key: bytes) -> None:
        del self._checks[key]
        self._report = None

    def forget_older_half(self) -> None:
        places = sorted(place for place, _ in self._checks.values())
        for place in places[: len(places) // 2]:
            self.forget(place.key)

    def keys(self) -> set[bytes]:
        return set(self._checks)

    def report(self) -> WatchReport:
        if self._report is None:
            promise = self.calibration
            watch = Watch(promise.alpha, promise.delta, promise.threshold)
            for _, check in sorted(self._checks.values(), key=lambda placed: placed[0]):
                watch.add(check)
            self._report = watch.report()
        return self._report


class LiveChecks:
    """The checks of all promises.

    Args:
        deciding: the deciding axes of each domain.
        renames: labels that have another name today.
    """

    def __init__(
        self, deciding: Mapping[Domain, Sequence[str]], renames: Renames = NO_RENAMES
    ) -> None:
        self._deciding = deciding
        self._renames = renames
        self._series: dict[PromiseKey, _Series] = {}
        self._promise_of: dict[bytes, PromiseKey] = {}

    def note(self, key: bytes, record: LabelRecord | None) -> bool:
        """Take the row that a key has now; None if it was erased. True if this changes a check."""
        earlier = self._promise_of.pop(key, None)
        if earlier is not None and earlier in self._series:
            self._series[earlier].forget(key)
        if record is None or not _counts(record):
            return earlier is not None
        calibration = record.calibration
        assert calibration is not None  # noqa: S101 - for the type checker: `_counts` says so
        promise = PromiseKey(record.domain, calibration.digest)
        series = self._series.pop(promise, None) or _Series(calibration)
        self._series[promise] = series  # the latest is the last one
        series.note(key, self._check(record), calibration)
        self._promise_of[key] = promise
        self._forget_surplus(series)
        return True

    def knows(self, key: bytes) -> bool:
        """Whether the row of this key is a check."""
        return key in self._promise_of

    def reports(self) -> Iterator[LiveReport]:
        """What the checks of each promise say until now."""
        for promise, series in self._series.items():
            yield LiveReport(promise, series.calibration, series.report())

    def _check(self, record: LabelRecord) -> Check:
        """An axis that the person did not name is as it was proposed, and so is right."""
        decided = self._renames.chosen(record.domain, record.labels)
        values = {axis: label.value for axis, label in record.proposed.items()}
        proposed = self._renames.chosen(record.domain, values)
        wrong = any(
            decided.get(axis, proposed.get(axis)) != proposed.get(axis)
            for axis in self._deciding.get(record.domain, ())
        )
        decided_at_s = seconds_of(record.decided_at, 0.0)
        return Check(record.risk, wrong, record.probability, decided_at_s)

    def _forget_surplus(self, latest: _Series) -> None:
        known = latest.keys() if len(latest) > MAX_CHECKS else set()
        if known:
            latest.forget_older_half()
            known -= latest.keys()
        if len(self._series) > MAX_PROMISES:
            known |= self._series.pop(next(iter(self._series))).keys()
        for key in known:
            del self._promise_of[key]


def _counts(record: LabelRecord) -> bool:
    """Whether a row is a person's verdict on an accepted event that was drawn at random."""
    return (
        record.chosen == "spot_check"
        and record.decided_by == "human"
        and record.accepted
        and record.calibration is not None
    )
