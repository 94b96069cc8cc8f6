"""The shipped model on the labelled rows beside the checkout: it is as good as published."""

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


def test_the_shipped_model_passes_its_gate() -> None:
    """A change of input text, features, tokenizer or computation would make the model worse."""
    files = [
        f"--data={DATA / name}" for name in ("alerts_dev.jsonl.gz", "tickets_banking_dev.jsonl.gz")
    ]
    done = CliRunner().invoke(triage, ["evaluate", *files, "--split", "test", f"--gate={BARS}"])
    tell(done.stdout)
    assert done.exit_code == 0, done.output
