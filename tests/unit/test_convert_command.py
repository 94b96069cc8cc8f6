"""The command `triage convert`: what it prints, what it refuses and which files it leaves."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest

from inference.errors import ModelError
from inference.training.convert import describe
from inference.training.convert.hub import find_source
from inference.training.convert.normalization import Casing
from inference.training.convert.parity import compare_heads, compare_vectors
from inference.training.convert.pieces import (
    Algorithm,
    Piece,
    PieceKind,
    PieceModel,
    read_charsmap,
    read_pieces,
)
from inference.training.convert.wordpiece import to_sentencepiece
from streams.cli import main
from streams.cli.convert import read_texts, show
from tests.tiny_encoder import sample_texts, wordpiece_vocabulary, write_encoder, write_wordpiece

Run = Callable[..., tuple[int, str, str]]
TEXTS = sample_texts()


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `triage convert` in this process. It returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    # Rich would break lines at the width of the terminal.
    monkeypatch.setenv("COLUMNS", "200")

    def convert_with(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["convert", *map(str, arguments)])
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return convert_with


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A Hugging Face directory with random weights."""
    directory = tmp_path / "source"
    tokens = wordpiece_vocabulary(TEXTS)
    write_wordpiece(directory, tokens)
    write_encoder(directory, len(tokens))
    return directory


def test_figures_are_printed_and_kept(run: Run, source: Path, tmp_path: Path) -> None:
    """Later, nobody could say how good a converted encoder is."""
    code, out, _ = run(source, "--out", tmp_path / "out", "--json")
    printed = msgspec.json.decode(out)
    assert code == 0
    assert printed["parity"]["token_agreement"] == 1.0
    assert printed["parity"]["texts"] == len(TEXTS)
    assert (
        0.98
        < printed["parity"]["vectors"]["min_cosine"]
        <= printed["parity"]["vectors"]["mean_cosine"]
        < 1.0
    )
    assert describe(tmp_path / "out").parity == printed["parity"]


def test_a_person_reads_a_table(run: Run, source: Path, tmp_path: Path) -> None:
    """The default output would be readable only by programs."""
    code, out, _ = run(source, "--out", tmp_path / "out", "--compute-type", "float32")
    assert code == 0
    assert "tokenizer from vocab.txt: 100.00%" in out
    assert "mean cosine" in out


@pytest.mark.parametrize("out_exists", [False, True])
def test_what_falls_below_the_floor_leaves_nothing(
    run: Run, source: Path, tmp_path: Path, out_exists: bool
) -> None:
    """A refused encoder would be on disk, and somebody would use it."""
    if out_exists:
        (tmp_path / "out").mkdir()
    code, _, err = run(source, "--out", tmp_path / "out", "--floor", "1")
    assert code == 1
    assert "below the floor" in err
    assert err.count("\n") == 1
    assert not any((tmp_path / "out").glob("*"))


def test_a_tokenizer_below_the_floor_is_refused(run: Run, source: Path, tmp_path: Path) -> None:
    """An encoder would read tokens that it does not know, and its figures would look fine."""
    # For WordPiece, a word of more than 100 characters is unknown. SentencePiece has no such limit.
    (tmp_path / "texts.txt").write_text("a" * 101)
    code, _, err = run(source, "--out", tmp_path / "out", "--texts", tmp_path / "texts.txt")
    assert code == 1
    assert "the tokenizer from vocab.txt agrees" in err
    assert not (tmp_path / "out").exists()


def test_a_poor_ready_tokenizer_is_passed_over(run: Run, source: Path, tmp_path: Path) -> None:
    """A tokenizer with 94 % agreement would be used where one with 100 % can be made."""
    tokens = (source / "vocab.txt").read_text("utf-8").rstrip("\n").split("\n")
    made = to_sentencepiece(tokens, "[UNK]", frozenset({"[CLS]", "[SEP]"}), Casing())
    # A unigram model takes the likeliest pieces, WordPiece the longest. So it cuts in other places.
    kinds = {PieceKind.USER_DEFINED: PieceKind.NORMAL}
    pieces = [
        Piece(piece.text, -len(piece.text), kinds.get(piece.kind, piece.kind))
        for piece in read_pieces(made)
    ]
    (source / "sentencepiece.model").write_bytes(
        PieceModel(pieces, Algorithm.UNIGRAM, read_charsmap(made)).write()
    )
    code, out, _ = run(source, "--out", tmp_path / "out", "--json")
    parity = msgspec.json.decode(out)["parity"]
    assert code == 0
    assert (parity["tokenizer"], parity["token_agreement"]) == ("vocab.txt", 1.0)
    assert 0 < parity["passed_over"]["sentencepiece.model"] < 0.98
    assert "passed over" in run(source, "--out", tmp_path / "out")[1]


def test_events_and_plain_lines_are_read(tmp_path: Path) -> None:
    """A person could not use a file of their own for the check."""
    file = tmp_path / "texts"
    file.write_text('plain text\n{"kind":"ticket","text":"my card"}\n{"text":"no kind"}\n{"bad\n')
    assert read_texts(str(file)) == [
        (None, "plain text"),
        ("tickets", "my card"),
        (None, "no kind"),
    ]
    assert {domain for domain, _ in read_texts(None)} == {"alerts", "tickets"}


