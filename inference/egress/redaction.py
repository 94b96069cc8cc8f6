"""Redaction of one event.

Values are replaced by placeholders before the event is sent. They are put back into the answer.
"""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from inference.egress.detection import Detection, merge_overlaps
from inference.egress.detectors.field_names import kind_of, may_name_secret
from inference.egress.detectors.logins import encodes_login
from inference.egress.detectors.values import (
    could_be_number,
    could_be_secret,
    is_no_word,
    name_spans,
    names_in,
)
from inference.egress.fields import Visit, rewrite
from inference.egress.kinds import NEVER_SENT, Span, ValueKind
from inference.egress.normalization import PLACEHOLDER, disarm, normalise
from inference.egress.options import PHONE_REGIONS
from inference.egress.vault import Vault
from inference.errors import RedactionFailed
from schemas.event import Event

MAX_PASSES = 3
MAX_CHARS = 2_000_000
"""The limit for all texts of one `Redaction`: an event of a megabyte and the quotations with it."""
MAX_CPU_S = 2.0
"""The limit for all calls of one `Redaction` together.

It is CPU time of the thread, so that no event is refused because the machine is busy.
"""

_TEXT_FIELDS = ("title", "text", "body", "source", "occurred_at")
_JSON_ESCAPE = re.compile(r'\\(["\\/nrt])')
_WHITESPACE_ESCAPES = {"n": "\n", "r": "\n", "t": "\t"}
_MIN_CUT_CHARS = 20
_NAMES_OF_LOGINS = {"auth", "_auth"}


