"""The HTTP client of one endpoint; nothing leaves this machine but the request.

- Redirects are not followed: a redirect could send the event and the key to any host.
- What the openai package adds from the environment or about this machine is removed.
- Proxies of the environment are used, because in many networks nothing can leave without one. Who
  sets them also runs this worker. Loopback addresses are never reached through a proxy.
"""

from collections.abc import AsyncIterator

import httpx2
import openai

from inference.llm.client.failure import LlmFailure
from inference.llm.client.reply import MAX_ANSWER_BYTES

_SENT_HEADERS = {
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-stainless-raw-response",  # the openai package reads it again when the response arrives
}
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def open_client(base_url: str, key: str) -> openai.AsyncOpenAI:
    """Open a client that sends `key` to `base_url`.

    It has no time limit and makes no retries: the caller must limit each call.

    Raises:
        httpx2.InvalidURL: `base_url` is no URL that the HTTP client can use.
    """
    http = httpx2.AsyncClient(
        follow_redirects=False,
        headers={"Accept-Encoding": "identity"},
        mounts={f"all://{host}": None for host in _LOOPBACK},
        event_hooks={"request": [_strip_headers], "response": [_limit_body]},
    )
    return openai.AsyncOpenAI(
        base_url=base_url,
        api_key=key,
        # Set here as well: OPENAI_CUSTOM_HEADERS could replace it with the key of another service.
        default_headers={"Authorization": f"Bearer {key}"},
        max_retries=0,
        # Its time limits hold for one read each, so a slow drip of bytes would never end.
        timeout=None,
        http_client=http,
    )


async def _strip_headers(request: httpx2.Request) -> None:
    """Remove what the environment adds: an organisation, and the system and versions used here."""
    for header in set(request.headers) - _SENT_HEADERS:
        del request.headers[header]


async def _limit_body(response: httpx2.Response) -> None:
    """Refuse a compressed body, and limit the size of every other one.

    A megabyte of compressed bytes could become a gigabyte in memory.
    """
    if response.headers.get("content-encoding", "identity") != "identity":
        raise LlmFailure(
            "unavailable",
            "the answer is compressed, which was not asked for; check the proxy of the service",
            healthy=False,
        )
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _LimitedStream(response.stream)


class _LimitedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received_bytes = 0
        async for part in self._stream:
            received_bytes += len(part)
            if received_bytes > MAX_ANSWER_BYTES:
                raise LlmFailure(
                    "invalid_answer", f"the answer is longer than {MAX_ANSWER_BYTES} bytes"
                )
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
