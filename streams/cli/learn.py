"""`triage learn`: from what was decided to a candidate model, or from history to an answer."""

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import msgspec

from inference.errors import InferenceError
from schemas.plural import plural
from streams import logs
from streams.cli.history_text import show_history
from streams.cli.options import as_json, configured, domain, existing_file
from streams.cli.output import echo, echo_json
from streams.cli.progress import stages
from streams.config import Settings
from streams.errors import StreamError

if TYPE_CHECKING:
    from streams.learning.learner import Learner, Report

log = logging.getLogger(__name__)

NICENESS = 10
"""A learner beside a worker waits for the processor as long as anybody else wants it."""
EXTRA = "pip install 'triage-stream[train]'"


@click.command(
    epilog="Example: triage learn --watch; triage learn --from closed.ndjson --label "
    "queue=fields.team.name"
)
@click.option("--watch", is_flag=True, help="Look again and again, every [learning] interval_s.")
@click.option(
    "--now", is_flag=True, help="Train a candidate even if fewer rows are new than configured."
)
@click.option(
    "--from",
    "history",
    type=existing_file,
    multiple=True,
    help="Closed tickets or alerts: answer what would have been decided, and change nothing.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    help="With --from: AXIS=PATH, where a document of the export has the label of an axis; for "
    "alerts, the axis disposition is how the analyst closed it.",
)
@click.option(
    "--without",
    "ignored",
    multiple=True,
    help="With --from: the path of a field that was written when the event was closed.",
)
@click.option(
    "--beta",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="With --from and dispositions: of what is accepted as benign or as a false positive, at "
    "most this share may be malicious.",
)
@domain
@click.option(
    "--attached", is_flag=True, help="End when standard input ends: a worker starts it so."
)
@as_json
@configured
def learn(
    settings: Settings,
    watch: bool,
    now: bool,
    history: tuple[Path, ...],
    labels: tuple[str, ...],
    ignored: tuple[str, ...],
    beta: float | None,
    domain: str | None,
    attached: bool,
    json_: bool,
) -> None:
    """Train a candidate model on what people and the LLM decided, if enough of it is new.

    The rows come from the topic of labelled rows, the candidate goes into the directory
    `[learning] models`. Workers try it on live events and publish nothing of it. With `[learning]
    promote = "auto"` it is served as soon as it has passed its test; otherwise see `triage models
    compare` and `triage models promote`.

    With --from nothing is trained for use. A model is made from the older part of the history, and
    answers the newer part: what it would decide, what of that would be wrong, and what the LLM
    would cost.
    """
    if history:
        if watch or now:
            raise click.UsageError("--from answers a history; leave out --watch and --now")
        options = {"domain": domain, "ignored": ignored, "beta": beta}
        _answer(settings, history, _places(labels), json_=json_, **options)
        return
    if labels or ignored or beta is not None or domain:
        raise click.UsageError("--label, --without, --beta and --domain go with --from")
    learner = _open(settings)
    if attached:
        _end_with_standard_input()
    if watch:
        logs.configure(settings.log)
        os.nice(NICENESS)
        signal.signal(signal.SIGTERM, _stop)
        _watch(learner, settings.learning.interval_s)
    with stages() as progress:
        reports = learner.once(progress, force=now)
    if json_:
        echo_json([msgspec.to_builtins(report) for report in reports], indent=True)
        return
    for report in reports:
        echo(_line(report))
    if not reports:
        echo("nobody has decided anything yet; there are no labelled rows")


def _open(settings: Settings) -> "Learner":
    try:
        from streams.learning.learner import Learner  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    return Learner(settings)


def _missing(error: ModuleNotFoundError) -> click.ClickException:
    return click.ClickException(f"learning needs {error.name}; {EXTRA}")


def _places(labels: tuple[str, ...]) -> dict[str, str]:
    """The values of `--label`: for each axis the path of its label."""
    pairs = [label.partition("=") for label in labels]
    if not all(axis and path for axis, _, path in pairs):
        raise click.UsageError("--label takes AXIS=PATH, such as queue=fields.team.name")
    return {axis: path for axis, _, path in pairs}


def _answer(
    settings: Settings,
    files: tuple[Path, ...],
    places: dict[str, str],
    *,
    json_: bool,
    **options: Any,
) -> None:
    try:
        from streams.learning.history import history_of  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    with stages() as progress:
        answers = history_of(settings, files, places, progress, **options)
    if json_:
        echo_json([msgspec.to_builtins(answer) for answer in answers], indent=True)
        return
    for answer in answers:
        show_history(answer)


def _watch(learner: "Learner", interval_s: float) -> NoReturn:
    while True:
        try:
            for report in learner.once(lambda *_: None):
                level = logging.DEBUG if report.outcome == "waiting" else logging.INFO
                log.log(level, "%s", _line(report))
        except (StreamError, InferenceError) as error:
            log.warning("%s; trying again in %.0f s", error, interval_s)
        time.sleep(interval_s)


def _line(report: "Report") -> str:
    people = plural(report.people, "row", "rows")
    counts = f"{people} of people, {report.llm} of the LLM, {report.new} new"
    if report.disagreements:
        counts += f", {report.disagreements} in which one person changed what another had decided"
    return f"{report.domain}: {report.outcome} ({counts}): {report.sentence}"


def _stop(*_: object) -> NoReturn:
    raise SystemExit(0)


def _end_with_standard_input() -> None:
    """End this process when whoever started it ends, however that happens."""

    def wait() -> None:
        while sys.stdin.buffer.read(1 << 16):
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True, name="standard input").start()
