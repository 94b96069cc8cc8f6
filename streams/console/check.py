"""Whether the console could be started as it is configured; its port is not opened."""

import errno
import socket
from contextlib import closing

from inference.errors import ConfigError
from streams.config import ConsoleSection, Settings
from streams.console.access import Access
from streams.listening import server_context

HOW_KNOWN = {
    "open": "whoever is on this machine is its admin",
    "token": "people show a token",
    "proxy": "a proxy says who somebody is",
}


def check_console(settings: Settings) -> Access:
    """Check `[console]`, the file of people and the certificate; who may use the console.

    Raises:
        ConfigError: the console would be open to others, or cannot be started so.
    """
    section = settings.console
    access = Access(section)
    check_reviewer(settings)
    server_context(
        section.ssl_certfile,
        section.ssl_keyfile,
        key="console.ssl_certfile",
        files="console.ssl_certfile and console.ssl_keyfile",
    )
    return access


def check_reviewer(settings: Settings) -> None:
    """Check that the reviewer whose key the console signs with is one.

    Raises:
        ConfigError: there is no such reviewer.
    """
    name = settings.console.reviewer
    if name is not None and name not in {section.name for section in settings.reviewers}:
        raise ConfigError(
            f"names {name!r}, which is none of the reviewers; add it to [[reviewers]]",
            key="console.reviewer",
        )


def describe_console(settings: Settings) -> str:
    """Where the console would be served and who may use it, in a sentence.

    Raises:
        ConfigError: as `check_console`, and if the address cannot be had on this machine.
    """
    section, access = settings.console, check_console(settings)
    where = f"{section.host}:{section.port}"
    if _is_in_use(section):
        return f"{where} is in use, by a console perhaps; {HOW_KNOWN[access.kind]}"
    return f"can be served on {where}; {HOW_KNOWN[access.kind]}"


def _is_in_use(section: ConsoleSection) -> bool:
    """Whether something listens on the address already.

    Raises:
        ConfigError: the address is not of this machine, or the port is not for this user.
    """
    family = socket.AF_INET6 if ":" in section.host else socket.AF_INET
    try:
        with closing(socket.socket(family, socket.SOCK_STREAM)) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((section.host, section.port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return True
        raise ConfigError(
            f"cannot listen on {section.host}:{section.port} ({error.strerror}); set console.host "
            "to an address of this machine, and console.port to a port that this user may open",
            key="console.port",
        ) from None
    return False
