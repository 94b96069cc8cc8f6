"""Labels that rows write in several ways: `Returns` and `returns` are one label."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from inference.labelled import LabelledRow
from inference.labels.file import LabelsFile, comparable
from schemas.event import Domain
from schemas.plural import plural

SHOWN_LABELS = 5
"""So many labels of an axis have a note."""


def with_one_spelling(
    rows: Sequence[LabelledRow], labels: LabelsFile
) -> tuple[list[LabelledRow], tuple[str, ...]]:
    """The rows with one spelling of each label, and a sentence about each label that had several.

    Names that differ only in case, width, spaces, hyphens and underscores are one, as in a labels
    file. The spelling of the file is taken, or else the one that most rows have.
    """
    counts: dict[tuple[Domain, str], Counter[str]] = {}
    for row in rows:
        for axis, gold in row.gold.items():
            counts.setdefault((row.domain, axis), Counter()).update(gold)
    notes: list[str] = []
    read_as: dict[tuple[Domain, str], dict[str, str]] = {}
    for (domain, axis), of_axis in counts.items():
        changed = _changed_names(of_axis, labels.axes(domain).get(axis, {}))
        if changed:
            read_as[domain, axis] = changed
            notes += list(_notes(f"{domain} {axis}", of_axis, changed))[:SHOWN_LABELS]
    if not read_as:
        return list(rows), ()
    return [_rewritten(row, read_as) for row in rows], tuple(notes)


def _changed_names(counts: Counter[str], described: Mapping[str, object]) -> dict[str, str]:
    """The names that are read as another one, and that one."""
    chosen = {comparable(label): label for label in described}
    for label, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        chosen.setdefault(comparable(label), label)
    names = {label: chosen[comparable(label)] for label in counts}
    return {label: name for label, name in names.items() if label != name}


def _notes(place: str, counts: Counter[str], changed: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(set(changed.values())):
        others = [
            plural(counts[label], f"row with {label}", f"rows with {label}")
            for label in sorted(changed)
            if changed[label] == name
        ]
        yield f"{place}: read as {name}: {', '.join(others)}"


def _rewritten(
    row: LabelledRow, read_as: Mapping[tuple[Domain, str], Mapping[str, str]]
) -> LabelledRow:
    gold = {}
    for axis, labels in row.gold.items():
        names = read_as.get((row.domain, axis), {})
        gold[axis] = tuple(dict.fromkeys(names.get(label, label) for label in labels))
    return replace(row, gold=gold)
