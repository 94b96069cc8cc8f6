"""The languages that the rows of a desk are written in."""

from collections import Counter
from collections.abc import Sequence

from inference.model.language import ENGLISH, NO_LANGUAGE
from inference.model.model_input import ModelInput

MIN_SHARE, MIN_ROWS = 0.05, 10
"""A language of fewer rows is not one of the desk. The promise would rest on too few rows of it."""


def usual_languages(inputs: Sequence[ModelInput]) -> list[str]:
    """The languages besides English that many of these calibration rows are written in.

    An event in one of them is accepted like one in English.
    """
    counts = Counter(each.language for each in inputs)
    enough = max(MIN_ROWS, MIN_SHARE * len(inputs))
    return sorted(
        language
        for language, count in counts.items()
        if count >= enough and language not in ("", ENGLISH, NO_LANGUAGE)
    )
