"""Signatures of the workers over the records that they write to internal topics.

Whoever can write to an internal topic could otherwise say anything in the name of a worker. A
record has two headers:

- `triage.signature` is over the topic, the key and the bytes of the value. It shows that a worker
  wrote this very record.
- `triage.decision` is over the triaged event that the record carries, however its JSON is written.
  It shows that a worker made this decision, and it goes back with the verdict of a person.

Both are HMAC-SHA256 (RFC 2104). The message begins with what the signature is for, so that one
cannot be passed off as the other.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
import orjson

from schemas.event import Headers
from schemas.triaged import TriagedEvent

SIGNATURE_HEADER = "triage.signature"
DECISION_HEADER = "triage.decision"
VERDICT_HEADER = "triage.verdict"
"""The place of the verdict that a person's decision follows from, ``TOPIC[PARTITION]@OFFSET``.

A verdict that is read again after a crash is known by it, so that it is not refused by itself.
"""
VERSION = b"v1="
_RECORD, _DECISION = b"triage.record.v1", b"triage.decision.v1"
_LOT = b"triage.lot.v1"

Refusal = Literal["unsigned", "wrong_signature"]


class WorkerKeys:
    """The key that this worker signs with, and the keys whose signatures it accepts.

    Args:
        key: the key of all workers. Without it nothing is signed and nothing is refused.
        previous: an earlier key, whose signatures are still accepted.
        unsigned_until_s: until then, in seconds since the epoch, what has no signature is accepted.
        clock: returns seconds since the epoch.
    """

    def __init__(
        self,
        key: bytes | None = None,
        previous: bytes | None = None,
        *,
        unsigned_until_s: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._unsigned_until_s = unsigned_until_s
        self._clock = clock
        self._key = key
        self._accepted = [each for each in (key, previous) if each is not None]

    @property
    def configured(self) -> bool:
        """Whether there is a key."""
        return self._key is not None

    @property
    def accepts_unsigned(self) -> bool:
        """Whether what has no signature is accepted now."""
        return self._key is None or self._clock() < self._unsigned_until_s

    def sign_decision(self, triaged: TriagedEvent) -> bytes | None:
        """The value of the header `triage.decision`; None without a key."""
        if self._key is None:
            return None
        return _signature(self._key, _DECISION, [_canonical(triaged)])

    def headers(
        self, topic: str, key: bytes | None, value: bytes, decision: bytes | None
    ) -> list[tuple[str, bytes | None]]:
        """The headers of a record that carries a decision with this signature; none without a key.

        Args:
            topic: the topic of the record.
            key: its key.
            value: the bytes of its value.
            decision: what `sign_decision` gave for the triaged event in the value.
        """
        if self._key is None:
            return []
        signature = _signature(self._key, _RECORD, [topic.encode(), key, value])
        return [(SIGNATURE_HEADER, signature), (DECISION_HEADER, decision)]

    def record_headers(
        self, topic: str, key: bytes | None, value: bytes
    ) -> list[tuple[str, bytes | None]]:
        """The headers of a record that carries no decision; none without a key."""
        signed = self.headers(topic, key, value, None)
        return [(name, signature) for name, signature in signed if name == SIGNATURE_HEADER]

    def lot(self, *parts: str | None) -> float:
        """A number in [0, 1) that these parts always draw; over many parts it is uniform.

        Nobody without the key can foresee it. Without a key, everybody can.
        """
        encoded = [None if part is None else part.encode() for part in parts]
        drawn = hmac.digest(self._key or b"", _message(_LOT, encoded), "sha256")
        return int.from_bytes(drawn[:6], "big") / 2**48

    def record_refusal(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers
    ) -> Refusal | None:
        """Why a record is not taken for one of ours; None if it is, and always without a key."""
        return self._refusal(
            header(headers, SIGNATURE_HEADER), _RECORD, [topic.encode(), key, value]
        )

    def decision_refusal(self, triaged: TriagedEvent, signature: bytes | None) -> Refusal | None:
        """Why a decision is not taken for one of ours; None if it is, and always without a key."""
        if self._key is None:
            return None
        return self._refusal(signature, _DECISION, [_canonical(triaged)])

    def _refusal(
        self, signature: bytes | None, purpose: bytes, parts: Sequence[bytes | None]
    ) -> Refusal | None:
        if self._key is None:
            return None
        if signature is None:
            return None if self.accepts_unsigned else "unsigned"
        # All are computed, so that the time does not say which key was close.
        fits = [
            hmac.compare_digest(signature, _signature(key, purpose, parts))
            for key in self._accepted
        ]
        return None if any(fits) else "wrong_signature"


def header(headers: Headers, name: str) -> bytes | None:
    """The value of a header; None if it is missing or there are several of that name."""
    values = [value for key, value in headers if key == name]
    return values[0] if len(values) == 1 else None


def _signature(key: bytes, purpose: bytes, parts: Sequence[bytes | None]) -> bytes:
    return VERSION + hmac.digest(key, _message(purpose, parts), "sha256").hex().encode()


def _message(purpose: bytes, parts: Sequence[bytes | None]) -> bytes:
    # A digest of each part has a fixed length, so no part can be moved into another.
    digests = [b"" if part is None else hashlib.sha256(part).digest() for part in parts]
    return b"\0".join([purpose, *digests])


def _canonical(triaged: TriagedEvent) -> bytes:
    """The decision as one spelling of its JSON.

    The program of a person may sort keys, or write 1 for 1.0. Fields that are null are left out, so
    that a later version may add fields that are null by default, also to the enrichment.
    """
    fields = _without_nulls(msgspec.to_builtins(triaged))
    if triaged.enrichment is not None:
        fields["enrichment"] = _without_nulls(fields["enrichment"])
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)


def _without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
