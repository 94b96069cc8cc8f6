"""`triage cost`: every event once, every dollar once, and no broker needed to add them up."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import click
import orjson
import pytest

from agents.outcomes import Incoming
from inference.llm.options import CostOptions
from inference.llm.spending import Spending, SpendingReport, assumed_usd
from schemas.codec import encode
from schemas.event import Origin
from schemas.triaged import Enrichment, Timing, TriagedEvent
from streams import spend
from streams.cli import cost as command
from streams.cli import main
from streams.config import Settings
from streams.errors import TopicsMissing
from streams.spend import read_spending
from tests.records import provisional, triaged

COST = CostOptions()
NAMES = ["triage.alerts.triaged.v1", "triage.tickets.triaged.v1"]
Run = Callable[..., tuple[int, str, str]]


def asked(usd: float = 0.01, **changes: Any) -> Enrichment:
    """What one question to the cheap tier left behind."""
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
    """A decision made then."""
    return Timing(received_at=triaged_at, triaged_at=triaged_at, inference_s=0.01, total_s=1.0)


def answered(enrichment: Enrichment, **changes: Any) -> TriagedEvent:
    """The LLM's revision of the ticket."""
    return provisional(
        **{"revision": 1, "status": "final", "decided_by": "llm", "enrichment": enrichment}
        | changes
    )


def report(*events: TriagedEvent, **filters: Any) -> SpendingReport:
    """What these come to."""
    spending = Spending(**filters)
    for event in events:
        spending.note(event)
    return spending.report(COST)


def test_the_last_revision_says_who_decided() -> None:
    """An event would count for everyone who ever touched it, and the shares would not add up to one."""
    origins = [Origin(topic="triage.alerts.v1", partition=0, offset=n) for n in range(4)]
    verdict = answered(asked(), revision=2, decided_by="human")
    found = report(
        triaged("sure", origin=origins[0]),
        triaged("ruled", origin=origins[1], decided_by="rule"),
        triaged("open", origin=origins[2], status="provisional"),
        triaged("unclear", origin=origins[3], status="needs_review", revision=1),
        provisional(),
        answered(asked()),
        verdict,
        answered(asked()),  # delivered again, late
    )
    assert found.events == 5
    assert found.ends == {"slm": 1, "rule": 1, "waiting": 1, "needs_review": 1, "human": 1}


def test_one_id_sent_twice_is_two_events_and_one_processed_twice_is_one() -> None:
    """Repeated ids would hide events, or a worker's restart would invent some."""
    again = Origin(topic="triage.tickets.v1", partition=1, offset=8)
    assert report(provisional(), provisional(), provisional(origin=again)).events == 2


def test_money_is_counted_once() -> None:
    """A person's verdict, or a record delivered twice, would bill the LLM's call again."""
    first = answered(asked())
    redelivered = answered(asked(), timing=at("2026-01-02T00:00:00.000Z"))
    verdict = answered(asked(), revision=2, decided_by="human")
    found = report(first, redelivered, verdict)
    assert (found.spent.calls, found.spent.usd) == (1, 0.01)


def test_every_call_is_counted() -> None:
    """A question asked again after a crash, about the same event, would have been free."""
    found = report(answered(asked()), answered(asked(latency_s=0.6)))
    assert (found.events, found.asked, found.spent.calls) == (1, 1, 2)
    assert found.usd_per_asked_event == 0.02
    assert (found.spent.prompt_tokens, found.spent.completion_tokens) == (200, 40)


def test_failed_calls_cost_too() -> None:
    """Answers that were billed and of no use would be missing from the bill."""
    failed = answered(asked(status="invalid_answer"), status="needs_review")
    assert report(failed).spent.usd == 0.01
    untouched = answered(Enrichment(status="over_budget"), status="needs_review")
    assert report(untouched).asked == 0


def test_spend_is_told_apart() -> None:
    """Nobody could see which tenant, model or day the money went to."""
    found = report(
        answered(asked(0.01), id="a", timing=at("2026-01-01T23:59:59.999Z")),
        answered(
            asked(0.5, tier="large", model="m-2"), id="b", timing=at("2026-01-02T00:00:00.000Z")
        ),
        answered(asked(0.02), id="c", tenant="other", timing=at("2026-01-02T01:00:00.000+02:00")),
    )
    assert [(each.tier, each.model, each.calls) for each in found.tiers] == [
        ("large", "m-2", 1),
        ("small", "m-1", 2),
    ]
    assert [(name, each.usd) for name, each in found.tenants.items()] == [
        ("acme", 0.51),
        ("other", 0.02),
    ]
    assert [(day, each.usd) for day, each in found.days.items()] == [
        ("2026-01-01", 0.03),
        ("2026-01-02", 0.5),
    ]


def test_a_tenant_sees_its_own() -> None:
    """A customer's bill would hold another's events."""
    found = report(answered(asked()), answered(asked(), id="x", tenant="other"), tenant="other")
    assert (found.events, list(found.tenants)) == (1, ["other"])


def test_since_leaves_out_what_was_decided_and_paid_before() -> None:
    """Today's verdict about yesterday's answer would put yesterday's money on today's bill."""
    verdict = answered(
        asked(), revision=2, decided_by="human", timing=at("2026-01-02T08:00:00.000Z")
    )
    old = answered(asked(), id="old", timing=at("2026-01-01T00:00:00.000Z"))
    found = report(old, answered(asked()), verdict, since=datetime(2026, 1, 2, tzinfo=UTC))
    assert (found.events, found.ends, found.spent.usd) == (1, {"human": 1}, 0.0)


