"""Rows made of the texts of a labels file: what a label means, before anybody has labelled a row.

The name with the description, the phrases of the description, and the examples teach one third
each, however many there are. Phrases help because a description names several things, and an event
is about one of them.
"""

import re
from collections.abc import Collection, Iterator

from inference.labelled import LABELS_FILE, LabelledRow
from inference.labels.file import LabelEntry, LabelsFile
from schemas.event import KIND_OF_DOMAIN, Domain, Event

GROUP_WEIGHT = 3.0
"""How many rows each third counts for. With 250 rows of twelve labels, 2 to 8 do equally well."""
MIN_PHRASE_CHARS = 4

_SEPARATORS = re.compile(r"[\s_/-]+|(?<=[a-z])(?=[A-Z])")
_PHRASE_ENDS = re.compile(r"[,:;.?!()]+|\band\b|\bor\b")


def label_rows(labels: LabelsFile, domain: Domain, axes: Collection[str]) -> list[LabelledRow]:
    """The rows of these axes of a domain, which teach and calibrate nothing."""
    rows = []
    for axis, entries in labels.axes(domain).items():
        if axis not in axes:
            continue
        for label, entry in entries.items():
            for number, (text, weight) in enumerate(_texts(label, entry)):
                rows.append(
                    LabelledRow(
                        event=Event(
                            id=f"{LABELS_FILE} {axis} {label} {number}",
                            kind=KIND_OF_DOMAIN[domain],
                            text=text,
                        ),
                        domain=domain,
                        gold={axis: (label,)},
                        part="train",
                        source=LABELS_FILE,
                        cluster=f"{LABELS_FILE} {axis} {label}",
                        teaching_weight=weight,
                    )
                )
    return rows


def label_words(label: str) -> str:
    """The name of a label as words: ``card_orders`` and ``cardOrders`` are ``card orders``."""
    return " ".join(_SEPARATORS.sub(" ", label).split())


def _texts(label: str, entry: LabelEntry) -> Iterator[tuple[str, float]]:
    """The texts about a label, and the weight of each."""
    name = label_words(label)
    groups = [[name]]
    if entry.description:
        phrases = [phrase.strip() for phrase in _PHRASE_ENDS.split(entry.description)]
        groups = [
            [f"{name}: {entry.description}"],
            [phrase for phrase in phrases if len(phrase) >= MIN_PHRASE_CHARS],
        ]
    for group in (*groups, entry.examples):
        for text in group:
            yield text, GROUP_WEIGHT / len(group)