def test_no_text_is_one_sentence(run: Run, source: Path, tmp_path: Path) -> None:
    """An empty file would end in a division by zero."""
    (tmp_path / "empty").touch()
    code, _, err = run(source, "--out", tmp_path / "out", "--texts", tmp_path / "empty")
    assert (code, err.count("\n")) == (1, 1)
    assert "--texts" in err


def test_the_source_and_what_is_converted_are_refused(
    run: Run, source: Path, tmp_path: Path
) -> None:
    """The source would be overwritten, or int8 weights would be compared with themselves."""
    assert run(source, "--out", source)[0] == 1
    assert run(source, "--out", tmp_path / "out")[0] == 0
    code, _, err = run(tmp_path / "out", "--out", tmp_path / "again")
    assert code == 1
    assert "already converted" in err


@pytest.mark.parametrize("name", ["./nowhere", "a/b/c", "some/encoder"])
def test_a_source_that_is_not_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A mistyped path would end in a traceback of a package that the person does not know."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match="not a directory"):
        find_source(name)


def fake_hub(monkeypatch: pytest.MonkeyPatch, download: Callable[..., str]) -> None:
    """Replace the package of the hub by one with this download function."""
    hub = ModuleType("huggingface_hub")
    monkeypatch.setattr(hub, "snapshot_download", download, raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)


def test_a_hub_id_is_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hub id could not be used, or gigabytes of other formats would be downloaded too."""
    patterns: list[list[str]] = []

    def download(name: str, *, allow_patterns: list[str]) -> str:
        patterns.append([name, *allow_patterns])
        if "pytorch_model.bin" in allow_patterns:
            (tmp_path / "pytorch_model.bin").touch()
        return str(tmp_path)

    fake_hub(monkeypatch, download)
    assert find_source("some/encoder") == tmp_path
    assert ["pytorch_model.bin" in call for call in patterns] == [False, True]


def test_a_hub_out_of_reach_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network the person would see the HTTP client's traceback."""

    def download(*_: Any, **__: Any) -> str:
        raise ConnectionError("no route\nto host")

    fake_hub(monkeypatch, download)
    with pytest.raises(ModelError, match="no route") as caught:
        find_source("some/encoder")
    assert "\n" not in str(caught.value)


def test_a_model_directory_is_compared_by_its_logits(
    run: Run, tiny_model: Path, tmp_path: Path
) -> None:
    """Nobody would see what int8 changes in the decisions, only what it changes in vectors."""
    code, out, _ = run(tiny_model, "--out", tmp_path / "out", "--json", "--floor", "0.5")
    printed = msgspec.json.decode(out)
    assert code == 0
    assert {"alerts.queue", "tickets.intent"} <= printed["parity"]["heads"].keys()
    for head in printed["parity"]["heads"].values():
        assert head["max_logit_difference"] > 0
        assert 0.5 < head["top1_agreement"] <= 1
    assert describe(tmp_path / "out").prefix_ids == describe(tiny_model).prefix_ids


def test_a_person_sees_what_changed_in_each_head(
    run: Run, tiny_model: Path, tmp_path: Path
) -> None:
    """The default output would not say how often int8 gives another label."""
    out_path = tmp_path / "out[red]"
    code, out, _ = run(tiny_model, "--out", out_path, "--floor", "0.5")
    parity = describe(out_path).parity
    assert code == 0
    assert parity is not None
    assert f"triage encoder in {out_path}, int8" in out
    assert "the source's own" in out
    for name, head in parity["heads"].items():
        (row,) = [line for line in out.splitlines() if f"{name} logits" in line]
        assert f"{head['max_logit_difference']:.4f}" in row
        assert f"{head['top1_agreement']:.2%}" in row


def test_a_comparison_with_transformers_has_its_own_line(
    run: Run, source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where transformers is installed, its figures would be measured and never shown."""
    run(source, "--out", tmp_path / "out")
    facts = describe(tmp_path / "out")
    closeness = {"mean_cosine": 0.99999, "min_cosine": 0.99876, "max_difference": 0.0012}
    show(
        tmp_path / "out",
        msgspec.structs.replace(facts, parity={**(facts.parity or {}), "transformers": closeness}),
    )
    (row,) = [line for line in capfd.readouterr().out.splitlines() if "against" in line]
    assert row.replace("│", " ").split()[-3:] == ["0.99999", "0.99876", "0.0012"]


def test_heads_are_compared_on_their_own_texts() -> None:
    """The agreement of a head would be measured on texts of another domain, where it is noise."""
    ours = np.array([[1, 0], [0, 1]], np.float32)
    reference = np.array([[1, 0], [1, 0]], np.float32)
    head = (np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    heads = {"a.x": head, "b.x": head, "c.x": head}
    compared = compare_heads(heads, ours, reference, ["a", "b"])
    agreements = {name: closeness.top1_agreement for name, closeness in compared.items()}
    assert agreements == {"a.x": 1.0, "b.x": 0.0}
    assert compared["b.x"].max_logit_difference == 1.0


def test_closeness_of_vectors_is_right() -> None:
    """The printed cosines and differences would be wrong."""
    closeness = compare_vectors(
        np.array([[3, 0], [1, 0]], np.float32), np.array([[1, 0], [0, 1]], np.float32)
    )
    assert (closeness.mean_cosine, closeness.min_cosine) == (0.5, 0.0)
    assert closeness.max_difference == 2.0
