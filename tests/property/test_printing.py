"""Nothing that somebody sent reaches a screen, a log or a page with a character that acts there.

Each test prints hostile texts through one command, and looks at every character that comes out.
"""

import ast
import io
import logging
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import click
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.outcomes import DeadLettered, Outcome, Triaged
from inference.evaluation.figures import ModelFacts
from inference.evaluation.report import render
from inference.llm.options import CostOptions
from inference.llm.spending import Spending
from schemas.audit.verification import Place
from schemas.codec import encode
from schemas.triaged import Enrichment, Label
from schemas.visible_text import (
    MAX_LINE_CHARS,
    printable,
    printable_json,
    printable_lines,
    without_formula,
)
from streams import cli, doctor, logs
from streams.audit.verify import AuditReport
from streams.cli import audit, classify, evaluation_text, output, progress, tables, watch
from streams.cli import cost as cost_command
from streams.cli import doctor as doctor_command
from streams.cli import topics as topics_command
from streams.config import LogSection, Settings
from streams.deadletters import search
from tests.chains import Appended, check, decide, topic, trail
from tests.doubles import incoming
from tests.records import triaged
from tests.unit.test_evaluation import decision, evaluation_of, figures_of, label, row

HOSTILE = {
    "control": "a\x07\x00b",
    "C1 control": "a\x9b31mb\x85c\x7f",
    "colour and clearing": "\x1b[31m\x1b[2J\x1b[H",
    "title": "\x1b]0;owned\x07",
    "hyperlink": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "overwritten": "evil\rgood\b\b\b\bfine",
    "reading direction": "a\u202eb\u2066c\u2069d\u200fe\u061c",
    "zero width": "a\u200bb\u200cc\u200dd\ufeffe\u2060f\u00adg",
    "tags": "a\U000e0041\U000e0042\U000e007f",
    "fillers": "a\u115f\u3164\uffa0\ufe0f\U000e0100",
    "line ends": "a\nb\u2028c\u2029d\ve\ff\x1cg",
    "markup": "[bold]x[/bold] [link=https://evil.example]y[/link] :skull: [/]",
    "forged record": "x\n2026-01-01 00:00:00,000 ERROR streams: forged",
    "tab": "a\tb",
    "half a character": "a\ud800b\udc9bc",
    "long": "x" * 4_500 + "\x1b" * 500,
}
SENT = {name: text for name, text in HOSTILE.items() if name != "half a character"}
"""Those that a record can hold: half of a surrogate pair is not UTF-8."""
HIDDEN = set("\u034f\u115f\u1160\u17b4\u17b5\u180b\u3164\uffa0\ufe0f\U000e0100")
ACTING = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
MAX_LINE = 2 * MAX_LINE_CHARS
MODULES = sorted(Path(output.__file__).parent.glob("*.py"))

