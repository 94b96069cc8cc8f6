"""A model directory that must be signed is loaded only with the signatures of its key."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from inference.errors import ConfigError, ModelError
from inference.model.artifact import CALIBRATION, MANIFEST, load_artifact
from inference.model.signature import SUFFIX, PublicKey
from streams.cli.models import models
from tests.minisign import Signer

MADE_BY_MINISIGN = Path(__file__).parent / "signed" / "file.json"
KEY_OF_MINISIGN = "RWRQCQqU1ByFDiAjZq4gcnUjlZt70aMZPzMHuWkEEvqRo7mINTlHbpT5"


@pytest.fixture
def signer() -> Signer:
    """A new key pair."""
    return Signer()


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path, signer: Signer) -> Path:
    """A signed copy of the tiny model."""
    directory = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    signer.sign(directory / MANIFEST)
    signer.sign(directory / CALIBRATION)
    return directory


def refusal(model: Path, signer: Signer) -> str:
    """The message of the error that loading the model with the key raises."""
    with pytest.raises(ModelError) as raised:
        load_artifact(model, public_key=PublicKey.parse(signer.public_key))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_minisign_signed_is_accepted() -> None:
    """Otherwise no owner of a model could sign it with the tool that the documentation names."""
    key = PublicKey.parse(KEY_OF_MINISIGN)
    assert key.name == "E851CD4940A0950"  # as minisign prints it
    key.check(MADE_BY_MINISIGN, MADE_BY_MINISIGN.read_bytes())
    with pytest.raises(ModelError, match="is not what was signed"):
        key.check(MADE_BY_MINISIGN, MADE_BY_MINISIGN.read_bytes() + b" ")


def test_a_signed_model_is_loaded_and_names_its_key(model: Path, signer: Signer) -> None:
    """Otherwise a signed model could not be served, or nobody would know that it was checked."""
    artifact = load_artifact(model, public_key=PublicKey.parse(signer.public_key))
    assert artifact.signed_by == "807060504030201"
    assert load_artifact(model).signed_by is None


@pytest.mark.parametrize("name", [MANIFEST, CALIBRATION])
def test_a_model_without_a_signature_is_refused(model: Path, signer: Signer, name: str) -> None:
    """Otherwise an attacker would only have to remove a signature."""
    (model / f"{name}{SUFFIX}").unlink()
    assert f"{name} is not signed" in refusal(model, signer)


@pytest.mark.parametrize("name", [MANIFEST, CALIBRATION])
def test_a_model_that_was_changed_is_refused(model: Path, signer: Signer, name: str) -> None:
    """Otherwise who can write to the directory could change what the model decides."""
    (model / name).write_bytes((model / name).read_bytes() + b" ")
    assert f"{name} is not what was signed" in refusal(model, signer)


def test_a_model_that_somebody_else_signed_is_refused(model: Path) -> None:
    """Otherwise every key would be good, whoever has it."""
    assert "is not what was signed" in refusal(model, Signer())
    assert "is signed with the key 807060504030201" in refusal(model, Signer(b"another!"))


def test_the_signature_of_another_file_is_refused(model: Path, signer: Signer) -> None:
    """Otherwise a signature could be moved to a file that nobody signed."""
    shutil.copyfile(model / f"{MANIFEST}{SUFFIX}", model / f"{CALIBRATION}{SUFFIX}")
    assert "is not what was signed" in refusal(model, signer)


def test_a_comment_that_was_changed_is_refused(model: Path, signer: Signer) -> None:
    """Otherwise the comment, which minisign calls trusted, could be changed by anybody."""
    file = model / f"{MANIFEST}{SUFFIX}"
    file.write_bytes(file.read_bytes().replace(b"made by a test", b"made by a king"))
    assert "is not what was signed" in refusal(model, signer)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"\n\n\n\n",
        b"a\nb\nc\nd\n",
        b"c\nRURQCQqU\ntrusted comment: x\nRURQCQqU\n",
        b"x" * 5_000,
    ],
    ids=["empty", "binary", "blank", "words", "short", "long"],
)
def test_a_damaged_signature_is_one_sentence(model: Path, signer: Signer, text: bytes) -> None:
    """Otherwise a damaged signature would end in a traceback, or be read without bound."""
    (model / f"{MANIFEST}{SUFFIX}").write_bytes(text)
    assert f"{MANIFEST}{SUFFIX}" in refusal(model, signer)


@pytest.mark.parametrize(
    "text",
    ["", "RW", "x" * 56, KEY_OF_MINISIGN[:-4], KEY_OF_MINISIGN.replace("RW", "AA"), "ä" * 56],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    """Otherwise a mistyped key would end in a traceback, or check nothing."""
    with pytest.raises(ConfigError, match="no public key of minisign"):
        PublicKey.parse(text)


def test_a_key_that_is_no_point_of_the_curve_refuses_everything(model: Path) -> None:
    """Otherwise a damaged key would end in a traceback."""
    key = PublicKey(Signer().key_id, b"\xff" * 32)
    with pytest.raises(ModelError, match="is not what was signed"):
        load_artifact(model, public_key=key)


def test_the_configured_key_is_used(
    model: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a configured key would protect nothing."""
    monkeypatch.setenv("TRIAGE_MODEL__PUBLIC_KEY", signer.public_key)
    signed = CliRunner().invoke(models, ["--model", str(model)])
    assert signed.exit_code == 0
    assert "signed with the key 807060504030201" in signed.output
    (model / f"{CALIBRATION}{SUFFIX}").unlink()
    assert isinstance(CliRunner().invoke(models, ["--model", str(model)]).exception, ModelError)
    monkeypatch.delenv("TRIAGE_MODEL__PUBLIC_KEY")
    unsigned = CliRunner().invoke(models, ["--model", str(model)])
    assert "signature not checked: model.public_key is not set" in unsigned.output
