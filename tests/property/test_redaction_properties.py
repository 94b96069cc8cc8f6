"""Redaction of arbitrary texts: it can be undone inside, and it lets no value out."""

import base64
import random
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inference.egress.kinds import NEVER_SENT
from inference.egress.normalization import PLACEHOLDER, disarm, normalise
from inference.egress.redaction import Redaction
from inference.errors import RedactionFailed
from schemas.event import Event
from tests.planted import arrived, card, email, iban, ip, jwt, mac, phone, ssn, token

# A loaded machine must not fail a test: the tests of hostile texts measure the time.
settings.register_profile("redaction", deadline=None)
settings.load_profile("redaction")
RESTORABLE = [email, phone, ip, mac]
SECRET: list[Callable[[random.Random], str]] = [token, jwt]

words = st.text(st.sampled_from("abcdefgh ,.;:!?\n()[]{}<>\"'/\\=&%-_@#+"), max_size=60)
anything = st.text(max_size=200)
values = st.builds(
    lambda kind, seed: kind(random.Random(seed)),
    st.sampled_from([*RESTORABLE, card, ssn, iban]),
    st.integers(0, 10**6),
)
restorable = st.builds(
    lambda kind, seed: kind(random.Random(seed))[0],
    st.sampled_from(RESTORABLE),
    st.integers(0, 10**6),
)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | anything,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(anything, inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(st.tuples(words, restorable), min_size=1, max_size=6), words)
def test_replaced_values_are_restored(pairs: list[tuple[str, str]], tail: str) -> None:
    """The analyst would read an address that is not the one in the event."""
    text = "".join(f"{before} {value} " for before, value in pairs) + tail
    redaction = Redaction()
    out = redaction.text(text)
    # A value in two spellings is restored in its first spelling.
    assume(
        NEVER_SENT.isdisjoint(redaction.counts)
        and len(PLACEHOLDER.findall(out)) == sum(redaction.counts.values())
    )
    assert redaction.restore(out) == disarm(normalise(text))


@given(st.lists(st.tuples(words, values), min_size=1, max_size=6))
def test_no_value_is_left_between_any_characters(
    pairs: list[tuple[str, tuple[str, list[str]]]],
) -> None:
    """A value would be sent because of a bracket or a quote before it."""
    text = "".join(f"{before} {written} " for before, (written, _) in pairs)
    long_values = [value for _, (_, planted) in pairs for value in planted if len(value) > 5]
    assert not arrived(long_values, Redaction().text(text))


@given(st.integers(0, 10**6), st.sampled_from(SECRET), words)
def test_no_token_is_left(seed: int, kind: Callable[[random.Random], str], before: str) -> None:
    """A key would be sent because of some punctuation before it."""
    secret = kind(random.Random(seed))
    assert secret not in Redaction().text(f"{before} {secret} after")


@given(values, words, st.booleans())
def test_verify_refuses_a_value_that_was_not_redacted(
    value: tuple[str, list[str]], before: str, encoded: bool
) -> None:
    """The code that writes the prompt could forget to redact a part of it."""
    redaction = Redaction()
    written, planted = value
    if encoded:
        written = base64.b64encode(f"this is {written} in it".encode()).decode()
    with pytest.raises(RedactionFailed) as failure:
        redaction.verify(f"{before} {written} ")
    assert planted[0] not in str(failure.value)


@given(anything, anything, documents)
@settings(max_examples=150)
def test_any_event_is_redacted_and_passes_its_own_check(
    title: str, text: str, document: object
) -> None:
    """All events of a vendor that nobody thought of would fail and wait for a person."""
    redaction = Redaction()
    event = Event(
        id="e", kind="alert", title=title, text=text, event={"user": "qbertson", "any": document}
    )
    out = redaction.event(event)
    redaction.verify("\n".join([out.title or "", out.text or ""]))
    assert redaction.event(event) == out


@given(anything | words)
def test_a_normalised_text_is_redacted_in_the_same_way(text: str) -> None:
    """The sent text would depend on whether it was normalised before."""
    assert Redaction().text(normalise(text)) == Redaction().text(text)


@given(anything, anything)
def test_the_same_text_gives_the_same_result(first: str, second: str) -> None:
    """A decision could not be reproduced."""
    redaction, repeated = Redaction(), Redaction()
    texts = [redaction.text(first), redaction.text(second)]
    assert texts == [repeated.text(first), repeated.text(second)]
    assert redaction.counts == repeated.counts
