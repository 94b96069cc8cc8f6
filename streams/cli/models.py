"""`triage models`: what the model is, what it promises, and where it comes from."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from inference.acceptance.guarantee import Promise
from inference.acceptance.policy import promise_of
from inference.acceptance.samples import load_samples
from inference.model.artifact import CARD, DEFAULT_MODEL, Artifact, load_artifact
from inference.model.heads import Heads
from schemas.event import DOMAINS
from streams.cli.options import as_json, configured, model_directory
from streams.config import Settings
from streams.wiring.model import terms


@click.command(epilog="Example: triage models --json")
@model_directory
@as_json
@configured
def models(settings: Settings, model: Path | None, json_: bool) -> None:
    """Say what the model is, what it labels and what it promises; exit code 1 if it is damaged."""
    configured_path = Path(settings.model.path) if settings.model.path else DEFAULT_MODEL
    artifact = load_artifact(model or configured_path)
    for domain in artifact.manifest.domains:
        Heads.load(artifact, domain)
    samples, asked = load_samples(artifact), terms(settings)
    promises: dict[str, Promise] = {
        domain: promise_of(domain, samples[domain], asked[domain])
        for domain in DOMAINS
        if domain in samples
    }
    facts = describe(artifact, promises)
    if json_:
        click.echo(orjson.dumps(facts, option=orjson.OPT_INDENT_2))
    else:
        show(facts)


def describe(artifact: Artifact, promises: dict[str, Promise]) -> dict[str, Any]:
    """Everything printed, as plain objects."""
    manifest = artifact.manifest
    return {
        "name": manifest.name,
        "digest": artifact.digest,
        "path": str(artifact.directory),
        "size_bytes": artifact.size_bytes,
        "compute_type": manifest.encoder.compute_type,
        "domains": {
            domain: {
                "axes": {axis: spec.labels for axis, spec in one.axes.items()},
                "calibration": asdict(promises[domain]),
            }
            for domain, one in manifest.domains.items()
        },
        "licences": manifest.training.get("licences", []),
        "card": str(artifact.file(CARD)),
    }


def show(facts: dict[str, Any]) -> None:
    """The same for a person."""
    console = Console(soft_wrap=True)
    console.print(
        f"{facts['name']}  {facts['size_bytes'] / 1e6:.1f} MB  {facts['compute_type']}",
        highlight=False,
    )
    console.print(f"digest {facts['digest']}\npath {facts['path']}", highlight=False)
    licences = ", ".join(facts["licences"]) or "not named"
    console.print(f"rows' licences {licences}; attributions in {facts['card']}", highlight=False)
    table = Table(
        "domain",
        "axes (labels)",
        "alpha",
        "delta",
        "rows",
        "of unseen sources",
        "risk below",
        "coverage",
    )
    for domain, one in facts["domains"].items():
        terms = one["calibration"]
        axes = ", ".join(f"{axis} ({len(labels)})" for axis, labels in one["axes"].items())
        threshold = f"{terms['threshold']:.4f}" if terms["threshold"] else "accepts nothing"
        counts = (terms["n"], terms["n_unseen"])
        row = (terms["alpha"], terms["delta"], *counts, threshold, f"{terms['coverage']:.1%}")
        table.add_row(domain, axes, *map(str, row))
    console.print(table)
    for domain, one in facts["domains"].items():
        if one["calibration"]["reason"]:
            console.print(f"{domain}: {one['calibration']['reason']}", highlight=False)
