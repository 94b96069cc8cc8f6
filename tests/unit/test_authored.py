"""The authored rows in the shapes of vendors and help desks: labelled, read, and all different."""

import gzip
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from inference.labelled import LabelledRow, read_rows
from schemas.event import Event, Origin
from schemas.formats import read_record
from tests.shipped_samples import shipped_samples

AUTHORED = Path(__file__).parents[2] / "inference" / "training" / "authored"
VENDORS, DESKS = AUTHORED / "vendor_alerts.ndjson", AUTHORED / "desk_tickets.ndjson"
OLDER = (AUTHORED / "alerts.ndjson", AUTHORED / "tickets.ndjson")
HELD_OUT = Path(__file__).parents[2] / "benchmarks" / "held_out" / "vendor_alerts.ndjson"
DATA = Path(os.environ.get("TRIAGE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
PUBLIC = ("alerts_dev.jsonl.gz", "tickets_banking_dev.jsonl.gz", "tickets_complaints_dev.jsonl.gz")
SOURCE_OF_SPLIT = {"train": "authored", "val": "authored, held out"}
GRAM = 8
MAX_SHARED = 0.4
"""Of the 8-grams of a row, those that another row may have too."""

_WORD = re.compile(r"[a-z0-9']+")


@cache
def rows_of(file: Path) -> list[dict[str, Any]]:
    """The lines of a file."""
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
        return [orjson.loads(line) for line in lines]


@cache
def read(file: Path) -> list[LabelledRow]:
    """The same lines as training reads them."""
    return read_rows([file])


def words(event: Event) -> str:
    """What a person would read of an event."""
    return "\n".join(filter(None, (event.title, event.text, event.body)))


def grams(text: str) -> set[str]:
    """The 8-grams of a text. A shorter one has none: it may be what a product always says."""
    found = _WORD.findall(text.lower())
    return {" ".join(found[at : at + GRAM]) for at in range(len(found) - GRAM + 1)}


def alike(texts: dict[str, str], others: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The pairs of a text and another one that has many of its 8-grams."""
    own = {name: grams(text) for name, text in texts.items()}
    owners = defaultdict(set)
    for name, found in own.items():
        for gram in found:
            owners[gram].add(name)
    for other, text in others:
        shared = Counter(name for gram in grams(text) for name in owners.get(gram, ()))
        for name, count in shared.items():
            if name != other and count > MAX_SHARED * len(own[name]):
                yield name, other


def read_texts(file: Path) -> dict[str, str]:
    """For each line of a file: its id, and the words that are read of it."""
    lines = zip(rows_of(file), read(file), strict=True)
    return {line["id"]: words(row.event) for line, row in lines}


@pytest.mark.parametrize(
    ("file", "with_words", "with_id", "with_title"),
    [(VENDORS, 0.9, 0.7, 0.85), (DESKS, 1, 0.9, 0.6)],
    ids=["vendors", "desks"],
)
def test_the_door_reads_each_row(
    file: Path, with_words: float, with_id: float, with_title: float
) -> None:
    """The model would be taught by documents that reach it in another way than those of users."""
    events = [row.event for row in read(file)]
    assert len(events) == len(rows_of(file))
    assert sum(bool(words(event)) for event in events) >= with_words * len(events)
    own = sum(not event.id.startswith(f"{file.stem}-") for event in events)
    assert own >= with_id * len(events)
    assert sum(bool(event.title) for event in events) >= with_title * len(events)


def test_the_labels_of_alerts_exist() -> None:
    """A misspelt label would become one of the model."""
    older = [row["labels"] for row in rows_of(OLDER[0])]
    queues = {labels["queue"] for labels in older}
    tactics = {tactic for labels in older for tactic in labels["tactics"]}
    severities = {labels["severity"] for labels in older}
    count: Counter[str] = Counter()
    for row in rows_of(VENDORS):
        labels = row["labels"]
        assert labels["queue"] in queues, row["id"]
        assert tactics.issuperset(labels.get("tactics", ())), row["id"]
        assert labels.get("severity", "low") in severities, row["id"]
        count[labels["queue"]] += 1
    assert min(count[queue] for queue in queues) >= 40


def test_the_labels_of_tickets_follow_the_policy() -> None:
    """Queue and priority follow from the intent; other ones would teach two things at once."""
    policy = {
        labels["intent"]: labels
        for labels in (row["labels"] for row in rows_of(OLDER[1]))
        if "intent" in labels
    }
    outside = {"queue": "out_of_scope", "priority": "low"}
    labels_of_rows = [row["labels"] for row in rows_of(DESKS)]
    for labels in labels_of_rows:
        assert labels == policy.get(labels.get("intent"), outside)
    assert {labels["intent"] for labels in labels_of_rows if "intent" in labels} == set(policy)
    share = sum(labels == outside for labels in labels_of_rows) / len(labels_of_rows)
    assert 0.45 <= share <= 0.65


def test_ids_are_unique_in_all_files() -> None:
    """A row that is found by its id would be another one."""
    ids = Counter(row["id"] for file in (*OLDER, VENDORS, DESKS) for row in rows_of(file))
    assert [name for name, count in ids.items() if count > 1] == []


def test_what_teaches_does_not_calibrate() -> None:
    """The promise for sources never taught would be made with sources that were taught."""
    for older, newer in zip(OLDER, (VENDORS, DESKS), strict=True):
        splits = defaultdict(set)
        for row in rows_of(newer):
            splits[row["group"]].add(row["split"])
            assert row["source"] == SOURCE_OF_SPLIT[row["split"]]
            assert row["cluster"].startswith(row["group"])
        for row in rows_of(older):
            if row["group"] in splits:
                splits[row["group"]].add(row["split"])
        assert {group for group, found in splits.items() if len(found) > 1} == set()


def test_no_product_of_the_held_out_documents_is_taught() -> None:
    """They would flatter the figures for vendors that the model does not know."""
    rows = [row for file in (VENDORS, OLDER[0]) for row in rows_of(file)]
    taught = {row["group"] for row in rows if row["split"] == "train"}
    held_out = rows_of(HELD_OUT)
    assert len(held_out) >= 100
    assert taught.isdisjoint(row["group"] for row in held_out)
    texts = read_texts(HELD_OUT)
    assert list(alike(texts, [*texts.items(), *read_texts(VENDORS).items()])) == []


@pytest.mark.parametrize("file", [VENDORS, DESKS], ids=["vendors", "desks"])
def test_no_two_rows_are_alike(file: Path) -> None:
    """Rows that differ in a word teach nothing, and flatter the figures of a promise."""
    texts = read_texts(file)
    older = ((row["id"], row["text"]) for each in OLDER for row in rows_of(each))
    assert list(alike(texts, [*texts.items(), *older])) == []


def test_no_row_is_like_a_shipped_sample() -> None:
    """The share of samples with the right queue would tell how well rows are remembered."""
    origin = Origin(topic="sample", partition=0, offset=0)
    events = [
        reading.event
        for sample in shipped_samples()
        for reading in read_record(sample.value, origin=origin, kind=sample.kind)
        if isinstance(reading.event, Event)
    ]
    for file in (VENDORS, DESKS, HELD_OUT):
        assert list(alike(read_texts(file), ((event.id, words(event)) for event in events))) == []
    titles = {event.title for event in events if event.title}
    lines = zip(rows_of(VENDORS), read(VENDORS), strict=True)
    assert [line["id"] for line, row in lines if row.event.title in titles] == []


@pytest.mark.data
@pytest.mark.skipif(
    not DATA.is_dir(), reason="no labelled rows; set TRIAGE_TEST_DATA to their directory"
)
@pytest.mark.parametrize("file", [VENDORS, DESKS], ids=["vendors", "desks"])
def test_no_row_is_like_a_public_one(file: Path) -> None:
    """A row that was copied would teach what the test rows ask for."""
    public = ((row["id"], row["text"]) for name in PUBLIC for row in rows_of(DATA / name))
    assert list(alike(read_texts(file), public)) == []
