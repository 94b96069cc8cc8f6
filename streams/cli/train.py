"""`triage train`: a model directory from labelled rows."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from inference.model.artifact import CARD, DEFAULT_MODEL, Artifact
from streams.cli.options import axes, configured, existing_file, labelled_rows
from streams.cli.progress import stages
from streams.config import Settings

if TYPE_CHECKING:
    from inference.evaluation.figures import DomainFigures
    from inference.labelled import LabelledRow
    from inference.progress import Progress
    from inference.training.finetune import Tuning

EXTRA = "pip install 'triage-stream[{extra}]'"


@click.command(
    epilog="Example: triage train --encoder all-MiniLM-L6-v2 --data alerts.jsonl.gz --data tickets.jsonl.gz "
    "--out my-model",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Heads on the frozen encoder by logistic regression; minutes, no torch.",
)
@click.option(
    "--encoder",
    type=click.Path(path_type=Path),
    default=DEFAULT_MODEL,
    help="A Hugging Face directory or hub id (BERT, DistilBERT, RoBERTa, XLM-R), or with --quick also a converted "
    "encoder or a model directory (default: the shipped model).",
)
@labelled_rows()
@click.option(
    "--reference",
    type=existing_file,
    multiple=True,
    help="Labelled text of another genre than events, for fine-tuning alone; the shipped model read ATT&CK.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where the model goes.",
)
@axes
@click.option("--leave-out", multiple=True, help="A source whose rows are not looked at.")
@click.option(
    "--name", help="The model's name on every event it decides (default: the directory's)."
)
@click.option(
    "--note",
    "notes",
    multiple=True,
    help="A paragraph for the model card: where the encoder comes from.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Same seed, rows and machine: same model.",
)
@click.option("--pooling", type=click.Choice(["mean", "cls"]), default="mean", show_default=True)
@click.option(
    "--max-tokens",
    type=click.IntRange(16, 512),
    default=96,
    show_default=True,
    help="Read of one event.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    help="Passes over the rows at most; it stops when nothing is gained.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    help="Of the encoder's upper layers.",
)
@click.option("--batch-rows", type=click.IntRange(1), help="Rows a step.")
@configured
def train(
    settings: Settings, quick: bool, encoder: Path, files: tuple[Path, ...], reference: tuple[Path, ...],
    out: Path, axes: tuple[str, ...], leave_out: tuple[str, ...], name: str | None, notes: tuple[str, ...], seed: int,
    pooling: str, max_tokens: int, **tuning: Any,
) -> None:  # fmt: skip
    """Train a model directory; a run that was interrupted goes on after its last whole epoch.

    Its figures on the rows of the split `test` and its licences are in the MODEL_CARD.md written beside it.
    """
    if quick and reference:
        raise click.UsageError(
            "--reference is read by fine-tuning alone; leave out --quick, or the reference"
        )
    try:
        from inference.training.recipe import TrainingOptions  # noqa: PLC0415 - needs the train extra
        from inference.training.recipe import train as run  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"training needs {error.name}; {EXTRA.format(extra='train')}"
        ) from None
    wanted = TrainingOptions(
        name=name or out.resolve().name,
        seed=seed,
        pooling="cls" if pooling == "cls" else "mean",
        max_tokens=max_tokens,
        axes=axes_of(axes),
        leave_out=leave_out,
        reference=reference,
        tuning=None if quick else _tuning(seed, tuning),
    )
    started_s = time.monotonic()
    with stages() as tell:
        artifact = run(encoder, files, out, wanted, tell)
        (out / CARD).write_text(
            _card(artifact, (*files, *reference), wanted.axes, notes, settings, tell), "utf-8"
        )
    click.echo(
        f"{artifact.manifest.name} is in {out}, made in {time.monotonic() - started_s:.0f} s: {artifact.digest}"
    )


def axes_of(options: Sequence[str]) -> dict[str, str] | None:
    """`--axis` as a mapping of axes to keys of `labels`; None where it was not given."""
    pairs = (option.partition("=") for option in options)
    return {axis: key or axis for axis, _, key in pairs} or None


def _tuning(seed: int, given: dict[str, Any]) -> "Tuning":
    try:
        from inference.training.finetune import Tuning  # noqa: PLC0415 - torch
    except ModuleNotFoundError as error:
        hint = f"{EXTRA.format(extra='finetune')}, or add --quick"
        raise click.ClickException(f"fine-tuning needs {error.name}; {hint}") from None
    return Tuning(seed=seed, **{key: value for key, value in given.items() if value is not None})


def _card(
    artifact: Artifact, files: Sequence[Path], axes: Mapping[str, str] | None, notes: Sequence[str],
    settings: Settings, tell: "Progress",
) -> str:  # fmt: skip
    from inference.evaluation.card import write_card  # noqa: PLC0415 - slow to import
    from inference.labelled import read_rows  # noqa: PLC0415

    rows = [
        row for row in read_rows(files, axes) if row.source in artifact.manifest.training["sources"]
    ]
    figures = asyncio.run(
        _figures(artifact, [row for row in rows if row.part == "test"], settings, tell)
    )
    return write_card(artifact, rows, figures, notes)


async def _figures(
    artifact: Artifact, rows: Sequence["LabelledRow"], settings: Settings, tell: "Progress"
) -> "dict[str, DomainFigures]":
    from inference.classifier import Classifier  # noqa: PLC0415 - slow to import
    from inference.evaluation.run import assess  # noqa: PLC0415
    from streams.wiring.model import terms as configured_terms  # noqa: PLC0415

    terms = {}
    for domain, asked in configured_terms(settings).items():
        if domain in artifact.manifest.domains:
            axes = list(artifact.manifest.domains[domain].axes)
            # A domain of other axes than the configured ones is judged by its first, until somebody says which decide.
            terms[domain] = replace(
                asked, deciding=[axis for axis in asked.deciding if axis in axes] or axes[:1]
            )
    classifier = Classifier.open(artifact.directory, terms=terms)
    figures = {}
    for domain, asked in terms.items():
        own = [row for row in rows if row.domain == domain]
        if any(all(axis in row.gold for axis in asked.deciding) for row in own):
            figures[str(domain)] = await assess(
                classifier,
                domain,
                own,
                deciding=asked.deciding,
                part="test",
                llm_usd_per_event=0.0,
                progress=tell,
            )
    await classifier.close()
    return figures
