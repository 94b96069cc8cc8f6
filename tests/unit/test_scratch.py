"""Temporary directories."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from inference.errors import ConfigError
from inference.scratch import scratch_directory


def test_a_temporary_directory_is_removed() -> None:
    """Each run would leave files behind."""
    with scratch_directory() as directory:
        (directory / "file").write_text("x")
    assert not directory.exists()


def test_no_writable_place_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container without a writable directory, a user would see a traceback."""

    def nowhere(*_: Any, **__: Any) -> Path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(tempfile, "TemporaryDirectory", nowhere)
    with pytest.raises(ConfigError, match="set the variable TMPDIR"), scratch_directory():
        pass
