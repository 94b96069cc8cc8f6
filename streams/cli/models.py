"""`triage models`: what the model is, what it promises, and where it comes from."""

import asyncio
import getpass
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.box import SIMPLE_HEAD

from inference.evaluation.model_facts import model_facts
from inference.model.artifact import load_artifact
from schemas.event import Domain
from streams.cli.options import (
    as_json,
    config_file,
    configured,
    model_directory,
    read_settings,
)
from streams.cli.options import domain as domain_option
from streams.cli.output import echo, echo_json
from streams.cli.tables import Console, Table
from streams.config import Settings
from streams.learning.candidates import ComparedModels, compare_models
from streams.models.registry import Facts
from streams.wiring.model import model_directory as configured_directory
from streams.wiring.model import open_labels, public_key, require_registry

MAX_PAIRS = 10


@click.group(epilog="Example: triage models --json", invoke_without_command=True)
@model_directory
@as_json
@config_file
@click.pass_context
def models(
    context: click.Context, model: Path | None, json_: bool, config_path: Path | None
) -> None:
    """Print what the model is, what it labels and what it promises.

    The exit code is 1 if it is damaged. The commands below are about learned models: those in the
    directory that `[learning] models` names.
    """
    context.obj = config_path
    if context.invoked_subcommand is not None:
        return
    settings = read_settings(config_path)
    artifact = load_artifact(
        model or configured_directory(settings), public_key=public_key(settings)
    )
    facts = model_facts(artifact, settings.terms, open_labels(settings))
    if json_:
        echo_json(facts, indent=True)
    else:
        show(facts)


@models.command("list", epilog="Example: triage models list")
@as_json
@configured
def list_models(settings: Settings, json_: bool) -> None:
    """List the learned models, the newest first, and which of them are served."""
    registry = require_registry(settings)
    listed = registry.models()
    if json_:
        state = registry.state()
        document = {"served": state.domains, "models": listed}
        echo_json(msgspec.to_builtins(document), indent=True)
        return
    if not listed:
        echo(f"{registry.directory} has no models yet; triage learn makes the first")
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("model", "role", "made", "rows of people", "of the LLM"):
        table.add_column(name, no_wrap=name in ("model", "role"))
    for each in listed:
        roles = ", ".join(f"{role} ({domain})" for domain, role in each.roles.items())
        facts = each.facts or Facts(made_at="not learned here", domains=[], rows={})
        counts = [str(facts.rows.get(who, "")) for who in ("human", "llm")]
        table.add_row(each.name, roles, facts.made_at, *counts)
    Console(soft_wrap=True, markup=False, emoji=False).print(table)


@models.command(epilog="Example: triage models compare")
@click.argument("name", required=False)
@as_json
@configured
def compare(settings: Settings, name: str | None, json_: bool) -> None:
    """Compare a candidate with the model that is served.

    On live events: how often both decide the same, and how much each accepts. On events that people
    have decided since the candidate was made: which of the two is right. Without a NAME, the
    candidates are compared.
    """
    compared = asyncio.run(compare_models(settings, name))
    if json_:
        echo_json([msgspec.to_builtins(each) for each in compared], indent=True)
        return
    if not compared:
        echo("there is no candidate; name a model to compare it, or see triage models list")
    for each in compared:
        _show_compared(each)


@models.command(epilog="Example: triage models promote learned-tickets-20261130T141500-0a1b2c3d")
@click.argument("name")
@as_json
@configured
def promote(settings: Settings, name: str, json_: bool) -> None:
    """Serve a learned model; workers take it over within seconds.

    If `[model] public_key` is set, the model must be signed with it.
    """
    domains = require_registry(settings).promote(name, by=_by())
    if json_:
        echo_json({"promoted": name, "domains": domains})
    else:
        echo(f"{name} is served for {' and '.join(domains)}; workers take it over within seconds")


@models.command(epilog="Example: triage models rollback --domain tickets")
@domain_option
@as_json
@configured
def rollback(settings: Settings, domain: Domain | None, json_: bool) -> None:
    """Serve what was served before; workers take it over within seconds."""
    served = require_registry(settings).roll_back(domain, by=_by())
    if json_:
        echo_json({"served": served})
        return
    for each, name in served.items():
        echo(f"{each}: {name or 'the model of [model] path'} is served again")


def _by() -> str:
    """Who runs the command, for the log of the registry."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


def _show_compared(compared: ComparedModels) -> None:
    served = compared.served or "the model of [model] path"
    echo(f"{compared.domain}: {compared.candidate} beside {served}")
    live = compared.live
    if live is None or not live.events:
        echo("  live: no events were answered by both yet")
    else:
        echo(
            f"  live: {live.events:,} events answered by both, {live.share_same:.1%} decided the "
            f"same; accepted {live.current_coverage:.1%} and {live.candidate_coverage:.1%} "
            "(served, candidate)"
        )
        pairs = sorted(live.pairs.items(), key=lambda item: -item[1])[:MAX_PAIRS]
        for pair, count in pairs:
            echo(f"    {count:,} x {pair}")
    decided = compared.decided
    if decided is None:
        echo(f"  decided: {compared.reason}")
        return
    table = Table(
        "decided by people",
        "rows",
        "served wrong",
        "candidate wrong",
        "only served right",
        "only candidate right",
    )
    for way, figures in decided.ways.items():
        counts = (
            figures.rows,
            figures.served_wrong,
            figures.candidate_wrong,
            figures.only_served,
            figures.only_candidate,
        )
        table.add_row(way, *map(str, counts))
    Console(soft_wrap=True, markup=False, emoji=False).print(table)
    echo(
        f"  estimated for all events: accepted {decided.served_coverage:.1%} and "
        f"{decided.candidate_coverage:.1%}, of that wrong {decided.served_accepted_wrong:.1%} and "
        f"{decided.candidate_accepted_wrong:.1%} (served, candidate)"
    )
    echo(
        f"  {decided.finding}: {decided.reason} (a candidate that is wrong more often by "
        f"{decided.margin:.1%} or more passes with a probability of at most {decided.error:.0%})"
    )


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
        if second := _second_promise(domain_facts["calibration"]):
            console.print(f"{domain}, called harmless: {second}")
    for domain, domain_facts in facts["domains"].items():
        for axis, described in domain_facts["descriptions"].items():
            console.print(f"{domain} {axis}:")
            for label, description in described.items():
                console.print(f"  {label}: {description}")


def _second_promise(promise: dict[str, Any]) -> str:
    if promise["beta"] is None or not promise["harmless_threshold"]:
        return str(promise["harmless_reason"])
    return (
        f"at most {promise['beta']:.1%} of what is accepted so is malicious; accepted if the risk "
        f"is below {promise['harmless_threshold']:.4f} ({promise['n_harmless']} rows)"
    )


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