def test_savings_are_measured_where_money_was_paid() -> None:
    """The saving would rest on list prices although the real ones are known."""
    events = [answered(asked(0.02)), *(triaged(f"e-{n}") for n in range(9))]
    found = report(*events)
    assert found.all_llm_basis == "measured"
    assert found.all_llm_usd == pytest.approx(0.2)
    assert found.saved_usd == pytest.approx(0.18)


@pytest.mark.parametrize("enrichment", [None, asked(0.0)], ids=["nothing asked", "a free model"])
def test_savings_are_assumed_where_nothing_was_paid(enrichment: Enrichment | None) -> None:
    """Without an LLM the command could not say what one would cost; with a free one it would divide by zero."""
    found = report(triaged(), triaged("e-2", enrichment=enrichment))
    assert found.all_llm_basis == "assumed"
    assert (
        found.all_llm_usd
        == found.saved_usd
        == assumed_usd(COST, 2)
        == 2 * (600 * 0.15 + 120 * 0.60) / 1e6
    )


def test_what_is_no_triaged_event_is_counted_and_passed_over() -> None:
    """One foreign record on the topic would end the report."""
    spending = Spending()
    for value in (b"{", b"{}", b"\xff", encode(triaged(timing=at("never"))), encode(triaged())):
        spending.read(value)
    found = spending.report(COST)
    assert (found.events, found.unreadable) == (1, 4)


class Topic:
    """The triaged topics, without a broker: `present` ones, and the values of their records."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.present = NAMES
        self.records: list[bytes | None] = []
        monkeypatch.setattr(spend, "admin_client", self._admin)
        monkeypatch.setattr(spend, "since", self._since)

    @asynccontextmanager
    async def _admin(self, _: Settings) -> AsyncIterator[Any]:
        async def list_topics() -> Sequence[str]:
            return self.present

        yield SimpleNamespace(list_topics=list_topics)

    async def _since(self, *_: Any) -> AsyncIterator[Incoming]:
        for offset, value in enumerate(self.records):
            yield Incoming(value, None, (), Origin(topic=NAMES[0], partition=3, offset=offset), 0.0)


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    """The triaged topics, without a broker."""
    return Topic(monkeypatch)


def test_every_record_is_read(topic: Topic) -> None:
    """A tombstone, which compaction leaves behind, would end the report."""
    topic.records = [encode(triaged()), None, encode(triaged("later"))]
    spending = Spending()
    asyncio.run(read_spending(Settings(), spending))
    assert spending.report(COST).events == 2


def test_missing_topics_are_named(topic: Topic) -> None:
    """A mistyped prefix would look like an empty pipeline, and a broker might create the topics it names."""
    topic.present = NAMES[:1]
    with pytest.raises(TopicsMissing, match="triage topics create"):
        asyncio.run(read_spending(Settings(), Spending()))


@pytest.fixture
def run(
    topic: Topic, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> Run:
    """`triage cost` in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def main_with(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["cost", *arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return main_with


def test_a_person_is_told(run: Run, topic: Topic) -> None:
    """A figure would be missing, or a tenant's name would be read as the terminal's own commands."""
    hostile = "[bold]evil[/bold]\x1b[31m\n[/]"
    events = [
        answered(asked(0.02)),
        answered(asked(0.5), id="x", tenant=hostile),
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


def test_long_lists_are_cut_and_say_so(run: Run, topic: Topic) -> None:
    """A thousand tenants would scroll the totals away; or some would be missing without a word."""
    topic.records = [
        encode(answered(asked(0.01 * n), id=f"{n}", tenant=f"t-{n:03}")) for n in range(1, 31)
    ]
    out = run()[1]
    assert "t-030" in out
    assert "t-010" not in out
    assert "20 of 30" in out


def test_a_program_is_told(run: Run, topic: Topic) -> None:
    """A script that watches the spend would have to read a table."""
    topic.records = [encode(answered(asked(0.02))), b"{"]
    code, out, _ = run("--json")
    found = orjson.loads(out)
    assert code == 0
    assert (found["events"], found["unreadable"], found["spent"]["usd"]) == (1, 1, 0.02)
    assert found["tiers"][0] | {"tier": "small", "model": "m-1", "calls": 1} == found["tiers"][0]


@pytest.mark.parametrize("arguments", [(), ("--tenant", "nobody"), ("--since", "1m")], ids=" ".join)
def test_nothing_there_is_a_sentence(run: Run, topic: Topic, arguments: tuple[str, ...]) -> None:
    """An empty table would leave open whether anything was looked at."""
    if arguments:
        topic.records = [encode(triaged())]
    code, out, _ = run(*arguments)
    assert (code, out) == (0, f"no triaged events{' that match' if arguments else ''}\n")


@pytest.mark.parametrize("text", ["yesterday", "24", "1y", "99999w9", "2026-13-01", ""])
def test_an_instant_that_is_none_is_bad_usage(run: Run, text: str) -> None:
    """A mistyped date would report everything."""
    code, out, err = run("--since", text)
    assert (code, out) == (2, "")
    assert "24h" in err


def test_instants_and_ages() -> None:
    """A day's report would be off by the machine's time zone, or an age counted forward."""
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
        found = command.instant(context, param, text)
        assert found is not None
        assert abs(datetime.now(UTC) - age - found) < timedelta(seconds=5)
