"""The whole LLM tier against a real HTTP server that fails in all known ways."""

import time
from collections.abc import Sequence

import pytest

from agents.outcomes import Outcome, Reviewed, Triaged
from inference.llm.options import BudgetOptions, RetryOptions
from schemas.event import Event
from tests.figures import tell
from tests.llm_server import COMPLETION_TOKENS, FAULTS, PROMPT_TOKENS, LlmServer, error, hang, ok
from tests.llm_tier import configured, end, endpoint, escalated, tier
from tests.records import decision

TIMEOUT_S = 0.4
"""The time limit of a call to a service that hangs."""
DEADLINE_S = 30.0
RETRIES = RetryOptions(attempts=2, wait_initial_s=0.05, wait_max_s=0.1)
CASE = escalated(Event(id="e-1", kind="alert", text="rundll32 spawned by winword"))


def statuses_of(outcomes: Sequence[Outcome]) -> list[str]:
    """The enrichment status of each outcome."""
    decisions = map(decision, outcomes)
    return [ended.enrichment.status for ended in decisions if ended.enrichment]


@pytest.mark.parametrize("name", FAULTS)
async def test_an_event_ends_whatever_the_service_does(name: str) -> None:
    """A service that fails in one of these ways would stop the stream, or lose the event."""
    fault = FAULTS[name]
    async with LlmServer(fault.behaviour) as server:
        options = endpoint(server.base_url)
        if fault.status == "timeout":
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
    assert took_s < DEADLINE_S
    if fault.status == "timeout":
        # On a busy machine a call may end before the server sees it.
        assert ended.enrichment.calls >= calls
    else:
        assert ended.enrichment.calls == calls
    billed = ended.enrichment.prompt_tokens + ended.enrichment.completion_tokens
    assert billed == (PROMPT_TOKENS + COMPLETION_TOKENS if fault.billed else 0)
    assert ended.cost_usd == ended.enrichment.cost_usd
    assert (ended.cost_usd > 0) == fault.billed
    if fault.status is None:
        assert isinstance(outcome, Triaged)
        ending = (ended.status, ended.decided_by, ended.enrichment.status)
        assert ending == ("final", "llm", "answered")
        assert ended.enrichment.summary
    else:
        assert isinstance(outcome, Reviewed)
        ending = (ended.status, ended.decided_by, ended.enrichment.status)
        assert ending == ("needs_review", "slm", fault.status)
        assert ended.labels == CASE.triaged.labels
        assert "secret-in-error" not in str(ended), "a server's error may repeat the event"


async def test_a_second_tier_answers_if_the_first_fails() -> None:
    """One broken endpoint would send every event to a person, although another one works."""
    async with LlmServer(error(500)) as broken, LlmServer(ok()) as working:
        settings = configured(
            endpoint(broken.base_url), endpoint(working.base_url), retries=RETRIES
        )
        async with tier(settings) as enrichment:
            (outcome,) = await end(enrichment, CASE)
    ended = decision(outcome)
    assert ended.enrichment is not None
    assert (ended.status, ended.enrichment.tier) == ("final", "tier-1")
    assert ended.enrichment.calls == len(broken.requests) + len(working.requests)


async def test_the_second_tier_gets_only_undecided_events() -> None:
    """A strong model would be paid for events that a cheap one has decided."""
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
        assert len(strong.requests) == 2, "an event of high impact goes to the second tier too"
    ended = decision(outcome)
    assert isinstance(outcome, Reviewed)
    assert ended.labels["severity"].value == "critical"
    assert ended.reasons[-2:] == ["high impact", "a person decides"]


async def test_an_outage_costs_each_event_little_time() -> None:
    """If the service hangs, each event would wait for its timeout, and the topic would grow."""
    async with LlmServer(hang) as server:
        settings = configured(
            endpoint(server.base_url, timeout_s=TIMEOUT_S, concurrency=4), retries=RETRIES
        )
        async with tier(settings) as enrichment:
            started_s = time.monotonic()
            outcomes = await end(enrichment, *[CASE] * 200)
            took_s = time.monotonic() - started_s
    statuses = statuses_of(outcomes)
    tell(f"200 events at a service that hangs: {len(server.requests)} calls, {took_s:.1f} s")
    assert set(statuses) <= {"timeout", "breaker_open"}
    assert len(server.requests) <= 20
    assert took_s < 200 / 4 * TIMEOUT_S / 2


async def test_a_spent_budget_ends_in_review() -> None:
    """The budget of a day would be spent twice, or the events after it would be lost."""
    async with LlmServer(ok()) as server:
        settings = configured(endpoint(server.base_url), budget=BudgetOptions(usd_per_day=0.02))
        async with tier(settings) as enrichment:
            outcomes = [
                outcome for _ in range(50) for outcome in await end(enrichment, *[CASE] * 4)
            ]
            spent_usd = enrichment.budget.spent_usd()
    statuses = statuses_of(outcomes)
    tell(f"200 events on $0.02: {statuses.count('answered')} answered, ${spent_usd:.5f} spent")
    assert set(statuses) == {"answered", "over_budget"}
    assert 0.005 < spent_usd <= 0.02
    assert spent_usd == pytest.approx(statuses.count("answered") * 0.00014)


async def test_the_least_uncertain_are_shed_when_too_many_wait() -> None:
    """The backlog would only grow, and every answer would be late."""
    async with LlmServer(ok()) as server:
        settings = configured(endpoint(server.base_url), max_backlog=10)
        async with tier(settings, backlog=lambda: 20) as enrichment:
            outcomes = await end(enrichment, *[CASE] * 100)
    statuses = statuses_of(outcomes)
    assert set(statuses) == {"answered", "shed"}
    assert 20 <= statuses.count("shed") <= 80
    assert len(server.requests) == statuses.count("answered")
