"""The ways in which a prompt to an LLM can end without an answer.

The list is closed, and the same names are used in events, in metrics and in the audit trail.
"""

from dataclasses import dataclass
from typing import Literal

from inference.errors import InferenceError

FailureStatus = Literal[
    "timeout",  # no whole answer in the time of the call or of the event
    "unavailable",  # refused, reset, 5xx, or bytes that are not a completion
    "rate_limited",  # a 429 that outlasted the retries
    "quota_exhausted",  # a 429 that no retry can cure
    "rejected",  # any other 4xx: the key, the model or the request is wrong
    "breaker_open",  # the endpoint has failed too often and is not called for a while
    "over_budget",  # the dollars of the day are spent; nothing was sent
    "refused",  # the model declined to answer
    "truncated",  # the answer reached its token limit
    "content_filter",  # the filter of the service stopped the prompt or the answer
    "invalid_answer",  # an answer that does not have the form that was asked for
]


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens that the server says it has billed."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(slots=True)
class CallUsage:
    """What one prompt has cost so far.

    `calls` were sent, and `usage` was billed for them. `cut_off` of them were given up before an
    answer came: they may have been billed as well, and no server reports it.
    """

    calls: int = 0
    usage: Usage = Usage()
    cut_off: int = 0

    def add(self, calls: int, usage: Usage, cut_off: int = 0) -> None:
        """Count calls that have ended."""
        self.calls += calls
        self.usage += usage
        self.cut_off += cut_off


class LlmFailure(InferenceError):  # noqa: N818 - an expected end, not a fault of ours
    """A prompt ended without an answer.

    Args:
        status: how it ended.
        message: one sentence, which contains nothing of the event.
        usage: what was billed nevertheless, over all calls.
        calls: how many calls were sent.
        cut_off: how many of the calls may have been billed without a report.
        retry_after_s: the wait in seconds that the server asked for.
        retryable: whether the same call may succeed later.
        healthy: whether the endpoint itself works. Its breaker counts only failures of an endpoint
            that does not.
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