fragments = st.one_of(
    st.sampled_from(sorted(text for name, text in SENT.items() if name != "long")),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
hostile = st.lists(fragments, min_size=1, max_size=4).map("".join)
kinds = st.sampled_from(sorted(HOSTILE)).map(HOSTILE.__getitem__)
quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def assert_harmless(text: str) -> None:
    """Fail if a character of the text acts or cannot be seen, or a line is very long."""
    assert not {c for c in text if unicodedata.category(c) in ACTING or c in HIDDEN} - {"\n"}
    assert max(map(len, text.split("\n"))) <= MAX_LINE


def assert_harmless_json(text: str) -> Any:
    """The document of one line of JSON; fails as `assert_harmless` does, however long it is."""
    assert not {c for c in text if unicodedata.category(c) in ACTING or c in HIDDEN} - {"\n"}
    return orjson.loads(text)


@contextmanager
def printed() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """What is written to stdout and to stderr in this block."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        yield out, err


def run(*arguments: str) -> tuple[str, str]:
    """What `triage` prints on stdout and stderr."""
    with printed() as (out, err), pytest.raises(SystemExit):
        cli.main(list(arguments))
    return out.getvalue(), err.getvalue()


@contextmanager
def dead_letters(text: str) -> Iterator[None]:
    """A dead-letter topic with one letter that has this text everywhere."""
    raw = text.encode()
    names = ("topic", "partition", "offset", "stage")
    headers = [
        *((f"__connect.errors.{name}", raw) for name in names),
        ("__connect.errors.exception.class.name", raw),
        ("__connect.errors.exception.message", raw),
        ("triage.disposition", raw),
        ("triage.attempt", raw),
        (text, raw),
    ]

    @asynccontextmanager
    async def reading(*_: Any, **__: Any) -> AsyncIterator[None]:
        yield None

    async def until_quiet(_: Any) -> AsyncIterator[Any]:
        yield incoming(0, raw + b"\xff", raw + b"\xfe", headers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "reading", reading)
        patch.setattr(search, "until_quiet", until_quiet)
        yield


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_every_kind_of_hostile_text_is_shown_and_does_nothing(text: str) -> None:
    """A terminal would obey an id: clear itself, show another text, or open a link."""
    shown = printable(text)
    assert_harmless(shown)
    assert "\n" not in shown
    assert len(shown) <= MAX_LINE_CHARS
    for line in printable_lines(text):
        assert_harmless(line)
        assert "\n" not in line


@quick
@given(st.text())
def test_what_can_be_seen_is_not_changed(text: str) -> None:
    """Names in any script would be hard to read."""
    assert_harmless(printable(text, 200))
    kept = "".join(c for c in text if unicodedata.category(c)[0] in "LNPS" and c not in HIDDEN)
    assert printable(kept, max(1, len(kept))) == kept


def test_two_ids_that_differ_in_what_cannot_be_seen_look_different() -> None:
    """A person would take one event for another."""
    assert printable("a\u200bb") == r"a\u200bb"
    assert printable("a\x1bb") == r"a\u001bb"
    assert printable("a\U000e0041b") == r"a\U000e0041b"
    assert printable("a\nb\tc\rd") == r"a\nb\tc\rd"


@quick
@given(st.dictionaries(hostile, hostile | st.lists(hostile)))
def test_json_has_no_acting_character_and_the_same_strings(document: dict[str, Any]) -> None:
    """`--json` would act on a terminal, or a program would read other strings."""
    for indent in (False, True):
        assert assert_harmless_json(printable_json(document, indent=indent)) == document


def test_json_can_hold_half_a_character() -> None:
    """A file name that is not Unicode would end a command with a traceback."""
    text = printable_json({"file": HOSTILE["half a character"] + "\u202e"})
    assert orjson.loads(text) == {"file": "a?b?c\u202e"}
    assert_harmless(text)


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("=HYPERLINK(1)", "HYPERLINK(1)"),
        ("+1", "1"),
        ("-1+2", "1+2"),
        ("@SUM(A1)", "SUM(A1)"),
        ("\t=1", "1"),
        ("\r=1", "1"),
        ("\uff1d1", "1"),
        (" -=+@x", "x"),
        ("a=b", "a=b"),
    ],
)
def test_a_text_does_not_begin_a_formula(text: str, harmless: str) -> None:
    """A spreadsheet with the summaries would run what the sender of an event wrote."""
    assert without_formula(text) == harmless


@quick
@given(hostile, hostile)
def test_watch(id_: str, text: str) -> None:
    """`triage watch` would act on the person's terminal."""
    labels = {text: Label(value=text, confidence=0.5)}
    value = encode(triaged(id_, labels=labels, tenant=text, source=text))
    with printed() as (out, _):
        output.echo(watch._line(value))
        output.echo(watch._line(text.encode()))
        output.echo(watch._line(b'{"' + orjson.dumps(text)[1:-1] + b'": 1}'))
    assert_harmless(out.getvalue())
    assert out.getvalue().count("\n") == 3


@quick
@given(hostile)
def test_watch_for_programs(text: str) -> None:
    """A raw record would act on a terminal, or its line would not be JSON."""
    documents = [encode(triaged(text)), text.encode(), b'{"a": "\x1b', b"[" * 400 + b"]" * 400]
    for value in documents:
        document = assert_harmless_json(printable_json(watch._document(value)))
        assert document
    assert watch._document(documents[0])["id"] == text


@quick
@given(hostile)
def test_dead_letters(text: str) -> None:
    """The worst records of all are on this topic, and people look at them in a terminal."""
    with dead_letters(text):
        out, err = run("deadletters", "list")
        assert (out.count("\n"), err) == (1, "")
        assert_harmless(out)
        out, _ = run("deadletters", "list", "--json")
        assert assert_harmless_json(out)["stage"] == text
        assert_harmless(run("deadletters")[0])
        assert assert_harmless_json(run("deadletters", "--json")[0])["dead_letters"] == 1
        shown, err = run("deadletters", "show", "triage.alerts.v1[2]@0")
        assert err == ""
        assert_harmless(shown)
        out, _ = run("deadletters", "show", "triage.alerts.v1[2]@0", "--json")
        assert assert_harmless_json(out)["message"] == text
        assert_harmless(run("deadletters", "replay", "--dry-run")[0])


@quick
@given(hostile)
def test_classify(text: str) -> None:
    """The dead letters on stderr, or the events on stdout, would act on a terminal."""
    line = incoming(0, text.encode() + b"\xff")
    outcomes: list[Outcome] = [DeadLettered("decode", text, text), Triaged(triaged(text))]
    with printed() as (out, err):
        classify._print([line, line], outcomes)
    assert assert_harmless_json(out.getvalue())["id"] == text
    assert assert_harmless_json(err.getvalue())["message"] == text


@quick
@given(hostile)
def test_audit(text: str) -> None:
    """A tenant's name would act on the auditor's terminal, or hide a fault."""
    records = topic([decide(trail("w1"), text)])
    garbage = Appended(Place(0, 9), text.encode(), text.encode(), [(text, b"x")])
    faults, verified = check([*records, garbage])
    report = AuditReport("t", None, faults=faults, many=len(faults))
    report.lost, report.chains = [(text, "0" * 64)], verified.chains
    with printed() as (out, _):
        audit._print(report)
        output.echo_json(audit._document(report))
    text_part, _, json_part = out.getvalue().rstrip("\n").rpartition("\n")
    assert_harmless(text_part)
    assert assert_harmless_json(json_part)["lost"][0]["tenant"] == text


@quick
@given(hostile)
def test_cost(text: str) -> None:
    """A tenant or a model's name would act on a terminal."""
    spending = Spending()
    paid = Enrichment(status="answered", tier=text, model=text, calls=1, cost_usd=1.0)
    spending.note(triaged(text, tenant=text, decided_by="llm", revision=1, enrichment=paid))
    with printed() as (out, _):
        cost_command.show(spending.report(CostOptions()), CostOptions())
    assert "spent" in out.getvalue()
    assert_harmless(out.getvalue())


@quick
@given(hostile)
def test_evaluate_and_its_page(text: str) -> None:
    """A label or a source of the rows would act on a terminal, or deceive a reader of the page."""
    rows = [row({"queue": (text,)}, source=text)] * 2
    made = [decision({"queue": label(value, 0.9)}, escalation="risk") for value in (text, "a")]
    model = ModelFacts(name=text, digest=text, compute_type="int8")
    figures = replace(figures_of(rows, made), notes=[text])
    evaluation = replace(evaluation_of(figures), model=model)
    with printed() as (out, _):
        evaluation_text.show(evaluation)
    assert_harmless(out.getvalue())
    page = render(evaluation)
    assert not {c for c in page if unicodedata.category(c) in ACTING or c in HIDDEN} - {"\n"}


@quick
@given(hostile)
def test_findings_and_problems(text: str) -> None:
    """What a broker or an LLM answers would act on a terminal."""

    async def examine(_: Settings) -> AsyncIterator[doctor.Finding]:
        yield doctor.Finding(text, False, text)

    async def check_topics(_: Settings) -> list[str]:
        return [text]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor_command, "examine", examine)
        patch.setattr(topics_command, "check_topics", check_topics)
        assert_harmless(run("doctor")[0])
        assert assert_harmless_json(run("doctor", "--json")[0])[0]["detail"] == text
        assert_harmless(run("topics", "check")[1])


