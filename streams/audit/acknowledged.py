"""The faults on the audit topic that a person has looked into and acknowledged.

They are in a file that the operator keeps: one fault per line, as `triage audit verify --json`
prints it, with `by` and `reason` added. They are not on the audit topic, because whoever has put a
fault there could acknowledge it there.
"""

from pathlib import Path

import msgspec

from inference.errors import ConfigError
from schemas.audit.verification import Fault
from schemas.codec import prepared

MAX_LINES = 100_000
_HOW = "each line is a fault as `triage audit verify --json` prints it, with `by` and `reason`"


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the file: a `Fault` with the place spelled out, who accepts it, and why."""

    what: str
    partition: int
    offset: int
    tenant: str
    writer: str | None
    sequence: int | None
    count: int
    other: str | None
    digest: str
    by: str
    reason: str

    @property
    def key(self) -> tuple[object, ...]:
        """What it has in common with the fault that it is about, and with no other fault."""
        return (
            self.what,
            self.partition,
            self.offset,
            self.tenant,
            self.writer,
            self.sequence,
            self.count,
            self.digest,
        )


Acknowledgements = dict[tuple[object, ...], Acknowledgement]


def key_of(fault: Fault) -> tuple[object, ...]:
    """The key of the acknowledgement of this fault."""
    return (
        fault.what,
        *fault.place,
        fault.tenant,
        fault.writer,
        fault.sequence,
        fault.count,
        fault.digest,
    )


def read_acknowledgements(file: Path) -> Acknowledgements:
    """Read the file; empty lines are skipped.

    Raises:
        ConfigError: the file cannot be read, or a line is not an acknowledgement.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"cannot read {file} ({error.strerror}); {_HOW}") from None
    if len(lines) > MAX_LINES:
        raise ConfigError(f"{file} has more than {MAX_LINES} lines; acknowledge fewer faults")
    acknowledgements = (
        _read_line(file, number, line) for number, line in enumerate(lines, 1) if line.strip()
    )
    return {acknowledged.key: acknowledged for acknowledged in acknowledgements}


def _read_line(file: Path, number: int, line: bytes) -> Acknowledgement:
    try:
        acknowledged = msgspec.json.decode(line, type=prepared(Acknowledgement))
    except msgspec.MsgspecError as error:
        raise ConfigError(f"line {number} of {file}: {error}; {_HOW}") from None
    if not (acknowledged.by.strip() and acknowledged.reason.strip()):
        raise ConfigError(f"line {number} of {file} has no `by` or no `reason`; say who and why")
    return acknowledged
