"""Tests of `triage cost`: every event and every dollar counts once.

No broker is needed to add them up.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import click
import msgspec
import orjson
import pytest

from agents.outcomes import Incoming
from inference.llm.options import CostOptions
from inference.llm.spending import Spending, SpendingReport, assumed_usd
from schemas.codec import encode
from schemas.event import Headers, Origin
from schemas.triaged import Enrichment, Timing, TriagedEvent
from streams import spend
from streams.cli import cost as command
from streams.cli import main
from streams.config import SecuritySection, Settings
from streams.errors import TopicsMissing
from streams.kafka import admin
from streams.spend import read_spending
from tests.records import provisional, triaged

COST = CostOptions()
NAMES = ["triage.alerts.triaged.v1", "triage.tickets.triaged.v1"]
Run = Callable[..., tuple[int, str, str]]


def paid(usd: float = 0.01, **changes: Any) -> Enrichment:
    """The enrichment of one prompt to the cheap tier."""
    facts: dict[str, Any] = {
        "status": "answered",
        "tier": "small",
        "model": "m-1",
        "calls": 1,
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "cost_usd": usd,
        "latency_s": 0.5,
    }
    return Enrichment(**facts | changes)


def at(triaged_at: str) -> Timing:
    """The timing of a decision at this instant."""
    return Timing(received_at=triaged_at, triaged_at=triaged_at, inference_s=0.01, total_s=1.0)


def answered(enrichment: Enrichment, **changes: Any) -> TriagedEvent:
    """The revision of the ticket that the LLM has decided."""
    return provisional(
        **{"revision": 1, "status": "final", "decided_by": "llm", "enrichment": enrichment}
        | changes
    )


def report(*events: TriagedEvent, **filters: Any) -> SpendingReport:
    """The report about these events."""
    spending = Spending(**filters)
    for event in events:
        spending.note(event)
    return spending.report(COST)


def test_the_last_revision_names_who_decided() -> None:
    """Otherwise an event would count several times, and the shares would not add up to one."""
    origins = [Origin(topic="triage.alerts.v1", partition=0, offset=n) for n in range(4)]
    verdict = answered(paid(), revision=2, decided_by="human")
    totals = report(
        triaged("sure", origin=origins[0]),
        triaged("ruled", origin=origins[1], decided_by="rule"),
        triaged("open", origin=origins[2], status="provisional"),
        triaged("unclear", origin=origins[3], status="needs_review", revision=1),
        provisional(),
        answered(paid()),
        verdict,
        answered(paid()),  # delivered again, late
    )
    assert totals.events == 5
    assert totals.ends == {"slm": 1, "rule": 1, "waiting": 1, "needs_review": 1, "human": 1}


def test_events_are_identified_by_id_and_origin() -> None:
    """Otherwise repeated ids would hide events, or a restart would add some."""
    again = Origin(topic="triage.tickets.v1", partition=1, offset=8)
    assert report(provisional(), provisional(), provisional(origin=again)).events == 2


def test_events_of_one_record_with_one_id_are_two() -> None:
    """Otherwise the second of them would be free of charge."""
    first, second = (
        answered(paid(), input_digest=digest, origin=provisional().origin) for digest in "ab"
    )
    totals = report(first, second, first)
    assert (totals.events, totals.asked) == (2, 2)
    assert (totals.spent.calls, totals.spent.usd) == (2, 0.02)


def test_money_is_counted_once() -> None:
    """Otherwise a verdict, or a record that is delivered twice, would count a call again."""
    first = answered(paid())
    redelivered = answered(paid(), timing=at("2026-01-02T00:00:00.000Z"))
    verdict = answered(paid(), revision=2, decided_by="human")
    totals = report(first, redelivered, verdict)
    assert (totals.spent.calls, totals.spent.usd) == (1, 0.01)


def test_every_call_is_counted() -> None:
    """Otherwise a second call about the same event after a crash would seem free."""
    totals = report(answered(paid()), answered(paid(latency_s=0.6)))
    assert (totals.events, totals.asked, totals.spent.calls) == (1, 1, 2)
    assert totals.usd_per_asked_event == 0.02
    assert (totals.spent.prompt_tokens, totals.spent.completion_tokens) == (200, 40)


def test_failed_calls_are_counted() -> None:
    """Otherwise useless answers that were billed would be missing."""
    failed = answered(paid(status="invalid_answer"), status="needs_review")
    assert report(failed).spent.usd == 0.01
    not_sent = answered(Enrichment(status="over_budget"), status="needs_review")
    assert report(not_sent).asked == 0


def test_the_cost_is_split_by_tier_tenant_and_day() -> None:
    """Otherwise nobody could see the cost of a tenant, a model or a day."""
    totals = report(
        answered(paid(0.01), id="a", timing=at("2026-01-01T23:59:59.999Z")),
        answered(
            paid(0.5, tier="large", model="m-2"), id="b", timing=at("2026-01-02T00:00:00.000Z")
        ),
        answered(paid(0.02), id="c", tenant="other", timing=at("2026-01-02T01:00:00.000+02:00")),
    )
    assert [(row.tier, row.model, row.calls) for row in totals.tiers] == [
        ("large", "m-2", 1),
        ("small", "m-1", 2),
    ]
    assert [(name, row.usd) for name, row in totals.tenants.items()] == [
        ("acme", 0.51),
        ("other", 0.02),
    ]
    assert [(day, row.usd) for day, row in totals.days.items()] == [
        ("2026-01-01", 0.03),
        ("2026-01-02", 0.5),
    ]


def test_a_report_can_be_about_one_tenant() -> None:
    """Otherwise the report of one tenant would contain events of another."""
    totals = report(answered(paid()), answered(paid(), id="x", tenant="other"), tenant="other")
    assert (totals.events, list(totals.tenants)) == (1, ["other"])


def test_since_leaves_out_earlier_decisions_and_costs() -> None:
    """Otherwise the verdict of today would add the cost of yesterday's answer to today."""
    verdict = answered(
        paid(), revision=2, decided_by="human", timing=at("2026-01-02T08:00:00.000Z")
    )
    old = answered(paid(), id="old", timing=at("2026-01-01T00:00:00.000Z"))
    totals = report(old, answered(paid()), verdict, since=datetime(2026, 1, 2, tzinfo=UTC))
    assert (totals.events, totals.ends, totals.spent.usd) == (1, {"human": 1}, 0.0)


