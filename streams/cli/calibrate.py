"""`triage calibrate`: a model's calibration made anew from rows of one's own."""

from pathlib import Path

import click
import msgspec
import orjson

from inference.acceptance.policy import promise_of
from inference.errors import ModelError
from inference.model.artifact import CALIBRATION, DEFAULT_MODEL
from streams.cli.options import as_json, axes, configured, labelled_rows, model_directory
from streams.cli.progress import stages
from streams.cli.train import axes_of
from streams.config import Settings
from streams.wiring.model import terms


@click.command(epilog="Example: triage calibrate --model my-model --data labelled.ndjson")
@model_directory
@labelled_rows(
    "Labelled rows the model was not taught with, NDJSON or NDJSON.gz: those with the split val, or without one."
)
@axes
@as_json
@configured
def calibrate(
    settings: Settings,
    model: Path | None,
    files: tuple[Path, ...],
    axes: tuple[str, ...],
    json_: bool,
) -> None:
    """Fit temperatures and thresholds to these rows, and say what can be promised; exit code 1 if nothing can.

    With probability at least 1 - delta over the rows, at most a share alpha of the accepted events is wrong on a
    deciding axis (Learn then Test; alpha, delta and the axes are configuration). Tenants with rows enough get
    thresholds of their own. The calibration is bound to the digests of model, tokenizer and labels.
    """
    from inference.training.calibration_fit import fit_calibration, seal_calibration  # noqa: PLC0415 - slow to import

    path = model or (Path(settings.model.path) if settings.model.path else DEFAULT_MODEL)
    with stages() as tell:
        fitted, rows = fit_calibration(path, files, tell, axes_of(axes))
    samples = {domain: sample for domain, (_, sample) in fitted.items()}
    found = {}
    for domain, asked in terms(settings).items():
        if domain in samples:
            parts = {"*": samples[domain]} | {
                tenant: samples[domain].of(tenant) for tenant in samples[domain].tenants
            }
            found[domain] = {
                whose: promise_of(domain, part, asked) for whose, part in parts.items()
            }
    if json_:
        click.echo(orjson.dumps(msgspec.to_builtins(found), option=orjson.OPT_INDENT_2))
    else:
        for domain, promises in found.items():
            for tenant, one in promises.items():
                whose = domain if tenant == "*" else f"{domain} of {tenant}"
                click.echo(
                    f"{whose}: {one.reason or _said(one.alpha, one.delta, one.n, one.threshold, one.coverage)}"
                )
    refused = [domain for domain, promises in found.items() if promises["*"].reason]
    has_one = (path / CALIBRATION).is_file()
    if not (refused and has_one):
        seal_calibration(path, fitted, rows)
    if refused:
        outcome = (
            "the model keeps the calibration it had"
            if has_one
            else "nothing of it will be accepted"
        )
        raise ModelError(
            f"nothing can be promised for {' and '.join(refused)}, so {outcome}; give more rows"
        )


def _said(alpha: float, delta: float, rows: int, threshold: float, coverage: float) -> str:
    return (
        f"of what is accepted at most {alpha:.1%} is wrong (confidence {1 - delta:.0%}, {rows} rows): "
        f"risk below {threshold:.4f}, which accepts {coverage:.1%}"
    )
