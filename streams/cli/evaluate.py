"""`triage evaluate`: how good the served model is on labelled rows."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import cast

import click
import msgspec

from inference.errors import ConfigError, GateError
from inference.evaluation.baseline_rows import BaselineRows, choose_baseline_rows
from inference.evaluation.figures import DomainFigures, EvaluatedSplit, Evaluation
from inference.evaluation.gate import Gate, missed_bars, read_gate
from inference.evaluation.report import render
from inference.evaluation.run import EvaluatedRows, choose_rows, evaluate_rows, to_document
from inference.labelled import read_rows, renamed_rows
from inference.progress import Progress
from schemas.triaged import ModelInfo
from streams.cli.evaluation_text import show
from streams.cli.options import (
    as_json,
    axes,
    configured,
    existing_file,
    labelled_rows,
    model_directory,
    row_format,
)
from streams.cli.output import echo, echo_json
from streams.cli.progress import stages
from streams.cli.train import axes_of
from streams.config import Settings
from streams.wiring.model import open_classifier, open_labels


@click.command(
    epilog="Example: triage evaluate --data tickets.jsonl.gz --baselines --report report.html "
    "--gate bars.toml"
)
@labelled_rows()
@model_directory
@click.option(
    "--split",
    type=click.Choice(["test", "val", "all"]),
    help="Which rows (default: the test rows if there are any, else validation, else all).",
)
@axes
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the evaluation as one self-contained HTML file.",
)
@click.option(
    "--gate",
    "gate_file",
    type=existing_file,
    help="A TOML file with bars for each domain; the exit code is 1 if a metric misses one.",
)
@click.option(
    "--baselines",
    is_flag=True,
    help="Compare with TF-IDF with logistic regression, and with the most frequent label.",
)
@click.option(
    "--train-data",
    "train_files",
    type=existing_file,
    multiple=True,
    help="The rows that the baselines learn from (default: the training rows of --data).",
)
@click.option(
    "--llm-cost-usd",
    type=click.FloatRange(min=0),
    default=0.002,
    show_default=True,
    help="The price of one LLM call for one event.",
)
@as_json
@configured
def evaluate(
    settings: Settings,
    files: tuple[Path, ...],
    model: Path | None,
    split: str | None,
    places: tuple[str, ...],
    axes: tuple[str, ...],
    report: Path | None,
    gate_file: Path | None,
    baselines: bool,
    train_files: tuple[Path, ...],
    llm_cost_usd: float,
    json_: bool,
) -> None:
    """Put labelled rows to the model as it is served.

    Print what it accepts, how much of that is right, and what the LLM costs for the rest.
    """
    gate = _read_gate(gate_file)
    _check_writable(report)
    if train_files and not baselines:
        raise click.UsageError("--train-data is for the baselines; add --baselines")
    if baselines:
        _require_scikit_learn()
    if model:
        settings = _with_model(settings, model)
    labels = open_labels(settings)
    read = partial(read_rows, axes=axes_of(axes), row_format=row_format(places, labels))
    rows = renamed_rows(read(files, unsplit="test"), labels.renames)
    training_rows = rows
    if train_files:
        training_rows = renamed_rows(read(train_files), labels.renames)
    terms = settings.terms
    chosen = choose_rows(rows, cast("EvaluatedSplit | None", split), terms)
    baseline_rows: dict[str, BaselineRows] = {}
    if baselines:
        baseline_rows = choose_baseline_rows(chosen, training_rows)
    with stages() as progress:
        model_info, figures = asyncio.run(_evaluate(settings, chosen, llm_cost_usd, progress))
        if baselines:
            figures = _add_baselines(figures, chosen, baseline_rows, progress)
    evaluated_at = datetime.now(UTC).isoformat(timespec="seconds")
    evaluation = to_document(model_info, figures, files, evaluated_at)
    _print(evaluation, json_=json_)
    if report:
        _write_report(report, evaluation)
        if not json_:
            echo(f"the report is in {report}")
    _apply_gate(evaluation, gate)


async def _evaluate(
    settings: Settings,
    chosen: Sequence[EvaluatedRows],
    llm_cost_usd: float,
    progress: Progress,
) -> tuple[ModelInfo, dict[str, DomainFigures]]:
    classifier = open_classifier(settings)
    try:
        figures = await evaluate_rows(
            classifier, chosen, llm_usd_per_event=llm_cost_usd, progress=progress
        )
    finally:
        await classifier.close()
    return classifier.model, figures


def _add_baselines(
    figures: Mapping[str, DomainFigures],
    chosen: Sequence[EvaluatedRows],
    baseline_rows: Mapping[str, BaselineRows],
    progress: Progress,
) -> dict[str, DomainFigures]:
    from inference.evaluation.baselines import add_baselines  # noqa: PLC0415 - an extra

    return {
        evaluated.domain: add_baselines(
            figures[evaluated.domain], evaluated.rows, baseline_rows[evaluated.domain], progress
        )
        for evaluated in chosen
    }


def _print(evaluation: Evaluation, *, json_: bool) -> None:
    if json_:
        echo_json(msgspec.to_builtins(evaluation), indent=True)
    else:
        show(evaluation)


def _with_model(settings: Settings, model: Path) -> Settings:
    """The same settings with another model directory."""
    section = msgspec.structs.replace(settings.model, path=str(model))
    return msgspec.structs.replace(settings, model=section)


def _read_gate(file: Path | None) -> Gate:
    if file is None:
        return {}
    try:
        return read_gate(file)
    except GateError as error:
        raise ConfigError(str(error)) from None


def _apply_gate(evaluation: Evaluation, gate: Gate) -> None:
    """End with exit code 1 if a metric misses its bar, and with 2 if the gate is wrong."""
    try:
        sentences = missed_bars(evaluation, gate)
    except GateError as error:
        raise ConfigError(str(error)) from None
    for sentence in sentences:
        echo(f"triage: {sentence}", err=True)
    if sentences:
        click.get_current_context().exit(1)


def _require_scikit_learn() -> None:
    try:
        from inference.evaluation import baselines  # noqa: F401, PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"--baselines needs {error.name}; pip install 'triage-stream[train]'"
        ) from None


def _check_writable(report: Path | None) -> None:
    if report and not report.absolute().parent.is_dir():
        raise click.UsageError(
            f"there is no directory {report.absolute().parent} for the report; make it"
        )


def _write_report(report: Path, evaluation: Evaluation) -> None:
    try:
        report.write_text(render(evaluation), "utf-8")
    except OSError as error:
        raise click.ClickException(
            f"the report {report} cannot be written: {error.strerror}"
        ) from None
