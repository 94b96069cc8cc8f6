"""What stands between a question and an endpoint, against a real HTTP server."""

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
NEVER = BreakerOptions(failures=10_000)
BROKEN = body({"error": {"code": 500}, "usage": USAGE})
"""A failed call that is billed all the same."""


@asynccontextmanager
async def guarded(
    behaviour: Behaviour,
    *,
    retries: RetryOptions | None = None,
    breaker: BreakerOptions = NEVER,
    budget: RetryBudget | None = None,
    **options: Any,
) -> AsyncIterator[tuple[ResilientEndpoint, LlmServer]]:
    """A guard and the server behind it."""
    retries = retries or RetryOptions(**QUICK)
    async with LlmServer(behaviour) as server:
        # A fixed mode: the search for one makes calls of its own.
        chosen: dict[str, Any] = {
            "model": "small",
            "response_mode": "none",
            "timeout_s": 2.0,
        } | options
        endpoint = Endpoint(
            "small", EndpointOptions(base_url=server.base_url, **chosen), environ={}
        )
        guard = ResilientEndpoint(endpoint, retries, breaker, budget or RetryBudget(retries))
        try:
            yield guard, server
        finally:
            await guard.close()


async def ask(guard: ResilientEndpoint, deadline_s: float = 5.0) -> Completion | LlmFailure:
    """How one question ends."""
    try:
        return await guard.complete(MESSAGES, SCHEMA, deadline_s=deadline_s)
    except LlmFailure as failure:
        return failure


async def failed(guard: ResilientEndpoint, deadline_s: float = 5.0) -> LlmFailure:
    """The failure one question ends with."""
    outcome = await ask(guard, deadline_s)
    assert isinstance(outcome, LlmFailure)
    return outcome


async def test_retries_are_counted_and_billed() -> None:
    """A bad moment would end an event, or the failed attempts' tokens would be missing from its cost."""
    async with guarded(in_turn(error(500), BROKEN, ok({}))) as (guard, server):
        outcome = await ask(guard)
    assert isinstance(outcome, Completion)
    assert (outcome.calls, outcome.usage, len(server.requests)) == (3, Usage(200, 40), 3)


async def test_attempts_end() -> None:
    """An event would be asked about for ever."""
    async with guarded(BROKEN) as (guard, server):
        failure = await failed(guard)
    assert (failure.status, failure.calls, failure.usage) == ("unavailable", 3, Usage(300, 60))
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "behaviour", [error(401), error(429, "insufficient_quota"), body(completion(None))]
)
async def test_what_no_retry_cures_is_asked_once(behaviour: Behaviour) -> None:
    """Each such event would cost three calls."""
    async with guarded(behaviour) as (guard, _):
        assert (await failed(guard)).calls == 1


@pytest.mark.parametrize(
    "limit",
    [error(429, Retry_After="1"), error(429, retry_after_ms="400"), error(503, Retry_After="1")],
)
async def test_retry_after_is_obeyed(limit: Behaviour) -> None:
    """A server that asks for patience would be asked again at once, and close the account in the end."""
    started_s = time.monotonic()
    async with guarded(in_turn(limit, ok({}))) as (guard, _):
        outcome = await ask(guard)
    assert isinstance(outcome, Completion)
    assert outcome.calls == 2
    assert 0.4 <= time.monotonic() - started_s < 2.0


async def test_a_retry_after_longer_than_what_is_left() -> None:
    """An event would wait out its whole time for a retry that can never be made."""
    budget = RetryBudget(RetryOptions(budget_reserve=1, budget_share=0))
    started_s = time.monotonic()
    async with guarded(error(429, Retry_After="30"), budget=budget) as (guard, _):
        failure = await failed(guard)
    assert time.monotonic() - started_s < 1.0
    assert (failure.status, failure.calls, failure.retry_after_s) == ("rate_limited", 1, 30.0)
    assert budget.take()  # a retry that was not made is not paid for


async def test_the_last_attempt_pays_for_no_retry() -> None:
    """The budget would shrink without any retry being made."""
    budget = RetryBudget(RetryOptions(budget_reserve=2, budget_share=0))
    async with guarded(error(500), budget=budget, retries=RetryOptions(attempts=2, **QUICK)) as (
        guard,
        _,
    ):
        await failed(guard)
    assert [budget.take(), budget.take()] == [True, False]


async def test_the_budget_bounds_retries_in_an_outage() -> None:
    """A service that is down would be sent three times its load just when it comes back."""
    retries = RetryOptions(budget_share=0.2, budget_reserve=10, **QUICK)
    async with guarded(error(500), retries=retries, concurrency=20) as (guard, server):
        outcomes = await asyncio.gather(*(ask(guard, 20.0) for _ in range(200)))
    assert {outcome.status for outcome in outcomes if isinstance(outcome, LlmFailure)} == {
        "unavailable"
    }
    calls = sum(outcome.calls for outcome in outcomes)
    assert calls == len(server.requests)
    assert 200 < calls <= 200 * 1.2 + 10
    tell(f"200 questions in an outage: {calls} calls, 600 without a budget")


