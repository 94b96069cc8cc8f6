"""The labels file: what is drafted is read, and what cannot be read is refused in a sentence."""

import tomllib
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from inference.errors import ConfigError, DataError
from inference.labelling.draft import to_toml, toml_string
from inference.labels.file import comparable, likeliest, to_labels
from inference.labels.served import within_chars
from schemas.visible_text import one_line
from tests.property.strategies import json_values

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = texts.map(lambda text: one_line(text, 40)).filter(bool)
drafts = st.dictionaries(
    st.sampled_from(["alerts", "tickets"]),
    st.dictionaries(
        names,
        st.dictionaries(names, st.lists(names, max_size=3), max_size=6),
        max_size=3,
    ),
)


@given(drafts)
def test_a_draft_is_read_back(draft: dict[str, dict[str, dict[str, list[str]]]]) -> None:
    """A label with a quote, a dot or a line end in it would make a file that nobody can read."""
    try:
        text = to_toml(draft)
    except DataError:
        return  # two of the names read as one
    file = to_labels(tomllib.loads(text))
    written = {
        (domain, axis, label): examples
        for domain, axes in draft.items()
        for axis, labels in axes.items()
        for label, examples in labels.items()
    }
    read = {
        (domain, axis, label): file.axes(domain)[axis][label].examples
        for domain, axis, label in file.places()
    }
    assert read == written


@given(texts)
def test_a_string_of_toml_is_the_text(text: str) -> None:
    """An example would be changed, or the file would be no TOML."""
    assert tomllib.loads(f"x = {toml_string(text)}")["x"] == text


@given(st.dictionaries(st.sampled_from(["alerts", "tickets"]) | st.text(max_size=5), json_values))
def test_a_document_is_read_or_refused_in_a_sentence(document: dict[str, object]) -> None:
    """A mistake in the file would end a worker with a traceback."""
    with suppress(ConfigError):
        to_labels(document)


@given(st.dictionaries(names, st.dictionaries(names, names, max_size=8), max_size=3),
       st.integers(1, 400))  # fmt: skip
def test_descriptions_are_never_longer_than_asked(
    descriptions: dict[str, dict[str, str]], max_chars: int
) -> None:
    """The prompt would cost more than the limit says, or depend on the order of the labels."""
    shown = within_chars(descriptions, max_chars)
    lengths = [len(text) for labels in shown.values() for text in labels.values()]
    assert sum(lengths) <= max_chars
    turned = {axis: dict(reversed(labels.items())) for axis, labels in descriptions.items()}
    assert within_chars(turned, max_chars) == shown


@given(names, st.sets(names, max_size=8))
def test_what_is_meant_is_one_of_the_names(name: str, allowed: set[str]) -> None:
    """A person would be told to use a label that does not exist."""
    meant = likeliest(name, allowed)
    assert meant is None or meant in allowed
    if any(comparable(each) == comparable(name) for each in allowed):
        assert meant is not None
        assert comparable(meant) == comparable(name)
