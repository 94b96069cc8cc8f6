"""`triage evaluate`: what the served model is worth on labelled rows."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import cast

import click
import msgspec
import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from inference.errors import GateError
from inference.evaluation.figures import DomainFigures, Evaluation, Scores, Selection, Selective
from inference.evaluation.gate import Gate, fallen, read_gate
from inference.evaluation.report import render
from inference.evaluation.run import assess, choose_rows, describe, require_labels
from inference.labelled import LabelledRow, read_rows
from inference.progress import Progress
from schemas.event import DOMAINS, Domain
from streams.cli.options import (
    as_json,
    axes,
    configured,
    existing_file,
    labelled_rows,
    model_directory,
)
from streams.cli.progress import stages
from streams.cli.train import axes_of
from streams.config import Settings
from streams.errors import ConfigError
from streams.wiring.model import open_classifier

COLUMNS = ("rows", "accuracy", "macro-F1", "ECE", "AURC", "cov95", "cov97", "cov98")


@click.command(
    epilog="Example: triage evaluate --data tickets.jsonl.gz --baselines --report report.html --gate bars.toml"
)
@labelled_rows()
@model_directory
@click.option(
    "--split",
    type=click.Choice(["test", "val", "all"]),
    help="Which rows (default: the test rows where there are any, else validation, else all).",
)
@axes
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write one self-contained HTML file.",
)
@click.option(
    "--gate",
    "gate_file",
    type=existing_file,
    help="TOML bars a domain; exit code 1 when one is missed.",
)
@click.option(
    "--baselines",
    is_flag=True,
    help="TF-IDF with logistic regression, and the majority, beside the model.",
)
@click.option(
    "--train-data",
    "train_files",
    type=existing_file,
    multiple=True,
    help="What the baselines learn from (default: the training rows of --data).",
)
@click.option(
    "--llm-cost-usd",
    type=click.FloatRange(min=0),
    default=0.002,
    show_default=True,
    help="One LLM call for one event.",
)
@as_json
@configured
def evaluate(
    settings: Settings, files: tuple[Path, ...], model: Path | None, split: str | None, axes: tuple[str, ...],
    report: Path | None, gate_file: Path | None, baselines: bool, train_files: tuple[Path, ...], llm_cost_usd: float,
    json_: bool,
) -> None:  # fmt: skip
    """Put labelled rows to the model as it is served, and say what it decides alone, how well, and at what cost."""
    gate = _gate(gate_file)
    _check_writable(report)
    if train_files and not baselines:
        raise click.UsageError("--train-data is for the baselines; add --baselines")
    if model:
        settings = msgspec.structs.replace(
            settings, model=msgspec.structs.replace(settings.model, path=str(model))
        )
    baselines_of = _baselines() if baselines else None
    named = axes_of(axes)
    rows = read_rows(files, named, unsplit="test")
    teaching = read_rows(train_files, named) if train_files else rows
    with stages() as tell:
        run = _Run(settings, rows, cast("Selection | None", split), llm_cost_usd, tell)
        if baselines_of:
            run.teach(teaching, baselines_of)
        evaluation = asyncio.run(run.evaluate(files))
    _print(evaluation, json_=json_)
    if report:
        _write(report, evaluation)
        if not json_:
            click.echo(f"the report is in {report}")
    _judge(evaluation, gate)


class _Run:
    """One evaluation, from rows to the document. What is wrong with the rows is said before the minutes are spent."""

    def __init__(
        self,
        settings: Settings,
        rows: Sequence[LabelledRow],
        split: Selection | None,
        llm_cost_usd: float,
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._llm_cost_usd = llm_cost_usd
        self._progress = progress
        self._chosen: dict[Domain, tuple[Selection, list[LabelledRow]]] = {
            domain: choose_rows(own, split)
            for domain in DOMAINS
            if (own := [row for row in rows if row.domain == domain])
        }
        self._add: dict[Domain, Callable[[DomainFigures], DomainFigures]] = {}
        for domain, (_, own) in self._chosen.items():
            require_labels(domain, own, settings.domain(domain).deciding)

    def teach(self, teaching: Sequence[LabelledRow], baselines: ModuleType) -> None:
        """Put the baselines beside the model."""
        for domain, (_, own) in self._chosen.items():
            lesson = baselines.lesson_of([row for row in teaching if row.domain == domain], own)
            self._add[domain] = partial(
                baselines.add_baselines, rows=own, lesson=lesson, progress=self._progress
            )

    async def evaluate(self, files: Sequence[Path]) -> Evaluation:
        """Every domain of the rows."""
        classifier = open_classifier(self._settings)
        try:
            domains: dict[str, DomainFigures] = {
                domain: await assess(
                    classifier, domain, own, deciding=self._settings.domain(domain).deciding, part=part,
                    llm_usd_per_event=self._llm_cost_usd, progress=self._progress,
                )
                for domain, (part, own) in self._chosen.items()
            }  # fmt: skip
        finally:
            await classifier.close()
        for domain, add in self._add.items():
            domains[domain] = add(domains[domain])
        return describe(classifier, domains, files, datetime.now(UTC).isoformat(timespec="seconds"))


def show(evaluation: Evaluation) -> None:
    """The document for a person at a terminal: short, the rest is in the report."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(
        f"{evaluation.model.name}  {evaluation.model.compute_type}  digest {evaluation.model.digest[:12]}"
    )
    for domain, one in evaluation.domains.items():
        console.print(f"\n[bold]{domain}[/bold]  {_headline(one)}")
        console.print(_table(one))
        for note in one.notes:
            console.print(escape(note))


