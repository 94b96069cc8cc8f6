"""Tests of the endpoint against a real HTTP server.

Calls are limited in time, every failure has its status, and no failure contains the event.
"""

import asyncio
import gzip
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web

from inference.errors import ConfigError
from inference.llm.client import response_format as response_formats
from inference.llm.client.endpoint import Completion, Endpoint
from inference.llm.client.failure import LlmFailure, Usage
from inference.llm.client.reply import retry_after_s
from inference.llm.options import EndpointOptions
from tests.clock import Clock
from tests.llm_server import (
    COMPLETION_TOKENS,
    FAULTS,
    PROMPT_TOKENS,
    Behaviour,
    Fault,
    LlmServer,
    Request,
    body,
    completion,
    error,
    hang,
    html,
    in_turn,
    ok,
    only_modes,
    redirect,
    slow,
)
from tests.patience import PATIENCE_S, until

TIMEOUT_S = PATIENCE_S
"""The time limit of a call that has an answer, even on a busy machine."""
SHORT_S = 0.4
"""The time limit of a call that must end at it; a call without a limit takes for ever."""
MESSAGES = [{"role": "user", "content": "label this: secret-in-event"}]
SCHEMA = {"type": "object", "properties": {"queue": {"type": "string", "enum": ["cloud", "email"]}}}
TEXT_PARTS = {"choices": [{"message": {"content": [{"text": "x"}]}}]}
"""A completion whose content is a list of parts, not a text."""
BILLED = Usage(PROMPT_TOKENS, COMPLETION_TOKENS)
COMPLETED = {"fenced JSON", "a label outside the set", "json_schema refused with 500"}
"""Faults that still end in a completion: nothing is wrong, or `parse_answer` finds what is."""


def endpoint_at(base_url: str, environ: dict[str, str] | None = None, **options: Any) -> Endpoint:
    """An endpoint of this address."""
    defaults: dict[str, Any] = {"base_url": base_url, "timeout_s": TIMEOUT_S, "model": "small"}
    return Endpoint("small", EndpointOptions(**(defaults | options)), environ=environ or {})


@asynccontextmanager
async def served(behaviour: Behaviour, **options: Any) -> AsyncIterator[tuple[Endpoint, LlmServer]]:
    """An endpoint and the server that it calls."""
    async with LlmServer(behaviour) as server:
        endpoint = endpoint_at(server.base_url, **options)
        try:
            yield endpoint, server
        finally:
            await endpoint.close()


async def failure(endpoint: Endpoint) -> LlmFailure:
    """The failure that a call ends with."""
    with pytest.raises(LlmFailure) as raised:
        await endpoint.complete(MESSAGES, SCHEMA)
    return raised.value


async def failure_with(behaviour: Behaviour, **options: Any) -> LlmFailure:
    """The failure that a call to such a server ends with."""
    async with served(behaviour, **options) as (endpoint, _):
        return await failure(endpoint)


async def test_the_request_and_its_answer() -> None:
    """Otherwise no server could follow the schema, or nobody would know what was spent."""
    async with served(ok(queue="email")) as (endpoint, server):
        completed = await endpoint.complete(MESSAGES, SCHEMA)
    assert completed == Completion('{"queue": "email"}', BILLED, "served", completed.latency_s)
    assert 0 < completed.latency_s < TIMEOUT_S
    assert server.requests[0].body == {
        "model": "small",
        "messages": MESSAGES,
        "temperature": 0.0,
        "max_tokens": 500,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "triage", "strict": True, "schema": SCHEMA},
        },
    }


@pytest.mark.parametrize("name", FAULTS)
async def test_every_fault(name: str) -> None:
    """Otherwise a fault would hang an event, end it wrongly, lose its cost or log its text."""
    fault = FAULTS[name]
    timeout_s = SHORT_S if fault.status == "timeout" else TIMEOUT_S
    async with (
        served(fault.behaviour, timeout_s=timeout_s) as (endpoint, _),
        asyncio.timeout(PATIENCE_S),
    ):
        try:
            outcome: Completion | LlmFailure = await endpoint.complete(MESSAGES, SCHEMA)
        except LlmFailure as failed:
            outcome = failed
    assert outcome.usage == (BILLED if fault.billed else Usage())
    assert outcome.calls >= 1
    if name in COMPLETED:
        assert isinstance(outcome, Completion)
    else:
        assert_failure(outcome, fault)