class Redaction:
    """The redaction of one event and of everything that is sent with it.

    Quoted events and passages go through the same `Redaction`, so that a value has the same
    placeholder everywhere. The work is limited: an ordinary event takes some milliseconds, a
    hostile one about `MAX_CPU_S`. It runs on the calling thread. Two threads must not use the same
    `Redaction` at once.

    Args:
        keep: the kinds that may be sent.
        regions: ISO 3166 codes of the countries whose national telephone numbers are recognised.

    Raises:
        RedactionFailed: from every method except `counts` and `restore`, whatever went wrong.
    """

    def __init__(
        self, keep: frozenset[ValueKind] = frozenset(), *, regions: Sequence[str] = PHONE_REGIONS
    ) -> None:
        self._keep = keep - NEVER_SENT
        self._vault = Vault(self._check_time)
        self._detection = Detection(self._keep, self._vault.known, regions, self._check_time)
        self._released: list[str] = []
        self._chars = 0
        self._started_at_s = self._spent_s = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """How many different values of each kind were replaced."""
        return self._vault.counts

    def learn(self, *sources: Event | str) -> None:
        """Collect the values in everything that is sent together, before any of it is redacted.

        A name is recognised by its field in one place and stands without a field in another.
        """
        with self._failing_closed():
            for source in sources:
                if isinstance(source, str):
                    self._learn((), source)
                else:
                    self._visit(source, self._learn)

    def event(self, event: Event) -> Event:
        """Return the event with placeholders in its texts and its documents.

        In the documents, every text, number and key is redacted. `id`, `tenant` and `kind` do not
        change. What is never sent is left out: `link`, `cut_off` and the sender's own words in
        `stated`.
        """
        self.learn(event)
        with self._failing_closed():
            return self._visit(_without_unsent(event), self._redact)

    def text(self, text: str) -> str:
        """Return the text with placeholders."""
        self.learn(text)
        with self._failing_closed():
            return self._redact((), text)

    def restore(self, text: str) -> str:
        """Put the values back in place of their placeholders.

        Secrets, card numbers, social security numbers and account numbers are not put back.
        """
        return self._vault.restore(text)

    def verify(self, outgoing: str) -> None:
        """Check a text right before it is sent, as it is and with its JSON escapes resolved.

        Raises:
            RedactionFailed: the text contains a replaced value or a value that may not be sent.
        """
        with self._failing_closed():
            raw = normalise(outgoing)
            unescaped = normalise(_JSON_ESCAPE.sub(_unescaped, outgoing))
            # An escape may look like part of a value: so detectors see only the resolved text.
            # Known values are searched in both texts.
            spans = self._detection.find(unescaped)
            has_new_value = any(not self._is_cut_off(span, unescaped) for span in spans)
            if has_new_value or self._has_known_value(raw) or self._has_known_value(unescaped):
                raise RedactionFailed(
                    "a value that may not be sent was still in the outgoing text; nothing was sent"
                )

    @contextmanager
    def _failing_closed(self) -> Iterator[None]:
        """Turn every error into `RedactionFailed`, and count the time."""
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
        except Exception as error:  # noqa: BLE001 - after any error the event must not be sent
            raise RedactionFailed(
                f"redaction failed with {type(error).__name__}; nothing was sent"
            ) from None
        finally:
            self._spent_s += time.thread_time() - self._started_at_s

    def _check_time(self) -> None:
        if self._spent_s + time.thread_time() - self._started_at_s > MAX_CPU_S:
            raise TimeoutError

    def _count_chars(self, count: int) -> None:
        self._chars += count
        if self._chars > MAX_CHARS:
            raise RedactionFailed("the event is too large to be redacted; a person decides")

    def _visit(self, event: Event, visit: Visit) -> Event:
        texts = {
            name: visit((), text)
            for name in _TEXT_FIELDS
            if (text := getattr(event, name)) is not None
        }
        return msgspec.structs.replace(
            event,
            **texts,
            event=rewrite(event.event, visit),
            key_fields=rewrite(event.key_fields, visit),
            attributes=rewrite(event.attributes, visit),
        )

    def _learn(self, path: tuple[str, ...], text: str) -> str:
        self._count_chars(len(text))
        normal = normalise(text)
        # Once more what normalisation has added: one ligature can become eighteen letters.
        self._count_chars(max(0, len(normal) - len(text)))
        for span in self._find(path, normal):
            if span.kind:
                self._vault.learn(span.kind, normal[span.start : span.end])
        kind = kind_of(path)
        if kind in {"user", "host"} and kind not in self._keep:
            for name in names_in(kind, normal):
                self._vault.learn(kind, name)
        return normal

    def _redact(self, path: tuple[str, ...], text: str) -> str:
        """Redact one text.

        A replacement can uncover a value, for instance at a new end of a word. So the text is
        searched again, at most `MAX_PASSES` times.
        """
        text = disarm(normalise(text))
        for _ in range(MAX_PASSES):
            spans = self._find(path, text)
            if not spans:
                return self._release(text)
            text = self._replace(text, spans)
            path = ()  # The name of the field is about the value that was there before.
        if self._detection.find(text):
            raise RedactionFailed("redaction did not come to an end; nothing was sent")
        return self._release(text)

    def _release(self, text: str) -> str:
        self._released.append(text)
        return text

    def _replace(self, text: str, spans: Sequence[Span]) -> str:
        pieces, done = [], 0
        for span in spans:
            assert span.kind  # noqa: S101 - `Detection.find` returns only spans with a kind
            placeholder = self._vault.placeholder(span.kind, text[span.start : span.end])
            pieces += [text[done : span.start], placeholder]
            done = span.end
        return "".join([*pieces, text[done:]])

    def _find(self, path: tuple[str, ...], text: str) -> list[Span]:
        self._check_time()
        spans = self._detection.find(text)
        kind = _kind_of_field(path, text)
        if kind is None or kind in self._keep or not text.strip():
            return spans
        return merge_overlaps([*_spans_of_field(kind, text, spans), *spans])

    def _has_known_value(self, text: str) -> bool:
        return any(self._vault.known(PLACEHOLDER.sub("\x00", text)))

    def _is_cut_off(self, span: Span, text: str) -> bool:
        """Whether the span is part of a long harmless string that was cut off after redaction.

        A part of a digest looks like a key, the whole digest does not.
        """
        self._check_time()
        value = text[span.start : span.end]
        return (
            span.kind == "secret"
            and len(value) >= _MIN_CUT_CHARS
            and any(value in released for released in self._released)
        )


def _without_unsent(event: Event) -> Event:
    """The event without the fields that no prompt shows, so that none can show them unredacted."""
    stated = event.stated and msgspec.structs.replace(event.stated, original={})
    return msgspec.structs.replace(event, link=None, cut_off=None, stated=stated)


def _kind_of_field(path: tuple[str, ...], text: str) -> ValueKind | None:
    kind = kind_of(path)
    if kind or not path:
        return kind
    if path[-1] in _NAMES_OF_LOGINS:
        return "secret" if encodes_login(text) else None
    return "secret" if may_name_secret(path[-1]) and is_no_word(text) else None


def _spans_of_field(kind: ValueKind, text: str, spans: Sequence[Span]) -> Iterator[Span]:
    """Find a value that only the name of its field reveals; `spans` is what the detectors found."""
    if kind in {"user", "host"}:
        is_address = any(
            span.kind in {"email", "ip"} and span.end - span.start == len(text) for span in spans
        )
        if not is_address:
            yield from name_spans(kind, text, 0)
    elif kind == "secret":
        if could_be_secret(text):
            yield Span(0, len(text), kind)
    elif could_be_number(kind, text):
        yield Span(0, len(text), kind)


def _unescaped(match: re.Match[str]) -> str:
    return _WHITESPACE_ESCAPES.get(match[1], match[1])
