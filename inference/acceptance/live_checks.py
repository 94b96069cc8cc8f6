"""The spot checks of every promise, as the labelled rows have them, and what they say.

The verdicts on spot checks count, and no others: corrections that nobody asked for are no random
sample. The order of the checks is that of the verdicts (`decided_at`, then the key), so that every
reader of the same rows comes to the same result.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from inference.acceptance.dispositions import DISPOSITION, is_harmless
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


Claim = Literal["wrong", "harmless_wrong", "harmless_malicious"]
"""What is promised to be seldom.

``wrong``: that an accepted event is wrong on a deciding axis. With a second promise (`beta`) it is
about the events that are not called harmless, and ``harmless_wrong`` about those that are.
``harmless_malicious``: that an event that is accepted as harmless was malicious.
"""


class PromiseKey(NamedTuple):
    """What tells one promise from every other: domain, digest of the calibration, and claim."""

    domain: Domain
    digest: str
    claim: Claim = "wrong"


@dataclass(frozen=True, slots=True)
class LiveReport:
    """What the checks of one promise say. `calibration` has the thresholds as calibrated."""

    key: PromiseKey
    calibration: CalibrationInfo
    report: WatchReport


def claims_of(calibration: CalibrationInfo) -> tuple[Claim, ...]:
    """What a calibration promises."""
    if calibration.beta is None:
        return ("wrong",)
    return ("wrong", "harmless_wrong", "harmless_malicious")


def calibrated_threshold(calibration: CalibrationInfo, claim: Claim) -> float:
    """The threshold of the events that a claim is about."""
    if claim == "wrong":
        return calibration.threshold
    return calibration.harmless_threshold or 0.0


def watch_of(calibration: CalibrationInfo, claim: Claim) -> Watch:
    """A watch over one claim of a calibration, as the calibration tests it.

    Two claims watch over alpha if there is a second promise, each with half of delta.
    """
    threshold = calibrated_threshold(calibration, claim)
    if calibration.beta is None:
        return Watch(calibration.alpha, calibration.delta, threshold)
    if claim == "harmless_malicious":
        return Watch(calibration.beta, calibration.delta, threshold)
    return Watch(calibration.alpha, calibration.delta / 2, threshold)


class _Place(NamedTuple):
    """The place of a check in the order of the verdicts."""

    decided_at_s: float
    key: bytes


class _Series:
    """The checks of one promise."""

    def __init__(self, calibration: CalibrationInfo, claim: Claim) -> None:
        self.calibration = calibration
        self._claim: Claim = claim
        self._checks: dict[bytes, tuple[_Place, Check]] = {}
        self._report: WatchReport | None = None

    def __len__(self) -> int:
        return len(self._checks)

    def note(self, key: bytes, check: Check, calibration: CalibrationInfo) -> None:
        ours = calibrated_threshold(self.calibration, self._claim)
        if calibrated_threshold(calibration, self._claim) > ours:
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
            watch = watch_of(self.calibration, self._claim)
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
        self._promises_of: dict[bytes, tuple[PromiseKey, ...]] = {}

    def note(self, key: bytes, record: LabelRecord | None) -> bool:
        """Take the row that a key has now; None if it was erased. True if this changes a check."""
        earlier = self._promises_of.pop(key, ())
        for promise in earlier:
            if promise in self._series:
                self._series[promise].forget(key)
        if record is None or not _counts(record):
            return bool(earlier)
        calibration = record.calibration
        assert calibration is not None  # noqa: S101 - for the type checker: `_counts` says so
        checks = self._checks(record, calibration)
        self._promises_of[key] = tuple(checks)
        for promise, check in checks.items():
            series = self._series.pop(promise, None) or _Series(calibration, promise.claim)
            self._series[promise] = series  # the latest is the last one
            series.note(key, check, calibration)
            self._forget_surplus(promise)
        return True

    def knows(self, key: bytes) -> bool:
        """Whether the row of this key is a check."""
        return key in self._promises_of

    def reports(self) -> Iterator[LiveReport]:
        """What the checks of each promise say until now."""
        for promise, series in self._series.items():
            yield LiveReport(promise, series.calibration, series.report())

    def _checks(self, record: LabelRecord, calibration: CalibrationInfo) -> dict[PromiseKey, Check]:
        """What a verdict says of each promise that the event was accepted under.

        An axis that the person did not name is as it was proposed, and so is right.
        """
        values = {axis: label.value for axis, label in record.proposed.items()}
        proposed = self._renames.chosen(record.domain, values)
        decided = proposed | self._renames.chosen(record.domain, record.labels)
        wrong = any(
            decided.get(axis) != proposed.get(axis)
            for axis in self._deciding.get(record.domain, ())
        )
        about = record.risk, record.probability, seconds_of(record.decided_at, 0.0)

        def check(claim: Claim, fails: bool) -> tuple[PromiseKey, Check]:
            risk, probability, decided_at_s = about
            key = PromiseKey(record.domain, calibration.digest, claim)
            return key, Check(risk, fails, probability, decided_at_s)

        if calibration.beta is None or not is_harmless(proposed.get(DISPOSITION, "")):
            return dict([check("wrong", wrong)])
        malicious = not is_harmless(decided[DISPOSITION])
        return dict([check("harmless_wrong", wrong), check("harmless_malicious", malicious)])

    def _forget_surplus(self, latest: PromiseKey) -> None:
        series = self._series[latest]
        if len(series) > MAX_CHECKS:
            known = series.keys()
            series.forget_older_half()
            self._forget_keys(latest, known - series.keys())
        if len(self._series) > MAX_PROMISES:
            oldest = next(iter(self._series))
            self._forget_keys(oldest, self._series.pop(oldest).keys())

    def _forget_keys(self, promise: PromiseKey, keys: Collection[bytes]) -> None:
        for key in keys:
            left = tuple(each for each in self._promises_of[key] if each != promise)
            if left:
                self._promises_of[key] = left
            else:
                del self._promises_of[key]


def _counts(record: LabelRecord) -> bool:
    """Whether a row is a person's verdict on an accepted event that was drawn at random."""
    return (
        record.chosen == "spot_check"
        and record.decided_by == "human"
        and record.accepted
        and record.calibration is not None
    )
