"""`triage calibrate`: calibrate a model again, on rows of one's own."""

from pathlib import Path

import click
import msgspec

from inference.acceptance.guarantee import Promise
from inference.errors import ModelError
from inference.training.recalibration import ALL_TENANTS, recalibrate
from streams.cli.options import (
    as_json,
    axes,
    configured,
    labelled_rows,
    model_directory,
    row_format,
)
from streams.cli.output import echo, echo_json
from streams.cli.progress import stages
from streams.cli.train import axes_of
from streams.config import Settings
from streams.wiring.model import model_directory as configured_directory
from streams.wiring.model import open_labels


@click.command(epilog="Example: triage calibrate --model my-model --data labelled.ndjson")
@model_directory
@labelled_rows(
    "Labelled rows that the model was not trained on; those with the split val or without a split "
    "are used."
)
@axes
@as_json
@configured
def calibrate(
    settings: Settings,
    model: Path | None,
    files: tuple[Path, ...],
    places: tuple[str, ...],
    axes: tuple[str, ...],
    json_: bool,
) -> None:
    """Fit temperatures and thresholds to these rows, and print what they promise.

    The exit code is 1 if nothing can be promised.

    With probability at least 1 - delta over the rows, at most a share alpha of the accepted events
    is wrong on a deciding axis (Learn then Test; alpha, delta and the axes are configuration). A
    tenant with enough rows gets a threshold of its own. The calibration is bound to the digests of
    model, tokenizer and labels.
    """
    path = model or configured_directory(settings)
    terms, labels = settings.terms, open_labels(settings)
    with stages() as progress:
        recalibration = recalibrate(
            path,
            files,
            terms,
            progress,
            axes_of(axes),
            labels.renames,
            row_format(places, labels),
        )
    if json_:
        document = msgspec.to_builtins(recalibration.promises)
        echo_json(document, indent=True)
    else:
        show(recalibration.promises)
    if recalibration.refused:
        outcome = "nothing was saved, and the model keeps the calibration it had"
        if recalibration.written:
            outcome = "nothing of it will be accepted"
        raise ModelError(
            f"nothing can be promised for {' and '.join(recalibration.refused)}, so {outcome}; "
            "the reason above says how many rows more are needed"
        )


def show(promises: dict[str, dict[str, Promise]]) -> None:
    """Print the promises for a person."""
    for domain, by_tenant in promises.items():
        for tenant, promise in by_tenant.items():
            subject = domain
            if tenant != ALL_TENANTS:
                subject = f"{domain} of {tenant}"
            echo(f"{subject}: {promise.reason or _promise(promise)}")
            if promise.beta is not None:
                harmless = promise.harmless_reason or _second_promise(promise)
                echo(f"{subject}, called harmless: {harmless}")


def _second_promise(promise: Promise) -> str:
    return (
        f"of what is accepted so at most {promise.beta:.1%} is malicious (confidence "
        f"{1 - promise.delta:.0%}, {promise.n_harmless} rows): risk below "
        f"{promise.harmless_threshold:.4f}"
    )


def _promise(promise: Promise) -> str:
    return (
        f"of what is accepted at most {promise.alpha:.1%} is wrong "
        f"(confidence {1 - promise.delta:.0%}, {promise.n} rows): "
        f"risk below {promise.threshold:.4f}, which accepts {promise.coverage:.1%}"
    )
