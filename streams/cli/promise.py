"""`triage promise`: whether the promise is kept on live traffic, as the spot checks say."""

import asyncio
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import click

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
from inference.model.artifact import load_artifact
from schemas.event import DOMAINS
from schemas.triaged import CalibrationInfo
from streams.cli.options import as_json, configured
from streams.cli.output import echo, echo_json
from streams.cli.tables import Console, Table
from streams.config import Settings
from streams.promise import CheckedRows, broken_sentence, read_checks
from streams.trust import Trust
from streams.wiring.model import model_directory, open_labels, public_key

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


@click.command(epilog="Example: triage promise --json")
@as_json
@configured
def promise(settings: Settings, json_: bool) -> None:
    """Say whether the promise is kept: what people found in the spot checks.

    For each calibration that has checks, and for those of the model at hand.
    """
    rows = CheckedRows(settings, Trust.of(settings), open_labels(settings).renames)
    lines = promise_lines(asyncio.run(read_checks(settings, rows)), promises_in_force(settings))
    if json_:
        echo_json([document(line) for line in lines], indent=True)
    else:
        show(lines, settings.spot_checks.share)


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


def document(line: PromiseLine) -> dict[str, Any]:
    """A promise for programs."""
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
        if line.in_force and line.live.report.breaches:
            console.print(broken_sentence(line.live))
    if not share:
        echo("no spot checks are drawn: spot_checks.share is 0")


def risk_text(report: WatchReport) -> str:
    """The estimated risk with its bounds."""
    if report.estimate is None:
        return "unknown"
    return f"{report.estimate:.2%} ({report.lower:.2%} to {report.upper:.2%})"
