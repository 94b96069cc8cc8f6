"""Calls an endpoint with limits on concurrency and rate, a breaker, and retries.

All of this happens within the time of the event.
"""

import asyncio
import math
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, cast

from aiolimiter import AsyncLimiter
from interlock import CircuitBreaker, CircuitOpenError, Config
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception
from tenacity.wait import wait_random_exponential

from inference.llm.client.endpoint import Completion, Endpoint
from inference.llm.client.failure import CallUsage, LlmFailure
from inference.llm.options import BreakerOptions, RetryOptions

BreakerState = Literal["closed", "half_open", "open"]


class RetryBudget:
    """How many retries all endpoints together may still make; there is one per process.

    It is a token bucket (Finagle's RetryBudget; Beyer et al., 2016, "Site Reliability Engineering",
    chapter 22). Without it, the retries of every layer multiply the load of a service that is
    already failing.
    """

    def __init__(self, options: RetryOptions) -> None:
        self._share = options.budget_share
        self._reserve = float(options.budget_reserve)
        self._saved = self._reserve

    def earn(self) -> None:
        """Save a share of a retry, for the first call of a prompt."""
        self._saved = min(self._saved + self._share, self._reserve)

    def take(self) -> bool:
        """Pay for one more retry, if it may be made; return whether it may."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


class ResilientEndpoint:
    """One endpoint with the limits of its options: how often, how long and how many times to call.

    The breaker (Nygard, 2018, "Release It!") counts failures in a row that the endpoint causes. A
    failure that an event causes shows that the endpoint works. A call shows nothing if it was
    cancelled, or cut off by the deadline of its event.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        retries: RetryOptions,
        breaker: BreakerOptions,
        budget: RetryBudget,
    ) -> None:
        self._endpoint = endpoint
        self._retries = retries
        self._budget = budget
        self._slots = asyncio.Semaphore(endpoint.options.concurrency)
        # One call per interval. A bucket for a whole minute would let the calls of two minutes
        # through in the first one.
        per_minute = endpoint.options.requests_per_minute
        self._rate = AsyncLimiter(1, 60 / per_minute) if per_minute else None
        self._breaker = CircuitBreaker(
            name=endpoint.name, config=_breaker_config(breaker), classifier=_EndpointFailures()
        )
        self._breaker_open_until_s = 0.0

    @property
    def attempts(self) -> int:
        """How many times one prompt may be sent."""
        return self._retries.attempts

    @property
    def state(self) -> BreakerState:
        """The state of the breaker; an open one is half open from the first call after its time."""
        return cast("BreakerState", self._breaker.state.value)

    async def complete(
        self, messages: list[dict[str, str]], schema: dict[str, Any], *, deadline_s: float
    ) -> Completion:
        """Send one prompt within `deadline_s` seconds, with all waiting and retries.

        Raises:
            LlmFailure: there is no answer. Its usage and calls are sums over all attempts.
        """
        request = _Request(messages, schema, time.monotonic() + deadline_s)
        call_usage = request.call_usage
        retrying = AsyncRetrying(
            retry=retry_if_exception(_is_retryable),
            wait=self._wait_s,
            stop=partial(self._gives_up, request),
            reraise=True,
        )
        try:
            completion: Completion = await retrying(self._attempt, request)
        except LlmFailure as failure:
            failure.calls, failure.usage = call_usage.calls, call_usage.usage
            failure.cut_off = call_usage.cut_off
            raise
        return replace(
            completion,
            calls=call_usage.calls,
            usage=call_usage.usage,
            cut_off=call_usage.cut_off,
        )

    async def close(self) -> None:
        """Close the endpoint's connections."""
        await self._endpoint.close()

    async def _attempt(self, request: "_Request") -> Completion:
        try:
            async with asyncio.timeout(request.remaining_s()) as timeout, self._slots:
                await self._wait_for_turn(request)
                # From here on the endpoint keeps the time, because it knows whether a timeout is
                # its own fault.
                timeout.reschedule(None)
                return await self._call_if_closed(request)
        except TimeoutError:
            message = "no turn came in time: raise concurrency or requests_per_minute"
            raise LlmFailure("timeout", message) from None

    async def _wait_for_turn(self, request: "_Request") -> None:
        # A prompt does not wait for its turn if the breaker would refuse it anyway.
        if time.monotonic() < self._breaker_open_until_s:
            raise _breaker_is_open()
        if self._rate is not None:
            await self._rate.acquire()
        if request.remaining_s() <= 0:
            raise TimeoutError

    async def _call_if_closed(self, request: "_Request") -> Completion:
        try:
            # The breaker is asked last: it may have opened while the prompt waited for its turn.
            return cast("Completion", await self._breaker.call_async(self._call, request))
        except CircuitOpenError as rejection:
            self._breaker_open_until_s = time.monotonic() + (rejection.retry_after or 0.0)
            failure = _breaker_is_open()
        except _CutOff as cut_off:
            failure = cut_off.failure
        raise failure

    async def _call(self, request: "_Request") -> Completion:
        if not request.call_usage.calls:
            self._budget.earn()
        try:
            completion = await self._endpoint.complete(
                request.messages, request.schema, limit_s=request.remaining_s()
            )
        except LlmFailure as failure:
            cut_off = failure.status == "timeout" and failure.calls > 0
            request.call_usage.add(failure.calls, failure.usage, cut_off=int(cut_off))
            if failure.status == "timeout" and failure.healthy:
                raise _CutOff(failure) from None
            raise
        request.call_usage.add(completion.calls, completion.usage)
        return completion

    def _wait_s(self, state: RetryCallState) -> float:
        """The wait before a retry: full jitter, added to the wait that the server asks for.

        See Brooker, 2015, "Exponential Backoff And Jitter".
        """
        jitter = wait_random_exponential(self._retries.wait_initial_s, self._retries.wait_max_s)
        return jitter(state) + (_failure(state).retry_after_s or 0.0)

    def _gives_up(self, request: "_Request", state: RetryCallState) -> bool:
        if state.attempt_number >= self._retries.attempts:
            return True
        if state.upcoming_sleep >= request.remaining_s():
            return True
        # The budget is asked last, so that only a retry that will be made is paid for.
        return not self._budget.take()


