"""Who asks, and what every request must show before a handler sees it.

- The header `Host` must be one of ours: otherwise a page of somebody else, whose name was made to
  lead to this machine, could read the answers (DNS rebinding).
- A person is known by a session cookie, or by the header of a trusted proxy. On loopback, without
  people and proxy, everybody is the admin of this machine.
- What a browser says that another site has asked for is refused. A change needs the CSRF token of
  the session, JSON, and an `Origin` of ours if it has one.
"""

import getpass
import logging
import time
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeVar
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from inference.addresses import is_loopback
from inference.errors import ConfigError
from streams.config import ConsoleSection
from streams.console.limits import RateLimit, retry_after
from streams.console.people import MAX_NAME_CHARS, MAX_TOKEN_CHARS, RANK, People, Person, Role
from streams.console.sessions import Session, Sessions
from streams.errors import RequestRefused

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
AnyHandler = TypeVar("AnyHandler", bound=Callable[..., Awaitable[web.StreamResponse]])

SAFE_METHODS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
CSRF_HEADER = "X-CSRF-Token"
FORWARDED_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
BURST = 4
"""So many seconds' worth of requests may come at once: a page asks for several things."""
LOGINS_TOGETHER = 10
"""All addresses together may try so many times as often as one."""

SESSION = web.RequestKey("session", Session)
_NEEDS = "_console_needs"


def needs(role: Role | None) -> Callable[[AnyHandler], AnyHandler]:
    """Mark a handler with the role that it needs; None is for everybody, also without a session.

    A handler of the API without this mark needs ``viewer``.
    """

    def mark(handler: AnyHandler) -> AnyHandler:
        setattr(handler, _NEEDS, role)
        return handler

    return mark


