"""Labelled rows: training, calibration and evaluation read any labels in the same way."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from inference.errors import DataError
from inference.labelled import MAX_LABELS, Part, labels_of, read_rows
from tests.labelled import alerts, split, to_rows, write


def ticket(**labels: Any) -> dict[str, Any]:
    """A row of a file with these labels."""
    return {"kind": "ticket", "text": "my card is gone", "labels": labels}


def test_only_the_axes_of_the_contract_are_read() -> None:
    """Otherwise any other column of the labels would become an axis of the model."""
    (row,) = to_rows([ticket(queue="top_up", priority="low", language="en", comment="x")])
    assert row.gold == {"queue": ("top_up",), "priority": ("low",)}
    labels = {"tactics": ["impact", "execution"], "severity3": "low"}
    (alert,) = to_rows([alerts()[1] | {"labels": labels}])
    assert alert.gold == {"tactic": ("impact", "execution")}


def test_other_axes_are_read_if_there_are_none_of_the_contract() -> None:
    """Otherwise nobody could train on a label set of their own."""
    rows = to_rows([ticket(product="card", mood=None), ticket(mood="angry")])
    assert [row.gold for row in rows] == [{"product": ("card",)}, {"mood": ("angry",)}]


def test_axes_can_be_named() -> None:
    """Otherwise columns with other names could not be used."""
    (row,) = to_rows([ticket(queue="top_up", product="card")], {"queue": "product", "raw": "queue"})
    assert row.gold == {"queue": ("card",), "raw": ("top_up",)}


def test_each_domain_has_its_own_axes() -> None:
    """Otherwise tickets with other axes would lose them beside alerts with contract axes."""
    rows = to_rows([alerts()[0], ticket(product="card")])
    assert [set(row.gold) for row in rows] == [{"queue", "tactic", "severity"}, {"product"}]


def test_a_line_may_hold_its_record_as_it_is_on_a_topic() -> None:
    """The labels, the group and the source of a line would hide fields of the vendor's document."""
    record = {"eventId": "e-7", "labels": {"app": "x"}, "source": "vendor", "title": "Malware"}
    wrapped = {"kind": "alert", "labels": {"queue": "endpoint"}, "source": "ours", "id": "r-1"}
    cef = "CEF:0|Acme|Box|1|100|Port scan|7|externalId=55 msg=Many ports"
    row, text = to_rows([wrapped | {"record": record}, wrapped | {"record": cef}])
    assert (row.event.id, row.event.title, row.event.source) == ("e-7", "Malware", "vendor")
    assert row.event.event == record
    assert (row.source, row.gold) == ("ours", {"queue": ("endpoint",)})
    assert text.event.title is not None
    assert "Port scan" in text.event.title


def test_a_field_record_beside_others_is_the_vendors() -> None:
    """A document with a field of this name would lose all the others."""
    (row,) = to_rows([ticket(queue="top_up") | {"record": {"x": 1}}])
    assert row.event.text == "my card is gone"


def test_a_record_of_several_events_is_no_row() -> None:
    """Nobody could say which of them the labels are about."""
    line = {"kind": "alert", "labels": {"queue": "cloud"}}
    with pytest.raises(DataError, match=r"line 1 of .* is no labelled row"):
        to_rows([line | {"record": {"alerts": [{"title": "a"}, {"title": "b"}]}}])


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
def test_a_value_has_one_label_several_or_none(value: Any, gold: tuple[str, ...] | None) -> None:
    """A missing label must not be a label, and either of two labels is right."""
    (row,) = to_rows([ticket(queue=value, intent="i")])
    assert row.gold.get("queue") == gold
    assert row.gold["intent"] == ("i",)


def test_rows_without_any_label_are_left_out() -> None:
    """Otherwise rows without labels would count as errors."""
    assert len(to_rows([ticket(queue="a"), ticket(), ticket(queue=None), ticket(queue=[])])) == 1


@pytest.mark.parametrize("unsplit", ["train", "test"])
def test_rows_without_a_split_get_the_default_one(unsplit: Any) -> None:
    """Otherwise users with one file of rows would have to write a split into it."""
    lines = [
        ticket(queue="a"),
        ticket(queue="a") | {"split": None},
        ticket(queue="a") | {"split": "test"},
    ]
    assert [row.part for row in to_rows(lines, unsplit=unsplit)] == [unsplit, unsplit, "test"]


