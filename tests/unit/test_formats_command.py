"""`triage formats`: what is listed and shown, and how a file is explained."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from streams.cli.formats import formats


@pytest.fixture(autouse=True)
def _no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_formats_that_ship_are_listed_after_the_standards() -> None:
    """A user could not find out which formats are read, and in which order."""
    result = CliRunner().invoke(formats, ["list", "--json"])
    names = [row["name"] for row in json.loads(result.stdout)]
    assert names[:3] == ["ocsf", "ecs", "native"]
    assert "aws-guardduty" in names


def test_a_format_is_shown_as_it_is_written() -> None:
    """A user could not copy a format into a configuration."""
    result = CliRunner().invoke(formats, ["show", "aws-guardduty"])
    assert result.stdout.lstrip().startswith('[[mappings]]\nname = "aws-guardduty"\n')
    assert CliRunner().invoke(formats, ["show", "no-such"]).exit_code == 2


def test_a_file_is_explained(tmp_path: Path) -> None:
    """A user could not see why a document is read as it is."""
    document = {"id": "d-1", "title": "Suspicious execution", "severity": "low", "hosts": ["w"]}
    (tmp_path / "in.json").write_text(json.dumps(document, indent=1))
    command = ["test", "in.json", "--domain", "alerts", "--json"]
    result = CliRunner().invoke(formats, command)
    explained = json.loads(result.stdout)
    assert result.exit_code == 0
    assert explained["format"] == "guessed"
    assert explained["fields"]["id"] == {"value": "d-1", "from": "id"}
    assert explained["model_reads"].startswith("Suspicious execution")
    assert "one JSON document" in result.stderr
    text = CliRunner().invoke(formats, command[:-1]).stdout
    assert "record 0: guessed" in text
    assert "the model reads:" in text


def test_what_cannot_be_read_fails_the_command(tmp_path: Path) -> None:
    """A script would take a dead letter for a success."""
    (tmp_path / "in.ndjson").write_text('{"id":\n{}\n')
    result = CliRunner().invoke(formats, ["test", "in.ndjson", "--domain", "alerts"])
    assert result.exit_code == 1
    assert "cannot be read" in result.stdout
