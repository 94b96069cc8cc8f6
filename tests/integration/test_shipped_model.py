"""The shipped model on the labelled rows beside the checkout: it may not fall below what was published of it."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from streams.cli import triage
from tests.figures import tell

DATA = Path(os.environ.get("TRIAGE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
BARS = Path(__file__).with_name("shipped_model.toml")

pytestmark = [
    pytest.mark.data,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not DATA.is_dir(), reason="no labelled rows; set TRIAGE_TEST_DATA to their directory"
    ),
]


def test_the_shipped_model_clears_its_bars() -> None:
    """If it failed: a change of view, features, tokenizer or arithmetic made the shipped model worse, silently."""
    files = [
        f"--data={DATA / name}" for name in ("alerts_dev.jsonl.gz", "tickets_banking_dev.jsonl.gz")
    ]
    done = CliRunner().invoke(triage, ["evaluate", *files, "--split", "test", f"--gate={BARS}"])
    tell(done.stdout)
    assert done.exit_code == 0, done.output