def test_validation_rows_are_divided_into_two_splits() -> None:
    """Otherwise one split would be too small to support a promise."""
    lines = [ticket(queue="a") | {"text": f"text {n}", "split": "val"} for n in range(1_000)]
    parts: Counter[Part] = Counter(row.part for row in to_rows(lines))
    assert set(parts) == {"tuning", "testing"}
    assert min(parts.values()) > 400


@pytest.mark.parametrize("key", ["cluster", "group", "text"])
def test_rows_of_a_cluster_are_in_one_split(key: str) -> None:
    """Near-duplicates in both splits would make the promise look better than it is."""
    lines = [
        ticket(queue="a") | {"text": f"text {n}", "split": "val"} | {key: "same"} for n in range(50)
    ]
    assert len({row.part for row in to_rows(lines)}) == 1


def test_all_fields_of_an_event_are_read() -> None:
    """Otherwise training would read other events than serving does."""
    line = {
        "kind": "alert",
        "title": "t",
        "body": "b",
        "event": {"a": 1},
        "tenant": "acme",
        "labels": {"queue": "cloud"},
        "source": "s",
        "license": "MIT",
        "meta": {"anything": 1},
    }
    (row,) = to_rows([line])
    event = row.event
    assert (event.title, event.body, event.text) == ("t", "b", None)
    assert (event.event, event.tenant) == ({"a": 1}, "acme")
    assert (row.domain, row.source, row.license) == ("alerts", "s", "MIT")
    assert event.source is None, "the model must not read where a row comes from"


def test_labels_are_those_of_the_training_rows() -> None:
    """Otherwise a head would have a label that no training row has, and never choose it."""
    lines = [ticket(queue=queue, intent=f"i{2 - n % 2}") for n, queue in enumerate("cab")]
    rows = to_rows(
        [*lines, ticket(queue="d") | {"split": "val"}, ticket(queue="e") | {"split": "test"}]
    )
    assert labels_of(rows) == {"tickets": {"queue": ("a", "b", "c"), "intent": ("i1", "i2")}}


def test_the_axes_of_the_contract_come_first() -> None:
    """Otherwise the model's digest would depend on the order of the rows."""
    lines = [ticket(zeal=n, priority=n, queue=n, age=n) for n in "ab"]
    axes = {axis: axis for axis in ("zeal", "age", "priority", "queue")}
    assert list(labels_of(to_rows(lines, axes))["tickets"]) == ["queue", "priority", "age", "zeal"]
    reordered = labels_of(to_rows(lines[::-1], dict(reversed(axes.items()))))["tickets"]
    assert list(reordered)[:2] == ["queue", "priority"]


@pytest.mark.parametrize(
    ("lines", "counted"),
    [
        ([ticket(queue="a"), ticket(queue="a")], "1 label"),
        ([ticket(queue=str(n)) for n in range(MAX_LABELS + 1)], "1,001 labels"),
        ([ticket(queue="a") | {"split": "val"}, ticket(queue="b") | {"split": "test"}], "0 labels"),
    ],
    ids=["one", "too many", "none in training"],
)
def test_axes_with_too_few_or_too_many_labels_are_refused(
    lines: list[dict[str, Any]], counted: str
) -> None:
    """A column of one value or of free text would end in a traceback or a useless model."""
    message = rf"tickets have {counted} on queue; .*--axis"
    with pytest.raises(DataError, match=message) as raised:
        labels_of(to_rows(lines))
    assert "\n" not in str(raised.value)


def test_two_labels_and_a_thousand_are_allowed() -> None:
    """Otherwise the documented bounds would be refused."""
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
def test_unusable_data_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    """Otherwise a wrong file would end in a traceback."""
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(DataError) as raised:
        read_rows([tmp_path / "rows.jsonl"])
    assert "\n" not in str(raised.value)


def test_a_truncated_gzip_file_is_refused(tmp_path: Path) -> None:
    """Otherwise an incomplete download would end in a traceback."""
    file = write(tmp_path / "rows.jsonl.gz", split(alerts()))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot read"):
        read_rows([file])


def test_plain_and_compressed_files_are_read_together(tmp_path: Path) -> None:
    """Otherwise the rows of a domain could not be in two files."""
    lines = split(alerts())
    files = [
        write(tmp_path / "one.jsonl", lines[:50]),
        write(tmp_path / "two.jsonl.gz", lines[50:]),
    ]
    assert [row.event.id for row in read_rows(files)] == [line["id"] for line in lines]
