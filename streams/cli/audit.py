"""`triage audit verify`."""

import asyncio
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from schemas.audit.verification import Chain, Fault
from schemas.visible_text import printable
from streams.audit.acknowledged import Acknowledgements, read_acknowledgements
from streams.audit.verify import AuditReport
from streams.audit.verify import verify as verify_topic
from streams.cli.options import as_json, configured, existing_file
from streams.cli.output import echo, echo_json
from streams.config import Settings
from streams.errors import StreamError

MAX_NAME_CHARS = 80
MAX_REASON_CHARS = 200
DIGEST = re.compile(r"[0-9a-f]{64}")


@click.group(epilog="Example: triage audit verify")
def audit() -> None:
    """Check the log of decisions."""


class Expectation(click.ParamType):
    """`TENANT=DIGEST`; a tenant may hold an equals sign, a digest cannot."""

    name = "TENANT=DIGEST"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Tenant and digest, in lower case."""
        tenant, _, digest = value.rpartition("=")
        if not tenant or not DIGEST.fullmatch(digest.lower()):
            self.fail(
                f"{value!r} is not TENANT=DIGEST with the 64 hexadecimal digits of a head",
                param,
                ctx,
            )
        return tenant, digest.lower()


@audit.command(epilog="Example: triage audit verify --expect acme=3f1c…  (a head noted earlier)")
@click.option(
    "--expect",
    "expected",
    type=Expectation(),
    multiple=True,
    help="Fail unless that head is still there; repeatable.",
)
@click.option("--tenant", help="Print only what is about this tenant.")
@click.option(
    "--acknowledge",
    "acknowledge_file",
    type=existing_file,
    help="A file of faults that somebody has looked into; they are listed and no longer fail.",
)
@click.option(
    "--cluster", help="Of a copy of the topic: the id of the cluster that it was written on."
)
@click.option("--topic", help="Of a copy of the topic: the name that it was written under.")
@as_json
@configured
def verify(
    settings: Settings,
    expected: tuple[tuple[str, str], ...],
    tenant: str | None,
    acknowledge_file: Path | None,
    cluster: str | None,
    topic: str | None,
    json_: bool,
) -> None:
    """Find every record of the audit topic that was changed, removed or moved.

    The exit code is 1 if there is one.

    A chain cannot show that its end is missing. So note the heads that this prints in another
    place, and give them to --expect. It prints the heads that no other record names; --json gives
    the head of every segment.
    """
    acknowledgements: Acknowledgements = {}
    if acknowledge_file:
        acknowledgements = read_acknowledgements(acknowledge_file)
    report = asyncio.run(
        verify_topic(
            settings,
            expected,
            tenant,
            acknowledgements=acknowledgements,
            cluster=cluster,
            topic=topic,
        )
    )
    if json_:
        echo_json(_document(report))
    else:
        _print(report)
    if not report.ok:
        raise StreamError(
            f"{report.topic} is not as it was written "
            f"(faults: {report.many}, heads not found: {len(report.lost)}); "
            "keep it as it is, find out who can write to it, and then see --acknowledge"
        )


def _print(report: AuditReport) -> None:
    for fault in report.faults:
        echo(f"{_place(report, fault)}: {_sentence(fault)}")
    if report.many > len(report.faults):
        echo(f"... and {report.many - len(report.faults)} faults more")
    for fault, acknowledged in report.acknowledged:
        by, reason = _name(acknowledged.by), printable(acknowledged.reason, MAX_REASON_CHARS)
        echo(f"{_place(report, fault)}: {_sentence(fault)}; acknowledged by {by}: {reason}")
    if unused := len(report.acknowledgements) - len(report.acknowledged):
        echo(f"{unused} acknowledgements are about no fault that is there")
    for tenant, digest in report.lost:
        echo(f"{report.topic}: the head {digest} of {_name(tenant)} is not there")
    _print_chains(report)


def _print_chains(report: AuditReport) -> None:
    if not report.chains:
        echo("no decisions are recorded yet")
        return
    chains = {_name(tenant): chain for tenant, chain in sorted(report.chains.items())}
    width = max(len("tenant"), *map(len, chains))
    echo(f"{'tenant':<{width}}  {'records':>9}  {'segments':>8}  {'copies':>6}  head")
    for tenant, chain in chains.items():
        head, *others = sorted(chain.tips) or [""]
        counts = f"{chain.records:>9}  {len(chain.heads):>8}  {chain.copies:>6}"
        echo(f"{tenant:<{width}}  {counts}  {head}")
        for other in others:
            echo(" " * (width + 31) + other)
    if unbound := sum(chain.unbound for chain in report.chains.values()):
        echo(f"{unbound} records are of version 1, which does not say which topic they are of")
    if not report.keyed:
        echo("no key is configured: whoever can write to the topic can add records that fit")


def _place(report: AuditReport, fault: Fault) -> str:
    return f"{report.topic}[{fault.place.partition}]@{fault.place.offset}"


def _sentence(fault: Fault) -> str:
    where = f"tenant {_name(fault.tenant)}"
    if fault.other is not None:
        where += f" or {_name(fault.other)}"
    if fault.writer is not None:
        where += f", writer {_name(fault.writer)}, sequence {fault.sequence}"
    if fault.what != "missing":
        return f"{fault.what} ({where})"
    if fault.count > 1:
        where += " and on"
    return f"{fault.count} missing before it ({where})"


def _name(name: str) -> str:
    """A name that anybody may have chosen."""
    return printable(name, MAX_NAME_CHARS)


def _document(report: AuditReport) -> dict[str, Any]:
    return {
        "topic": report.topic,
        "ok": report.ok,
        "keyed": report.keyed,
        "faults": [_fault(fault) for fault in report.faults],
        "more_faults": report.many - len(report.faults),
        "acknowledged": [
            _fault(fault) | {"by": acknowledged.by, "reason": acknowledged.reason}
            for fault, acknowledged in report.acknowledged
        ],
        "lost": [{"tenant": tenant, "head": digest} for tenant, digest in report.lost],
        "tenants": {tenant: _chain(chain) for tenant, chain in sorted(report.chains.items())},
    }


def _chain(chain: Chain) -> dict[str, Any]:
    return asdict(chain) | {"segments": len(chain.heads), "tips": sorted(chain.tips)}


def _fault(fault: Fault) -> dict[str, Any]:
    fields = asdict(fault)
    partition, offset = fields.pop("place")
    return {"partition": partition, "offset": offset} | fields
