"""Tests of the resilient endpoint against a real HTTP server."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from interlock import CircuitBreaker
from prometheus_client import REGISTRY

from inference.llm.client import resilient_endpoint as module
from inference.llm.client.endpoint import Completion, Endpoint
from inference.llm.client.failure import LlmFailure, Usage
from inference.llm.client.resilient_endpoint import ResilientEndpoint, RetryBudget
from inference.llm.options import BreakerOptions, EndpointOptions, RetryOptions
from tests.clock import Clock
from tests.figures import tell
from tests.llm_server import (
    USAGE,
    Behaviour,
    LlmServer,
    Request,
    body,
    completion,
    error,
    gated,
    hang,
    in_turn,
    ok,
)
from tests.patience import PATIENCE_S, run_ready_tasks, until

MESSAGES = [{"role": "user", "content": "label this"}]
SCHEMA = {"type": "object", "properties": {"queue": {"type": "string", "enum": ["cloud", "email"]}}}
QUICK: dict[str, Any] = {"wait_initial_s": 0.001, "wait_max_s": 0.002}
ONCE = RetryOptions(attempts=1)
DEADLINE_S = 600.0
"""The time of an event, unless the test is about that time. It is never used up."""
SHORT_S = 0.1
"""A time that a test uses up."""
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
        defaults: dict[str, Any] = {"model": "small", "response_mode": "none"}
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


async def ask(
    resilient: ResilientEndpoint, deadline_s: float = DEADLINE_S
) -> Completion | LlmFailure:
    """The completion or the failure that one prompt ends with."""
    try:
        return await resilient.complete(MESSAGES, SCHEMA, deadline_s=deadline_s)
    except LlmFailure as failure:
        return failure


async def failed(resilient: ResilientEndpoint, deadline_s: float = DEADLINE_S) -> LlmFailure:
    """The failure that one prompt ends with."""
    outcome = await ask(resilient, deadline_s)
    assert isinstance(outcome, LlmFailure)
    return outcome


def state_of(resilient: ResilientEndpoint) -> str:
    """The state of the breaker."""
    return resilient.state


def limits_of(resilient: ResilientEndpoint, monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """A list of the time limits of the endpoint's calls; each call adds its own when it begins."""
    limits_s: list[float | None] = []
    complete = resilient._endpoint.complete

    async def noting(*prompt: Any, limit_s: float | None = None) -> Completion:
        limits_s.append(limit_s)
        return await complete(*prompt, limit_s=limit_s)

    monkeypatch.setattr(resilient._endpoint, "complete", noting)
    return limits_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the deadlines and of the breaker. The endpoint still has the real time."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "CircuitBreaker", partial(CircuitBreaker, clock=clock))
    return clock


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
    ("limit", "wait_s"),
    [
        (error(429, Retry_After="1"), 1.0),
        (error(429, retry_after_ms="400"), 0.4),
        (error(503, Retry_After="1"), 1.0),
    ],
)
async def test_retry_after_is_obeyed(limit: Behaviour, wait_s: float) -> None:
    """Otherwise a server would be called again too early, and might close the account."""
    async with served(in_turn(limit, ok({}))) as (resilient, _):
        started_s = time.monotonic()
        outcome = await ask(resilient)
        took_s = time.monotonic() - started_s
    assert isinstance(outcome, Completion)
    assert outcome.calls == 2
    assert wait_s <= took_s < wait_s + PATIENCE_S


async def test_a_retry_after_longer_than_the_remaining_time() -> None:
    """Otherwise an event would wait its whole time for a retry that can never be made."""
    budget = RetryBudget(RetryOptions(budget_reserve=1, budget_share=0))
    async with served(error(429, Retry_After="3600"), budget=budget) as (resilient, _):
        async with asyncio.timeout(PATIENCE_S):
            failure = await failed(resilient)
    assert (failure.status, failure.calls, failure.retry_after_s) == ("rate_limited", 1, 3600.0)
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
        outcomes = await asyncio.gather(*(ask(resilient) for _ in range(200)))
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


