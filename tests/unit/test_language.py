"""The language of a text: named if it is not English, and never guessed from a few names."""

import threading
import tomllib
from pathlib import Path

import pytest

from inference.model import language
from inference.model.artifact import DEFAULT_MODEL, load_manifest
from inference.model.encoder import open_tokenizer
from inference.model.input_text import read_content
from inference.model.language import ENGLISH, NO_LANGUAGE, identify
from inference.model.model_input import ModelInput, input_text, read_inputs
from schemas.event import Event

SENTENCES: dict[str, list[str]] = tomllib.loads(
    (Path(__file__).parents[1] / "data" / "languages.toml").read_text("utf-8")
)
NOT_FOREIGN = ("English", "Gibberish")
FOREIGN = [
    (name, text) for name, texts in SENTENCES.items() if name not in NOT_FOREIGN for text in texts
]
# Close relatives, of which a sentence does not always tell which one it is.
RELATED = {"Indonesian": {"Malay"}, "Russian": {"Bulgarian", "Macedonian"}, "Danish": {"Norwegian"}}


def reading(text: str) -> ModelInput:
    """What the shipped model's tokenizer and the identification of languages say of a ticket."""
    tokenizer = open_tokenizer(DEFAULT_MODEL, load_manifest(DEFAULT_MODEL, as_source=True).encoder)
    content = read_content(Event(id="1", kind="ticket", text=text))
    (model_input,) = read_inputs(tokenizer, [input_text(content)])
    return model_input


@pytest.mark.parametrize(("name", "text"), FOREIGN)
def test_a_sentence_in_another_language_is_named(name: str, text: str) -> None:
    """Otherwise a German ticket would be out of scope with confidence 1.00."""
    assert reading(text).language in {name, *RELATED.get(name, ())}


@pytest.mark.parametrize("text", SENTENCES["English"])
def test_english_with_names_and_log_lines_is_not_foreign(text: str) -> None:
    """Otherwise a person would get every event with a Polish user or a Portuguese city."""
    assert reading(text).language in {"", ENGLISH}


@pytest.mark.parametrize("text", SENTENCES["Gibberish"])
def test_gibberish_is_no_english(text: str) -> None:
    """Otherwise its many tokens would be excused as the names in an English text."""
    assert identify(text) != ENGLISH


def test_random_letters_are_no_language() -> None:
    """The reason would name a language that nobody wrote."""
    assert identify("xkqj wvzt pqlm zrrt bnkq jwxv") == NO_LANGUAGE


@pytest.mark.parametrize("text", ["", "ok", "n/a", "12 34", "PIN?", "\ud800" * 9])
def test_too_few_letters_say_nothing(text: str) -> None:
    """A word of three letters is a word of ten languages."""
    assert identify(text) == ""


def test_the_answer_is_the_same_in_every_thread() -> None:
    """The classifier asks from several threads; which one is first must not matter."""
    language._load.cache_clear()
    answers: list[str] = []
    text = "Warum wurde meine Überweisung abgelehnt?"
    threads = [threading.Thread(target=lambda: answers.append(identify(text))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["German"] * 8
    assert language._load.cache_info().misses == 1
