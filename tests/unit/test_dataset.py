"""Labelled rows: any labels anybody has, read the same way for training, calibration and evaluation."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from inference.errors import DataError
from inference.labelled import MAX_LABELS, Part, labels_of, read_rows
from tests.labelled import alerts, split, to_rows, write


def ticket(**labels: Any) -> dict[str, Any]:
    """One row."""
    return {"kind": "ticket", "text": "my card is gone", "labels": labels}


def test_the_contracts_axes_are_read_and_nothing_else() -> None:
    """A column somebody kept beside the labels would become an axis of the model."""
    (row,) = to_rows([ticket(queue="top_up", priority="low", language="en", comment="x")])
    assert row.gold == {"queue": ("top_up",), "priority": ("low",)}
    (alert,) = to_rows(
        [alerts()[1] | {"labels": {"tactics": ["impact", "execution"], "severity3": "low"}}]
    )
    assert alert.gold == {"tactic": ("impact", "execution")}


def test_axes_of_ones_own_are_read_where_there_are_no_others() -> None:
    """Whoever has a label set of their own could not train on it."""
    rows = to_rows([ticket(product="card", mood=None), ticket(mood="angry")])
    assert [row.gold for row in rows] == [{"product": ("card",)}, {"mood": ("angry",)}]


def test_axes_can_be_named() -> None:
    """A column under another name, or one beside the contract's, could not be used."""
    (row,) = to_rows([ticket(queue="top_up", product="card")], {"queue": "product", "raw": "queue"})
    assert row.gold == {"queue": ("card",), "raw": ("top_up",)}


def test_each_domain_has_its_own_axes() -> None:
    """Tickets with labels of one's own beside alerts with the contract's would lose theirs."""
    rows = to_rows([alerts()[0], ticket(product="card")])
    assert [set(row.gold) for row in rows] == [{"queue", "tactic", "severity"}, {"product"}]


@pytest.mark.parametrize(
    ("value", "gold"),
    [
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        (["a", "b", "a"], ("a", "b")),
        (3, ("3",)),
        ([1, 2], ("1", "2")),
        (None, None),
        ([], None),
        (["a", None], ("a",)),
        ([None], None),
    ],
    ids=str,
)
def test_one_label_several_or_none(value: Any, gold: tuple[str, ...] | None) -> None:
    """A missing label would count as a label of its own, or a row of two as right only with both."""
    (row,) = to_rows([ticket(queue=value, intent="i")])
    assert row.gold.get("queue") == gold
    assert row.gold["intent"] == ("i",)


def test_rows_without_any_label_are_left_out() -> None:
    """They would teach nothing and count as wrong."""
    assert len(to_rows([ticket(queue="a"), ticket(), ticket(queue=None), ticket(queue=[])])) == 1


@pytest.mark.parametrize("unsplit", ["train", "test"])
def test_rows_that_name_no_split(unsplit: Any) -> None:
    """Whoever has one file of labelled rows would have to write a split into it."""
    lines = [
        ticket(queue="a"),
        ticket(queue="a") | {"split": None},
        ticket(queue="a") | {"split": "test"},
    ]
    assert [row.part for row in to_rows(lines, unsplit=unsplit)] == [unsplit, unsplit, "test"]


def test_validation_rows_are_cut_in_two_halves() -> None:
    """One half would be too small to promise anything from."""
    lines = [ticket(queue="a") | {"text": f"text {n}", "split": "val"} for n in range(1_000)]
    parts: Counter[Part] = Counter(row.part for row in to_rows(lines))
    assert set(parts) == {"tuning", "testing"}
    assert min(parts.values()) > 400


@pytest.mark.parametrize("key", ["cluster", "group", "text"])
def test_rows_of_a_kind_do_not_straddle_the_halves(key: str) -> None:
    """Near-duplicates on both sides would make the promise look better than it is."""
    lines = [
        ticket(queue="a") | {"text": f"text {n}", "split": "val"} | {key: "one"} for n in range(50)
    ]
    assert len({row.part for row in to_rows(lines)}) == 1


