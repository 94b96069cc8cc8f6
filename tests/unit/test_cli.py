"""The command line: an example in every help text, exit codes, and errors in one sentence."""

import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
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
from streams.cli.tables import Console, Table
from streams.errors import DeliveryFailed
from streams.local.brokers.loopback import free_ports
from tests.unit.conftest import Triage

TICKET = b'{"id":"t-1","kind":"ticket","text":"my card was stolen"}\n'


@pytest.fixture(autouse=True)
def run(triage: Triage, monkeypatch: pytest.MonkeyPatch) -> Triage:
    """Run `triage` without its log."""
    # Configuring the log would replace stderr for all later tests of this process.
    monkeypatch.setattr(logs, "configure", lambda _: None)
    return triage


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where nothing listens; it is configured as the broker."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("TRIAGE_KAFKA__BOOTSTRAP_SERVERS", address)
    return address


def commands() -> Iterator[tuple[str, ...]]:
    """Every command and subcommand, as the words that a user types."""
    context = click.Context(cli.triage)
    for name in sorted(COMMANDS):
        yield (name,)
        command = cli.triage.get_command(context, name)
        if isinstance(command, click.Group):
            yield from ((name, sub) for sub in sorted(command.commands))


def is_one_sentence(err: str) -> bool:
    """Whether stderr holds one line, written by `triage`, and nothing else."""
    return bool(re.fullmatch(r"triage: [^\n]{5,400}\n", err)) and "Traceback" not in err


@pytest.mark.parametrize("words", [(), *commands()], ids=" ".join)
def test_the_help_of_every_command_has_an_example(run: Triage, words: tuple[str, ...]) -> None:
    """A user would have to guess how a command is used."""
    code, out, err = run(*words, "--help")
    assert (code, err) == (0, "")
    example = re.sub(r"\s+", " ", out.partition("Example:")[2])
    assert " ".join(("triage", *words)) in example


def test_the_documented_commands_exist() -> None:
    """A script that uses a documented command would end with `No such command`."""
    documented = """
        audit broker calibrate classify config convert cost deadletters demo doctor evaluate models
        schemas send topics train watch worker
    """
    assert set(documented.split()) <= set(COMMANDS)
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


