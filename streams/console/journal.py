"""The journal of verdicts that were given and are not on the feedback topic yet.

A verdict is in this file before its author is told that it was taken, and leaves it only after the
broker has acknowledged it. So a process that is killed loses none: the next one sends what it
finds. It may send a verdict twice, if it was killed between the acknowledgement and the deletion;
the feedback agent makes one decision of the two.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec

from inference.errors import ConfigError
from schemas.codec import prepared
from schemas.event import Domain
from streams.disk import locked

SCHEMA = """
CREATE TABLE IF NOT EXISTS held (
    number INTEGER PRIMARY KEY,
    undo TEXT NOT NULL,
    due_s REAL NOT NULL,
    verdict BLOB NOT NULL
) STRICT
"""


class GivenVerdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person's decision about one event, as the console took it.

    `by` is the name of the person who is logged in. `about` is the revision that they have read.
    """

    id: str
    domain: Domain
    tenant: str
    labels: dict[str, str]
    by: str
    comment: str | None = None
    about: int | None = None

    @property
    def key(self) -> tuple[Domain, str, str]:
        """Which case it is about."""
        return self.domain, self.tenant, self.id


class HeldVerdict(msgspec.Struct, frozen=True):
    """A verdict in the journal. It is sent at `due_s`, in seconds since the epoch."""

    number: int
    undo: str
    due_s: float
    verdict: GivenVerdict


class Journal:
    """A file of verdicts, which one process at a time may open. Not for several threads at once.

    Without a `path` it is in memory, and ends with the process.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = ExitStack()
        self._database: sqlite3.Connection | None = None

    def open(self) -> list[HeldVerdict]:
        """Open the file, and return what an earlier process has left in it.

        Raises:
            ConfigError: the file cannot be used, or another console uses it.
        """
        try:
            self._database = self._connect()
            # Each commit is on the disk before it returns: a power cut must not lose a verdict.
            self._database.execute("PRAGMA journal_mode=WAL").close()
            self._database.execute("PRAGMA synchronous=FULL").close()
            self._database.execute(SCHEMA).close()
            return self._all()
        except BlockingIOError:
            self.close()
            raise ConfigError(
                f"another console uses {self._path}; stop it, or give this one a file of its own",
                key="review.state",
            ) from None
        except (OSError, sqlite3.Error, msgspec.MsgspecError) as error:
            self.close()
            raise ConfigError(
                f"the verdicts that were not sent yet cannot be kept in {self._path} ({error}); "
                "name a file that can be written",
                key="review.state",
            ) from None

    def _connect(self) -> sqlite3.Connection:
        if self._path is None:
            return sqlite3.connect(":memory:", check_same_thread=False)
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = self._path.with_name(f"{self._path.name}.lock")
        self._lock.enter_context(locked(lock, wait=False))
        database = sqlite3.connect(self._path, check_same_thread=False)
        self._path.chmod(0o600)
        return database

    def add(self, undo: str, due_s: float, verdicts: Iterable[GivenVerdict]) -> list[HeldVerdict]:
        """Write verdicts; they are on the disk when this returns."""
        held = []
        with self._connected as database:
            for verdict in verdicts:
                row = (undo, due_s, msgspec.json.encode(verdict))
                added = database.execute(
                    "INSERT INTO held (undo, due_s, verdict) VALUES (?, ?, ?)", row
                )
                held.append(HeldVerdict(added.lastrowid or 0, undo, due_s, verdict))
        return held

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget verdicts that were sent, or undone."""
        with self._connected as database:
            database.executemany(
                "DELETE FROM held WHERE number = ?", [(number,) for number in numbers]
            )

    def close(self) -> None:
        """Close the file; it may be closed twice."""
        if self._database is not None:
            self._database.close()
            self._database = None
        self._lock.close()

    @property
    def _connected(self) -> sqlite3.Connection:
        assert self._database is not None, "the journal is not open"  # noqa: S101 - of ours
        return self._database

    def _all(self) -> list[HeldVerdict]:
        query = "SELECT number, undo, due_s, verdict FROM held ORDER BY number"
        with closing(self._connected.execute(query)) as rows:
            return [
                HeldVerdict(
                    number, undo, due_s, msgspec.json.decode(value, type=prepared(GivenVerdict))
                )
                for number, undo, due_s, value in rows
            ]
