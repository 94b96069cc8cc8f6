"""What stands between a question and an endpoint: turns, rate, breaker and retries, all within the event's time."""

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

State = Literal["closed", "half_open", "open"]


class RetryBudget:
    """How many retries all endpoints together may still make; one per process.

    A token bucket (Finagle's RetryBudget; Beyer et al., 2016, "Site Reliability Engineering", chapter 22): without it
    every layer's retries multiply the load of a service that is already failing.
    """

    def __init__(self, options: RetryOptions) -> None:
        self._share = options.budget_share
        self._reserve = float(options.budget_reserve)
        self._saved = self._reserve

    def earn(self) -> None:
        """A question's first call has left."""
        self._saved = min(self._saved + self._share, self._reserve)

    def take(self) -> bool:
        """Whether one more retry may be made; it is then paid for."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


class ResilientEndpoint:
    """One endpoint, asked no more often, no longer and no more stubbornly than its options allow.

    The breaker (Nygard, 2018, "Release It!") counts failures in a row that are the endpoint's own. What an event
    caused shows that the endpoint works; a call that was cancelled, or cut off by its event's deadline, shows nothing.
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
        self._turns = asyncio.Semaphore(endpoint.options.concurrency)
        # One at a time, evenly: a bucket of a minute's size would let two minutes' worth through in its first.
        per_minute = endpoint.options.requests_per_minute
        self._rate = AsyncLimiter(1, 60 / per_minute) if per_minute else None
        self._breaker = CircuitBreaker(
            name=endpoint.name, config=_in_a_row(breaker), classifier=_Unhealthy()
        )
        self._left_alone_until_s = 0.0

    @property
    def attempts(self) -> int:
        """How often one question may be asked."""
        return self._retries.attempts

    @property
    def state(self) -> State:
        """The breaker's state; an open one turns half open with the first question after its time."""
        return cast("State", self._breaker.state.value)

    async def complete(
        self, messages: list[dict[str, str]], schema: dict[str, Any], *, deadline_s: float
    ) -> Completion:
        """Ask one question within `deadline_s` seconds, waiting and retries included.

        Raises:
            LlmFailure: there is no answer; usage and calls are of all attempts.
        """
        asked = _Asked(messages, schema, time.monotonic() + deadline_s)
        retrying = AsyncRetrying(
            retry=retry_if_exception(_retryable),
            wait=self._wait_s,
            stop=partial(self._gives_up, asked),
            reraise=True,
        )
        try:
            completion: Completion = await retrying(self._attempt, asked)
        except LlmFailure as failure:
            failure.calls, failure.usage, failure.cut_off = (
                asked.tally.calls,
                asked.tally.usage,
                asked.tally.cut_off,
            )
            raise
        return replace(
            completion,
            calls=asked.tally.calls,
            usage=asked.tally.usage,
            cut_off=asked.tally.cut_off,
        )

    async def close(self) -> None:
        """Close the endpoint's connections."""
        await self._endpoint.close()

    async def _attempt(self, asked: "_Asked") -> Completion:
        try:
            async with asyncio.timeout(asked.left_s()) as patience, self._turns:
                await self._turn(asked)
                patience.reschedule(
                    None
                )  # from here on the endpoint keeps the time: it knows whose fault an end is
                return await self._admitted(asked)
        except TimeoutError:
            message = "no turn came in time: raise concurrency or requests_per_minute"
            raise LlmFailure("timeout", message) from None

    async def _turn(self, asked: "_Asked") -> None:
        if (
            time.monotonic() < self._left_alone_until_s
        ):  # nobody waits only to be told that the breaker is open
            raise _left_alone()
        if self._rate is not None:
            await self._rate.acquire()
        if asked.left_s() <= 0:
            raise TimeoutError

    async def _admitted(self, asked: "_Asked") -> Completion:
        try:
            # The last thing before the call: the breaker may have opened while this one waited for its turn.
            return cast("Completion", await self._breaker.call_async(self._call, asked))
        except CircuitOpenError as rejection:
            self._left_alone_until_s = time.monotonic() + (rejection.retry_after or 0.0)
            failure = _left_alone()
        except _CutOff as cut_off:
            failure = cut_off.failure
        raise failure

    async def _call(self, asked: "_Asked") -> Completion:
        if not asked.tally.calls:
            self._budget.earn()
        try:
            completion = await self._endpoint.complete(
                asked.messages, asked.schema, limit_s=asked.left_s()
            )
        except LlmFailure as failure:
            unsaid = failure.status == "timeout" and failure.calls > 0
            asked.tally.add(failure.calls, failure.usage, cut_off=int(unsaid))
            if failure.status == "timeout" and failure.healthy:
                raise _CutOff(failure) from None
            raise
        asked.tally.add(completion.calls, completion.usage)
        return completion

    def _wait_s(self, state: RetryCallState) -> float:
        """Full jitter (Brooker, 2015, "Exponential Backoff And Jitter"), on top of what the server asks for."""
        jitter = wait_random_exponential(self._retries.wait_initial_s, self._retries.wait_max_s)
        return jitter(state) + (_failure(state).retry_after_s or 0.0)

    def _gives_up(self, asked: "_Asked", state: RetryCallState) -> bool:
        # The budget comes last: a retry that will not be made must not be paid for.
        last = (
            state.attempt_number >= self._retries.attempts or state.upcoming_sleep >= asked.left_s()
        )
        return last or not self._budget.take()


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question, until when it may be asked, and what it has cost so far."""

    messages: list[dict[str, str]]
    schema: dict[str, Any]
    until_s: float
    tally: CallUsage = field(default_factory=CallUsage)

    def left_s(self) -> float:
        return self.until_s - time.monotonic()


class _CutOff(BaseException):
    """A call that was given too little time to say anything about its endpoint.

    Like a cancellation it must pass the breaker as no Exception: of those each is a failure or a success.
    """

    def __init__(self, failure: LlmFailure) -> None:
        super().__init__()
        self.failure = failure


class _Unhealthy:
    """What the breaker counts as failures."""

    def is_failure(self, *, result: object, exception: Exception | None) -> bool:  # noqa: ARG002 - interlock's protocol
        return exception is not None and not (
            isinstance(exception, LlmFailure) and exception.healthy
        )


def _in_a_row(breaker: BreakerOptions) -> Config:
    return Config(
        window_size=breaker.failures,
        minimum_number_of_calls=breaker.failures,
        failure_rate_threshold=1.0,
        slow_call_duration_threshold=math.inf,  # a slow answer is an answer; its time is bounded elsewhere
        permitted_calls_in_half_open=1,
        wait_duration_in_open=breaker.reset_s,
    )


def _retryable(error: BaseException) -> bool:
    return isinstance(error, LlmFailure) and error.retryable


def _failure(state: RetryCallState) -> LlmFailure:
    return cast("LlmFailure", state.outcome.exception() if state.outcome else None)


def _left_alone() -> LlmFailure:
    return LlmFailure(
        "breaker_open",
        "the endpoint failed too often in a row and is left alone for a while",
        calls=0,
    )