async def test_two_endpoints_share_a_budget() -> None:
    """Each tier would multiply the load on its own account."""
    budget = RetryBudget(RetryOptions(budget_share=0, budget_reserve=3))
    async with (
        guarded(error(500), budget=budget) as (one, _),
        guarded(error(500), budget=budget) as (other, _),
    ):
        assert ((await failed(one)).calls, (await failed(other)).calls) == (3, 2)


async def test_one_deadline_for_all_attempts() -> None:
    """An event would take three times the time it has."""
    started_s = time.monotonic()
    async with guarded(hang, timeout_s=0.3) as (guard, _):
        failure = await failed(guard, deadline_s=0.5)
    assert time.monotonic() - started_s < 1.0
    assert (failure.status, failure.calls) == ("timeout", 2)


async def test_no_time_left() -> None:
    """An event whose time is up would be asked about, and paid for, all the same."""
    async with guarded(ok({})) as (guard, server):
        failure = await failed(guard, deadline_s=0.0)
    assert (failure.status, failure.calls, server.requests) == ("timeout", 0, [])


async def test_waiting_for_a_turn_counts() -> None:
    """Events behind a slow endpoint would pile up, each far beyond its time."""
    async with guarded(slow(0.25, ok({})), concurrency=1, timeout_s=0.3) as (guard, server):
        outcomes = await asyncio.gather(*(ask(guard, 0.35) for _ in range(4)))
    answered = [outcome for outcome in outcomes if isinstance(outcome, Completion)]
    assert len(answered) == 1
    assert len(server.requests) == 2
    late = [outcome for outcome in outcomes if isinstance(outcome, LlmFailure)]
    assert {(failure.status, failure.healthy, failure.calls) for failure in late} == {
        ("timeout", True, 0),
        ("timeout", True, 1),  # it was given the rest of its event's time, far less than its own
    }


async def test_concurrency() -> None:
    """A local server that takes two requests at a time would be given all of them."""
    most = running = 0

    async def counting(request: Request) -> Any:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return await ok({})(request)

    async with guarded(counting, concurrency=2) as (guard, server):
        await asyncio.gather(*(ask(guard) for _ in range(10)))
    assert (most, len(server.requests)) == (2, 10)


async def test_rate() -> None:
    """A provider's limit would be broken from the first minute on."""
    started_s = time.monotonic()
    async with guarded(ok({}), requests_per_minute=1200, concurrency=8) as (guard, _):
        outcomes = await asyncio.gather(*(ask(guard) for _ in range(8)))
    assert all(isinstance(outcome, Completion) for outcome in outcomes)
    assert time.monotonic() - started_s >= 7 * 60 / 1200


async def test_the_breaker_opens_and_tries_with_one() -> None:
    """A service that is down would be asked by every event, and flooded the moment it might be back."""
    breaker = BreakerOptions(failures=3, reset_s=0.2)
    once = RetryOptions(attempts=1)
    async with guarded(error(500), retries=once, breaker=breaker, concurrency=20) as (
        guard,
        server,
    ):
        assert guard.state == "closed"
        assert [(await failed(guard)).status for _ in range(4)] == [
            *["unavailable"] * 3,
            "breaker_open",
        ]
        assert (guard.state, len(server.requests)) == ("open", 3)
        outcomes = await asyncio.gather(*(failed(guard) for _ in range(20)))
        assert {(outcome.status, outcome.calls) for outcome in outcomes} == {("breaker_open", 0)}
        assert len(server.requests) == 3

        await asyncio.sleep(0.25)
        server.behaviour = slow(0.1, error(500))
        probing = asyncio.gather(*(failed(guard) for _ in range(20)))
        await asyncio.sleep(0.05)
        assert guard.state == "half_open"
        assert sorted(outcome.status for outcome in await probing) == [
            *["breaker_open"] * 19,
            "unavailable",
        ]
        assert (guard.state, len(server.requests)) == ("open", 4)

        await asyncio.sleep(0.25)
        server.behaviour = slow(0.1, ok({}))
        outcomes_ = await asyncio.gather(*(ask(guard) for _ in range(20)))
        assert sum(isinstance(outcome, Completion) for outcome in outcomes_) == 1
        assert (guard.state, len(server.requests)) == ("closed", 5)
        assert isinstance(await ask(guard), Completion)


async def test_what_an_event_caused_opens_no_breaker() -> None:
    """One attacker's text that the model refuses would switch the tier off for every tenant."""
    breaker = BreakerOptions(failures=2)
    for behaviour in (
        body(completion(None, refusal="no")),
        error(400),
        error(429, Retry_After="60"),
    ):
        async with guarded(behaviour, breaker=breaker) as (guard, _):
            for _ in range(4):
                await failed(guard)
            assert guard.state == "closed"


