"""`triage train`: a model directory from labelled rows."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from inference.labels.file import LabelsFile, read_labels
from inference.model.artifact import CARD
from streams.cli.learning_text import show_learning
from streams.cli.options import axes, configured, existing_file, labelled_rows, row_format
from streams.cli.output import echo
from streams.cli.progress import stages
from streams.config import Settings
from streams.wiring.model import open_labels

if TYPE_CHECKING:
    from inference.model.artifact import Artifact
    from inference.progress import Progress
    from inference.training.finetune import Tuning
    from inference.training.plan import TrainingPlan
    from inference.training.recipe import TrainingOptions

EXTRA = "pip install 'triage-stream[{extra}]'"


@click.command(
    epilog="Example: triage train --encoder all-MiniLM-L6-v2 --data alerts.jsonl.gz "
    "--data tickets.jsonl.gz --out my-model",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Fit heads on the frozen encoder by logistic regression: minutes, without torch.",
)
@click.option(
    "--keep-heads",
    is_flag=True,
    help="With --quick: keep the heads of the encoder's model too, and make only n-grams, centres "
    "and calibration anew. The rows must have the labels of that model.",
)
@click.option(
    "--relearn",
    multiple=True,
    help="With --keep-heads: a head that learns from the rows all the same, like tickets.queue; "
    "give it once for each head.",
)
@click.option(
    "--keep-ngrams",
    multiple=True,
    help="With --keep-heads: an axis like alerts.tactic whose n-grams stay as well; give it once "
    "for each axis.",
)
@click.option(
    "--ignore-tenants",
    is_flag=True,
    help="Calibrate no tenant by itself: for rows whose tenants are invented.",
)
@click.option(
    "--encoder",
    type=click.Path(path_type=Path),
    help="A Hugging Face directory or hub id (BERT, DistilBERT, RoBERTa, XLM-R); if it stays as it "
    "is, also a converted encoder or a model directory (default: that of the shipped model for its "
    "labels, and a general one for labels of your own).",
)
@labelled_rows(required=False)
@click.option(
    "--labels",
    "labels_file",
    type=existing_file,
    help="A labels file: train for its labels, without any row or with rows, on an encoder that "
    "stays as it is (default: [labels] path gives the meaning of the labels).",
)
@click.option(
    "--domain",
    type=click.Choice(["alerts", "tickets"]),
    help="What the rows are that do not say it (default: the only domain of the labels file, else "
    "tickets).",
)
@click.option(
    "--reference",
    type=existing_file,
    multiple=True,
    help="Labelled text that is not events, for fine-tuning alone; for the shipped model it was "
    "ATT&CK.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The directory to write the model to.",
)
@axes
@click.option(
    "--leave-out",
    multiple=True,
    help="A source whose rows are ignored; give it once for each source.",
)
@click.option(
    "--name",
    help="The model's name on every event it decides (default: the name of the directory).",
)
@click.option(
    "--note",
    "notes",
    multiple=True,
    help="A paragraph for the model card, for instance where the encoder comes from.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="The same seed, rows and machine give the same model.",
)
@click.option("--pooling", type=click.Choice(["mean", "cls"]), default="mean", show_default=True)
@click.option(
    "--max-tokens",
    type=click.IntRange(16, 512),
    default=96,
    show_default=True,
    help="How many tokens the encoder reads of one event.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    help="At most so many passes over the rows; it stops when the model gets no better.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    help="The learning rate of the encoder's upper layers.",
)
@click.option("--batch-rows", type=click.IntRange(1), help="The number of rows in one step.")
@configured
def train(
    settings: Settings,
    quick: bool,
    keep_heads: bool,
    relearn: tuple[str, ...],
    keep_ngrams: tuple[str, ...],
    ignore_tenants: bool,
    encoder: Path | None,
    files: tuple[Path, ...],
    places: tuple[str, ...],
    labels_file: Path | None,
    domain: str | None,
    reference: tuple[Path, ...],
    out: Path,
    axes: tuple[str, ...],
    leave_out: tuple[str, ...],
    name: str | None,
    notes: tuple[str, ...],
    seed: int,
    pooling: str,
    max_tokens: int,
    **tuning: Any,
) -> None:
    """Train a model and write its directory.

    With --labels, rows are not needed: without any, the model proposes labels and accepts nothing.
    Rows need no split. A fine-tuning that was interrupted continues after its last whole epoch. The
    file MODEL_CARD.md in the directory has the figures on the rows of the split `test`, and the
    licences of all rows.
    """
    if quick and reference:
        raise click.UsageError(
            "--reference is read by fine-tuning alone; leave out --quick, or the reference"
        )
    if keep_heads and not quick:
        raise click.UsageError("--keep-heads goes with --quick: fine-tuning makes new heads")
    if not files and not labels_file:
        raise click.UsageError(
            "there is nothing to learn from; give rows with --data, or labels with --labels"
        )
    if labels_file and (keep_heads or reference):
        raise click.UsageError(
            "--labels makes new heads on an encoder that stays as it is; leave "
            "out --keep-heads and --reference"
        )
    try:
        from inference.training.plan import plan_training  # noqa: PLC0415 - an extra
        from inference.training.recipe import TrainingOptions  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"training needs {error.name}; {EXTRA.format(extra='train')}"
        ) from None
    labels = read_labels(labels_file) if labels_file else open_labels(settings)
    options = TrainingOptions(
        name=name or out.resolve().name,
        seed=seed,
        pooling=cast('Literal["mean", "cls"]', pooling),
        max_tokens=max_tokens,
        axes=axes_of(axes),
        leave_out=leave_out,
        reference=reference,
        keep_heads=keep_heads,
        relearn=relearn,
        keep_ngrams=keep_ngrams,
        ignore_tenants=ignore_tenants,
        tuning=_tuning(seed, quick=quick or labels_file is not None, options=tuning),
        renames=labels.renames,
    )
    started_s = time.monotonic()
    plan = plan_training(
        files,
        labels,
        options,
        encoder=encoder,
        row_format=row_format(places, labels, domain),
        own_labels=labels_file is not None,
    )
    with stages() as progress:
        artifact = _train(settings, labels, plan, out, options, notes, progress)
    for note in artifact.manifest.training.get("notes", ()):
        echo(note)
    show_learning(artifact, settings.terms)
    took_s = time.monotonic() - started_s
    echo(f"{artifact.manifest.name} is in {out}, made in {took_s:.0f} s: {artifact.digest}")


def axes_of(options: Sequence[str]) -> dict[str, str] | None:
    """The values of `--axis`, as a mapping from axes to keys of `labels`; None without a value."""
    pairs = (option.partition("=") for option in options)
    return {axis: key or axis for axis, _, key in pairs} or None


def _tuning(seed: int, *, quick: bool, options: dict[str, Any]) -> "Tuning | None":
    if quick:
        return None
    try:
        from inference.training.finetune import Tuning  # noqa: PLC0415 - torch is an extra
    except ModuleNotFoundError as error:
        hint = f"{EXTRA.format(extra='finetune')}, or add --quick"
        raise click.ClickException(f"fine-tuning needs {error.name}; {hint}") from None
    # An option without a value keeps the default of the tuning.
    return Tuning(seed=seed, **{key: value for key, value in options.items() if value is not None})


def _train(
    settings: Settings,
    labels: LabelsFile,
    plan: "TrainingPlan",
    out: Path,
    options: "TrainingOptions",
    notes: Sequence[str],
    progress: "Progress",
) -> "Artifact":
    """Train the model and write its card; the rows are read once for both."""
    from inference.evaluation.card import make_card  # noqa: PLC0415 - slow to import
    from inference.training.recipe import train_on_rows  # noqa: PLC0415 - an extra

    rows = plan.rows
    options = replace(options, notes=(*options.notes, *plan.notes))
    artifact = train_on_rows(plan.encoder, rows, out, options, progress)
    all_rows = [*rows.events, *rows.reference]
    terms = settings.terms
    card = asyncio.run(make_card(artifact, all_rows, terms, notes, progress, labels))
    (out / CARD).write_text(card, "utf-8")
    return artifact
