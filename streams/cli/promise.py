"""`triage promise`: whether the promise is kept on live traffic, as the spot checks say."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click
from rich.box import SIMPLE_HEAD

from inference.acceptance.binomial import fewest_rows
from inference.acceptance.live_checks import (
    Claim,
    LiveChecks,
    LiveReport,
    PromiseKey,
    calibrated_threshold,
    claims_of,
    watch_of,
)
from inference.acceptance.policy import AcceptancePolicy
from inference.acceptance.watch import STATES, WatchReport
from inference.believed_rows import disagreements, reviewer_figures
from inference.model.artifact import load_artifact
from schemas.event import DOMAINS, Domain
from schemas.label_record import LabelRecord
from schemas.triaged import CalibrationInfo
from streams.cli.options import as_json, configured
from streams.cli.output import echo, echo_json
from streams.cli.reviewers_text import disagreements_sentence, show_reviewers
from streams.cli.tables import Console, Table
from streams.config import Settings
from streams.labels_topic import read_believed_rows
from streams.learning.schedule import Due, Schedule, checks_in, last_breach
from streams.promise import broken_sentence
from streams.wiring.model import model_directory, open_labels, public_key, registry_of

CLAIMS: dict[Claim, str] = {
    "wrong": "wrong ≤",
    "harmless_wrong": "harmless, wrong ≤",
    "harmless_malicious": "harmless, malicious ≤",
}
SHOWN_DIGEST = 12
"""So many characters of a digest are shown to people."""


@dataclass(frozen=True, slots=True)
class PromiseLine:
    """One promise, and what its checks say."""

    live: LiveReport
    in_force: bool

    @property
    def is_broken(self) -> bool:
        """Whether the promise is in force, and was found broken."""
        return self.in_force and bool(self.live.report.breaches)


@click.command(epilog="Example: triage promise --json; triage promise --reviewers")
@click.option(
    "--reviewers",
    is_flag=True,
    help="Instead, what each person has decided, and where people disagree.",
)
@as_json
@configured
def promise(settings: Settings, reviewers: bool, json_: bool) -> None:
    """Say whether the promise is kept: what people found in the spot checks.

    For each calibration that has checks, and for those of the model at hand.
    """
    believed = asyncio.run(read_believed_rows(settings)).rows
    if reviewers:
        _reviewers(believed, json_=json_)
        return
    renames = open_labels(settings).renames
    lines = promise_lines(checks_in(settings, believed, renames), promises_in_force(settings))
    due = {
        domain: next_calibration(settings, domain, lines, believed)
        for domain in {line.live.key.domain for line in lines if line.is_broken}
    }
    if json_:
        documents = [
            document(line, due.get(line.live.key.domain) if line.is_broken else None)
            for line in lines
        ]
        echo_json(documents, indent=True)
        return
    show(lines, settings.spot_checks.share)
    for domain, of_domain in sorted(due.items()):
        echo(calibration_sentence(domain, of_domain, lines))
    found = disagreements(believed)
    if found:
        people = sum(record.decided_by == "human" for record in believed)
        echo(f"{disagreements_sentence(found, people)}: triage promise --reviewers")


def _reviewers(records: Sequence[LabelRecord], *, json_: bool) -> None:
    figures, found = reviewer_figures(records), disagreements(records)
    if json_:
        echo_json(
            {
                "reviewers": [asdict(each) for each in figures],
                "disagreements": [each._asdict() for each in found],
            },
            indent=True,
        )
    else:
        show_reviewers(figures, found)


def next_calibration(
    settings: Settings, domain: Domain, lines: Sequence[PromiseLine], records: Sequence[LabelRecord]
) -> Due | None:
    """What the learner waits for after a breach; None if no registry is configured."""
    registry = registry_of(settings)
    if registry is None:
        return None
    broken = [line.live for line in lines if line.live.report.breaches]
    people = [
        record for record in records if record.domain == domain and record.decided_by == "human"
    ]
    return Schedule(settings, registry).due(domain, people, last_breach(broken, domain))


def calibration_sentence(domain: Domain, due: Due | None, lines: Sequence[PromiseLine]) -> str:
    """When there will be a new calibration, and what it takes to accept anything."""
    if due is None:
        return (
            f"{domain}: no model is learned by itself; set [learning] models, or calibrate with "
            "triage calibrate"
        )
    needed = max(
        fewest_rows(line.live.report.limit, line.live.calibration.delta)
        for line in lines
        if line.live.key.domain == domain and line.is_broken
    )
    when = "makes the next candidate when it looks next"
    if due.missing:
        when = f"makes the next candidate after {due.missing:,} more decisions by people"
    return (
        f"{domain}: triage learn {when}, and calibrates it on those since the breach; to accept "
        f"anything, at least {needed:,} events that it is sure of must be among them, all right"
    )


def promises_in_force(settings: Settings) -> dict[PromiseKey, CalibrationInfo]:
    """The promises of the configured model under the configured terms.

    Raises:
        ModelError, ConfigError: the model cannot be loaded, or not under these terms.
    """
    artifact = load_artifact(model_directory(settings), public_key=public_key(settings))
    in_force = {}
    for domain in DOMAINS:
        if domain not in artifact.manifest.domains:
            continue
        policy = AcceptancePolicy(artifact, domain, settings.domain(domain))
        for each in policy.promises:
            calibration = policy.calibration_of(each)
            for claim in claims_of(calibration):
                in_force[PromiseKey(domain, each.digest, claim)] = calibration
    return in_force


def promise_lines(
    checks: LiveChecks, in_force: dict[PromiseKey, CalibrationInfo]
) -> list[PromiseLine]:
    """The promises in force, the worst first, and then the others, the latest first."""
    reports = {live.key: live for live in checks.reports()}
    ours = [
        reports.get(key) or LiveReport(key, info, watch_of(info, key.claim).report())
        for key, info in in_force.items()
    ]
    ours.sort(key=lambda live: (-STATES.index(live.report.state), live.key.domain))
    others = [live for key, live in reversed(reports.items()) if key not in in_force]
    return [PromiseLine(live, True) for live in ours] + [
        PromiseLine(live, False) for live in others
    ]


def document(line: PromiseLine, due: Due | None) -> dict[str, Any]:
    """A promise for programs; `due` says what the learner waits for, if the promise is broken."""
    live = line.live
    return {
        "domain": live.key.domain,
        "calibration": live.key.digest,
        "in_force": line.in_force,
        "claim": live.key.claim,
        "alpha": live.calibration.alpha,
        "beta": live.calibration.beta,
        "delta": live.calibration.delta,
        "calibrated_threshold": calibrated_threshold(live.calibration, live.key.claim),
        **asdict(live.report),
        "decisions_until_next_candidate": None if due is None else due.missing,
    }


def show(lines: Iterable[PromiseLine], share: float) -> None:
    """Print the promises for a person."""
    console = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
    table = Table(
        "domain",
        "calibration",
        "promised",
        "checks",
        "failed",
        "risk",
        "state",
        "accepted below",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for line in lines:
        live, report = line.live, line.live.report
        name = live.key.digest[:SHOWN_DIGEST]
        table.add_row(
            live.key.domain,
            name if line.in_force else f"{name} (earlier)",
            f"{CLAIMS[live.key.claim]} {report.limit:.3g}",
            f"{report.checks:,}",
            f"{report.wrong:,}",
            risk_text(report),
            report.state.replace("_", " "),
            f"{report.threshold:.4f}" if report.threshold else "nothing",
        )
    console.print(table)
    for line in lines:
        if line.is_broken:
            console.print(broken_sentence(line.live))
    if not share:
        echo("no spot checks are drawn: spot_checks.share is 0")


def risk_text(report: WatchReport) -> str:
    """The estimated risk with its bounds."""
    if report.estimate is None:
        return "unknown"
    return f"{report.estimate:.2%} ({report.lower:.2%} to {report.upper:.2%})"
