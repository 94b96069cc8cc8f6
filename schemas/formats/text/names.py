"""Sets of words, written as a text."""


def names(text: str, separator: str | None = None) -> frozenset[str]:
    """The words of a text, or its parts between separators."""
    return frozenset(text.split(separator))
