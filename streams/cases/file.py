"""The SQLite file of the view of cases: opened, made again if it cannot be used, and locked.

Several threads and several processes may use one file. Readers do not wait for writers.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.cases import tables
from streams.errors import StreamError

log = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 30.0
ATTEMPTS = 20
PAUSE_S = 0.1
CACHE_KIB = 16_384


class CaseFile:
    """Two connections to the file: one that writes, and one that answers.

    Args:
        path: the file, which is made if it is missing; None makes a temporary one, which goes when
            it is closed.

    Raises:
        StreamError: the file cannot be made or opened.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._write_lock = self._read_lock = threading.RLock()
        self._writer = self._queries = self._open()
        if path is not None:
            self._read_lock, self._queries = threading.RLock(), _connect(path)

    def close(self) -> None:
        """Close the file."""
        with self._write_lock, self._read_lock:
            self._queries.close()
            self._writer.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection for changes, which all take place or none.

        Raises:
            StreamError: the file cannot be written.
        """
        with self._write_lock:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                try:
                    yield self._writer
                except BaseException:
                    self._writer.execute("ROLLBACK")
                    raise
                self._writer.execute("COMMIT")
            except sqlite3.Error as error:
                raise self._failed(error) from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for questions.

        Raises:
            StreamError: the file cannot be read.
        """
        with self._read_lock:
            try:
                yield self._queries
            except sqlite3.Error as error:
                raise self._failed(error) from error

    def _open(self) -> sqlite3.Connection:
        path = self._path
        if path is None:
            return _created(_connect(None))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return _patiently_opened(path)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                log.warning("%s is damaged (%s); making it again", path, error)
            _delete(path)
            return _patiently_opened(path)
        except (OSError, sqlite3.Error) as error:
            raise StreamError(
                f"the view of cases cannot be kept in {path} ({error}); set review.state to a file "
                "that can be written"
            ) from None

    def _failed(self, error: sqlite3.Error) -> StreamError:
        return StreamError(
            f"the view of cases in {self._path or 'a temporary file'} failed ({error}); check the "
            "disk, or delete the file so that it is made again"
        )


def _connect(path: Path | None) -> sqlite3.Connection:
    db = sqlite3.connect(
        "" if path is None else path,  # an empty name is SQLite's for a temporary file
        timeout=LOCK_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    db.execute("PRAGMA journal_mode = WAL")
    # After a power cut the last transactions may be missing; they are read from the topics again.
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return db


def _patiently_opened(path: Path) -> sqlite3.Connection:
    """`_opened`; another process may be making the file, for which SQLite does not wait."""
    for _ in range(ATTEMPTS):
        try:
            return _opened(path)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
        time.sleep(PAUSE_S)
    return _opened(path)


def _opened(path: Path) -> sqlite3.Connection:
    """A connection to a file with our tables; a file of another version is made again."""
    db = _connect(path)
    if _version(db) not in (0, tables.VERSION):
        db.close()
        _delete(path)
        db = _connect(path)
    return _created(db)


def _created(db: sqlite3.Connection) -> sqlite3.Connection:
    """The same connection, when the tables are there."""
    db.execute("BEGIN IMMEDIATE")
    if _version(db) != tables.VERSION:  # another process may have made them
        for statement in statements_of(tables.TABLES):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {tables.VERSION}")
    db.execute("COMMIT")
    return db


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def statements_of(script: str) -> Iterator[str]:
    """The statements of a script: `executescript` would end our transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _delete(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
