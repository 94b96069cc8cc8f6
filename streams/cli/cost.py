"""`triage cost`: what the LLM has cost, for whom, and what was saved."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import click
import msgspec

from inference.llm.options import CostOptions
from inference.llm.spending import End, Spend, Spending, SpendingReport
from schemas.visible_text import printable
from streams.cli.options import as_json, configured
from streams.cli.output import echo, echo_json
from streams.cli.tables import Console, Table
from streams.config import Settings
from streams.spend import read_spending

AGE = re.compile(r"(\d{1,5})([smhdw])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MAX_ROWS = 20
MAX_NAME_CHARS = 60
ENDS: dict[End, str] = {
    "rule": "decided by a rule",
    "slm": "decided by the small model",
    "llm": "decided by the LLM",
    "human": "decided by a person",
    "needs_review": "waiting for a person",
    "waiting": "waiting for the LLM",
}


def instant(ctx: click.Context, param: click.Parameter, text: str | None) -> datetime | None:  # noqa: ARG001 - click's
    """A date, an instant or an age as an instant; without a time zone it is in UTC.

    Raises:
        BadParameter: the text is none of them.
    """
    if text is None:
        return None
    if age := AGE.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{UNITS[age[2]]: int(age[1])})
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("takes a date such as 2026-11-01 or an age such as 24h") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


@click.command(epilog="Example: triage cost --since 24h --tenant acme")
@click.option(
    "--since",
    callback=instant,
    help="Only what was decided since then: 2026-11-01 (UTC), or 24h ago.",
)
@click.option("--tenant", help="Only this tenant's events.")
@as_json
@configured
def cost(settings: Settings, since: datetime | None, tenant: str | None, json_: bool) -> None:
    """Report what the LLM has cost, who decided how much, and what was saved.

    Saved is the difference to the cost of an LLM that is asked about every event.
    """
    spending = Spending(tenant=tenant, since=since)
    asyncio.run(read_spending(settings, spending))
    report = spending.report(settings.cost)
    if json_:
        echo_json(msgspec.to_builtins(report), indent=True)
    elif report.events:
        show(report, settings.cost)
    else:
        matching = " that match" if tenant or since else ""
        echo(f"no triaged events{matching}{_unreadable(report)}")


def show(report: SpendingReport, cost: CostOptions) -> None:
    """The report for a person."""
    # The names of tenants come from strangers, so nothing in them is markup.
    console = Console(soft_wrap=True, markup=False, emoji=False)
    summary = Table(show_header=False)
    for name, value in summary_rows(report, cost).items():
        summary.add_row(name, value)
    console.print(summary)
    if not report.asked:
        return
    for title, rows in (
        ("tier, model", [(f"{each.tier}, {each.model}", each) for each in report.tiers]),
        ("tenant", report.tenants.items()),
        ("day (UTC)", report.days.items()),
    ):
        console.print(_table(title, rows))


def summary_rows(report: SpendingReport, cost: CostOptions) -> Mapping[str, str]:
    """The rows about all events together."""
    ends = {
        text: _share(report.ends[end], report.events)
        for end, text in ENDS.items()
        if end in report.ends
    }
    asked = _share(report.asked, report.events)
    per_event_usd = f"${report.usd_per_asked_event:.6f} an event asked about"
    return {
        "events": f"{report.events:,}{_unreadable(report)}",
        **ends,
        "the LLM was asked about": f"{asked}, in {report.spent.calls:,} calls",
        "tokens in / out": f"{report.spent.prompt_tokens:,} / {report.spent.completion_tokens:,}",
        "spent": f"{_usd(report.spent.usd)} ({per_event_usd})",
        "all events through the LLM": f"{_usd(report.all_llm_usd)} ({_basis(report, cost)})",
        "saved": f"{_usd(report.saved_usd)} ({report.saved_usd / (report.all_llm_usd or 1):.1%})",
    }


def _basis(report: SpendingReport, cost: CostOptions) -> str:
    """What the estimate of an all-LLM run rests on."""
    if report.all_llm_basis == "measured":
        return f"estimate: the mean of {report.asked:,} that were asked"
    prices = f"${cost.llm_input_usd_per_million:g} / ${cost.llm_output_usd_per_million:g}"
    return (
        f"estimate, nothing was paid yet: {prices} per million tokens in / out, "
        f"{cost.llm_prompt_overhead_tokens} in and {cost.llm_answer_tokens} out an event"
    )


def _table(title: str, rows: Iterable[tuple[str, Spend]]) -> Table:
    table = Table(title, "calls", "tokens in", "tokens out", "USD")
    numbered = list(rows)
    shown = numbered[:MAX_ROWS]
    if title.startswith("day"):
        shown = numbered[-MAX_ROWS:]
    for name, spend in shown:
        counts = (spend.calls, spend.prompt_tokens, spend.completion_tokens)
        table.add_row(
            printable(name, MAX_NAME_CHARS),
            *(f"{count:,}" for count in counts),
            f"{spend.usd:,.4f}",
        )
    if len(numbered) > MAX_ROWS:
        table.caption = f"{MAX_ROWS} of {len(numbered):,}; --json has all"
    return table


def _share(count: int, events: int) -> str:
    return f"{count:,} ({count / max(1, events):.1%})"


def _usd(usd: float) -> str:
    return f"${usd:,.4f}"


def _unreadable(report: SpendingReport) -> str:
    return f" (and {report.unreadable:,} records that are none)" if report.unreadable else ""