async def test_an_answer_in_between_keeps_it_closed() -> None:
    """An endpoint that fails now and then would be left alone, though most of its answers are good."""
    behaviour = in_turn(error(500), error(500), ok({}), error(500), error(500), ok({}))
    async with guarded(
        behaviour, breaker=BreakerOptions(failures=3), retries=RetryOptions(attempts=1)
    ) as (guard, _):
        for _ in range(6):
            await ask(guard)
        assert guard.state == "closed"


async def test_hanging_calls_open_the_breaker() -> None:
    """Each event would wait out its time at an endpoint that has not answered for hours."""
    breaker = BreakerOptions(failures=2)
    async with guarded(hang, breaker=breaker, timeout_s=0.1, retries=RetryOptions(attempts=1)) as (
        guard,
        server,
    ):
        assert [(await failed(guard)).status for _ in range(3)] == [
            "timeout",
            "timeout",
            "breaker_open",
        ]
    assert len(server.requests) == 2


async def test_an_answer_from_before_does_not_close_it() -> None:
    """A slow answer to an old question would let everybody through to a service that is down."""
    behaviour = in_turn(slow(0.2, ok({})), error(500))
    async with guarded(
        behaviour, breaker=BreakerOptions(failures=2), retries=RetryOptions(attempts=1)
    ) as (guard, _):
        early = asyncio.create_task(ask(guard))
        await asyncio.sleep(0.05)
        await failed(guard)
        await failed(guard)
        assert guard.state == "open"
        assert isinstance(await early, Completion)
        assert guard.state == "open"


async def test_a_cancelled_probe_gives_its_place_back() -> None:
    """A worker that was rebalanced in the wrong moment would never ask its endpoint again."""
    breaker = BreakerOptions(failures=1, reset_s=0.05)
    async with guarded(error(500), breaker=breaker, retries=RetryOptions(attempts=1)) as (
        guard,
        server,
    ):
        await failed(guard)
        await asyncio.sleep(0.1)
        server.behaviour = hang
        probe = asyncio.create_task(ask(guard))
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert guard.state == "half_open"  # neither a failure nor a success
        server.behaviour = ok({})
        assert isinstance(await ask(guard), Completion)
        assert guard.state == "closed"


async def test_calls_with_little_time_say_nothing() -> None:
    """Events at the end of their time would close the breaker of an endpoint that hangs, or keep it from opening."""
    breaker = BreakerOptions(failures=2, reset_s=0.05)
    async with guarded(hang, breaker=breaker, timeout_s=0.2, retries=RetryOptions(attempts=1)) as (
        guard,
        server,
    ):
        assert [(await failed(guard, deadline_s)).healthy for deadline_s in (5.0, 0.05, 5.0)] == [
            False,
            True,
            False,
        ]
        assert guard.state == "open"
        await asyncio.sleep(0.1)
        assert (await failed(guard, 0.05)).status == "timeout"
        assert guard.state == "half_open"
        server.behaviour = ok({})
        assert isinstance(await ask(guard), Completion)


async def test_cancelled_callers_give_their_turns_back() -> None:
    """Each cancelled event would take one of the endpoint's concurrent calls with it."""
    async with guarded(hang, concurrency=2, timeout_s=30.0) as (guard, server):
        asked = [asyncio.create_task(ask(guard, 30.0)) for _ in range(6)]
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        server.behaviour = ok({})
        outcomes = await asyncio.gather(*(ask(guard) for _ in range(4)))
        assert all(isinstance(outcome, Completion) for outcome in outcomes)


async def test_an_open_breaker_ends_the_retries() -> None:
    """The calls already made would be missing from the event's cost."""
    async with guarded(BROKEN, breaker=BreakerOptions(failures=2)) as (guard, _):
        failure = await failed(guard)
    assert (failure.status, failure.calls, failure.usage) == ("breaker_open", 2, Usage(200, 40))


async def test_retries_are_quiet(caplog: pytest.LogCaptureFixture) -> None:
    """A retry library's own log lines would carry the question, its metrics would stand beside ours."""
    caplog.set_level(logging.DEBUG)
    async with guarded(error(500)) as (guard, _):
        await failed(guard)
    assert "label this" not in caplog.text
    assert "secret-in-error" not in caplog.text
    assert not [
        metric.name
        for metric in REGISTRY.collect()
        if metric.name.startswith(("stamina", "tenacity"))
    ]


def test_the_budget_saves_no_more_than_its_reserve() -> None:
    """A quiet night would save up for a storm of retries in the morning."""
    budget = RetryBudget(RetryOptions(budget_share=0.5, budget_reserve=2))
    for _ in range(100):
        budget.earn()
    assert [budget.take() for _ in range(3)] == [True, True, False]
    budget.earn()
    assert not budget.take()
    budget.earn()
    assert budget.take()