def assert_failure(outcome: Completion | LlmFailure, fault: Fault) -> None:
    """Check that the status is right, and that no log of the failure can contain the event."""
    assert isinstance(outcome, LlmFailure)
    assert outcome.status == fault.status
    assert "secret" not in "".join(traceback.format_exception(outcome))
    assert not isinstance(outcome.__context__, openai.OpenAIError)  # it holds the request


@pytest.mark.parametrize(
    ("behaviour", "status", "retryable", "healthy"),
    [
        (error(429), "rate_limited", True, True),
        (error(429, "insufficient_quota"), "quota_exhausted", False, False),
        (error(402), "quota_exhausted", False, False),
        (error(503), "unavailable", True, False),
        (html(502), "unavailable", True, False),
        (error(408), "unavailable", True, False),
        (error(409), "unavailable", True, False),
        (error(425), "unavailable", True, False),
        (error(400), "rejected", False, True),
        (error(400, "content_filter"), "content_filter", False, True),
        (error(400, "context_length_exceeded"), "rejected", False, True),
        (error(401, "invalid_api_key"), "rejected", False, False),
        (error(403), "rejected", False, True),
        (error(404, "model_not_found"), "rejected", False, False),
        (error(422), "rejected", False, True),
        (body({"error": {"code": 429}}), "rate_limited", True, True),
        (body({"error": {"code": "insufficient_quota"}}), "quota_exhausted", False, False),
        (body({"error": "overloaded"}), "unavailable", True, False),
        (body({}), "unavailable", True, False),
        (body([]), "unavailable", True, False),
        (body({"choices": [{"message": None}]}), "unavailable", True, False),
        (body(completion(" \n")), "invalid_answer", False, True),
        (body(TEXT_PARTS), "invalid_answer", False, True),
        (hang, "timeout", True, False),
    ],
)  # fmt: skip
async def test_what_is_retried_and_what_counts(
    behaviour: Behaviour, status: str, retryable: bool, healthy: bool
) -> None:
    """Otherwise useless retries would cost money, or one event would open the breaker for all."""
    timeout_s = SHORT_S if status == "timeout" else TIMEOUT_S
    async with asyncio.timeout(PATIENCE_S):
        failed = await failure_with(behaviour, response_mode="none", timeout_s=timeout_s)
    assert (failed.status, failed.retryable, failed.healthy) == (status, retryable, healthy)


async def test_a_service_that_is_down() -> None:
    """Otherwise such a service would end events with a traceback."""
    async with LlmServer(hang) as server:
        base_url = server.base_url
    endpoint = endpoint_at(base_url)
    failed = await failure(endpoint)
    await endpoint.close()
    assert (failed.status, failed.retryable, failed.healthy, failed.calls) == (
        "unavailable",
        True,
        False,
        1,
    )


async def test_a_body_of_brackets_is_refused() -> None:
    """Otherwise such a body would end the worker with a RecursionError."""

    async def brackets(_: Request) -> web.Response:
        return web.Response(body=b'{"usage":' + b"[" * 500_000, content_type="application/json")

    assert (await failure_with(brackets)).status == "unavailable"


