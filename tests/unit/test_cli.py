"""The command line as a person meets it: examples in every help, exit codes, and one sentence when it goes wrong."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import orjson
import pytest

from schemas.codec import decode
from schemas.triaged import TriagedEvent
from streams import cli, logs, worker
from streams.cli import COMMANDS, main
from streams.errors import DeliveryFailed
from streams.local.brokers.loopback import free_ports

Run = Callable[..., tuple[int, str, str]]
TICKET = b'{"id":"t-1","kind":"ticket","text":"my card was stolen"}\n'


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration of whoever runs the tests."""
    for name in [
        name
        for name in os.environ
        if name.startswith("TRIAGE_") and ("__" in name or "CONFIG" in name)
    ]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    # It would take the test's own stderr for every later test of this process.
    monkeypatch.setattr(logs, "configure", lambda _: None)


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """`triage` in this process: exit code, stdout, stderr."""

    def main_with(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capfdbinary.readouterr()
        return int(ended.value.code or 0), out.decode(), err.decode()

    return main_with


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where nothing listens, and the configuration that points there."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("TRIAGE_KAFKA__BOOTSTRAP_SERVERS", address)
    return address


def commands() -> Iterator[tuple[str, ...]]:
    """Every command and subcommand, by its words."""
    context = click.Context(cli.triage)
    for name in sorted(COMMANDS):
        yield (name,)
        command = cli.triage.get_command(context, name)
        if isinstance(command, click.Group):
            yield from ((name, sub) for sub in sorted(command.commands))


def is_one_sentence(err: str) -> bool:
    """One line for a person, by us, and no more."""
    return bool(re.fullmatch(r"triage: [^\n]{5,400}\n", err)) and "Traceback" not in err


@pytest.mark.parametrize("words", [(), *commands()], ids=" ".join)
def test_every_command_explains_itself_by_example(run: Run, words: tuple[str, ...]) -> None:
    """A person would have to guess how a command is used."""
    code, out, err = run(*words, "--help")
    assert (code, err) == (0, "")
    example = re.sub(r"\s+", " ", out.partition("Example:")[2])
    assert " ".join(("triage", *words)) in example


def test_the_contracts_commands_are_there() -> None:
    """A script written against the contract would end with `No such command`."""
    promised = """
        audit broker calibrate classify config convert cost deadletters demo doctor evaluate models schemas send topics
        train watch worker
    """
    assert set(promised.split()) <= set(COMMANDS)
    subcommands = {words for words in commands() if len(words) > 1}
    assert subcommands >= {
        ("audit", "verify"),
        ("topics", "create"),
        ("topics", "check"),
        ("deadletters", "list"),
        ("deadletters", "replay"),
        ("config", "show"),
        ("config", "validate"),
        ("schemas", "export"),
    }


def test_help_does_not_wait_for_the_heavy_parts() -> None:
    """`triage --help` would take seconds, and fail where CTranslate2 cannot be loaded."""
    code = "import sys, streams.cli; print([m for m in ('faust', 'aiokafka', 'ctranslate2') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_no_command_at_all_shows_the_help(run: Run) -> None:
    """The first thing anybody types would be an error without a way on."""
    code, _, err = run()
    assert code == 2
    assert "Commands:" in err


def write(path: Path, data: bytes) -> str:
    """A file to name on the command line."""
    path.write_bytes(data)
    return str(path)


def test_bad_usage_and_configuration_is_2(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment script could not tell a mistake of its own from work that failed."""
    broken = write(tmp_path / "broken.toml", b"[kafka\n")
    unknown = write(tmp_path / "unknown.toml", b'[kafka]\ngrop_id = "x"\n')
    for arguments in (
        ["nothing"],
        ["send"],
        ["send", "x", "--nothing"],
        ["send", "x", "--domain", "mail"],
        ["topics", "nothing"],
        ["worker", "--agents", "classify,nothing"],
        ["worker", "--agents", ","],
        ["config", "validate", "--config", broken],
        ["config", "validate", "--config", unknown],
        ["config", "validate", "--config", str(tmp_path / "none.toml")],
        ["config", "validate", "--config", str(tmp_path)],
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, ""), arguments
        assert is_one_sentence(err), (arguments, err)
    monkeypatch.setenv("TRIAGE_KAFKA__GRUPPE", "x")
    code, _, err = run("topics", "check")
    assert code == 2
    assert "gruppe" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "verify"],
        ["cost"],
        ["topics", "check"],
        ["topics", "create"],
        ["watch"],
        ["deadletters", "list"],
        ["deadletters", "replay"],
        ["send", "in.ndjson", "--domain", "tickets", "--json"],
        ["worker"],
    ],
    ids=" ".join,
)
def test_an_unreachable_broker_is_1_and_soon(
    run: Run,
    closed_port: str,
    arguments: list[str],
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A person would wait for minutes, or be shown aiokafka's own complaints."""
    Path("in.ndjson").write_bytes(TICKET)
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    monkeypatch.setattr(
        worker.wait_for_topics, "__defaults__", (0.0,)
    )  # the worker gives a starting broker a minute
    started_s = time.monotonic()
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert closed_port in err
    assert is_one_sentence(err), err
    assert time.monotonic() - started_s < 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRIAGE_KAFKA__SSL_CAFILE", "none.pem"),
        ("TRIAGE_KAFKA__SSL_CAFILE", "in.ndjson"),
    ],
)
def test_certificates_that_cannot_be_read_are_2(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A mistyped path to a certificate would end in a traceback."""
    Path("in.ndjson").write_bytes(TICKET)
    monkeypatch.setenv("TRIAGE_KAFKA__SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv(name, value)
    for arguments in (["topics", "check"], ["send", "in.ndjson", "--domain", "tickets", "--json"]):
        code, _, err = run(*arguments)
        assert code == 2
        assert is_one_sentence(err), err
        assert value in err


def test_a_missing_file_is_1(
    run: Run, closed_port: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistyped name would look like an empty file."""
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    for command in (["send", "none.ndjson", "--domain", "alerts"], ["classify", "none.ndjson"]):
        code, out, err = run(*command)
        assert (code, out) == (1, "")
        assert is_one_sentence(err), err
        assert "none.ndjson" in err


@pytest.mark.parametrize("damage", ["missing", "not a directory", "damaged", "truncated"])
def test_a_damaged_model_is_1(
    run: Run, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """Damaged weights would decide, or crash the process without a word."""
    model = tmp_path / "model"
    if damage == "not a directory":
        model.write_bytes(b"")
    elif damage != "missing":
        shutil.copytree(tiny_model, model)
        weights = (
            model / "model.bin" if (model / "model.bin").exists() else next(model.rglob("*.bin"))
        )
        data = weights.read_bytes()
        weights.write_bytes(
            data[:-7] if damage == "truncated" else data[:-1] + bytes([data[-1] ^ 1])
        )
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(model))
    Path("in.ndjson").write_bytes(TICKET)
    code, out, err = run("classify", "in.ndjson")
    assert (code, out) == (1, "")
    assert is_one_sentence(err), err
    assert str(model) in err


def test_classify_answers_in_order_and_goes_on(
    run: Run, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad line would end the file, or answers could not be matched with their lines."""
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    lines = [
        b'{"id":"%d","kind":"%s","text":"card %d"}' % (n, b"alert" if n % 3 else b"ticket", n)
        for n in range(300)
    ]
    lines[7] = b"{broken"
    lines[200] = b'{"id":"200","text":"no kind"}'
    Path("in.ndjson").write_bytes(b"\n".join(lines))
    code, out, err = run("classify", "in.ndjson")
    assert code == 0
    triaged = [decode(line.encode(), TriagedEvent) for line in out.splitlines()]
    assert [each.id for each in triaged] == [str(n) for n in range(300) if n not in (7, 200)]
    assert [each.domain for each in triaged[:4]] == ["tickets", "alerts", "alerts", "tickets"]
    letters = [orjson.loads(line) for line in err.splitlines()]
    assert [(letter["line"], letter["stage"]) for letter in letters] == [
        (8, "decode"),
        (201, "recognise"),
    ]
    assert letters[0]["original"] == "{broken"


def test_schemas_are_exported_under_the_configured_prefix(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The AsyncAPI document would describe somebody else's topics."""
    monkeypatch.setenv("TRIAGE_TOPICS__PREFIX", "mine")
    code, out, _ = run("schemas", "export", "out")
    assert code == 0
    assert all(Path(line).exists() for line in out.splitlines())
    assert "mine.alerts.v1" in Path("out/asyncapi.json").read_text("utf-8")


def test_a_directory_that_cannot_be_written_is_1(run: Run) -> None:
    """A traceback instead of the name of the directory."""
    Path("file").write_bytes(b"")
    code, _, err = run("schemas", "export", "file/out")
    assert code == 1
    assert is_one_sentence(err)


def test_doctor_says_what_is_wrong_and_is_1(
    run: Run, closed_port: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment would be called healthy without a broker."""
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    code, out, _ = run("doctor", "--json")
    found = {finding["subject"]: finding["healthy"] for finding in orjson.loads(out)}
    assert code == 1
    assert (found["broker"], found["model"], found["llm"]) == (False, True, True)


@pytest.mark.parametrize(
    ("error", "code"),
    [(DeliveryFailed("gone;\n  restart it"), 1), (KeyError("bug"), 1), (KeyboardInterrupt(), 130)],
    ids=["ours", "a bug", "Ctrl-C"],
)
def test_whatever_is_raised_is_one_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    """A person would be shown a traceback."""

    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(cli, "triage", click.Command("triage", callback=fail))
    ended, out, err = run()
    assert (ended, out) == (code, "")
    assert is_one_sentence(err.lstrip("\n")), err


def process(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`triage` as it is installed."""
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | environ,
    )


def test_the_installed_command_is_this_one() -> None:
    """`.venv/bin/triage` would be another program, or none."""
    (script,) = [each for each in entry_points(group="console_scripts") if each.name == "triage"]
    assert script.load() is main


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("config", "validate"), 0),
        (("nothing",), 2),
        (("config", "show", "--config", "none.toml"), 2),
        (("deadletters", "list"), 1),
    ],
    ids=["good", "no such command", "no such file", "no broker"],
)
def test_a_real_process_ends_as_promised(
    closed_port: str, arguments: tuple[str, ...], code: int
) -> None:
    """What holds inside the tests would not hold in a shell: an interpreter's last words, or a wrong exit code."""
    ended = process(*arguments)
    assert ended.returncode == code
    assert (ended.stderr == "") if code == 0 else is_one_sentence(ended.stderr), ended.stderr
    assert bool(ended.stdout) == (code == 0)


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`triage config show | head -1` would print a traceback."""
    shell = f"{sys.executable} -m streams.cli config show | head -1"
    ended = subprocess.run(
        ["sh", "-c", shell], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
