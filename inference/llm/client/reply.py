"""Reads what a server sent: an answer, or a failure from the closed list.

Whatever a server sends, nothing but `LlmFailure` is raised. The known shapes are those of OpenAI's
chat completions, and those of the servers in front of them:

- Azure answers a filtered prompt with a 400.
- OpenRouter and other gateways answer a failed call with a 200 whose body is the error.
- Proxies answer with HTML.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import msgspec

from inference.llm.client.failure import LlmFailure, Usage
from schemas.codec import prepared
from schemas.visible_text import one_line

MAX_ANSWER_BYTES = 1 << 20
MAX_TOKENS = 100_000_000
"""A larger count of a server is not believed."""
MAX_MODEL_CHARS = 200
MAX_RETRY_AFTER_S = 86_400.0

_QUOTA_CODES = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "budget_exceeded",
}
_FILTER_CODES = {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}
_RETRYABLE_STATUSES = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY}
_WHAT_TO_CHECK: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "check its api_key_env or api_key_file",
    HTTPStatus.FORBIDDEN: "check what its key may do",
    HTTPStatus.NOT_FOUND: "check its base_url and model",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole answer; `model` is the model that the server names, None if it names none."""

    content: str
    model: str | None
    usage: Usage


class _Message(msgspec.Struct):
    content: Any = None
    refusal: Any = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: Any = None


class _Body(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    model: Any = None
    error: Any = None


def read_reply(body: bytes) -> Reply:
    """Return the answer in the body of a 200.

    Raises:
        LlmFailure: there is none. Its usage is what was billed, as the body says.
    """
    try:
        decoded = msgspec.json.decode(body, type=prepared(_Body))
    except (msgspec.MsgspecError, RecursionError):
        raise _no_completion() from None
    if decoded.choices is None:
        raise _failure_in_body(decoded)
    usage = _usage(decoded.usage)
    return Reply(_content(decoded.choices, usage), _model(decoded.model), usage)


def failure_of(status: int, headers: Mapping[str, str], error: object) -> LlmFailure:
    """Return the failure that an HTTP status, its headers and the `error` in its body stand for.

    The message repeats no text of the body. A key or an account that does not work is a fault of
    the endpoint, and its breaker counts it. A 400 or a 403 may be caused by the event: its text is
    too long, or a firewall before the server took it for the attack that it describes.
    """
    codes = _codes(error)
    if codes & _QUOTA_CODES or status == HTTPStatus.PAYMENT_REQUIRED:
        return LlmFailure(
            "quota_exhausted", "the account has no credit left: top it up", healthy=False
        )
    if codes & _FILTER_CODES:
        return LlmFailure("content_filter", "the service's content filter refused the prompt")
    after_s = retry_after_s(headers)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        message = "the service's rate limit is reached: lower concurrency or requests_per_minute"
        return LlmFailure("rate_limited", message, retryable=True, retry_after_s=after_s)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _RETRYABLE_STATUSES:
        message = f"the service answered {status}: see its own log or status page"
        return LlmFailure(
            "unavailable", message, retryable=True, healthy=False, retry_after_s=after_s
        )
    return _rejected(status)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the wait that a server asks for, in seconds from 0 to `MAX_RETRY_AFTER_S`, or None.

    It is in the header `retry-after-ms`, or in Retry-After in seconds or as a date (RFC 9110).
    """
    wait_s = _wait_s(headers)
    if wait_s is None:
        return None
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


def _wait_s(headers: Mapping[str, str]) -> float | None:
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    seconds = _number(headers.get("retry-after"))
    if seconds is not None:
        return seconds
    return _seconds_until(headers.get("retry-after"))


def _rejected(status: int) -> LlmFailure:
    # A redirect is not followed, because it could send the event anywhere.
    if status < HTTPStatus.BAD_REQUEST:
        return LlmFailure(
            "rejected",
            f"the service redirects ({status}): set base_url to the address that it redirects to",
            healthy=False,
        )
    what_to_check = _WHAT_TO_CHECK.get(status, "check its options")
    return LlmFailure(
        "rejected",
        f"the service refused the request ({status}): {what_to_check}",
        healthy=status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND},
    )


def _no_completion() -> LlmFailure:
    message = "the response is not a chat completion: check base_url and any proxy on the way"
    return LlmFailure("unavailable", message, retryable=True, healthy=False)


def _failure_in_body(body: _Body) -> LlmFailure:
    failure = _no_completion()
    if body.error:
        failure = failure_of(_status_in(body.error), {}, body.error)
    failure.usage = _usage(body.usage)
    return failure


def _status_in(error: object) -> int:
    """The status that a gateway names in its error, and should have sent instead of a 200."""
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, int) and code in range(400, 600):
        return code
    return HTTPStatus.BAD_GATEWAY


def _content(choices: list[_Choice], usage: Usage) -> str:
    """The text of the first choice.

    If a completion has no text, the model is the cause and not the endpoint. A second call would
    probably be billed for the same result. So it is not retried, and the breaker does not count it.
    """
    if not choices:
        raise LlmFailure("invalid_answer", "the completion has no choices", usage=usage)
    message, finish_reason = choices[0].message, choices[0].finish_reason
    if message.refusal:
        raise LlmFailure("refused", "the model declined to answer", usage=usage)
    if finish_reason == "content_filter":
        raise LlmFailure(
            "content_filter", "the service's content filter cut the answer", usage=usage
        )
    if finish_reason == "length":
        raise LlmFailure(
            "truncated", "the answer was cut off: raise max_answer_tokens", usage=usage
        )
    if not isinstance(message.content, str) or not message.content.strip():
        raise LlmFailure("invalid_answer", "the completion has no text", usage=usage)
    return message.content


def _usage(usage: object) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    return Usage(_tokens(usage.get("prompt_tokens")), _tokens(usage.get("completion_tokens")))


def _tokens(count: object) -> int:
    """A server's count of tokens; 0 if it is not a number that can be believed."""
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MAX_TOKENS:
        return 0
    return count


def _model(model: object) -> str | None:
    if not isinstance(model, str):
        return None
    return one_line(model[: 2 * MAX_MODEL_CHARS], MAX_MODEL_CHARS) or None


def _codes(error: object) -> set[str]:
    """Every code in an error; Azure nests the one that gives the reason."""
    if not isinstance(error, dict):
        return set()
    inner = error.get("innererror")
    nested = inner.get("code") if isinstance(inner, dict) else None
    return {
        code for code in (error.get("code"), error.get("type"), nested) if isinstance(code, str)
    }


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _seconds_until(date: str | None) -> float | None:
    try:
        until = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    if until.tzinfo is None:  # The zone "-0000" means a time in UTC of unknown origin.
        until = until.replace(tzinfo=UTC)
    return (until - datetime.now(UTC)).total_seconds()
