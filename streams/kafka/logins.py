"""Make refused logins rare, and notice every one of them.

A wrong password does not become right by itself, brokers count refused logins, and aiokafka tries
one every tenth of a second for each of its clients, with no setting against it. So each connection
that it opens is opened by `paced`. aiokafka also takes a refused token for an accepted one; that is
checked here too.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiokafka.client
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
)
from aiokafka.protocol.metadata import MetadataRequest

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0

Credentials = tuple[object, ...]
OpenConnection = Callable[..., Awaitable[Any]]


class LoginPacer:
    """After a refused login, makes the next one wait: twice as long after each refusal.

    `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: dict[Credentials, tuple[int, float]] = {}

    def pause_s(self, credentials: Credentials) -> float:
        """How long to wait before the next login with these credentials, in seconds."""
        refusals, last_s = self._refused.get(credentials, (0, 0.0))
        if not refusals:
            return 0.0
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (refusals - 1))
        return max(0.0, last_s + pause_s - self._clock())

    def refused(self, credentials: Credentials) -> None:
        """Note a refused login."""
        refusals, _ = self._refused.get(credentials, (0, 0.0))
        self._refused[credentials] = (refusals + 1, self._clock())

    def accepted(self, credentials: Credentials) -> None:
        """Forget what was refused."""
        self._refused.pop(credentials, None)


pacer = LoginPacer()
"""The logins of this process."""


def credentials_of(arguments: Mapping[str, Any]) -> Credentials:
    """What tells one login from another among the arguments of a connection."""
    provider = arguments.get("sasl_oauth_token_provider")
    return (
        arguments.get("sasl_mechanism"),
        arguments.get("sasl_plain_username"),
        arguments.get("sasl_plain_password"),
        getattr(provider, "identity", None),
    )


async def paced(open_connection: OpenConnection, *address: Any, **arguments: Any) -> Any:
    """Open a connection with `open_connection`, after the pause that a refused login asks for.

    Raises:
        AuthenticationFailedError, SaslAuthenticationFailed: the login is refused.
    """
    if "SASL" not in arguments.get("security_protocol", ""):
        return await open_connection(*address, **arguments)
    credentials = credentials_of(arguments)
    await asyncio.sleep(pacer.pause_s(credentials))
    try:
        connection = await open_connection(*address, **arguments)
        if arguments["sasl_mechanism"] == "OAUTHBEARER":
            await require_accepted(connection, arguments)
    except (AuthenticationFailedError, SaslAuthenticationFailed):
        pacer.refused(credentials)
        raise
    pacer.accepted(credentials)
    return connection


async def require_accepted(connection: Any, arguments: Mapping[str, Any]) -> None:
    """Ask for the brokers of the cluster.

    After the refusal of a token, which aiokafka does not read, the broker names none or hangs up.

    Raises:
        AuthenticationFailedError: the token was refused. The connection is closed.
        KafkaError, TimeoutError: the broker does not answer.
    """
    with_token = arguments.get("sasl_mechanism") == "OAUTHBEARER"
    try:
        answered = bool((await connection.send(MetadataRequest([]))).brokers)
    except KafkaConnectionError:
        if not with_token:
            raise
        answered = False
    if with_token and not answered:
        connection.close()
        raise AuthenticationFailedError("the token is refused")


def install() -> None:
    """Have every client of aiokafka in this process open its connections with `paced`."""
    open_connection = aiokafka.client.create_conn
    if getattr(open_connection, "is_paced", False):
        return

    async def create_conn(*address: Any, **arguments: Any) -> Any:
        return await paced(open_connection, *address, **arguments)

    create_conn.is_paced = True  # type: ignore[attr-defined]
    aiokafka.client.create_conn = create_conn
