"""Who may say what: the keys of workers, and the reviewers."""

import os
from collections.abc import Mapping
from datetime import UTC, date, datetime
from datetime import time as dt_time
from typing import Annotated

from msgspec import Meta, field

from agents.reviewers import Reviewer
from inference.errors import ConfigError
from inference.options import Options
from inference.secret import read_secret
from schemas.signing import WorkerKeys

MIN_KEY_BYTES = 16
SECONDS_PER_DAY = 86_400


class SecuritySection(Options, frozen=True):
    """Where the key is with which workers sign what they write to internal topics.

    With it, a worker believes only what a worker has signed. The signatures of the previous key are
    still accepted, and no longer made. Without a key, nothing is signed and everything is believed.

    `unsigned_until` is the last day, in UTC, on which records without a signature are believed: for
    those that were written before there was a key.

    `people` are those who may give verdicts, as `by` names them. An empty list allows everybody.
    """

    worker_key_env: str | None = None
    worker_key_file: str | None = None
    previous_worker_key_env: str | None = None
    previous_worker_key_file: str | None = None
    unsigned_until: date | None = None
    people: list[str] = field(default_factory=list)

    def read_keys(self, environ: Mapping[str, str] = os.environ) -> WorkerKeys:
        """The keys of the workers, which may be none.

        Raises:
            ConfigError: a variable or a file is missing, empty or too short, or there is a previous
                key and no present one.
        """
        key = _read_signing_key(
            self.worker_key_env, self.worker_key_file, "security.worker_key", environ
        )
        previous = _read_signing_key(
            self.previous_worker_key_env,
            self.previous_worker_key_file,
            "security.previous_worker_key",
            environ,
        )
        if key is None and previous is not None:
            raise ConfigError(
                "is missing, but there is a previous key; configure both or neither",
                key="security.worker_key_env",
            )
        return WorkerKeys(key, previous, unsigned_until_s=_end_of_day_s(self.unsigned_until))


class ReviewerSection(Options, frozen=True):
    """Somebody who may give verdicts, with the key that they sign them with.

    With `tenants` or `axes`, they may decide only about these, and with `people` only in the name
    of these.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    key_env: str | None = None
    key_file: str | None = None
    tenants: list[str] = field(default_factory=list)
    axes: list[str] = field(default_factory=list)
    people: list[str] = field(default_factory=list)

    def reviewer(self, environ: Mapping[str, str] = os.environ) -> Reviewer:
        """The reviewer with the key.

        Raises:
            ConfigError: the key is missing, empty or too short.
        """
        key = _read_signing_key(self.key_env, self.key_file, "reviewers.key", environ)
        if key is None:
            raise ConfigError(
                f"the reviewer {self.name!r} has no key; name the variable or the file that holds "
                "it in key_env or key_file",
                key="reviewers",
            )
        return Reviewer(self.name, key, self.tenants, self.axes, self.people)


def _end_of_day_s(day: date | None) -> float:
    """When a day ends in UTC, in seconds since the epoch; 0 without a day."""
    if day is None:
        return 0.0
    return datetime.combine(day, dt_time(), UTC).timestamp() + SECONDS_PER_DAY


def _read_signing_key(
    env: str | None, file: str | None, key: str, environ: Mapping[str, str]
) -> bytes | None:
    secret = read_secret(env, file, key=key, environ=environ)
    if secret is not None and len(secret) < MIN_KEY_BYTES:
        name = f"{key}_env" if env is not None else f"{key}_file"
        raise ConfigError(
            f"the key has fewer than {MIN_KEY_BYTES} bytes; make one with `openssl rand -hex 32`",
            key=name,
        )
    return secret
