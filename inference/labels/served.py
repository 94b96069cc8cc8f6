"""The labels file beside the labels of a served model."""

from collections.abc import Mapping, Sequence

from inference.labels.file import Descriptions, LabelsFile
from schemas.triaged import LabelSets
from schemas.visible_text import one_line

SHOWN_LABELS = 10
MIN_SHOWN_CHARS = 24
"""A description that would be cut to less says nothing, and is left out."""


def not_in_model(file: LabelsFile, labels: LabelSets) -> list[str]:
    """The labels of the file that the model cannot give, as ``alerts.queue.cloud``."""
    return [
        f"{domain}.{axis}.{label}"
        for domain, axis, label in file.places()
        if label not in labels.get(domain, {}).get(axis, ())
    ]


def unknown_labels_warning(file: LabelsFile, labels: LabelSets) -> str:
    """One sentence about the labels of the file that the model lacks; empty if it has all."""
    missing = not_in_model(file, labels)
    if not missing:
        return ""
    names = ", ".join(missing[:SHOWN_LABELS])
    if len(missing) > SHOWN_LABELS:
        names += f" and {len(missing) - SHOWN_LABELS} more"
    return (
        f"the model does not have these labels of the labels file: {names}; they are offered to "
        "nobody until a model is trained on rows that have them"
    )


def served_descriptions(
    file: LabelsFile, domain: str, labels: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, str]]:
    """The descriptions of the labels that a model has, in the order of the model."""
    described = file.descriptions(domain)
    served = {
        axis: {name: described[axis][name] for name in names if name in described[axis]}
        for axis, names in labels.items()
        if axis in described
    }
    return {axis: of_axis for axis, of_axis in served.items() if of_axis}


def within_chars(descriptions: Descriptions, max_chars: int) -> dict[str, dict[str, str]]:
    """The descriptions, each on one line, and together at most `max_chars` characters.

    If they are longer, the longest are cut, all to the same length. So the result is the same for
    every event, and no axis is left without.
    """
    lines = {
        axis: {label: one_line(text, max(1, len(text))) for label, text in labels.items()}
        for axis, labels in descriptions.items()
    }
    lengths = sorted(len(line) for labels in lines.values() for line in labels.values())
    longest = _longest(lengths, max_chars)
    if lengths and longest < min(MIN_SHOWN_CHARS, lengths[-1]):
        return {}
    return {
        axis: {label: one_line(line, longest) for label, line in labels.items()}
        for axis, labels in lines.items()
    }


def _longest(lengths: Sequence[int], max_chars: int) -> int:
    """The length to which texts of these ascending lengths are cut to be `max_chars` together."""
    left = max_chars
    for index, length in enumerate(lengths):
        share = left // (len(lengths) - index)
        if length > share:
            return share
        left -= length
    return lengths[-1] if lengths else 0
