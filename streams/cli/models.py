"""`triage models`: what the model is, what it promises, and where it comes from."""

from pathlib import Path
from typing import Any

import click

from inference.evaluation.model_facts import model_facts
from inference.model.artifact import load_artifact
from streams.cli.options import as_json, configured, model_directory
from streams.cli.output import echo_json
from streams.cli.tables import Console, Table
from streams.config import Settings
from streams.wiring.model import model_directory as configured_directory
from streams.wiring.model import open_labels, public_key


@click.command(epilog="Example: triage models --json")
@model_directory
@as_json
@configured
def models(settings: Settings, model: Path | None, json_: bool) -> None:
    """Print what the model is, what it labels and what it promises.

    The exit code is 1 if it is damaged.
    """
    artifact = load_artifact(
        model or configured_directory(settings), public_key=public_key(settings)
    )
    facts = model_facts(artifact, settings.terms, open_labels(settings))
    if json_:
        echo_json(facts, indent=True)
    else:
        show(facts)


def show(facts: dict[str, Any]) -> None:
    """Print the facts for a person."""
    # Names and paths may have brackets and colons, which are no markup.
    console = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
    console.print(f"{facts['name']}  {facts['size_bytes'] / 1e6:.1f} MB  {facts['compute_type']}")
    console.print(f"digest {facts['digest']}\npath {facts['path']}")
    if facts["signed_by"]:
        console.print(f"signed with the key {facts['signed_by']}")
    else:
        console.print("signature not checked: model.public_key is not set")
    licences = ", ".join(facts["licences"]) or "not named"
    console.print(f"rows' licences {licences}; attributions in {facts['card']}")
    console.print(_table(facts["domains"]))
    for domain, domain_facts in facts["domains"].items():
        if reason := domain_facts["calibration"]["reason"]:
            console.print(f"{domain}: {reason}")
    for domain, domain_facts in facts["domains"].items():
        for axis, described in domain_facts["descriptions"].items():
            console.print(f"{domain} {axis}:")
            for label, description in described.items():
                console.print(f"  {label}: {description}")


def _table(domains: dict[str, Any]) -> Table:
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
    for domain, facts in domains.items():
        promise = facts["calibration"]
        threshold = "accepts nothing"
        if promise["threshold"]:
            threshold = f"{promise['threshold']:.4f}"
        table.add_row(
            domain,
            ", ".join(f"{axis} ({len(labels)})" for axis, labels in facts["axes"].items()),
            str(promise["alpha"]),
            str(promise["delta"]),
            str(promise["n"]),
            str(promise["n_unseen"]),
            threshold,
            f"{promise['coverage']:.1%}",
        )
    return table