def test_savings_are_measured_if_money_was_paid() -> None:
    """Otherwise the savings would come from assumed prices although the real ones are known."""
    events = [answered(paid(0.02)), *(triaged(f"e-{n}") for n in range(9))]
    totals = report(*events)
    assert totals.all_llm_basis == "measured"
    assert totals.all_llm_usd == pytest.approx(0.2)
    assert totals.saved_usd == pytest.approx(0.18)


@pytest.mark.parametrize("enrichment", [None, paid(0.0)], ids=["no call", "a free model"])
def test_savings_are_assumed_if_nothing_was_paid(enrichment: Enrichment | None) -> None:
    """Otherwise there would be no estimate, or a division by zero with a free LLM."""
    totals = report(triaged(), triaged("e-2", enrichment=enrichment))
    assert totals.all_llm_basis == "assumed"
    assert (
        totals.all_llm_usd
        == totals.saved_usd
        == assumed_usd(COST, 2)
        == 2 * (600 * 0.15 + 120 * 0.60) / 1e6
    )


def test_an_unreadable_record_is_counted_and_skipped() -> None:
    """Otherwise one foreign record on the topic would end the report."""
    spending = Spending()
    impossible = answered(paid(-1.0))
    for value in (b"{", b"{}", b"\xff", encode(triaged(timing=at("never"))), encode(impossible)):
        spending.read(value)
    spending.read(encode(triaged()))
    totals = spending.report(COST)
    assert (totals.events, totals.unreadable, totals.spent.usd) == (1, 5, 0.0)


class Topic:
    """The triaged topics without a broker; `present` are their names, `records` their values."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.present = NAMES
        self.records: list[bytes | None] = []
        self.headers: Sequence[Headers] = ()
        monkeypatch.setattr(admin, "admin_client", self._admin)
        monkeypatch.setattr(spend, "since", self._since)

    @asynccontextmanager
    async def _admin(self, _: Settings) -> AsyncIterator[Any]:
        async def list_topics() -> Sequence[str]:
            return self.present

        yield SimpleNamespace(list_topics=list_topics)

    async def _since(self, *_: Any) -> AsyncIterator[Incoming]:
        for offset, (value, headers) in enumerate(
            itertools.zip_longest(self.records, self.headers, fillvalue=())
        ):
            origin = Origin(topic=NAMES[0], partition=3, offset=offset)
            yield Incoming(value or None, None, headers or (), origin, 0.0)


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    """The triaged topics without a broker."""
    return Topic(monkeypatch)


def test_every_record_is_read(topic: Topic) -> None:
    """Otherwise a tombstone, which compaction leaves behind, would end the report."""
    topic.records = [encode(triaged()), None, encode(triaged("later"))]
    spending = Spending()
    asyncio.run(read_spending(Settings(), spending))
    assert spending.report(COST).events == 2


def test_with_a_key_only_records_of_workers_are_counted(
    topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise anybody who can write to a triaged topic could invent what a tenant has cost."""
    monkeypatch.setenv("KEY", "k" * 32)
    keyed = msgspec.structs.replace(Settings(), security=SecuritySection(worker_key_env="KEY"))
    keys, value = keyed.security.read_keys(), encode(answered(paid()))
    topic.records, topic.headers = [value, value], [(), keys.headers(NAMES[0], None, value, None)]
    spending = Spending()
    asyncio.run(read_spending(keyed, spending))
    totals = spending.report(COST)
    assert (totals.events, totals.unreadable) == (1, 1)