@quick
@given(st.one_of(hostile, kinds))
def test_errors(text: str) -> None:
    """A sentence that quotes its input would act on a terminal, or fill it."""
    out, err = run("send", text.replace("\0", "") + "/no")
    assert out == ""
    assert_harmless(err)
    for error in (ValueError(text), click.ClickException(text), click.UsageError(text)):

        def fail(error: Exception = error, **_: Any) -> None:
            raise error

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cli, "triage", click.Command("triage", callback=fail))
            patch.delenv("TRIAGE_TRACEBACK", raising=False)
            err = run()[1]
            assert_harmless(err)
            assert err.count("\n") == 1
            assert len(err) <= cli.MAX_SENTENCE_CHARS + 20
            patch.setenv("TRIAGE_TRACEBACK", "1")
            assert_harmless(run()[1])


@contextmanager
def logged(format_: str) -> Iterator[io.StringIO]:
    """What the log of a worker writes in this block."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    ours = {name: logging.getLogger(name).level for name in logs.OURS}
    with printed() as (_, err):
        logs.configure(LogSection(format=format_, level="info"))  # type: ignore[arg-type] # one of them
        try:
            yield err
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
            for name, old in ours.items():
                logging.getLogger(name).setLevel(old)


@quick
@given(st.one_of(hostile, kinds))
def test_log_lines(text: str) -> None:
    """A log line would act on a terminal, or an event could forge a record of its own."""
    for format_ in ("plain", "json"):
        with logged(format_) as err:
            logging.getLogger("streams").error("failed: %s", text, exc_info=ValueError(text))
        lines = err.getvalue().rstrip("\n").split("\n")
        if format_ == "json":
            (line,) = lines
            assert "failed" in assert_harmless_json(line)["message"]
        else:
            assert_harmless(err.getvalue())
            assert all(line.startswith("    ") for line in lines[1:])


def test_warnings_without_a_configured_log(capfd: pytest.CaptureFixture[str]) -> None:
    """A warning about an event would act on the terminal of a command that has no log."""
    logs.clean_last_resort()
    assert logging.lastResort is not None
    record = logging.LogRecord("x", logging.WARNING, "", 0, HOSTILE["hyperlink"], (), None)
    logging.lastResort.emit(record)
    assert_harmless(capfd.readouterr().err)


@quick
@given(hostile)
def test_tables_and_progress(text: str) -> None:
    """The name of a source, or a file, would act on a terminal."""
    screen = io.StringIO()
    console = tables.Console(file=screen, force_terminal=True, color_system=None, width=100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "Console", lambda **_: console)
        with progress.stages() as tell:
            tell(text, 1, 2)
    shown = screen.getvalue()
    plain = io.StringIO()
    table = tables.Table("name")
    table.add_row(text.replace("[", "("))
    tables.Console(file=plain, markup=False, soft_wrap=True).print(text, table)
    assert_harmless(plain.getvalue())
    # Rich moves the cursor itself; what it writes does not depend on the text.
    for acting in set(text) & set("\x07\x08\x9b\u202e\u200b\u2028"):
        assert acting not in shown
    assert "]8;" not in shown.replace("\\u001b]8;", "")


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.name not in ("output.py", "tables.py")], ids=str
)
def test_commands_print_only_through_the_modules_that_clean(path: Path) -> None:
    """A new command would print what somebody sent as it is."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            assert not names & {"rich.console.Console", "rich.table.Table", "click.echo"}
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in {
                "click.echo",
                "click.secho",
                "click.style",
                "sys.stdout",
                "sys.stderr.write",
            }
        if isinstance(node, ast.Name):
            assert node.id != "print"
