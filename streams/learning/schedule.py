"""When the learner trains: how many decisions by people are new, and how many must be.

If the spot checks have shown that the promise of a domain is broken, its events have changed. From
then on, only decisions that were made after that calibrate: earlier ones only teach. So the next
candidate does not wait for a share of all rows that there ever were.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.acceptance.live_checks import LiveChecks, LiveReport
from inference.errors import ModelError
from inference.labels.renames import Renames
from inference.learning.rows import fingerprint, is_after
from inference.model.files import read_bounded
from schemas.event import Domain
from schemas.label_record import LabelRecord, key_of
from streams.config import Settings
from streams.disk import write_atomically
from streams.models.registry import Registry

TAUGHT = "taught"
FINGERPRINT_BYTES = 8
MAX_TAUGHT_BYTES = 64 << 20
GROWTH = 0.05
"""A new candidate needs so many new rows, as a share of those that the last one was taught."""
GROWTH_WITH_CANDIDATE = 0.5
"""A candidate that is being tried is left so much time: a new one would begin at nothing."""


@dataclass(frozen=True, slots=True)
class Due:
    """What the next candidate of a domain waits for.

    `new` rows of people differ from those that the last candidate was taught, and `needed` must.
    After a breach, only later rows count.
    """

    new: int
    needed: int

    @property
    def missing(self) -> int:
        """How many decisions by people are missing until the next candidate."""
        return max(0, self.needed - self.new)


class Schedule:
    """Knows which rows the last candidate of each domain was taught."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry

    def due(self, domain: Domain, people: Sequence[LabelRecord], breach: LiveReport | None) -> Due:
        """What the next candidate waits for.

        `people` are the rows of the domain that people have decided, and `breach` is the promise
        of it that was last found broken. Only later rows calibrate.
        """
        taught = self._taught(domain)
        now = frozenset(map(fingerprint, people))
        new, size = len(now ^ taught), len(taught)
        if breach is not None:
            later = frozenset(fingerprint(row) for row in people if is_after(row, breach))
            new, size = len(later - taught), len(later & taught)
        is_tried = self._registry.state().roles(domain).candidate is not None
        growth = GROWTH_WITH_CANDIDATE if is_tried and size else GROWTH
        needed = max(self._settings.learning.min_new_rows, round(growth * size))
        return Due(new, needed)

    def remember(self, domain: Domain, people: Sequence[LabelRecord]) -> None:
        """Note that the last candidate was taught these rows."""
        fingerprints = frozenset(map(fingerprint, people))
        write_atomically(self._taught_file(domain), b"".join(sorted(fingerprints)))

    def _taught(self, domain: Domain) -> frozenset[bytes]:
        """The fingerprints of the rows that were there when the last candidate was trained."""
        try:
            data = read_bounded(self._taught_file(domain), MAX_TAUGHT_BYTES)
        except (OSError, ModelError):
            return frozenset()
        starts = range(0, len(data), FINGERPRINT_BYTES)
        return frozenset(data[start : start + FINGERPRINT_BYTES] for start in starts)

    def _taught_file(self, domain: Domain) -> Path:
        return self._registry.directory / f"{TAUGHT}.{domain}"


def breaches_in(
    settings: Settings, records: Sequence[LabelRecord], renames: Renames
) -> list[LiveReport]:
    """What the spot checks among these rows say of the promises that are broken."""
    return [
        live for live in checks_in(settings, records, renames).reports() if live.report.breaches
    ]


def checks_in(settings: Settings, records: Sequence[LabelRecord], renames: Renames) -> LiveChecks:
    """The spot checks among these rows."""
    deciding = {domain: terms.deciding for domain, terms in settings.terms.items()}
    checks = LiveChecks(deciding, renames)
    for record in records:
        checks.note(key_of(record), record)
    return checks


def last_breach(breaches: Sequence[LiveReport], domain: Domain) -> LiveReport | None:
    """The promise of a domain that was last found broken; None if none was."""
    of_domain = (live for live in breaches if live.key.domain == domain)
    return max(of_domain, key=lambda live: live.report.breaches[-1].found_at_s, default=None)
