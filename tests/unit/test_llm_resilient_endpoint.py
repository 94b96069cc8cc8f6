"""Tests of the resilient endpoint against a real HTTP server."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY

from inference.llm.client.endpoint import Completion, Endpoint
from inference.llm.client.failure import LlmFailure, Usage
from inference.llm.client.resilient_endpoint import ResilientEndpoint, RetryBudget
from inference.llm.options import BreakerOptions, EndpointOptions, RetryOptions
from tests.figures import tell
from tests.llm_server import (
    USAGE,
    Behaviour,
    LlmServer,
    Request,
    body,
    completion,
    error,
    hang,
    in_turn,
    ok,
    slow,
)

MESSAGES = [{"role": "user", "content": "label this"}]
SCHEMA = {"type": "object", "properties": {"queue": {"type": "string", "enum": ["cloud", "email"]}}}
QUICK: dict[str, Any] = {"wait_initial_s": 0.001, "wait_max_s": 0.002}
NEVER_OPENS = BreakerOptions(failures=10_000)
BROKEN = body({"error": {"code": 500}, "usage": USAGE})
"""A failed call that is billed nevertheless."""


@asynccontextmanager
async def served(
    behaviour: Behaviour,
    *,
    retries: RetryOptions | None = None,
    breaker: BreakerOptions = NEVER_OPENS,
    budget: RetryBudget | None = None,
    **options: Any,
) -> AsyncIterator[tuple[ResilientEndpoint, LlmServer]]:
    """A resilient endpoint and the server that it calls."""
    retries = retries or RetryOptions(**QUICK)
    async with LlmServer(behaviour) as server:
        # Without a response format, because the search for one would make more calls.
        defaults: dict[str, Any] = {"model": "small", "response_mode": "none", "timeout_s": 2.0}
        endpoint_options = EndpointOptions(base_url=server.base_url, **(defaults | options))
        resilient = ResilientEndpoint(
            Endpoint("small", endpoint_options, environ={}),
            retries,
            breaker,
            budget or RetryBudget(retries),
        )
        try:
            yield resilient, server
        finally:
            await resilient.close()


async def ask(resilient: ResilientEndpoint, deadline_s: float = 5.0) -> Completion | LlmFailure:
    """The completion or the failure that one prompt ends with."""
    try:
        return await resilient.complete(MESSAGES, SCHEMA, deadline_s=deadline_s)
    except LlmFailure as failure:
        return failure


async def failed(resilient: ResilientEndpoint, deadline_s: float = 5.0) -> LlmFailure:
    """The failure that one prompt ends with."""
    outcome = await ask(resilient, deadline_s)
    assert isinstance(outcome, LlmFailure)
    return outcome


def state_of(resilient: ResilientEndpoint) -> str:
    """The state of the breaker."""
    return resilient.state


async def test_retries_are_counted_and_billed() -> None:
    """Otherwise one bad moment would end an event, or its cost would lack the failed attempts."""
    async with served(in_turn(error(500), BROKEN, ok({}))) as (resilient, server):
        outcome = await ask(resilient)
    assert isinstance(outcome, Completion)
    assert (outcome.calls, outcome.usage, len(server.requests)) == (3, Usage(200, 40), 3)


async def test_attempts_are_limited() -> None:
    """Otherwise an event would be tried for ever."""
    async with served(BROKEN) as (resilient, server):
        failure = await failed(resilient)
    assert (failure.status, failure.calls, failure.usage) == ("unavailable", 3, Usage(300, 60))
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "behaviour", [error(401), error(429, "insufficient_quota"), body(completion(None))]
)
async def test_a_failure_that_no_retry_cures_is_not_retried(behaviour: Behaviour) -> None:
    """Otherwise each such event would cost three calls."""
    async with served(behaviour) as (resilient, _):
        assert (await failed(resilient)).calls == 1


@pytest.mark.parametrize(
    "limit",
    [error(429, Retry_After="1"), error(429, retry_after_ms="400"), error(503, Retry_After="1")],
)
async def test_retry_after_is_obeyed(limit: Behaviour) -> None:
    """Otherwise a server would be called again too early, and might close the account."""
    started_s = time.monotonic()
    async with served(in_turn(limit, ok({}))) as (resilient, _):
        outcome = await ask(resilient)
    assert isinstance(outcome, Completion)
    assert outcome.calls == 2
    assert 0.4 <= time.monotonic() - started_s < 2.0


async def test_a_retry_after_longer_than_the_remaining_time() -> None:
    """Otherwise an event would wait its whole time for a retry that can never be made."""
    budget = RetryBudget(RetryOptions(budget_reserve=1, budget_share=0))
    started_s = time.monotonic()
    async with served(error(429, Retry_After="30"), budget=budget) as (resilient, _):
        failure = await failed(resilient)
    assert time.monotonic() - started_s < 1.0
    assert (failure.status, failure.calls, failure.retry_after_s) == ("rate_limited", 1, 30.0)
    assert budget.take(), "a retry that was not made is not paid for"


async def test_the_last_attempt_does_not_pay_for_a_retry() -> None:
    """Otherwise the budget would shrink although no retry is made."""
    budget = RetryBudget(RetryOptions(budget_reserve=2, budget_share=0))
    async with served(error(500), budget=budget, retries=RetryOptions(attempts=2, **QUICK)) as (
        resilient,
        _,
    ):
        await failed(resilient)
    assert [budget.take(), budget.take()] == [True, False]


async def test_the_budget_limits_the_retries_in_an_outage() -> None:
    """Otherwise a service would get three times its load just when it comes back."""
    retries = RetryOptions(budget_share=0.2, budget_reserve=10, **QUICK)
    async with served(error(500), retries=retries, concurrency=20) as (resilient, server):
        outcomes = await asyncio.gather(*(ask(resilient, 20.0) for _ in range(200)))
    assert {outcome.status for outcome in outcomes if isinstance(outcome, LlmFailure)} == {
        "unavailable"
    }
    calls = sum(outcome.calls for outcome in outcomes)
    assert calls == len(server.requests)
    assert 200 < calls <= 200 * 1.2 + 10
    tell(f"200 prompts in an outage: {calls} calls, 600 without a budget")


async def test_two_endpoints_share_a_budget() -> None:
    """Otherwise each tier would multiply the load by its own retries."""
    budget = RetryBudget(RetryOptions(budget_share=0, budget_reserve=3))
    async with (
        served(error(500), budget=budget) as (first, _),
        served(error(500), budget=budget) as (second, _),
    ):
        assert ((await failed(first)).calls, (await failed(second)).calls) == (3, 2)


async def test_one_deadline_for_all_attempts() -> None:
    """Otherwise an event would take three times the time that it has."""
    started_s = time.monotonic()
    async with served(hang, timeout_s=0.3) as (resilient, _):
        failure = await failed(resilient, deadline_s=0.5)
    assert time.monotonic() - started_s < 1.0
    assert (failure.status, failure.calls) == ("timeout", 2)


async def test_without_time_nothing_is_sent() -> None:
    """Otherwise a prompt would be sent, and paid for, although its time is up."""
    async with served(ok({})) as (resilient, server):
        failure = await failed(resilient, deadline_s=0.0)
    assert (failure.status, failure.calls, server.requests) == ("timeout", 0, [])


async def test_the_wait_for_a_turn_counts() -> None:
    """Otherwise events behind a slow endpoint would pile up, each far beyond its time."""
    async with served(slow(0.25, ok({})), concurrency=1, timeout_s=0.3) as (resilient, server):
        outcomes = await asyncio.gather(*(ask(resilient, 0.35) for _ in range(4)))
    answered = [outcome for outcome in outcomes if isinstance(outcome, Completion)]
    assert len(answered) == 1
    assert len(server.requests) == 2
    failures = [outcome for outcome in outcomes if isinstance(outcome, LlmFailure)]
    assert {(failure.status, failure.healthy, failure.calls) for failure in failures} == {
        ("timeout", True, 0),
        ("timeout", True, 1),  # it had the rest of its event's time, far less than `timeout_s`
    }


async def test_concurrent_calls_are_limited() -> None:
    """Otherwise a local server that takes two requests at a time would get all of them."""
    most_running = running = 0

    async def counting(request: Request) -> Any:
        nonlocal most_running, running
        running += 1
        most_running = max(most_running, running)
        await asyncio.sleep(0.01)
        running -= 1
        return await ok({})(request)

    async with served(counting, concurrency=2) as (resilient, server):
        await asyncio.gather(*(ask(resilient) for _ in range(10)))
    assert (most_running, len(server.requests)) == (2, 10)


async def test_the_rate_is_limited() -> None:
    """Otherwise the limit of a provider would be exceeded from the first minute on."""
    started_s = time.monotonic()
    async with served(ok({}), requests_per_minute=1200, concurrency=8) as (resilient, _):
        outcomes = await asyncio.gather(*(ask(resilient) for _ in range(8)))
    assert all(isinstance(outcome, Completion) for outcome in outcomes)
    assert time.monotonic() - started_s >= 7 * 60 / 1200


async def test_the_breaker_opens_and_then_tries_one_call() -> None:
    """Otherwise every event would call a service that is down, and flood it when it is back."""
    breaker = BreakerOptions(failures=3, reset_s=0.2)
    once = RetryOptions(attempts=1)
    async with served(error(500), retries=once, breaker=breaker, concurrency=20) as (
        resilient,
        server,
    ):
        assert state_of(resilient) == "closed"
        assert [(await failed(resilient)).status for _ in range(4)] == [
            *["unavailable"] * 3,
            "breaker_open",
        ]
        assert (state_of(resilient), len(server.requests)) == ("open", 3)
        outcomes = await asyncio.gather(*(failed(resilient) for _ in range(20)))
        assert {(outcome.status, outcome.calls) for outcome in outcomes} == {("breaker_open", 0)}
        assert len(server.requests) == 3

        await asyncio.sleep(0.25)
        server.behaviour = slow(0.1, error(500))
        trial = asyncio.gather(*(failed(resilient) for _ in range(20)))
        await asyncio.sleep(0.05)
        assert state_of(resilient) == "half_open"
        assert sorted(outcome.status for outcome in await trial) == [
            *["breaker_open"] * 19,
            "unavailable",
        ]
        assert (state_of(resilient), len(server.requests)) == ("open", 4)

        await asyncio.sleep(0.25)
        server.behaviour = slow(0.1, ok({}))
        outcomes_after = await asyncio.gather(*(ask(resilient) for _ in range(20)))
        assert sum(isinstance(outcome, Completion) for outcome in outcomes_after) == 1
        assert (state_of(resilient), len(server.requests)) == ("closed", 5)
        assert isinstance(await ask(resilient), Completion)


async def test_a_failure_that_an_event_caused_does_not_open_the_breaker() -> None:
    """Otherwise one text that the model refuses would switch off the tier for every tenant."""
    breaker = BreakerOptions(failures=2)
    for behaviour in (
        body(completion(None, refusal="no")),
        error(400),
        error(429, Retry_After="60"),
    ):
        async with served(behaviour, breaker=breaker) as (resilient, _):
            for _ in range(4):
                await failed(resilient)
            assert state_of(resilient) == "closed"


async def test_an_answer_between_failures_keeps_the_breaker_closed() -> None:
    """Otherwise an endpoint that rarely fails would not be called any more."""
    behaviour = in_turn(error(500), error(500), ok({}), error(500), error(500), ok({}))
    async with served(
        behaviour, breaker=BreakerOptions(failures=3), retries=RetryOptions(attempts=1)
    ) as (resilient, _):
        for _ in range(6):
            await ask(resilient)
        assert state_of(resilient) == "closed"


async def test_hanging_calls_open_the_breaker() -> None:
    """Otherwise each event would wait for an endpoint that has not answered for hours."""
    breaker = BreakerOptions(failures=2)
    async with served(hang, breaker=breaker, timeout_s=0.1, retries=RetryOptions(attempts=1)) as (
        resilient,
        server,
    ):
        assert [(await failed(resilient)).status for _ in range(3)] == [
            "timeout",
            "timeout",
            "breaker_open",
        ]
    assert len(server.requests) == 2


async def test_an_answer_to_an_old_call_does_not_close_the_breaker() -> None:
    """Otherwise a slow answer to an old prompt would let all calls through to a dead service."""
    behaviour = in_turn(slow(0.2, ok({})), error(500))
    async with served(
        behaviour, breaker=BreakerOptions(failures=2), retries=RetryOptions(attempts=1)
    ) as (resilient, _):
        old_call = asyncio.create_task(ask(resilient))
        await asyncio.sleep(0.05)
        await failed(resilient)
        await failed(resilient)
        assert state_of(resilient) == "open"
        assert isinstance(await old_call, Completion)
        assert state_of(resilient) == "open"


async def test_a_cancelled_trial_call_lets_another_one_through() -> None:
    """Otherwise a rebalance at a bad moment would stop all calls to the endpoint for ever."""
    breaker = BreakerOptions(failures=1, reset_s=0.05)
    async with served(error(500), breaker=breaker, retries=RetryOptions(attempts=1)) as (
        resilient,
        server,
    ):
        await failed(resilient)
        await asyncio.sleep(0.1)
        server.behaviour = hang
        trial = asyncio.create_task(ask(resilient))
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        trial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trial
        assert state_of(resilient) == "half_open"  # neither a failure nor a success
        server.behaviour = ok({})
        assert isinstance(await ask(resilient), Completion)
        assert state_of(resilient) == "closed"


async def test_calls_with_little_time_do_not_count() -> None:
    """Otherwise events with little time would change the state of the breaker."""
    breaker = BreakerOptions(failures=2, reset_s=0.05)
    async with served(hang, breaker=breaker, timeout_s=0.2, retries=RetryOptions(attempts=1)) as (
        resilient,
        server,
    ):
        assert [
            (await failed(resilient, deadline_s)).healthy for deadline_s in (5.0, 0.05, 5.0)
        ] == [
            False,
            True,
            False,
        ]
        assert state_of(resilient) == "open"
        await asyncio.sleep(0.1)
        assert (await failed(resilient, 0.05)).status == "timeout"
        assert state_of(resilient) == "half_open"
        server.behaviour = ok({})
        assert isinstance(await ask(resilient), Completion)


async def test_cancelled_callers_free_their_places() -> None:
    """Otherwise each cancelled event would use up one of the concurrent calls."""
    async with served(hang, concurrency=2, timeout_s=30.0) as (resilient, server):
        tasks = [asyncio.create_task(ask(resilient, 30.0)) for _ in range(6)]
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.behaviour = ok({})
        outcomes = await asyncio.gather(*(ask(resilient) for _ in range(4)))
        assert all(isinstance(outcome, Completion) for outcome in outcomes)


async def test_an_open_breaker_ends_the_retries() -> None:
    """Otherwise the calls that were made already would be missing from the cost."""
    async with served(BROKEN, breaker=BreakerOptions(failures=2)) as (resilient, _):
        failure = await failed(resilient)
    assert (failure.status, failure.calls, failure.usage) == ("breaker_open", 2, Usage(200, 40))


async def test_retries_log_nothing_of_the_prompt(caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise the retry library would log the prompt, or add metrics of its own."""
    caplog.set_level(logging.DEBUG)
    async with served(error(500)) as (resilient, _):
        await failed(resilient)
    assert "label this" not in caplog.text
    assert "secret-in-error" not in caplog.text
    assert not [
        metric.name
        for metric in REGISTRY.collect()
        if metric.name.startswith(("stamina", "tenacity"))
    ]


def test_the_budget_saves_at_most_its_reserve() -> None:
    """Otherwise a quiet night would save up for very many retries in the morning."""
    budget = RetryBudget(RetryOptions(budget_share=0.5, budget_reserve=2))
    for _ in range(100):
        budget.earn()
    assert [budget.take() for _ in range(3)] == [True, True, False]
    budget.earn()
    assert not budget.take()
    budget.earn()
    assert budget.take()
