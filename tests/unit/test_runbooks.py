"""Runbooks: which passages are quoted beside an event, and which folders are refused."""

import logging
from pathlib import Path

import pytest

from inference.errors import ConfigError
from inference.retrieval.runbooks import MAX_FILE_BYTES, MAX_PASSAGE_CHARS, Runbooks

PHISHING = """Owned by the mail team.

# Phishing

## Steps

Quarantine the message in every mailbox.

Reset the password of whoever clicked.

```sh
# this comment is no heading
revoke-sessions --user "$USER"
```

## Contacts
Call the bank's fraud desk.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two runbooks, one of them in a subfolder."""
    (tmp_path / "phishing.md").write_text(PHISHING, "utf-8")
    (tmp_path / "cloud").mkdir()
    (tmp_path / "cloud" / "keys.txt").write_text(
        "Rotate the leaked access key in the cloud console.", "utf-8"
    )
    return tmp_path


def best(runbooks: Runbooks, text: str, count: int = 2) -> list[str]:
    """The ids of the passages quoted beside a text."""
    return [passage.id for passage in runbooks.best(text, count)]


def test_the_best_passage_comes_first(folder: Path) -> None:
    """A passage about something else would mislead the analyst."""
    runbooks = Runbooks.load(folder)
    assert best(runbooks, "an access key was leaked on a public page") == ["cloud/keys.txt"]
    assert best(runbooks, "the customer disputes it as fraud with the bank", 1) == [
        "phishing.md#contacts"
    ]
    first, second = runbooks.best("phishing message: reset the password", 2)
    assert first.id == "phishing.md#steps"
    assert first.score > second.score > 0


@pytest.mark.parametrize("text", ["", "zebra", "the of and", "\x00 ... !!", "a b c"])
def test_without_a_shared_word_nothing_is_quoted(folder: Path, text: str) -> None:
    """The first runbook of the folder would be quoted beside every event and cost tokens."""
    assert Runbooks.load(folder).best(text, 5) == []


def test_a_passage_begins_with_its_headings(folder: Path) -> None:
    """A step without its headings would not be found by the topic, nor be understood."""
    (steps,) = Runbooks.load(folder).best("quarantine", 1)
    assert steps.text.startswith("Phishing > Steps\nQuarantine the message")
    assert "# this comment is no heading" in steps.text
    (owner,) = Runbooks.load(folder).best("owned by", 1)
    assert (owner.id, owner.text) == ("phishing.md", "Owned by the mail team.")


def test_a_long_section_becomes_several_passages_of_whole_paragraphs(tmp_path: Path) -> None:
    """One quotation would fill the prompt, or one id would name several passages."""
    paragraphs = [f"step{number} " + "do something about it " * 15 for number in range(6)]
    text = "\n\n".join(
        ["# Steps", *paragraphs, "# Steps 2", "unrelated words", "# Steps", "x" * 2_000]
    )
    (tmp_path / "long.md").write_text(text, "utf-8")
    runbooks = Runbooks.load(tmp_path)
    passages = runbooks.best("steps", 100)
    assert len(passages) == len(runbooks) == len({passage.id for passage in passages})
    assert {"long.md#steps", "long.md#steps-2", "long.md#steps-3"} <= {
        passage.id for passage in passages
    }
    assert max(len(passage.text) for passage in passages) <= MAX_PASSAGE_CHARS
    (third,) = runbooks.best("step3", 1)
    assert paragraphs[3].strip() in third.text


def test_a_repeated_word_does_not_change_the_result(folder: Path) -> None:
    """The sender of an event could choose which advice the LLM reads."""
    runbooks = Runbooks.load(folder)
    honest = runbooks.best("phishing message quarantine bank", 2)
    assert runbooks.best("phishing message quarantine" + " bank" * 100, 2) == honest


def test_a_huge_text_is_cut_off(folder: Path) -> None:
    """The search for an event of a megabyte would delay the other events."""
    runbooks = Runbooks.load(folder)
    assert best(runbooks, "x " * 500_000 + "quarantine") == []


def test_the_same_folder_gives_the_same_index(folder: Path) -> None:
    """Passages with equal scores would be quoted in another order on another machine."""
    for name in ("b.md", "a.md"):
        (folder / name).write_text("# Twin\nidentical advice", "utf-8")
    assert best(Runbooks.load(folder), "identical advice") == ["a.md#twin", "b.md#twin"]
    assert Runbooks.load(folder).best("the bank", 5) == Runbooks.load(folder).best("the bank", 5)


def test_hidden_and_other_files_are_left_out(folder: Path) -> None:
    """Runbooks would be indexed twice from a ConfigMap or a checkout, and pictures as text."""
    (folder / ".git").mkdir()
    for name in (".hidden.md", ".git/notes.md", "picture.png"):
        (folder / name).write_text("zebra", "utf-8")
    assert Runbooks.load(folder).best("zebra", 5) == []


def test_a_link_inside_the_folder_is_followed(folder: Path) -> None:
    """A mounted ConfigMap would seem empty: its files are links to a hidden folder beside them."""
    (folder / "..data").mkdir()
    (folder / "..data" / "linked.md").write_text("zebra", "utf-8")
    (folder / "linked.md").symlink_to("..data/linked.md")
    assert best(Runbooks.load(folder), "zebra") == ["linked.md"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", r"broken\.md is not UTF-8"),
        (b"x" * (MAX_FILE_BYTES + 1), r"broken\.md is larger than 1048576 bytes: split it"),
    ],
    ids=["not UTF-8", "too large"],
)
def test_a_file_that_cannot_be_used_is_named(folder: Path, content: bytes, message: str) -> None:
    """A runbook would be left out silently, and nobody would notice until it is needed."""
    (folder / "broken.md").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as raised:
        Runbooks.load(folder)
    assert "\n" not in str(raised.value)


def test_a_link_out_of_the_folder_is_refused(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A key or a password file would be sent to the LLM through a link."""
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.txt"
    secret.write_text("hunter2", "utf-8")
    (folder / "notes.md").symlink_to(secret)
    with pytest.raises(ConfigError, match=r"notes\.md is a link to outside the runbooks' folder"):
        Runbooks.load(folder)


def test_a_folder_without_runbooks(tmp_path: Path) -> None:
    """A mistyped path would turn the runbooks off silently."""
    with pytest.raises(
        ConfigError, match=r"no folder .*missing: point \[retrieval\] runbooks at one"
    ):
        Runbooks.load(tmp_path / "missing")
    with pytest.raises(ConfigError, match=r"no runbook in "):
        Runbooks.load(tmp_path)
    (tmp_path / "empty.md").write_text("# Only a heading\n", "utf-8")
    with pytest.raises(ConfigError, match="no runbook in "):
        Runbooks.load(tmp_path)
    (tmp_path / "empty.md").write_text("... of the ...", "utf-8")
    with pytest.raises(ConfigError, match="the runbooks hold no word to search for"):
        Runbooks.load(tmp_path)


def test_indexing_is_silent(
    folder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Progress bars and log lines of bm25s would stand between a worker's JSON lines."""
    caplog.set_level(logging.DEBUG)
    Runbooks.load(folder).best("quarantine", 1)
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""
