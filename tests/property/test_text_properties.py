"""Whatever a mail program adds to a message in five languages, the same words are read."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.formats.text import plain, rich_text
from tests.property.mail_skins import LANGUAGES, in_html, message, notice, quote, signature
from tests.property.strategies import json_values

many = settings(max_examples=150, deadline=None)
seeds = st.integers(0, 2**32 - 1)
languages = st.sampled_from(sorted(LANGUAGES))


def read(text: str) -> tuple[list[str], list[str]]:
    """The words of a ticket, and the words that were cut off."""
    found = plain("ticket", text)
    return found.words.split(), found.cut_off.split()


@many
@given(seeds, languages)
def test_a_plain_message_is_unchanged(seed: int, language: str) -> None:
    """Words of the customer would be lost."""
    text = message(random.Random(seed), LANGUAGES[language])
    assert plain("ticket", text) == (text, "")


@pytest.mark.parametrize("skin", [False, True], ids=["text", "html"])
@many
@given(seeds, languages, st.lists(st.booleans(), min_size=3, max_size=3))
def test_what_is_added_to_a_message_is_cut_off(
    skin: bool, seed: int, language: str, added: list[bool]
) -> None:
    """The decision would change with the mail program that the customer uses."""
    rng = random.Random(seed)
    own = message(rng, LANGUAGES[language])
    parts = [own]
    for makes, wanted in zip((signature, notice, quote), added, strict=True):
        if wanted:
            parts.append(makes(rng, LANGUAGES[language]))
    text = "\n\n".join(parts)
    shown = in_html(rng, text) if skin else text
    words, cut = read(shown)
    assert words == own.split(), shown
    assert words + cut == text.split(), shown


@many
@given(seeds, languages)
def test_a_forwarded_message_is_read(seed: int, language: str) -> None:
    """A mail that is only passed on would have no words."""
    rng = random.Random(seed)
    habits = LANGUAGES[language]
    own = message(rng, habits)
    words, _ = read(f"{rng.choice(habits.headers)}\n\n{own}\n\n{signature(rng, habits)}")
    assert words == own.split()


@many
@given(seeds, languages, languages)
def test_answers_below_a_quote_are_read(seed: int, language: str, other: str) -> None:
    """The answer of a customer who writes below the quote would be cut off with it."""
    rng = random.Random(seed)
    own = message(rng, LANGUAGES[language])
    habits = LANGUAGES[other]
    quoted = "\n".join(f"> {line}" for line in message(rng, habits).split("\n"))
    words, cut = read(f"{rng.choice(habits.attributions)}\n{quoted}\n\n{own}\n")
    assert words == own.split()
    assert "> " in " ".join(cut)


@many
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.sampled_from(["alert", "ticket"]),
)
def test_no_word_of_any_text_is_lost(text: str, kind: str) -> None:
    """Nobody could look up what was taken off a text."""
    found = plain(kind, text)  # type: ignore[arg-type]
    if not set(text) & set("<>&[]{}|`~!"):
        assert sorted((found.words + " " + found.cut_off).split()) == sorted(text.split())
    assert found.words.strip() or not any(map(str.isalnum, text)) or "<" in text or "&" in text


@many
@given(json_values)
def test_any_value_may_be_asked_for_rich_text(value: object) -> None:
    """A document that looks a little like rich text would stop the worker."""
    found = rich_text(value)
    assert found is None or isinstance(found, str)