async def test_one_deadline_for_all_attempts(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise an event would take three times the time that it has."""

    async def failing(request: Request) -> Any:
        clock.now_s += 20
        return await error(500)(request)

    retries = RetryOptions(attempts=5, **QUICK)
    async with served(failing, retries=retries) as (resilient, server):
        limits_s = limits_of(resilient, monkeypatch)
        failure = await failed(resilient, 50.0)
    assert (failure.status, failure.calls, len(server.requests)) == ("unavailable", 3, 3)
    assert limits_s == [50, 30, 10]


async def test_a_call_ends_with_the_time_of_its_event() -> None:
    """Otherwise an event would wait for a hanging endpoint until the timeout of a call."""
    async with served(hang, timeout_s=600.0) as (resilient, _), asyncio.timeout(PATIENCE_S):
        failure = await failed(resilient, SHORT_S)
    assert (failure.status, failure.healthy) == ("timeout", True)


async def test_without_time_nothing_is_sent() -> None:
    """Otherwise a prompt would be sent, and paid for, although its time is up."""
    async with served(ok({})) as (resilient, server):
        failure = await failed(resilient, deadline_s=0.0)
    assert (failure.status, failure.calls, server.requests) == ("timeout", 0, [])


async def test_the_wait_for_a_turn_counts() -> None:
    """Otherwise events behind a slow endpoint would pile up, each far beyond its time."""
    gate = asyncio.Event()
    async with served(gated(gate, ok({})), concurrency=1) as (resilient, server):
        slow = asyncio.create_task(ask(resilient))
        await until(lambda: server.requests)
        async with asyncio.timeout(PATIENCE_S):
            failures = await asyncio.gather(*(failed(resilient, SHORT_S) for _ in range(3)))
        assert [(failure.status, failure.healthy, failure.calls) for failure in failures] == [
            ("timeout", True, 0)
        ] * 3
        gate.set()
        assert isinstance(await slow, Completion)
        assert len(server.requests) == 1


async def test_after_its_wait_an_event_has_the_rest_of_its_time(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each event would have its wait and the timeout of a call, one after the other."""
    gate = asyncio.Event()
    async with served(gated(gate, ok({})), concurrency=1, timeout_s=600.0) as (resilient, server):
        limits_s = limits_of(resilient, monkeypatch)
        slow = asyncio.create_task(ask(resilient))
        await until(lambda: server.requests)
        waiting = asyncio.create_task(ask(resilient, 100.0))
        await run_ready_tasks()
        clock.now_s += 70
        gate.set()
        outcomes = [await slow, await waiting]
    assert [outcome.calls for outcome in outcomes] == [1, 1]
    assert limits_s == [600, 30]


async def test_concurrent_calls_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a local server that takes two requests at a time would get all of them."""
    gate = asyncio.Event()
    most_running = running = 0

    async def counting(request: Request) -> Any:
        nonlocal most_running, running
        running += 1
        most_running = max(most_running, running)
        await gate.wait()
        running -= 1
        return await ok({})(request)

    async with served(counting, concurrency=2) as (resilient, server):
        begun = limits_of(resilient, monkeypatch)
        asking = asyncio.gather(*(ask(resilient) for _ in range(10)))
        await until(lambda: running == 2)
        assert len(begun) == 2
        gate.set()
        await asking
    assert (most_running, len(server.requests)) == (2, 10)


async def test_the_rate_is_limited() -> None:
    """Otherwise the limit of a provider would be exceeded from the first minute on."""
    started_s = time.monotonic()
    async with served(ok({}), requests_per_minute=1200, concurrency=8) as (resilient, _):
        outcomes = await asyncio.gather(*(ask(resilient) for _ in range(8)))
    assert all(isinstance(outcome, Completion) for outcome in outcomes)
    assert time.monotonic() - started_s >= 7 * 60 / 1200


async def test_the_breaker_opens_and_then_tries_one_call(clock: Clock) -> None:
    """Otherwise every event would call a service that is down, and flood it when it is back."""
    breaker = BreakerOptions(failures=3, reset_s=30.0)
    async with served(error(500), retries=ONCE, breaker=breaker, concurrency=20) as (
        resilient,
        server,
    ):
        assert state_of(resilient) == "closed"
        assert [(await failed(resilient)).status for _ in range(4)] == [
            *["unavailable"] * 3,
            "breaker_open",
        ]
        assert (state_of(resilient), len(server.requests)) == ("open", 3)
        clock.now_s += 29
        outcomes = await asyncio.gather(*(failed(resilient) for _ in range(20)))
        assert {(outcome.status, outcome.calls) for outcome in outcomes} == {("breaker_open", 0)}
        assert len(server.requests) == 3

        clock.now_s += 1
        trial = await one_trial(resilient, server, error(500))
        assert isinstance(trial, LlmFailure)
        assert trial.status == "unavailable"
        assert (state_of(resilient), len(server.requests)) == ("open", 4)

        clock.now_s += 30
        assert isinstance(await one_trial(resilient, server, ok({})), Completion)
        assert (state_of(resilient), len(server.requests)) == ("closed", 5)
        assert isinstance(await ask(resilient), Completion)


async def one_trial(
    resilient: ResilientEndpoint, server: LlmServer, behaviour: Behaviour
) -> Completion | LlmFailure:
    """What the one call that a half open breaker lets through ends with; it refuses 19 others."""
    gate, before = asyncio.Event(), len(server.requests)
    server.behaviour = gated(gate, behaviour)
    asking = [asyncio.create_task(ask(resilient)) for _ in range(20)]
    await until(lambda: sum(task.done() for task in asking) == 19)
    refused = [task.result() for task in asking if task.done()]
    assert {getattr(outcome, "status", None) for outcome in refused} == {"breaker_open"}
    await until(lambda: len(server.requests) > before)
    assert state_of(resilient) == "half_open"
    (trial,) = (task for task in asking if not task.done())
    gate.set()
    return await trial


async def test_a_failure_that_an_event_caused_does_not_open_the_breaker() -> None:
    """Otherwise one text that the model refuses would switch off the tier for every tenant."""
    breaker = BreakerOptions(failures=2)
    for behaviour in (
        body(completion(None, refusal="no")),
        error(400),
        error(429, Retry_After="3600"),
    ):
        async with served(behaviour, breaker=breaker) as (resilient, _):
            for _ in range(4):
                await failed(resilient)
            assert state_of(resilient) == "closed"


async def test_an_answer_between_failures_keeps_the_breaker_closed() -> None:
    """Otherwise an endpoint that rarely fails would not be called any more."""
    behaviour = in_turn(error(500), error(500), ok({}), error(500), error(500), ok({}))
    async with served(behaviour, breaker=BreakerOptions(failures=3), retries=ONCE) as (
        resilient,
        _,
    ):
        for _ in range(6):
            await ask(resilient)
        assert state_of(resilient) == "closed"


async def test_hanging_calls_open_the_breaker() -> None:
    """Otherwise each event would wait for an endpoint that has not answered for hours."""
    breaker = BreakerOptions(failures=2)
    async with served(hang, breaker=breaker, timeout_s=SHORT_S, retries=ONCE) as (resilient, _):
        failures = [await failed(resilient) for _ in range(3)]
    # Not the requests that arrived: on a loaded machine a call may end before the server sees it.
    assert [(failure.status, failure.calls) for failure in failures] == [
        ("timeout", 1),
        ("timeout", 1),
        ("breaker_open", 0),
    ]


async def test_an_answer_to_an_old_call_does_not_close_the_breaker() -> None:
    """Otherwise a slow answer to an old prompt would let all calls through to a dead service."""
    gate = asyncio.Event()
    behaviour = in_turn(gated(gate, ok({})), error(500))
    async with served(behaviour, breaker=BreakerOptions(failures=2), retries=ONCE) as (
        resilient,
        server,
    ):
        old_call = asyncio.create_task(ask(resilient))
        await until(lambda: server.requests)
        await failed(resilient)
        await failed(resilient)
        assert state_of(resilient) == "open"
        gate.set()
        assert isinstance(await old_call, Completion)
        assert state_of(resilient) == "open"


async def test_a_cancelled_trial_call_lets_another_one_through(clock: Clock) -> None:
    """Otherwise a rebalance at a bad moment would stop all calls to the endpoint for ever."""
    breaker = BreakerOptions(failures=1, reset_s=30.0)
    async with served(error(500), breaker=breaker, retries=ONCE) as (resilient, server):
        await failed(resilient)
        clock.now_s += 30
        server.behaviour = hang
        trial = asyncio.create_task(ask(resilient))
        await until(lambda: len(server.requests) == 2)
        trial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trial
        assert state_of(resilient) == "half_open"  # neither a failure nor a success
        server.behaviour = ok({})
        assert isinstance(await ask(resilient), Completion)
        assert state_of(resilient) == "closed"


async def test_calls_with_little_time_do_not_count(clock: Clock) -> None:
    """Otherwise events with little time would change the state of the breaker."""
    breaker = BreakerOptions(failures=2, reset_s=30.0)
    little_s = SHORT_S / 4
    async with served(hang, breaker=breaker, timeout_s=SHORT_S, retries=ONCE) as (resilient, _):
        assert [
            (await failed(resilient, deadline_s)).healthy
            for deadline_s in (DEADLINE_S, little_s, DEADLINE_S)
        ] == [
            False,
            True,
            False,
        ]
        assert state_of(resilient) == "open"
        clock.now_s += 30
        for _ in range(2):
            failure = await failed(resilient, little_s)
            assert (failure.status, failure.calls) == ("timeout", 1), "another one is let through"
            assert state_of(resilient) == "half_open"


async def test_cancelled_callers_free_their_places() -> None:
    """Otherwise each cancelled event would use up one of the concurrent calls."""
    async with served(hang, concurrency=2) as (resilient, server):
        tasks = [asyncio.create_task(ask(resilient)) for _ in range(6)]
        await until(lambda: len(server.requests) == 2)
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
