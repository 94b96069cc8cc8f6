"""How a question to an LLM can end without an answer: a closed list, the same in events, metrics and audit."""

from dataclasses import dataclass
from typing import Literal

from inference.errors import InferenceError

FailureStatus = Literal[
    "timeout",  # no whole answer within the call's or the event's time
    "unavailable",  # refused, reset, 5xx, or bytes that are no completion
    "rate_limited",  # 429 that outlasted the retries
    "quota_exhausted",  # 429 that no retry can cure
    "rejected",  # any other 4xx: key, model or request is wrong
    "breaker_open",  # the endpoint is being left alone
    "over_budget",  # the day's dollars are spent; nothing was asked
    "refused",  # the model declined
    "truncated",  # the answer hit its token limit
    "content_filter",  # the service's filter took it
    "invalid_answer",  # an answer that is not what was asked for
]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens the server says it has billed."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(slots=True)
class CallUsage:
    """What one question has cost so far: the calls that left, the tokens billed for them, and how many were `cut_off`:
    they may have been billed as well, and nobody will say.
    """  # noqa: D205 - one thought

    calls: int = 0
    usage: Usage = Usage()
    cut_off: int = 0

    def add(self, calls: int, usage: Usage, cut_off: int = 0) -> None:
        """Count calls that have ended."""
        self.calls += calls
        self.usage += usage
        self.cut_off += cut_off


class LlmFailure(InferenceError):  # noqa: N818 - an expected end, not a fault of ours
    """One call ended without an answer.

    `message` is one sentence without anything of the event in it; `usage` is what was billed all the same, over all
    `calls` that left, of which `cut_off` may have been billed unsaid; `retry_after_s` what the server asked for.
    `retryable` says whether the same call may succeed later, `healthy` whether the endpoint itself works (its breaker
    counts only what is not).
    """

    def __init__(
        self,
        status: FailureStatus,
        message: str,
        *,
        usage: Usage = Usage(),
        calls: int = 1,
        cut_off: int = 0,
        retry_after_s: float | None = None,
        retryable: bool = False,
        healthy: bool = True,
    ) -> None:
        super().__init__(message)
        self.status: FailureStatus = status
        self.usage = usage
        self.calls = calls
        self.cut_off = cut_off
        self.retry_after_s = retry_after_s
        self.retryable = retryable
        self.healthy = healthy