@pytest.mark.parametrize("status", [200, 400])
async def test_a_compressed_body_is_refused(status: int) -> None:
    """Otherwise a megabyte that unpacks to a gigabyte would use up the memory, even as an error."""
    packed = gzip.compress(b" " * (1 << 26))

    async def bomb(_: Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"}, status=status)

    async with served(bomb) as (endpoint, server):
        assert (await failure(endpoint)).status == "unavailable"
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


async def test_a_huge_error_is_not_read() -> None:
    """Otherwise the openai package would read the whole body of an error, of any size."""
    failed = await failure_with(body("x" * (1 << 21), status=500))
    assert (failed.status, failed.calls) == ("invalid_answer", 1)


async def test_redirects_are_not_followed() -> None:
    """Otherwise an endpoint could send the event and the key to any host."""
    async with LlmServer(ok()) as elsewhere:
        failed = await failure_with(redirect(f"{elsewhere.base_url}/chat/completions"))
    assert (failed.status, elsewhere.requests) == ("rejected", [])
    assert "redirects (307)" in str(failed)


async def test_the_environment_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise keys of other services, or versions of this machine, would go to the endpoint."""
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "secret-of-another")
    monkeypatch.setenv(
        "OPENAI_CUSTOM_HEADERS", "Authorization: secret-of-another\nX-Other: secret-of-another"
    )
    # Nothing listens at this proxy, so loopback must be reached directly.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with served(ok()) as (endpoint, server):
        await endpoint.complete(MESSAGES, SCHEMA)
    headers = server.requests[0].headers
    assert headers["Authorization"] == "Bearer none"
    assert "secret-of-another" not in str(headers)
    assert [name for name in headers if name.lower().startswith("x-")] == [
        "x-stainless-raw-response"
    ]


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise no service could be used from a network that needs a proxy."""
    async with LlmServer(ok()) as proxy:
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        endpoint = endpoint_at("http://llm.invalid/v1")
        await endpoint.complete(MESSAGES, SCHEMA)
        await endpoint.close()
    assert proxy.requests[0].headers["Host"] == "llm.invalid"


async def test_a_key_from_the_environment_or_a_file(tmp_path: Path) -> None:
    """Otherwise the line break at the end of a file would make the key wrong."""
    (tmp_path / "key").write_text("from-file\n")
    async with served(ok(), api_key_env="KEY", environ={"KEY": " from-env\n"}) as (
        endpoint,
        server,
    ):
        await endpoint.complete(MESSAGES, SCHEMA)
        from_file = endpoint_at(server.base_url, api_key_file=str(tmp_path / "key"))
        await from_file.complete(MESSAGES, SCHEMA)
        await from_file.close()
    assert [request.headers["Authorization"] for request in server.requests] == [
        "Bearer from-env",
        "Bearer from-file",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api_key_env": "NOWHERE"}, "api_key_env: the variable that it names is not set"),
        ({"api_key_env": "BAD"}, "cannot be sent in a header; look"),
        ({"api_key_env": "BYTES"}, "cannot be sent in a header; look"),
        ({"api_key_file": "/nonexistent/key"}, "api_key_file: the file cannot be read"),
    ],
)
async def test_a_key_that_cannot_be_used(options: dict[str, Any], message: str) -> None:
    """Otherwise the worker would start and fail every call, or print the key."""
    with pytest.raises(ConfigError, match=message) as raised:
        endpoint_at(
            "http://127.0.0.1:9/v1", {"BAD": "hunter2 ä", "BYTES": "hunter2\udcff"}, **options
        )
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("base_url", "warned"),
    [
        ("http://llm.example/v1", True),
        ("http://10.0.0.7:8000/v1", True),
        ("https://llm.example/v1", False),
        ("http://127.0.0.1:8000/v1", False),
        ("http://[::1]:8000/v1", False),
        ("http://localhost:8000/v1", False),
    ],
)
async def test_a_key_over_plain_http_is_warned_of(
    base_url: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Everybody on the way to the service could read the key, and nobody would notice."""
    await endpoint_at(base_url, {"KEY": "hunter2"}, api_key_env="KEY").close()
    assert ["plain http" in message for message in caplog.messages] == [True] * warned
    assert "hunter2" not in caplog.text
    caplog.clear()
    await endpoint_at(base_url).close()
    assert caplog.messages == []


@pytest.mark.parametrize("base_url", ["https://☃.com/v1", f"https://a/{'v' * 70_000}"])
def test_an_address_that_cannot_be_used(base_url: str) -> None:
    """Only the HTTP client knows all rules of a host name; its error would look like a bug."""
    with pytest.raises(ConfigError, match="base_url: no call can be made to it"):
        endpoint_at(base_url)


async def test_text_that_is_not_unicode() -> None:
    """Otherwise half of a surrogate pair in an event would raise another error."""
    async with served(ok()) as (endpoint, server):
        with pytest.raises(LlmFailure) as raised:
            await endpoint.complete([{"role": "user", "content": "\ud800"}], SCHEMA)
    assert (raised.value.status, server.requests) == ("rejected", [])


async def test_a_short_limit_shows_nothing_about_the_endpoint() -> None:
    """Otherwise events with little time would open the breaker of an endpoint that works."""
    async with served(hang) as (endpoint, _), asyncio.timeout(PATIENCE_S / 2):
        with pytest.raises(LlmFailure) as raised:
            await endpoint.complete(MESSAGES, SCHEMA, limit_s=SHORT_S)
    assert (raised.value.status, raised.value.healthy) == ("timeout", True)


async def test_a_call_can_be_cancelled() -> None:
    """Otherwise a worker that stops would wait for its last call, or count it as answered."""
    async with served(hang) as (endpoint, server):
        call = asyncio.create_task(endpoint.complete(MESSAGES, SCHEMA))
        await until(lambda: server.requests)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (None, Usage()),
        ("many", Usage()),
        ({"prompt_tokens": -5, "completion_tokens": 20}, Usage(0, 20)),
        ({"prompt_tokens": 10**30, "completion_tokens": 2.5}, Usage()),
        ({"prompt_tokens": True, "completion_tokens": "20"}, Usage()),
    ],
)
async def test_usage_that_cannot_be_believed(usage: object, counted: Usage) -> None:
    """Otherwise a server could renew the budget of the day, or use it up with one answer."""
    async with served(body(completion("{}") | {"usage": usage})) as (endpoint, _):
        assert (await endpoint.complete(MESSAGES, SCHEMA)).usage == counted


async def test_usage_of_a_call_cut_off_by_its_gateway() -> None:
    """Otherwise the costs would lack what was billed as the body of the error says."""
    failed = await failure_with(body({"error": {"code": 504}, "usage": {"prompt_tokens": 7}}))
    assert (failed.status, failed.usage) == ("unavailable", Usage(7, 0))


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        ("m" * 1000, "m" * 199 + "…"),
        ("a\u202eb\n", "ab"),
        (None, "small"),
        (["x"], "small"),
        ("", "small"),
    ],
)
async def test_the_model_that_a_server_names(model: object, kept: str) -> None:
    """Otherwise a server could fill every event with a long or hostile name."""
    async with served(body(completion("{}") | {"model": model})) as (endpoint, _):
        assert (await endpoint.complete(MESSAGES, SCHEMA)).model == kept


def in_seconds(seconds: float) -> str:
    """A date as HTTP writes it."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "1e12"}, 86_400.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Mon, 99 Foo 99999 99:99:99 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], expected_s: float | None) -> None:
    """Otherwise a server would be called again too early, or a header would end the worker."""
    assert retry_after_s(headers) == expected_s


@pytest.mark.parametrize(("seconds", "low_s", "high_s"), [(3600, 3500, 3600), (-3600, 0, 0)])
def test_retry_after_a_date(seconds: float, low_s: float, high_s: float) -> None:
    """Otherwise the date form, which many proxies use, would be ignored."""
    waited_s = retry_after_s({"retry-after": in_seconds(seconds)})
    assert waited_s is not None
    assert low_s <= waited_s <= high_s


async def test_retry_after_comes_with_the_failure() -> None:
    """Otherwise the caller would not know for how long to wait."""
    assert (await failure_with(error(429, Retry_After="7"))).retry_after_s == 7.0


@pytest.mark.parametrize(
    ("configured", "known", "tried"),
    [
        ("json_schema", ["json_schema"], ["json_schema"]),
        (
            "json_schema",
            ["json_object+schema", "json_object", "none"],
            ["json_schema", "json_object+schema"],
        ),
        ("json_schema", ["none"], ["json_schema", "json_object+schema", "json_object", "none"]),
        ("json_object", ["json_object"], ["json_object+schema", "json_object"]),
        ("none", ["none"], ["none"]),
    ],
)
@pytest.mark.parametrize("status", [400, 500])
async def test_a_weaker_response_format_is_found_and_kept(
    configured: str, known: list[str], tried: list[str], status: int
) -> None:
    """Otherwise a server without json_schema would fail, or would get two calls per event."""
    async with served(only_modes(*known, status=status), response_mode=configured) as (
        endpoint,
        server,
    ):
        first = await endpoint.complete(MESSAGES, SCHEMA)
        second = await endpoint.complete(MESSAGES, SCHEMA)
    assert server.modes == [*tried, tried[-1]]
    assert (first.calls, second.calls) == (len(tried), 1)


async def test_concurrent_first_calls_search_once() -> None:
    """Otherwise each of the first events would try every response format, or fail."""
    behaviour = slow(0.02, only_modes("none"))
    async with served(behaviour) as (endpoint, server):
        await asyncio.gather(*(endpoint.complete(MESSAGES, SCHEMA) for _ in range(8)))
    assert server.modes.count("json_schema") == 8
    assert server.modes.count("json_object") == 1
    assert server.modes.count("none") == 8


async def test_an_outage_does_not_weaken_the_response_format() -> None:
    """Otherwise one 500 of a service that is down would weaken its answers from then on."""
    async with served(error(500)) as (endpoint, server):
        assert (await failure(endpoint)).calls == 4
        assert (await failure(endpoint)).calls == 1  # at most one search per minute
        server.behaviour = ok()
        await endpoint.complete(MESSAGES, SCHEMA)
        server.behaviour = error(500)
        assert (await failure(endpoint)).calls == 1  # a format that has worked is not the cause
    assert server.modes[-3:] == ["json_schema"] * 3


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock of the test's own: on a loaded machine the real one may run ahead of it."""
    clock = Clock()
    monkeypatch.setattr(response_formats, "time", clock)
    return clock


async def test_the_search_is_repeated(clock: Clock) -> None:
    """Otherwise a server without json_schema that was down at first could never be used."""
    async with served(error(500)) as (endpoint, server):
        await failure(endpoint)
        server.behaviour = only_modes("json_object")
        clock.now_s += response_formats.SEARCH_AGAIN_S - 1
        assert (await failure(endpoint)).calls == 1
        clock.now_s += 1
        assert (await endpoint.complete(MESSAGES, SCHEMA)).calls == 3


async def test_a_weaker_response_format_is_not_kept_for_ever(clock: Clock) -> None:
    """Otherwise one short failure would weaken every answer until the next restart."""
    async with served(in_turn(error(500), ok())) as (endpoint, server):
        await endpoint.complete(MESSAGES, SCHEMA)
        clock.now_s += response_formats.KEEP_WEAKER_S - 1
        await endpoint.complete(MESSAGES, SCHEMA)
        clock.now_s += 1
        await endpoint.complete(MESSAGES, SCHEMA)
    assert server.modes == [
        "json_schema",
        "json_object+schema",
        "json_object+schema",
        "json_schema",
    ]


@pytest.mark.parametrize(
    "refusal", [error(429), error(401), error(404, "model_not_found"), error(400, "content_filter")]
)
async def test_a_refusal_of_something_else_starts_no_search(refusal: Behaviour) -> None:
    """Otherwise a wrong key or a filtered event would be sent four times."""
    assert (await failure_with(refusal)).calls == 1


async def test_a_search_is_limited_in_time() -> None:
    """Otherwise four slow refusals would take four times as long as one call may."""
    # The second refusal comes too late, however slow the machine is.
    failed = await failure_with(slow(0.6, error(500)), timeout_s=1.0)
    assert failed.status == "timeout"
    assert failed.calls <= 2


@pytest.mark.parametrize(
    ("options", "check"),
    [
        ({"temperature": None}, lambda fields: "temperature" not in fields),
        (
            {"max_tokens_field": "max_completion_tokens"},
            lambda fields: fields["max_completion_tokens"] == 500,
        ),
        ({"response_mode": "none"}, lambda fields: "response_format" not in fields),
    ],
)
async def test_options_reach_the_request(
    options: dict[str, Any], check: Callable[[dict[str, Any]], bool]
) -> None:
    """Otherwise a model that refuses the usual fields could not be used."""
    async with served(ok({}), **options) as (endpoint, server):
        await endpoint.complete(MESSAGES, SCHEMA)
    assert check(server.requests[0].body)
