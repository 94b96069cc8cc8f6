"""Every way a service behind an OpenAI-compatible address fails, through the whole LLM tier and a real HTTP server."""

import time

import pytest

from agents.outcomes import Reviewed, Triaged
from inference.llm.options import BudgetOptions, RetryOptions
from schemas.event import Event
from tests.figures import tell
from tests.llm_server import COMPLETION_TOKENS, FAULTS, PROMPT_TOKENS, LlmServer, error, hang, ok
from tests.llm_tier import configured, end, endpoint, escalated, tier
from tests.records import decision

TIMEOUT_S = 0.4
DEADLINE_S = 3.0
RETRIES = RetryOptions(attempts=2, wait_initial_s=0.05, wait_max_s=0.1)
CASE = escalated(Event(id="e-1", kind="alert", text="rundll32 spawned by winword"))


@pytest.mark.parametrize("name", FAULTS)
async def test_an_event_ends_whatever_the_service_does(name: str) -> None:
    """A service that fails in a way nobody thought of would stop the stream, or lose the event."""
    fault = FAULTS[name]
    async with LlmServer(fault.behaviour) as server:
        options = endpoint(server.base_url, timeout_s=TIMEOUT_S)
        async with tier(configured(options, deadline_s=DEADLINE_S, retries=RETRIES)) as enrichment:
            started_s = time.monotonic()
            (outcome,) = await end(enrichment, CASE)
            took_s = time.monotonic() - started_s
        calls = len(server.requests)
    ended = decision(outcome)
    assert ended.enrichment is not None
    tell(f"{name}: {ended.enrichment.status}, {ended.status}, {calls} calls, {took_s:.2f} s")
    assert ended.revision == 1
    assert took_s < DEADLINE_S + 0.5
    assert ended.enrichment.calls == calls
    billed = ended.enrichment.prompt_tokens + ended.enrichment.completion_tokens
    assert billed == (PROMPT_TOKENS + COMPLETION_TOKENS if fault.billed else 0)
    assert ended.cost_usd == ended.enrichment.cost_usd
    assert (ended.cost_usd > 0) == fault.billed
    if fault.status is None:
        assert isinstance(outcome, Triaged)
        assert (ended.status, ended.decided_by, ended.enrichment.status) == (
            "final",
            "llm",
            "answered",
        )
        assert ended.enrichment.summary
    else:
        assert isinstance(outcome, Reviewed)
        assert (ended.status, ended.decided_by, ended.enrichment.status) == (
            "needs_review",
            "slm",
            fault.status,
        )
        assert ended.labels == CASE.triaged.labels
        assert "secret-in-error" not in str(ended), "a server's error may repeat the event"


async def test_a_second_tier_answers_where_the_first_fails() -> None:
    """One broken endpoint would send every event to a person although another works."""
    async with LlmServer(error(500)) as broken, LlmServer(ok()) as sound:
        settings = configured(endpoint(broken.base_url), endpoint(sound.base_url), retries=RETRIES)
        async with tier(settings) as enrichment:
            (outcome,) = await end(enrichment, CASE)
    ended = decision(outcome)
    assert ended.enrichment is not None
    assert (ended.status, ended.enrichment.tier) == ("final", "tier-1")
    assert ended.enrichment.calls == len(broken.requests) + len(sound.requests)


async def test_the_second_tier_is_asked_only_about_what_stays_open() -> None:
    """A strong model would be paid for events a cheap one has settled."""
    async with (
        LlmServer(ok()) as cheap,
        LlmServer(ok()) as strong,
        tier(configured(endpoint(cheap.base_url), endpoint(strong.base_url))) as enrichment,
    ):
        await end(enrichment, CASE)
        assert (len(cheap.requests), len(strong.requests)) == (1, 0)
        cheap.behaviour = ok(decidable=False)
        (outcome,) = await end(enrichment, CASE)
        assert (len(cheap.requests), len(strong.requests)) == (2, 1)
        assert decision(outcome).status == "final"
        cheap.behaviour = strong.behaviour = ok(severity="critical")
        (outcome,) = await end(enrichment, CASE)
        assert len(strong.requests) == 2, "high impact is worth a second opinion"
    ended = decision(outcome)
    assert isinstance(outcome, Reviewed)
    assert ended.labels["severity"].value == "critical"
    assert ended.reasons[-2:] == ["high impact", "a person decides"]


async def test_an_outage_costs_each_event_little_time() -> None:
    """With every event waiting for its timeout, the enrichment topic would grow for as long as the service hangs."""
    async with LlmServer(hang) as server:
        settings = configured(
            endpoint(server.base_url, timeout_s=TIMEOUT_S, concurrency=4), retries=RETRIES
        )
        async with tier(settings) as enrichment:
            started_s = time.monotonic()
            outcomes = await end(enrichment, *[CASE] * 200)
            took_s = time.monotonic() - started_s
    statuses = [ended.enrichment.status for o in outcomes if (ended := decision(o)).enrichment]
    tell(f"200 events at a service that hangs: {len(server.requests)} calls, {took_s:.1f} s")
    assert set(statuses) <= {"timeout", "breaker_open"}
    assert len(server.requests) <= 20
    assert took_s < 200 / 4 * TIMEOUT_S / 2


async def test_a_spent_budget_ends_in_review() -> None:
    """A day's money would be spent twice, or the events after it vanish."""
    async with LlmServer(ok()) as server:
        settings = configured(endpoint(server.base_url), budget=BudgetOptions(usd_per_day=0.02))
        async with tier(settings) as enrichment:
            outcomes = [
                outcome for _ in range(50) for outcome in await end(enrichment, *[CASE] * 4)
            ]
            spent_usd = enrichment.budget.spent_usd()
    statuses = [ended.enrichment.status for o in outcomes if (ended := decision(o)).enrichment]
    tell(f"200 events on $0.02: {statuses.count('answered')} answered, ${spent_usd:.5f} spent")
    assert set(statuses) == {"answered", "over_budget"}
    assert 0.005 < spent_usd <= 0.02
    assert spent_usd == pytest.approx(statuses.count("answered") * 0.00014)


async def test_the_least_uncertain_are_let_go_when_too_many_wait() -> None:
    """A backlog that only grows would make every answer late."""
    async with LlmServer(ok()) as server:
        settings = configured(endpoint(server.base_url), max_backlog=10)
        async with tier(settings, backlog=lambda: 20) as enrichment:
            outcomes = await end(enrichment, *[CASE] * 100)
    statuses = [ended.enrichment.status for o in outcomes if (ended := decision(o)).enrichment]
    assert set(statuses) == {"answered", "shed"}
    assert 20 <= statuses.count("shed") <= 80
    assert len(server.requests) == statuses.count("answered")
