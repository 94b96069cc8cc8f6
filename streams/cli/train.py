"""`triage train`: a model directory from labelled rows."""

import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from inference.artifact import DEFAULT_MODEL
from streams.cli.options import configured
from streams.config import Settings as StreamSettings


@click.command(
    epilog="Example: triage train --quick --encoder bge-small-en --data alerts.jsonl.gz --data tickets.jsonl.gz "
    "--out my-model",
)
@click.option("--quick", is_flag=True, help="Heads by logistic regression on a frozen encoder; minutes on a laptop.")
@click.option(
    "--encoder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=DEFAULT_MODEL,
    help="A Hugging Face BERT directory with a sentencepiece.model, or a model directory whose encoder is taken "
    "(default: the shipped model).",
)
@click.option(
    "--data",
    "files",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    required=True,
    help="Labelled rows, NDJSON or NDJSON.gz; give it once a file.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where the model goes.")
@click.option("--name", help="The model's name on every event it decides (default: the directory's).")
@click.option("--note", "notes", multiple=True, help="A paragraph for the model card: where the encoder comes from.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, rows and machine: same heads.")
@click.option("--pooling", type=click.Choice(["mean", "cls"]), default="cls", show_default=True)
@click.option("--max-tokens", type=click.IntRange(16, 512), default=128, show_default=True, help="Read of one event.")
@configured
def train(
    settings: StreamSettings,  # noqa: ARG001 - every command takes --config and says when the file is wrong
    quick: bool, encoder: Path, files: tuple[Path, ...], out: Path, name: str | None, notes: tuple[str, ...],
    seed: int, pooling: str, max_tokens: int,
) -> None:  # fmt: skip
    """Train a model directory; its figures and licences are in the MODEL_CARD.md written beside it."""
    if not quick:
        raise click.UsageError("only --quick training exists; add --quick")
    try:
        from inference.training.recipe import Settings, train_quick  # noqa: PLC0415 - needs the train extra
    except ModuleNotFoundError as error:
        raise click.ClickException(f"training needs {error.name}; pip install 'triage-stream[train]'") from None
    wanted = Settings(
        name=name or out.resolve().name,
        seed=seed,
        pooling="cls" if pooling == "cls" else "mean",
        max_tokens=max_tokens,
        notes=notes,
    )
    started_s = time.monotonic()
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bars:  # fmt: skip
        artifact = train_quick(encoder, files, out, wanted, _Stages(bars))
    click.echo(f"{artifact.manifest.name} is in {out}, made in {time.monotonic() - started_s:.0f} s: {artifact.digest}")


class _Stages:
    """A progress bar for each stage that training tells of."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)
