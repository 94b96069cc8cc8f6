"""Redaction of one event: what leaves has placeholders, what comes back has the values again."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from inference.egress.detection import Detection, apart
from inference.egress.detectors.keys import kind_of
from inference.egress.detectors.values import is_secret, names, within
from inference.egress.fields import rewrite
from inference.egress.kinds import GUARDED, Found, ValueKind
from inference.egress.normalization import PLACEHOLDER, disarm, normalise
from inference.egress.options import PHONE_REGIONS
from inference.egress.vault import Vault
from inference.errors import RedactionFailed
from schemas.event import Event

MAX_PASSES = 3
MAX_CHARS = 2_000_000
"""Of one session, all texts together: an event of a megabyte with what is quoted beside it."""
MAX_CPU_S = 2.0
"""Of one session, all its methods together; the thread's own time, so that a busy machine refuses nothing."""

_TEXTS = ("title", "text", "body", "source", "occurred_at")
_ESCAPE = re.compile(r'\\(["\\/nrt])')
_MIN_EXCUSED_CHARS = 20
_DIGITS_OF = {"card": 12, "ssn": 9, "iban": 8, "phone": 7, "mac": 12}


class Redaction:
    """One event's redaction; what goes out with it (quoted events, passages) goes through the same one.

    `keep` holds the kinds that may leave, `regions` the countries whose national telephone numbers are recognised.
    Everything here is bounded work on the calling thread: some milliseconds for an ordinary event, about
    `MAX_CPU_S` for a hostile one. Not safe to use from two threads at once.

    Raises:
        RedactionFailed: from every method but `counts` and `restore`, whatever went wrong.
    """

    def __init__(
        self, keep: frozenset[ValueKind] = frozenset(), *, regions: Sequence[str] = PHONE_REGIONS
    ) -> None:
        self._keep = keep - GUARDED
        self._vault = Vault()
        self._detection = Detection(self._keep, self._vault.known, regions, self._check_time)
        self._released: list[str] = []
        self._chars = 0
        self._started_at_s = self._spent_s = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """How many different values of each kind were replaced."""
        return self._vault.counts

    def learn(self, *sources: Event | str) -> None:
        """Take note of the values in all that goes out together, before any of it is redacted.

        A name is known by its field in one place and stands bare in another.
        """
        with self._failing_closed():
            for source in sources:
                if isinstance(source, str):
                    self._note((), self._read(source))
                else:
                    self._visit(source, lambda path, text: self._note(path, self._read(text)))

    def event(self, event: Event) -> Event:
        """The event with placeholders in every text and in every text, number and key of its documents.

        `id`, `tenant` and `kind` stay as they are.
        """
        self.learn(event)
        with self._failing_closed():
            return self._visit(event, lambda path, text: self._redacted(path, normalise(text)))

    def text(self, text: str) -> str:
        """The text with placeholders."""
        self.learn(text)
        with self._failing_closed():
            return self._redacted((), normalise(text))

    def restore(self, text: str) -> str:
        """The text with the values back in the place of their placeholders; secrets and account numbers stay out."""
        return self._vault.restore(text)

    def verify(self, outgoing: str) -> None:
        """Look once more at what is about to leave, as it is and with its JSON escapes resolved.

        Raises:
            RedactionFailed: it holds a replaced value, or something of a kind that may not leave.
        """
        with self._failing_closed():
            raw, unescaped = normalise(outgoing), normalise(_ESCAPE.sub(_unescaped, outgoing))
            # What looks like a value may be an escape: detectors see it resolved, known values are sought in both.
            found = any(
                not self._is_excused(one, unescaped) for one in self._detection.find(unescaped)
            )
            if found or any(
                any(self._vault.known(PLACEHOLDER.sub("\x00", view))) for view in (raw, unescaped)
            ):
                raise RedactionFailed(
                    "something that may not leave was still in the outgoing text; nothing was sent"
                )

    @contextmanager
    def _failing_closed(self) -> Iterator[None]:
        self._started_at_s = time.thread_time()
        try:
            yield
        except RedactionFailed:
            raise
        except TimeoutError:
            raise RedactionFailed("the event takes too long to redact; a person decides") from None
        except OverflowError:
            raise RedactionFailed(
                "the event has too many values to redact; a person decides"
            ) from None
        except Exception as error:  # noqa: BLE001 - whatever it is, the event stays inside
            raise RedactionFailed(
                f"redaction failed with {type(error).__name__}; nothing was sent"
            ) from None
        finally:
            self._spent_s += time.thread_time() - self._started_at_s

    def _check_time(self) -> None:
        if self._spent_s + time.thread_time() - self._started_at_s > MAX_CPU_S:
            raise TimeoutError

    def _visit(self, event: Event, visit: Callable[[tuple[str, ...], str], str]) -> Event:
        texts = {
            name: visit((), text) for name in _TEXTS if (text := getattr(event, name)) is not None
        }
        return msgspec.structs.replace(
            event,
            **texts,
            event=rewrite(event.event, visit),
            attributes=rewrite(event.attributes, visit),
        )

    def _read(self, text: str) -> str:
        normal = normalise(text)  # Counted after it: one ligature can stand for eighteen letters.
        self._chars += len(normal)
        if self._chars > MAX_CHARS:
            raise RedactionFailed("the event is too large to be redacted; a person decides")
        return normal

    def _note(self, path: tuple[str, ...], text: str) -> str:
        for found in self._found(path, text):
            if found.kind:
                self._vault.learn(found.kind, text[found.start : found.end])
        kind = kind_of(path)
        if kind in {"user", "host"} and kind not in self._keep:
            for name in names(kind, text):
                self._vault.learn(kind, name)
        return text

    def _redacted(self, path: tuple[str, ...], text: str) -> str:
        """One text; again while replacing has uncovered something, for instance a word that now ends."""
        text = disarm(text)
        for _ in range(MAX_PASSES):
            found = self._found(path, text)
            if not found:
                self._released.append(text)
                return text
            text = self._replaced(text, found)
            path = ()
        if self._detection.find(text):
            raise RedactionFailed("redaction did not come to an end; nothing was sent")
        self._released.append(text)
        return text

    def _replaced(self, text: str, found: Sequence[Found]) -> str:
        pieces, done = [], 0
        for one in found:
            assert one.kind  # noqa: S101 - what has no kind is not among what must not leave
            pieces += [
                text[done : one.start],
                self._vault.placeholder(one.kind, text[one.start : one.end]),
            ]
            done = one.end
        return "".join([*pieces, text[done:]])

    def _found(self, path: tuple[str, ...], text: str) -> list[Found]:
        self._check_time()
        found = self._detection.find(text)
        kind = kind_of(path)
        if kind is None or kind in self._keep or not text.strip():
            return found
        return apart([*_by_field(kind, text, found), *found])

    def _is_excused(self, found: Found, text: str) -> bool:
        """Whether it is the beginning of something long that was let out as harmless, and cut off since."""
        value = text[found.start : found.end]
        return (
            found.kind == "secret"
            and len(value) >= _MIN_EXCUSED_CHARS
            and any(value in one for one in self._released)
        )


def _by_field(kind: ValueKind, text: str, found: Sequence[Found]) -> Iterator[Found]:
    """What the name of its field says about a value that does not show what it is."""
    if kind in {"user", "host"}:
        if not any(
            one.kind in {"email", "ip"} and one.end - one.start == len(text) for one in found
        ):
            yield from within(kind, text, 0)
    elif kind == "secret":
        if is_secret(text):
            yield Found(0, len(text), kind)
    elif sum(c.isalnum() for c in text) >= _DIGITS_OF[kind] and any(c.isdecimal() for c in text):
        yield Found(0, len(text), kind)


def _unescaped(match: re.Match[str]) -> str:
    return {"n": "\n", "r": "\n", "t": "\t"}.get(match[1], match[1])
