"""Makes the text of a labels file, for a person to fill in."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from inference.egress.redaction import Redaction
from inference.errors import ConfigError, DataError, RedactionFailed
from inference.labelled import LabelledRow
from inference.labelling.likeness import TextVectors
from inference.labels.file import MAX_EXAMPLE_CHARS, to_labels
from inference.model.input_text import plain_text
from schemas.event import DOMAINS
from schemas.visible_text import one_line

EXAMPLES = 3
MIN_EXAMPLE_CHARS = 20
"""A shorter text is an example only if the label has too few others."""
MAX_ROWS_OF_LABEL = 200
"""Of how many rows of a label the typical ones are found."""

HEADING = """\
# What each label means. Write a description for each: half a sentence that tells it from the
# others.
# A language model is shown the descriptions, and not the examples. triage train learns from both.
# If you rename a label, keep its old name: renamed_from = "old name"
"""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

Draft = Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]]
"""The examples of each label, by domain and axis."""


def draft_of_names(domain: str, axis: str, names: Iterable[str]) -> Draft:
    """A draft without examples."""
    return {domain: {axis: dict.fromkeys(names, ())}}


def draft_of_rows(rows: Sequence[LabelledRow], regions: Sequence[str]) -> Draft:
    """A draft with the labels of these rows, and typical short texts of each.

    Personal data and secrets in the examples are replaced as they are for an LLM; `regions` are the
    countries whose telephone numbers are found.
    """
    draft: dict[str, dict[str, dict[str, Sequence[str]]]] = {}
    for domain in DOMAINS:
        of_domain = [row for row in rows if row.domain == domain]
        for axis in dict.fromkeys(axis for row in of_domain for axis in row.gold):
            texts: dict[str, list[str]] = {}
            for row in of_domain:
                for label in row.gold.get(axis, ()):
                    texts.setdefault(label, []).append(plain_text(row.event))
            draft.setdefault(domain, {})[axis] = {
                label: _examples(texts[label], regions) for label in sorted(texts)
            }
    return draft


def to_toml(draft: Draft) -> str:
    """The text of the file.

    Raises:
        DataError: the labels cannot be in one file, for instance because two read as one name.
    """
    document: dict[str, dict[str, dict[str, dict[str, str]]]] = {
        domain: {axis: {label: {} for label in labels} for axis, labels in axes.items()}
        for domain, axes in draft.items()
    }
    try:
        to_labels(document)
    except ConfigError as error:
        raise DataError(f"no labels file can be made: {error}") from None
    lines = [HEADING]
    for domain, axes in draft.items():
        for axis, labels in axes.items():
            for label, examples in labels.items():
                lines.append(f"[{domain}.{_key(axis)}.{_key(label)}]")
                lines.append('# description = ""')
                if examples:
                    lines.append("examples = [")
                    lines += [f"  {toml_string(example)}," for example in examples]
                    lines.append("]")
                lines.append("")
    return "\n".join(lines)


def toml_string(text: str) -> str:
    """A string of TOML. JSON has the same escapes, except of one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else toml_string(name)


def _examples(texts: Sequence[str], regions: Sequence[str]) -> list[str]:
    """The shortest of the texts that are most like all texts of the label."""
    distinct = list(dict.fromkeys(one_line(text, MAX_EXAMPLE_CHARS) for text in texts))
    distinct = [text for text in distinct if text]
    step = max(1, -(-len(distinct) // MAX_ROWS_OF_LABEL))
    typical = _typical(distinct[::step])
    # A text that was cut is the last choice, and so is one that says next to nothing.
    ranked = sorted(
        typical,
        key=lambda text: (
            not MIN_EXAMPLE_CHARS <= len(text) < MAX_EXAMPLE_CHARS,
            len(text),
            text,
        ),
    )
    redacted = (_redacted(text, regions) for text in ranked)
    return [text for text in redacted if text][:EXAMPLES]


def _typical(texts: Sequence[str]) -> list[str]:
    """The half of the texts that is nearest to the sum of all, but at least `EXAMPLES`."""
    if len(texts) <= EXAMPLES:
        return list(texts)
    vectors = TextVectors(texts)
    total = vectors.sums([0] * len(texts), 1)[:, 0]
    near = np.array([values @ total[buckets] for buckets, values in vectors.vectors])
    count = max(EXAMPLES, len(texts) // 2)
    return [texts[index] for index in np.argsort(-near.round(9), kind="stable")[:count].tolist()]


def _redacted(text: str, regions: Sequence[str]) -> str:
    """The text without what must not be kept; empty if that cannot be made sure of."""
    redaction = Redaction(frozenset(), regions=regions)
    try:
        redaction.learn(text)
        redacted = one_line(redaction.text(text), MAX_EXAMPLE_CHARS)
        redaction.verify(redacted)
    except RedactionFailed:
        return ""
    return redacted