class Access:
    """Decides about every request.

    Raises:
        ConfigError: the console would be open to others, or the configuration cannot be meant.
    """

    def __init__(
        self, section: ConsoleSection, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.people = People.of(section)
        self.sessions = Sessions(section.session_s, clock)
        self._section = section
        self._proxies = _networks(section.trusted_proxy)
        self._public = _public_url(section)
        self.is_open = not self.people.have_tokens and not self._proxies
        _check(section, self._public, is_open=self.is_open)
        self.is_secure = section.ssl_certfile is not None or self._public.startswith("https:")
        self._local = Person(_local_name(), "admin")
        self._requests = RateLimit(
            section.requests_per_second, section.requests_per_second * BURST, clock
        )
        of_one = section.logins_per_minute
        self._logins = RateLimit(of_one / 60, of_one, clock)
        self._all_logins = RateLimit(of_one * LOGINS_TOGETHER / 60, of_one * LOGINS_TOGETHER, clock)

    @property
    def kind(self) -> str:
        """How people are known: ``open``, ``token`` or ``proxy``."""
        if self._proxies:
            return "proxy"
        return "open" if self.is_open else "token"

    @property
    def cookie_name(self) -> str:
        """The name of the cookie. With `__Host-`, no other host of the domain can set it.

        Cookies do not know ports, so two consoles on one machine need two names.
        """
        return "__Host-triage" if self.is_secure else f"triage_session_{self._section.port}"

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through to its handler, or refuse it."""
        self._check_host(request)
        if not request.path.startswith("/api/"):
            return await handler(request)
        role: Role | None = getattr(request.match_info.handler, _NEEDS, "viewer")
        _check_site(request)
        session = self.session_of(request)
        self._limit(request, session)
        if request.method not in SAFE_METHODS:
            self._check_origin(request)
        if role is not None:
            request[SESSION] = session = self._admitted(session, role)
            if request.method not in SAFE_METHODS:
                self._check_change(request, session)
        return await handler(request)

    def session_of(self, request: web.Request) -> Session | None:
        """The session of a request; None if nobody is logged in.

        Raises:
            RequestRefused: the proxy names nobody, or somebody who may not see the console.
        """
        if self._is_from_proxy(request):
            person = self._person_of_proxy(request)
            if person is not None:
                return self.sessions.of_proxy(person)
        if self.is_open and any(name in request.headers for name in FORWARDED_HEADERS):
            raise RequestRefused(
                403,
                "a proxy is in front of this console, which takes everybody for its admin; set "
                "console.trusted_proxy or console.tokens_file",
            )
        cookie = request.cookies.get(self.cookie_name)
        return None if cookie is None else self.sessions.find(cookie)

    def has_ended(self, request: web.Request, session: Session) -> bool:
        """Whether a session that a long request belongs to has ended meanwhile."""
        return self.session_of(request) != session and not session.is_of_proxy

    def log_in(self, request: web.Request, token: str) -> tuple[Session, str]:
        """A new session for whoever has this token, and the value of its cookie.

        Raises:
            RequestRefused: the token is wrong, or too many were tried.
        """
        address = request.remote or ""
        wait_s = max(self._logins.take(address), self._all_logins.take(""))
        if wait_s:
            raise _too_often("too many attempts to log in", wait_s)
        person = self.people.with_token(token) if len(token) <= MAX_TOKEN_CHARS else None
        if person is None:
            log.warning("a wrong token was tried from %s", address)
            raise RequestRefused(401, "this token is not known; ask whoever runs the console")
        return self.sessions.open(person)

    def open_local(self) -> tuple[Session, str]:
        """A session for whoever is on this machine; only if `is_open`."""
        return self.sessions.open(self._local)

    def set_cookie(self, response: web.StreamResponse, value: str) -> None:
        """Set the cookie of a session: no script reads it, and no other site sends it."""
        response.set_cookie(
            self.cookie_name,
            value,
            max_age=int(self._section.session_s),
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="Strict",
        )

    def delete_cookie(self, response: web.StreamResponse) -> None:
        """Have the browser forget the cookie."""
        response.del_cookie(
            self.cookie_name, path="/", secure=self.is_secure, httponly=True, samesite="Strict"
        )

    def _admitted(self, session: Session | None, role: Role) -> Session:
        if session is None:
            raise RequestRefused(401, "log in first", code="login")
        if not session.person.may(role):
            raise RequestRefused(
                403,
                f"this needs the role {role}, and {session.person.name} has the role "
                f"{session.person.role}; ask an admin of the console",
                code="role",
            )
        return session

    def _limit(self, request: web.Request, session: Session | None) -> None:
        key = f"address:{request.remote}" if session is None else session.key
        wait_s = self._requests.take(key)
        if wait_s:
            raise _too_often("too many requests", wait_s)

    def _check_host(self, request: web.Request) -> None:
        host = _host_name(request.headers.get(hdrs.HOST, ""))
        known = {self._section.host.lower(), urlsplit(self._public).hostname, "localhost"}
        if not host or not (host in known or _is_address(host)):
            raise RequestRefused(
                421,
                "this console is not known by that name; call it by its address, or set "
                "console.public_url",
            )

    def _check_origin(self, request: web.Request) -> None:
        """Browsers send `Origin` with every change; programs need not."""
        origin = request.headers.get(hdrs.ORIGIN)
        host = request.headers.get(hdrs.HOST, "").lower()
        ours = {host, urlsplit(self._public).netloc.lower()} - {""}
        if origin is not None and _origin_host(origin) not in ours:
            raise _other_site()

    def _check_change(self, request: web.Request, session: Session) -> None:
        if not self.sessions.has_csrf(session, request.headers.get(CSRF_HEADER, "")):
            raise RequestRefused(
                403,
                f"a change needs the header {CSRF_HEADER} of the present session; load the page "
                "again",
                code="csrf",
            )
        if request.can_read_body and request.content_type != "application/json":
            raise RequestRefused(415, "a change is JSON; send Content-Type: application/json")

    def _is_from_proxy(self, request: web.Request) -> bool:
        if not self._proxies or request.remote is None:
            return False
        address = ip_address(request.remote.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._proxies)

    def _person_of_proxy(self, request: web.Request) -> Person | None:
        section = self._section
        name = _one(request, section.proxy_user_header)
        if name is None:
            return None
        if not name.isprintable() or len(name) > MAX_NAME_CHARS:
            raise RequestRefused(403, "the proxy names somebody who cannot be named here")
        known = self.people.named(name)
        role = known.role if known else None
        tenants = known.tenants if known else None
        if section.proxy_role_header is not None:
            role = _highest_role(_one(request, section.proxy_role_header))
        if section.proxy_tenants_header is not None:
            tenants = frozenset(_listed(_one(request, section.proxy_tenants_header)))
        if role is None:
            raise RequestRefused(
                403,
                f"{name} has no role here; add them to console.tokens_file, or have the proxy send "
                "a role",
                code="role",
            )
        return Person(name, role, tenants)


def _check_site(request: web.Request) -> None:
    """Refuse what a page of another site has asked for; old browsers do not say so."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise _other_site()


def _other_site() -> RequestRefused:
    return RequestRefused(403, "another site has asked for this; open the console itself")


def _check(section: ConsoleSection, public: str, *, is_open: bool) -> None:
    if (section.ssl_certfile is None) != (section.ssl_keyfile is None):
        raise ConfigError("console.ssl_certfile and console.ssl_keyfile belong together; set both")
    if is_loopback(section.host):
        return
    if is_open:
        raise ConfigError(
            f"on {section.host} others could see and decide everything; set console.tokens_file or "
            "console.trusted_proxy, or listen on 127.0.0.1",
            key="console.host",
        )
    if section.ssl_certfile is None and not public:
        raise ConfigError(
            f"on {section.host} tokens would cross the network unencrypted; set "
            "console.ssl_certfile, or console.public_url to the https address of the proxy in "
            "front",
            key="console.host",
        )


def _public_url(section: ConsoleSection) -> str:
    """The configured public address, or nothing."""
    if section.public_url is None:
        return ""
    url = urlsplit(section.public_url)
    is_plain = url.scheme == "http" and is_loopback(url.hostname or "")
    if not url.hostname or not (url.scheme == "https" or is_plain):
        raise ConfigError(
            "takes https://HOST, or http:// with an address of loopback",
            key="console.public_url",
        )
    return section.public_url


def _networks(text: str | None) -> list[IPv4Network | IPv6Network]:
    try:
        return [ip_network(part.strip()) for part in text.split(",")] if text else []
    except ValueError:
        raise ConfigError(
            "takes the address of the proxy, such as 10.0.0.5 or 10.0.0.0/28, and commas between "
            "several",
            key="console.trusted_proxy",
        ) from None


def _one(request: web.Request, header: str) -> str | None:
    """The value of a header that must not come twice: one of the two would be a client's."""
    values = request.headers.getall(header, [])
    if len(values) > 1:
        raise RequestRefused(
            403, f"the header {header} came twice; have the proxy remove what clients send"
        )
    return values[0].strip() or None if values else None


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _highest_role(text: str | None) -> Role | None:
    given = set(_listed(text))
    return next(
        (role for role in sorted(RANK, key=RANK.__getitem__, reverse=True) if role in given), None
    )


def _host_name(host: str) -> str:
    """The name or address of a header `Host`, without port and brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _origin_host(origin: str) -> str:
    """Host and port of a header `Origin`; empty for ``null`` and what is no origin."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    """An address cannot be made to lead elsewhere, as a name can."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _local_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "local"


def _too_often(what: str, wait_s: float) -> RequestRefused:
    after = retry_after(wait_s)
    return RequestRefused(
        429, f"{what}; try again in {after} s", more={"retry_after_s": int(after)}
    )
