"""Sessions: who has logged in with which cookie, and the CSRF token of each."""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from streams.console.people import Person

MAX_SESSIONS = 10_000
ID_BYTES = 32
PROXY = "proxy:"


@dataclass(frozen=True, slots=True)
class Session:
    """One person at one browser. `key` stands for it in memory; the cookie cannot be made of it."""

    key: str
    person: Person
    ends_s: float

    @property
    def is_of_proxy(self) -> bool:
        """Whether the proxy has named the person; the proxy decides how long that holds."""
        return self.key.startswith(PROXY)


class Sessions:
    """The sessions of this process, in memory: a restart ends them all.

    Only the digests of cookies are kept. CSRF tokens are an HMAC of the session with a secret of
    the process, so none has to be stored.
    """

    def __init__(self, lifetime_s: float, clock: Callable[[], float]) -> None:
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._secret = secrets.token_bytes(ID_BYTES)
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, person: Person) -> tuple[Session, str]:
        """A new session, and the value of its cookie. It never continues one of before the login.

        Beyond `MAX_SESSIONS` the oldest one ends.
        """
        cookie = secrets.token_urlsafe(ID_BYTES)
        session = Session(_key(cookie), person, self._clock() + self._lifetime_s)
        self._sessions[session.key] = session
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return session, cookie

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie, unless it has ended."""
        session = self._sessions.get(_key(cookie))
        if session is not None and session.ends_s <= self._clock():
            self.close(session)
            return None
        return session

    def of_proxy(self, person: Person) -> Session:
        """The session of somebody whom the proxy has named; it lasts as long as one request."""
        return Session(f"{PROXY}{person.name}", person, self._clock() + self._lifetime_s)

    def close(self, session: Session) -> None:
        """End a session."""
        self._sessions.pop(session.key, None)

    def csrf(self, session: Session) -> str:
        """What a page must send with every change."""
        return hmac.digest(self._secret, session.key.encode(), "sha256").hex()

    def has_csrf(self, session: Session, given: str) -> bool:
        """Whether this is the CSRF token of the session."""
        own = self.csrf(session).encode()
        return hmac.compare_digest(own, given.encode(errors="surrogateescape"))


def _key(cookie: str) -> str:
    return hashlib.sha256(cookie.encode(errors="surrogateescape")).hexdigest()
