"""Who may use the console: their names, roles and tenants, and the digests of their tokens."""

import hashlib
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from inference.errors import ConfigError
from inference.options import Options
from inference.toml_file import parse_toml
from schemas.codec import prepared
from streams.config import ConsoleSection

Role = Literal["viewer", "reviewer", "admin"]
RANK: dict[Role, int] = {"viewer": 0, "reviewer": 1, "admin": 2}
"""Whoever has a role may do everything that a role of a lower rank may do."""

TOKEN_BYTES = 32
MAX_TOKEN_CHARS = 500
MAX_NAME_CHARS = 200
"""How long the name of a person may be in a verdict (`schemas.triaged.Verdict.by`)."""

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS, pattern=r"\S")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who uses the console. `tenants` are those they may see; None is all."""

    name: str
    role: Role
    tenants: frozenset[str] | None = None

    def may(self, role: Role) -> bool:
        """Whether this person has at least this role."""
        return RANK[self.role] >= RANK[role]

    def sees(self, tenant: str) -> bool:
        """Whether this person may see the events of a tenant."""
        return self.tenants is None or tenant in self.tenants


class PersonEntry(Options, frozen=True):
    """One person of the file: without `tenants` they see all.

    `token_sha256` is the SHA-256 of their token in hexadecimal; without it they come through the
    trusted proxy only.
    """

    name: Name
    role: Role = "viewer"
    tenants: list[str] | None = None
    token_sha256: Digest | None = None


class _PeopleFile(Options, frozen=True):
    people: list[PersonEntry] = field(default_factory=list)


class People:
    """The people of the file, found by their token or by their name."""

    def __init__(self, entries: Sequence[PersonEntry]) -> None:
        self._entries = list(entries)
        self._by_name = {entry.name: _person(entry) for entry in entries}
        self._digests = [
            (bytes.fromhex(entry.token_sha256), self._by_name[entry.name])
            for entry in entries
            if entry.token_sha256 is not None
        ]

    @classmethod
    def of(cls, section: ConsoleSection) -> "People":
        """The people whom the configuration names.

        Raises:
            ConfigError: the file cannot be read, or says what cannot be meant.
        """
        text = section.read_people()
        return cls([] if text is None else _entries(text))

    @property
    def have_tokens(self) -> bool:
        """Whether anybody can log in with a token."""
        return bool(self._digests)

    def with_token(self, token: str) -> Person | None:
        """Whose token this is. Every digest is compared, so the time tells nothing."""
        given = token_digest(token)
        found = None
        for digest, person in self._digests:
            if hmac.compare_digest(given, digest):
                found = person
        return found

    def named(self, name: str) -> Person | None:
        """The person of this name."""
        return self._by_name.get(name)


def token_digest(token: str) -> bytes:
    """The SHA-256 of a token. A token is random, so a slow hash would protect nothing more."""
    return hashlib.sha256(token.strip().encode(errors="surrogateescape")).digest()


def _entries(text: bytes) -> list[PersonEntry]:
    key = "console.tokens_file"
    try:
        document = parse_toml(text)
        entries = msgspec.convert(document, prepared(_PeopleFile)).people
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigError(
            f"the file of people cannot be used ({error}); `triage console token` prints how an "
            "entry looks",
            key=key,
        ) from None
    _refuse_twice([entry.name for entry in entries], "names somebody", key)
    digests = [entry.token_sha256 for entry in entries if entry.token_sha256 is not None]
    _refuse_twice(digests, "has a token", key)
    if not entries:
        raise ConfigError("the file of people names nobody; add a [[people]] table", key=key)
    return entries


def _refuse_twice(values: Collection[str], what: str, key: str) -> None:
    if len(set(values)) < len(values):
        raise ConfigError(f"the file of people {what} twice; keep one of the two", key=key)


def _person(entry: PersonEntry) -> Person:
    tenants = None if entry.tenants is None else frozenset(entry.tenants)
    return Person(entry.name, entry.role, tenants)