def test_help_loads_no_large_library() -> None:
    """`triage --help` would take seconds, and fail if CTranslate2 cannot be loaded."""
    code = (
        "import sys, streams.cli;"
        "print([m for m in ('faust', 'aiokafka', 'ctranslate2') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_triage_without_a_command_shows_the_help(run: Triage) -> None:
    """A new user who types `triage` would see an error and no list of commands."""
    code, _, err = run()
    assert code == 2
    assert "Commands:" in err


def write(path: Path, data: bytes) -> str:
    """Write a file; gives its path as an argument of the command line."""
    path.write_bytes(data)
    return str(path)


def test_exit_code_is_2_for_wrong_usage_or_configuration(
    run: Triage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment script could not distinguish its own mistake from work that failed."""
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
def test_exit_code_is_1_soon_if_the_broker_is_unreachable(
    run: Triage,
    closed_port: str,
    arguments: list[str],
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A user would wait for minutes, or see the internal errors of aiokafka."""
    Path("in.ndjson").write_bytes(TICKET)
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    # Normally the worker waits up to a minute for a broker that is starting.
    monkeypatch.setattr(worker.wait_for_topics, "__defaults__", (0.0,))
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
def test_exit_code_is_2_if_a_certificate_cannot_be_read(
    run: Triage, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A mistyped path of a certificate would end in a traceback."""
    Path("in.ndjson").write_bytes(TICKET)
    monkeypatch.setenv("TRIAGE_KAFKA__SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv(name, value)
    for arguments in (["topics", "check"], ["send", "in.ndjson", "--domain", "tickets", "--json"]):
        code, _, err = run(*arguments)
        assert code == 2
        assert is_one_sentence(err), err
        assert value in err


def test_exit_code_is_1_if_the_file_is_missing(
    run: Triage, closed_port: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistyped file name would be treated as an empty file."""
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    for command in (["send", "none.ndjson", "--domain", "alerts"], ["classify", "none.ndjson"]):
        code, out, err = run(*command)
        assert (code, out) == (1, "")
        assert is_one_sentence(err), err
        assert "none.ndjson" in err


def damage_weights(model: Path, damage: str) -> None:
    """Cut the end off the weights, or flip their last bit."""
    weights = model / "model.bin"
    if not weights.exists():
        weights = next(model.rglob("*.bin"))
    data = weights.read_bytes()
    if damage == "truncated":
        weights.write_bytes(data[:-7])
    else:
        weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize("damage", ["missing", "not a directory", "damaged", "truncated"])
def test_exit_code_is_1_if_the_model_is_damaged(
    run: Triage, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """Damaged weights would decide, or crash the process without an error message."""
    model = tmp_path / "model"
    if damage == "not a directory":
        model.write_bytes(b"")
    elif damage != "missing":
        shutil.copytree(tiny_model, model)
        damage_weights(model, damage)
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(model))
    Path("in.ndjson").write_bytes(TICKET)
    code, out, err = run("classify", "in.ndjson")
    assert (code, out) == (1, "")
    assert is_one_sentence(err), err
    assert str(model) in err


def test_classify_keeps_the_order_and_continues_after_a_bad_line(
    run: Triage, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad line would end the run, or the results would not match their lines."""
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    kinds = [b"ticket", b"alert", b"alert"] * 100
    lines = [
        b'{"id":"%d","kind":"%s","text":"card %d"}' % (n, kind, n) for n, kind in enumerate(kinds)
    ]
    lines[7] = b"{broken"
    lines[200] = b'{"id":"200","text":"no kind"}'
    Path("in.ndjson").write_bytes(b"\n".join(lines))
    code, out, err = run("classify", "in.ndjson")
    assert code == 0
    triaged = [decode(line.encode(), TriagedEvent) for line in out.splitlines()]
    assert [event.id for event in triaged] == [str(n) for n in range(300) if n not in (7, 200)]
    assert [event.domain for event in triaged[:4]] == ["tickets", "alerts", "alerts", "tickets"]
    dead_letters = [orjson.loads(line) for line in err.splitlines()]
    assert [(dead_letter["line"], dead_letter["stage"]) for dead_letter in dead_letters] == [
        (8, "decode"),
        (201, "recognise"),
    ]
    assert dead_letters[0]["original"] == "{broken"


def test_classify_writes_every_event_of_a_line_in_order(
    run: Triage, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other events of a batch would be lost, or mixed with those of other lines."""
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    many = [{"id": str(n), "kind": "ticket", "text": f"card {n}"} for n in range(300)]
    many[5] = {"id": "nothing"}
    lines = [{"kind": "alert", "text": "login"}, many, [{"kind": "alert", "text": "x"}, {"a": 1}]]
    Path("in.ndjson").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    code, out, err = run("classify", "in.ndjson")
    assert code == 0
    ids = [orjson.loads(line)["id"] for line in out.splitlines()]
    assert ids == ["in-0-0", *(str(n) for n in range(300) if n != 5), "in-0-2#0"]
    letters = [orjson.loads(line) for line in err.splitlines()]
    assert [(letter["line"], letter["element"]) for letter in letters] == [(2, 5), (3, 1)]
    assert [letter["original"] for letter in letters] == ['{"id":"nothing"}', '{"a":1}']


def test_classify_refuses_several_events_if_a_line_may_hold_only_one(
    run: Triage, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`formats.split` would have no effect on files."""
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    monkeypatch.setenv("TRIAGE_FORMATS__SPLIT", "false")
    line = {"Records": [{"kind": "alert", "text": text} for text in "ab"]}
    Path("in.ndjson").write_bytes(orjson.dumps(line))
    code, out, err = run("classify", "in.ndjson")
    assert (code, out) == (0, "")
    letter = orjson.loads(err)
    assert letter["element"] is None
    assert "formats.split" in letter["message"]


def test_schemas_are_exported_under_the_configured_prefix(
    run: Triage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The AsyncAPI document would name topics with the default prefix."""
    monkeypatch.setenv("TRIAGE_TOPICS__PREFIX", "mine")
    code, out, _ = run("schemas", "export", "out")
    assert code == 0
    assert all(Path(line).exists() for line in out.splitlines())
    assert "mine.alerts.v1" in Path("out/asyncapi.json").read_text("utf-8")


def test_exit_code_is_1_if_a_directory_cannot_be_written(run: Triage) -> None:
    """A user would see a traceback, and not the name of the directory."""
    Path("file").write_bytes(b"")
    code, _, err = run("schemas", "export", "file/out")
    assert code == 1
    assert is_one_sentence(err)


def test_exit_code_of_doctor_is_1_if_a_check_fails(
    run: Triage, closed_port: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment without a broker would be reported as healthy."""
    monkeypatch.setenv("TRIAGE_MODEL__PATH", str(tiny_model))
    code, out, _ = run("doctor", "--json")
    healthy = {finding["subject"]: finding["healthy"] for finding in orjson.loads(out)}
    assert code == 1
    assert (healthy["broker"], healthy["model"], healthy["llm"]) == (False, True, True)


@pytest.mark.parametrize(
    ("error", "code"),
    [(DeliveryFailed("gone;\n  restart it"), 1), (KeyError("bug"), 1), (KeyboardInterrupt(), 130)],
    ids=["expected", "a bug", "Ctrl-C"],
)
def test_every_exception_is_reported_in_one_sentence(
    run: Triage, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    """A user would see a traceback."""

    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(cli, "triage", click.Command("triage", callback=fail))
    exit_code, out, err = run()
    assert (exit_code, out) == (code, "")
    assert is_one_sentence(err.lstrip("\n")), err


def test_a_bug_shows_its_traceback_on_request(run: Triage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user could not report where an unexpected error comes from, or would be deceived by it."""

    def fail(**_: Any) -> None:
        raise ValueError("bug in \x1b[2J\u202e")

    monkeypatch.setattr(cli, "triage", click.Command("triage", callback=fail))
    monkeypatch.setenv("TRIAGE_TRACEBACK", "1")
    code, _, err = run()
    assert code == 1
    assert "in fail\n" in err
    assert err.endswith("ValueError: bug in \\u001b[2J\\u202e\n")


def test_a_reader_that_ends_early_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """`triage watch | head -1` would end with an error, and stop a script."""

    def fail(**_: Any) -> None:
        raise BrokenPipeError

    stderr = io.StringIO()
    monkeypatch.setattr(cli, "triage", click.Command("triage", callback=fail))
    monkeypatch.setattr(sys, "stderr", stderr)
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    assert stderr.closed, "the interpreter would complain there about its own stdout"


@pytest.mark.parametrize(
    ("words", "completed"), [("triage wo", ["worker"]), ("triage topics c", ["check", "create"])]
)
def test_a_shell_completes_commands(
    run: Triage, monkeypatch: pytest.MonkeyPatch, words: str, completed: list[str]
) -> None:
    """A user who presses Tab would get no command."""
    monkeypatch.setenv("_TRIAGE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    _, out, err = run()
    assert ([line.partition(",")[2] for line in out.splitlines()], err) == (completed, "")


def process(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `triage` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | environ,
    )


def test_the_installed_command_is_main() -> None:
    """`.venv/bin/triage` would be missing, or start another program."""
    (script,) = entry_points(group="console_scripts", name="triage")
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
def test_a_real_process_ends_with_the_documented_exit_code(
    closed_port: str, arguments: tuple[str, ...], code: int
) -> None:
    """In a shell the exit code would be wrong, or the interpreter would print errors at its end."""
    completed = process(*arguments)
    assert completed.returncode == code
    if code == 0:
        assert completed.stderr == ""
    else:
        assert is_one_sentence(completed.stderr), completed.stderr
    assert bool(completed.stdout) == (code == 0)


def test_a_pipe_that_is_closed_early_is_no_error() -> None:
    """`triage config show | head -1` would print a traceback."""
    shell = f"{sys.executable} -m streams.cli config show | head -1"
    completed = subprocess.run(
        ["sh", "-c", shell], capture_output=True, text=True, timeout=60, check=False
    )
    assert (completed.returncode, completed.stderr) == (0, "")


def test_a_narrow_table_cuts_no_word() -> None:
    """Nobody could type the name of a model, or an id, of which a table shows the beginning."""
    name = "learned-tickets-20261130T141500-0a1b2c3d"
    table = Table("model", "role")
    table.add_row(name, "current")
    out = io.StringIO()
    Console(file=out, width=30).print(table)
    assert "…" not in out.getvalue()
    column = "".join(line.split("│")[1].strip() for line in out.getvalue().splitlines()[3:-1])
    assert column == name
