"""What the tests of the commands share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.cli import main
from streams.kafka import bootstrap

Triage = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def addresses_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every bootstrap address seem to answer, because the clients here are doubles."""

    async def answer(*_: object) -> None:
        """Connect to nothing."""

    monkeypatch.setattr(bootstrap, "_ask_in_time", answer)


@pytest.fixture
def triage(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Triage:
    """Run `triage` in this process without configuration; gives exit code, stdout and stderr."""
    for name in list(os.environ):
        if name.startswith("TRIAGE_") and ("__" in name or "CONFIG" in name):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    # Rich would break lines at the width of the terminal.
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return int(ended.value.code or 0), out.decode(), err.decode()

    return run
