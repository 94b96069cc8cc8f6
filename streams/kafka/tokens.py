"""Tokens for SASL OAUTHBEARER: from a file, or from a token endpoint for client credentials.

A provider raises `AuthenticationFailedError` if it has no token. aiokafka takes that for a failed
login, and tries again later.
"""

import asyncio
import base64
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote_plus

import aiohttp
import msgspec
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError

from schemas.codec import prepared
from streams.config import KafkaSection
from streams.kafka.tls import endpoint_context

TOKEN_TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 64 * 1024
USED_SHARE = 0.8
"""A token is used for this share of its life, so that none expires on its way to the broker."""


class _Granted(msgspec.Struct):
    """The answer of a token endpoint (RFC 6749, section 5.1)."""

    access_token: str
    expires_in: float = 0.0


def token_provider(kafka: KafkaSection) -> AbstractTokenProvider:
    """The configured source of tokens.

    Raises:
        ConfigError: the secret of the client, or a certificate, cannot be read.
    """
    if kafka.oauth_token_file is not None:
        return FileTokens(Path(kafka.oauth_token_file))
    return ClientCredentials(kafka)


class FileTokens(AbstractTokenProvider):  # type: ignore[misc] # aiokafka has no types
    """Reads the token from a file before each login, so that a renewed token is taken.

    `identity` tells its logins from those of others.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.identity = str(file)

    async def token(self) -> str:
        """The content of the file, without white space around it."""
        try:
            token = (await asyncio.to_thread(self._file.read_text, "ascii")).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AuthenticationFailedError(
                f"kafka.oauth_token_file: the file cannot be read ({type(error).__name__}); name a "
                "file that holds a token"
            ) from None
        return _checked(token, "kafka.oauth_token_file")


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc] # aiokafka has no types
    """Asks a token endpoint with the client's id and secret (RFC 6749, section 4.4).

    A token is kept for `USED_SHARE` of its life. `clock` gives seconds. `identity` tells its logins
    from those of others.
    """

    def __init__(self, kafka: KafkaSection, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = kafka.oauth_token_url or ""
        self._client_id = kafka.oauth_client_id or ""
        self._secret = kafka.read_client_secret() or ""
        self._scope = kafka.oauth_scope
        self.identity = f"{self._client_id} at {self._url}"
        self._tls = endpoint_context(kafka)
        self._clock = clock
        self._token = ""
        self._used_until_s = 0.0
        self._asking = asyncio.Lock()

    async def token(self) -> str:
        """The present token, or a new one."""
        async with self._asking:
            if self._clock() >= self._used_until_s:
                granted = await self._ask()
                self._token = _checked(granted.access_token, "kafka.oauth_token_url")
                self._used_until_s = self._clock() + USED_SHARE * granted.expires_in
            return self._token

    async def _ask(self) -> _Granted:
        try:
            async with asyncio.timeout(TOKEN_TIMEOUT_S):
                status, body = await self._post()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise AuthenticationFailedError(
                f"kafka.oauth_token_url does not answer ({type(error).__name__}); "
                "check the address and that the service runs"
            ) from None
        if status != 200:  # noqa: PLR2004 - OK
            raise AuthenticationFailedError(
                f"kafka.oauth_token_url refuses to grant a token (status {status}); "
                "check kafka.oauth_client_id, its secret and kafka.oauth_scope"
            )
        try:
            return msgspec.json.decode(body, type=prepared(_Granted), strict=False)
        except msgspec.DecodeError:
            raise AuthenticationFailedError(
                "kafka.oauth_token_url answers without a token; check the address"
            ) from None

    async def _post(self) -> tuple[int, bytes]:
        form = {"grant_type": "client_credentials"}
        if self._scope is not None:
            form["scope"] = self._scope
        # Both are form-encoded before they become a header (RFC 6749, section 2.3.1).
        login = f"{quote_plus(self._client_id)}:{quote_plus(self._secret)}"
        header = f"Basic {base64.b64encode(login.encode()).decode()}"
        connector = aiohttp.TCPConnector(ssl=self._tls)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            # A redirect would carry the secret to another address.
            session.post(
                self._url,
                data=form,
                headers={"Authorization": header, "Accept": "application/json"},
                allow_redirects=False,
            ) as answer,
        ):
            body = b""
            async for part in answer.content.iter_any():
                body += part
                if len(body) > MAX_ANSWER_BYTES:
                    raise ValueError("the answer is too long")
            return answer.status, body


def _checked(token: str, source: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise AuthenticationFailedError(
            f"{source} gives no token that can be sent; check what it holds"
        )
    return token