@dataclass(frozen=True, slots=True)
class _Request:
    """One prompt, the instant at which its time ends, and what it has cost so far."""

    messages: list[dict[str, str]]
    schema: dict[str, Any]
    ends_at_s: float
    call_usage: CallUsage = field(default_factory=CallUsage)

    def remaining_s(self) -> float:
        return self.ends_at_s - time.monotonic()


class _CutOff(BaseException):
    """A call had too little time to show anything about its endpoint.

    It must pass the breaker like a cancellation. The breaker counts every `Exception` as a failure
    or as a success, so this is none.
    """

    def __init__(self, failure: LlmFailure) -> None:
        super().__init__()
        self.failure = failure


class _EndpointFailures:
    """Tells the breaker which calls to count as failures."""

    def is_failure(
        self,
        *,
        result: object,  # noqa: ARG002 - the protocol of interlock
        exception: Exception | None,
    ) -> bool:
        if isinstance(exception, LlmFailure):
            return not exception.healthy
        return exception is not None


def _breaker_config(breaker: BreakerOptions) -> Config:
    """Open after `failures` failures in a row, and then try with one call."""
    return Config(
        window_size=breaker.failures,
        minimum_number_of_calls=breaker.failures,
        failure_rate_threshold=1.0,
        # A slow answer is still an answer, and its time is limited elsewhere.
        slow_call_duration_threshold=math.inf,
        permitted_calls_in_half_open=1,
        wait_duration_in_open=breaker.reset_s,
    )


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, LlmFailure) and error.retryable


def _failure(state: RetryCallState) -> LlmFailure:
    outcome = cast(
        "Any", state.outcome
    )  # there is one: only a failed attempt is followed by a wait
    return cast("LlmFailure", outcome.exception())


def _breaker_is_open() -> LlmFailure:
    return LlmFailure(
        "breaker_open",
        "the endpoint failed too often in a row and is not called for a while",
        calls=0,
    )