def test_missing_topics_are_named(topic: Topic) -> None:
    """Otherwise a mistyped prefix would look like an empty pipeline, or create topics."""
    topic.present = NAMES[:1]
    with pytest.raises(TopicsMissing, match="triage topics create"):
        asyncio.run(read_spending(Settings(), Spending()))


@pytest.fixture
def run(
    topic: Topic, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> Run:
    """Run `triage cost` in this process, and return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def main_with(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["cost", *arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return main_with


def test_the_report_for_a_person(run: Run, topic: Topic) -> None:
    """Otherwise a figure would be missing, or the name of a tenant would control the terminal."""
    hostile = "[bold]evil[/bold]\x1b[31m\n[/]"
    events = [
        answered(paid(0.02)),
        answered(paid(0.5), id="x", tenant=hostile),
        triaged(),
        triaged("e-2"),
    ]
    topic.records = [encode(event) for event in events]
    code, out, err = run()
    assert (code, err) == (0, "")
    for figure in (
        "2 (50.0%)",
        "$0.5200",
        "$1.0400",
        "the mean of 2",
        "small, m-1",
        "acme",
        "2026-01-01",
    ):
        assert figure in out, figure
    assert "[bold]evil[/bold]" in out
    assert "\x1b" not in out


def test_long_lists_are_cut_with_a_note(run: Run, topic: Topic) -> None:
    """Otherwise a thousand tenants would hide the totals, or some would be missing silently."""
    topic.records = [
        encode(answered(paid(0.01 * n), id=f"{n}", tenant=f"t-{n:03}")) for n in range(1, 31)
    ]
    out = run()[1]
    assert "t-030" in out
    assert "t-010" not in out
    assert "20 of 30" in out


def test_the_report_for_a_program(run: Run, topic: Topic) -> None:
    """Otherwise a script that watches the cost would have to read a table."""
    topic.records = [encode(answered(paid(0.02))), b"{"]
    code, out, _ = run("--json")
    printed = orjson.loads(out)
    assert code == 0
    assert (printed["events"], printed["unreadable"], printed["spent"]["usd"]) == (1, 1, 0.02)
    assert (
        printed["tiers"][0] | {"tier": "small", "model": "m-1", "calls": 1} == printed["tiers"][0]
    )


@pytest.mark.parametrize("arguments", [(), ("--tenant", "nobody"), ("--since", "1m")], ids=" ".join)
def test_without_events_the_report_is_a_sentence(
    run: Run, topic: Topic, arguments: tuple[str, ...]
) -> None:
    """Otherwise an empty table would not show whether anything was read."""
    if arguments:
        topic.records = [encode(triaged())]
    code, out, _ = run(*arguments)
    assert (code, out) == (0, f"no triaged events{' that match' if arguments else ''}\n")


@pytest.mark.parametrize("text", ["yesterday", "24", "1y", "99999w9", "2026-13-01", ""])
def test_a_wrong_instant_is_wrong_usage(run: Run, text: str) -> None:
    """Otherwise a mistyped date would report everything."""
    code, out, err = run("--since", text)
    assert (code, out) == (2, "")
    assert "24h" in err


def test_instants_and_ages() -> None:
    """Otherwise a report would depend on the time zone, or an age would count forward."""
    param = command.cost.params[0]
    context = click.Context(command.cost)
    assert command.instant(context, param, "2026-11-01") == datetime(2026, 11, 1, tzinfo=UTC)
    assert command.instant(context, param, "2026-11-01T02:00+02:00") == datetime(
        2026, 11, 1, tzinfo=UTC
    )
    for text, age in (
        ("90m", timedelta(minutes=90)),
        ("24h", timedelta(days=1)),
        ("2w", timedelta(weeks=2)),
    ):
        parsed = command.instant(context, param, text)
        assert parsed is not None
        assert abs(datetime.now(UTC) - age - parsed) < timedelta(minutes=1)
