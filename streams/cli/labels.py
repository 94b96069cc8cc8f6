"""`triage labels`: make a labels file, check it, and erase labelled rows."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from inference.errors import ConfigError
from inference.labelled import AXES, LabelledRow, read_rows, renamed_rows
from inference.labelled_lines import RowFormat
from inference.labelling.check import Finding, check_labels, model_labels
from inference.labelling.draft import Draft, draft_of_names, draft_of_rows, to_toml
from inference.labels.file import LabelsFile, read_labels
from inference.model.artifact import load_manifest
from schemas.event import Domain
from schemas.plural import plural
from streams.cli.options import (
    as_json,
    axes,
    configured,
    domain,
    labelled_rows,
    login,
    model_directory,
    row_format,
)
from streams.cli.output import echo, echo_json
from streams.cli.train import axes_of
from streams.config import Settings
from streams.labels_topic import RowSelection, forget_rows
from streams.wiring.model import model_directory as configured_directory
from streams.wiring.model import public_key

DEFAULT_FILE = Path("labels.toml")

rows_option = labelled_rows(required=False)


@click.group(epilog="Example: triage labels check --data labelled.ndjson")
def labels() -> None:
    """Make and check a labels file, and erase labelled rows."""


@labels.command(
    epilog="Example: triage labels init --domain tickets --axis queue billing login shipping"
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@rows_option
@domain
@axes
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_FILE,
    show_default=True,
    help="The file to write.",
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
@configured
def init(
    settings: Settings,
    names: tuple[str, ...],
    files: tuple[Path, ...],
    places: tuple[str, ...],
    domain: str | None,
    axes: tuple[str, ...],
    out: Path,
    force: bool,
) -> None:
    """Write a labels file, from labelled rows or from the NAMEs of labels.

    From rows it takes the labels of each axis and up to three short texts of each, in which
    personal data and secrets are replaced. The descriptions are left to you.
    """
    if bool(names) == bool(files):
        raise click.UsageError("give either --data, or the names of the labels of one axis")
    if out.exists() and not force:
        raise click.UsageError(f"{out} exists; add --force to overwrite it, or name another --out")
    if names:
        draft = _draft_of_names(names, domain, axes)
    else:
        rows = read_rows(files, axes_of(axes), row_format=row_format(places, domain=domain))
        rows = [row for row in rows if domain is None or row.domain == domain]
        draft = draft_of_rows(rows, settings.egress.phone_regions)
    text = to_toml(draft)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written ({error.strerror})") from None
    for of_domain, of_axes in draft.items():
        for axis, of_axis in of_axes.items():
            echo(f"{of_domain} {axis}: {plural(len(of_axis), 'label', 'labels')}")
    echo(f"{out} is written; describe each label in it, and set path in [labels]")


def _draft_of_names(names: Sequence[str], domain: str | None, axes: Sequence[str]) -> Draft:
    if domain is None or len(axes) != 1 or "=" in axes[0]:
        raise click.UsageError("names belong to one axis; give --domain and one --axis")
    if len(set(names)) < len(names):
        raise click.UsageError("a name is given twice; give each once")
    return draft_of_names(domain, axes[0], names)


@labels.command(epilog="Example: triage labels check --data labelled.ndjson")
@click.option(
    "--labels",
    "labels_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The labels file (default: [labels] path, else labels.toml).",
)
@rows_option
@axes
@model_directory
@as_json
@configured
def check(
    settings: Settings,
    labels_file: Path | None,
    files: tuple[Path, ...],
    places: tuple[str, ...],
    axes: tuple[str, ...],
    model: Path | None,
    json_: bool,
) -> None:
    """Compare a labels file with labelled rows and with the model.

    It names labels without rows, rows with unknown labels and what they probably mean, labels that
    are told apart badly, and labels that only the file or only the model has. The exit code is 1 if
    something is wrong.
    """
    path = labels_file or Path(settings.labels.path or DEFAULT_FILE)
    file = read_labels(path)
    if not any(file.places()):
        raise ConfigError(f"{path} names no label; make it with triage labels init --force")
    rows = _rows_of(file, files, axes, row_format(places, file)) if files else None
    directory = model or configured_directory(settings)
    manifest = load_manifest(directory, public_key=public_key(settings))
    of_model = {
        name: {axis: axis_spec.labels for axis, axis_spec in spec.axes.items()}
        for name, spec in manifest.domains.items()
    }
    findings = check_labels(file, rows, model_labels(file, of_model))
    wrong = sum(finding.wrong for finding in findings)
    if json_:
        document = [asdict(finding) | {"wrong": finding.wrong} for finding in findings]
        echo_json({"file": str(path), "wrong": wrong, "findings": document}, indent=True)
    else:
        _print(path, file, findings, wrong)
    if wrong:
        raise click.exceptions.Exit(1)


@labels.command(epilog="Example: triage labels forget --tenant acme --dry-run")
@click.option("--id", "id_", help="Erase the rows of the event with this id.")
@domain
@click.option("--tenant", help="Erase the rows of this tenant, in any spelling.")
@click.option("--by", help="Erase the rows that this person, or this LLM, decided or signed.")
@click.option("--who", help="Who erases them, for the audit topic (default: your login).")
@click.option("--dry-run", is_flag=True, help="Only say how many rows would be erased.")
@as_json
@configured
def forget(
    settings: Settings,
    id_: str | None,
    domain: Domain | None,
    tenant: str | None,
    by: str | None,
    who: str | None,
    dry_run: bool,
    json_: bool,
) -> None:
    """Erase labelled rows from the topic that is learned from.

    Rows are erased that fit all of --id, --domain, --tenant and --by. The decisions stay, and so do
    the events on other topics: delete those by the retention of their topics. A model that was
    trained on the rows keeps what it learned until it is trained again. The audit topic gets a
    record of who has erased how many rows, and what was asked for.
    """
    if id_ is None and tenant is None and by is None:
        raise click.UsageError("say which rows: give --id, --tenant or --by")
    selection = RowSelection(id=id_, domain=domain, tenant=tenant, by=by)
    erased_by = who or login("say who erases with --who")
    done = asyncio.run(forget_rows(settings, selection, erased_by=erased_by, dry_run=dry_run))
    if json_:
        echo_json({"dry_run": dry_run, "erased": done.erased, "left": done.left})
        return
    verb = "would be erased" if dry_run else "erased"
    echo(f"{plural(done.erased, 'row', 'rows')} {verb}, {done.left:,} left")


def _rows_of(
    file: LabelsFile, files: Sequence[Path], axes: Sequence[str], rows: RowFormat
) -> list[LabelledRow]:
    """The rows with the names of today. An axis of the file is read if the rows have it.

    Raises:
        DataError: a file cannot be read, or holds no labelled row.
    """
    known = {domain: [*file.axes(domain), *AXES[domain]] for domain in AXES}
    found = read_rows(files, axes_of(axes), known=known, row_format=rows)
    return renamed_rows(found, file.renames)


def _print(path: Path, file: LabelsFile, findings: Sequence[Finding], wrong: int) -> None:
    for finding in findings:
        mark = "hint: "
        if finding.wrong:
            mark = ""
        echo(f"{finding.domain} {finding.axis}: {mark}{finding.message}")
    labels = plural(sum(1 for _ in file.places()), "label", "labels")
    if wrong:
        echo(f"{path}: {labels}, {plural(wrong, 'thing', 'things')} to correct")
    else:
        echo(f"{path}: {labels}, nothing to correct")
