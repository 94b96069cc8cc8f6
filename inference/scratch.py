"""A temporary directory, or a sentence that says why there is none."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inference.errors import ConfigError


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Make a directory that is removed at the end.

    Raises:
        ConfigError: there is no place for temporary files that we may write to.
    """
    try:
        directory = tempfile.TemporaryDirectory(prefix="triage-")
    except OSError as error:
        raise ConfigError(
            f"no temporary directory can be made ({error.strerror}); set the variable TMPDIR to a "
            "directory with space that this program may write to"
        ) from None
    with directory as path:
        yield Path(path)