def test_an_event_is_read_whole() -> None:
    """A row with its text in parts, a document or a tenant would be another event than the one that is served."""
    line = {
        "kind": "alert", "title": "t", "body": "b", "event": {"a": 1}, "tenant": "acme", "labels": {"queue": "cloud"},
        "source": "s", "license": "MIT", "meta": {"anything": 1},
    }  # fmt: skip
    (row,) = to_rows([line])
    event = row.event
    assert (event.title, event.body, event.text, event.event, event.tenant) == (
        "t",
        "b",
        None,
        {"a": 1},
        "acme",
    )
    assert (row.domain, row.source, row.license) == ("alerts", "s", "MIT")
    assert event.source is None, "the model never reads where a row comes from"


def test_labels_are_those_that_are_taught() -> None:
    """A head would have a row for a label no training row has, and never choose it."""
    lines = [ticket(queue=queue, intent="i1" if n % 2 else "i2") for n, queue in enumerate("cab")]
    rows = to_rows(
        [*lines, ticket(queue="d") | {"split": "val"}, ticket(queue="e") | {"split": "test"}]
    )
    assert labels_of(rows) == {"tickets": {"queue": ("a", "b", "c"), "intent": ("i1", "i2")}}


def test_the_contracts_axes_come_first() -> None:
    """The order of the axes would hang on the order of the rows, and with it the model's digest."""
    lines = [ticket(zeal=n, priority=n, queue=n, age=n) for n in "ab"]
    axes = {axis: axis for axis in ("zeal", "age", "priority", "queue")}
    assert list(labels_of(to_rows(lines, axes))["tickets"]) == ["queue", "priority", "age", "zeal"]
    assert list(labels_of(to_rows(lines[::-1], dict(reversed(axes.items()))))["tickets"])[:2] == [
        "queue",
        "priority",
    ]


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        ([ticket(queue="a"), ticket(queue="a")], 1),
        ([ticket(queue=str(n)) for n in range(MAX_LABELS + 1)], MAX_LABELS + 1),
        ([ticket(queue="a") | {"split": "val"}, ticket(queue="b") | {"split": "test"}], 0),
    ],
    ids=["one", "too many", "none taught"],
)
def test_axes_nothing_can_be_learnt_on_are_one_sentence(
    lines: list[dict[str, Any]], number: int
) -> None:
    """A column of one value, or one of free text, would end in a traceback of the library or in a useless model."""
    with pytest.raises(
        DataError, match=rf"tickets have {number} labels on queue; .*--axis"
    ) as caught:
        labels_of(to_rows(lines))
    assert "\n" not in str(caught.value)


def test_two_labels_and_a_thousand_will_do() -> None:
    """Both ends of what is promised would be refused."""
    lines = [ticket(queue=f"q{n % 2}", intent=f"i{n}") for n in range(MAX_LABELS)]
    assert {axis: len(names) for axis, names in labels_of(to_rows(lines))["tickets"].items()} == {
        "queue": 2,
        "intent": MAX_LABELS,
    }


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]\n",
        b'{"id": 1}\n',
        b"\xff\n",
        b"",
        b'{"id":"1","kind":"mail","text":"x","labels":{"queue":"a"}}\n',
    ],
)
def test_unusable_data_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    """A person with a wrong file would see a traceback."""
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_rows([tmp_path / "rows.jsonl"])
    assert "\n" not in str(caught.value)


def test_truncated_gzip_is_one_sentence(tmp_path: Path) -> None:
    """A broken download would end in a traceback."""
    file = write(tmp_path / "rows.jsonl.gz", split(alerts()))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read"):
        read_rows([file])


def test_plain_and_compressed_files_are_read_as_one(tmp_path: Path) -> None:
    """Rows of a domain in two files would be two data sets."""
    lines = split(alerts())
    files = [
        write(tmp_path / "one.jsonl", lines[:50]),
        write(tmp_path / "two.jsonl.gz", lines[50:]),
    ]
    assert [row.event.id for row in read_rows(files)] == [line["id"] for line in lines]