def _headline(one: DomainFigures) -> str:
    accepted, order = one.accepted, one.selective
    right = (
        ""
        if accepted.accuracy is None
        else f", {accepted.accuracy:.2%} of them right ({accepted.errors} wrong)"
    )
    reasons = ", ".join(f"{reason} {share:.1%}" for reason, share in one.escalations.items())
    left_out = f", {one.unlabelled} more without a label on it" if one.unlabelled else ""
    lines = [
        f"{one.rows - one.unlabelled} {one.part} rows{left_out}; decided by {' and '.join(one.deciding)}",
        f"accepted {accepted.coverage:.1%}{right}; escalated {one.escalated:.1%}{f' ({reasons})' if reasons else ''}",
        f"risk: AURC {order.aurc:.4f}, coverage at 95/97/98 % accuracy {_coverages(order)}"
        + (f"; TF-IDF {one.baseline.aurc:.4f}, {_coverages(one.baseline)}" if one.baseline else ""),
        (
            f"LLM: ${one.cost.escalated_usd:.2f} instead of ${one.cost.all_llm_usd:.2f}, "
            f"at ${one.cost.llm_usd_per_event:g} an event it is asked about"
        ),
        (
            f"model: {one.latency.p50_ms:.1f} ms an event alone (median), "
            f"{one.latency.batched_events_per_s:.0f} events/s in batches"
        ),
    ]
    if scope := one.out_of_scope:
        lines.append(
            f"out of scope: AUROC {_figure(scope.auroc)} over {scope.rows} such rows, "
            f"{_figure(scope.auroc_ood)} by novelty alone"
        )
    return "\n".join(lines)


def _table(one: DomainFigures) -> Table:
    columns = (Column(name, justify="right") for name in COLUMNS)
    table = Table("axis", *columns, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for axis in one.axes.values():
        table.add_row(escape(axis.title), *_cells(axis.overall))
        if axis.baseline:
            table.add_row(
                f"  TF-IDF, {axis.baseline.reads}", *_cells(axis.baseline.scores), style="dim"
            )
            majority = f"{axis.baseline.majority_accuracy:.4f}"
            table.add_row("  majority", str(axis.baseline.scores.n), majority, style="dim")
    return table


def _cells(scores: Scores) -> list[str]:
    shares = (scores.coverage_at_95, scores.coverage_at_97, scores.coverage_at_98)
    figures = (scores.accuracy, scores.macro_f1, scores.ece, scores.aurc)
    return [
        str(scores.n),
        *(f"{figure:.4f}" for figure in figures),
        *(f"{share:.3f}" for share in shares),
    ]


def _coverages(order: Selective) -> str:
    return " / ".join(
        f"{share:.1%}"
        for share in (order.coverage_at_95, order.coverage_at_97, order.coverage_at_98)
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _print(evaluation: Evaluation, *, json_: bool) -> None:
    if json_:
        click.echo(orjson.dumps(msgspec.to_builtins(evaluation), option=orjson.OPT_INDENT_2))
    else:
        show(evaluation)


def _gate(file: Path | None) -> Gate:
    try:
        return read_gate(file) if file else {}
    except GateError as error:
        raise ConfigError(str(error)) from None


def _judge(evaluation: Evaluation, gate: Gate) -> None:
    try:
        sentences = fallen(evaluation, gate)
    except GateError as error:
        raise ConfigError(str(error)) from None
    for sentence in sentences:
        click.echo(f"triage: {sentence}", err=True)
    if sentences:
        click.get_current_context().exit(1)


def _baselines() -> ModuleType:
    try:
        from inference.evaluation import baselines  # noqa: PLC0415 - needs the train extra
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"--baselines needs {error.name}; pip install 'triage-stream[train]'"
        ) from None
    return baselines


def _check_writable(report: Path | None) -> None:
    if report and not report.absolute().parent.is_dir():
        raise click.UsageError(
            f"there is no directory {report.absolute().parent} for the report; make it"
        )


def _write(report: Path, evaluation: Evaluation) -> None:
    try:
        report.write_text(render(evaluation), "utf-8")
    except OSError as error:
        raise click.ClickException(
            f"the report {report} cannot be written: {error.strerror}"
        ) from None
