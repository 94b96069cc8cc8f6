"""Rows as people have them: CSV, a flat line, the export of a desk; and rows that are alike."""

import gzip
import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from inference.clusters import clusters_of, with_clusters
from inference.errors import DataError
from inference.labelled import LabelledRow, read_rows
from inference.labelled_lines import RowFormat
from inference.minhash import Bands, likeness, masked
from inference.record_file import open_records
from schemas.event import Domain
from tests.labelled import to_rows

ZENDESK = {
    "id": 81,
    "subject": "Card",
    "requester_id": 7,
    "submitter_id": 7,
    "via": {"channel": "web"},
    "description": "My card has not arrived yet.",
    "group": {"id": 3, "name": "Card delivery"},
}


def read(
    path: Path, content: str | bytes, *, domain: Domain | None = None, **places: str
) -> list[LabelledRow]:
    """The rows of a file with this content; `places` are the values of `--label`."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    row_format = RowFormat(places=places, domain=domain)
    return read_rows([path], unsplit="both", row_format=row_format)


def test_a_table_needs_a_text_and_a_label(tmp_path: Path) -> None:
    """Everybody with a spreadsheet would have to write a program first."""
    rows = read(tmp_path / "t.csv", "text,queue\nMy card is gone,cards\nI cannot log in,login\n")
    assert [row.event.text for row in rows] == ["My card is gone", "I cannot log in"]
    assert [row.gold for row in rows] == [{"queue": ("cards",)}, {"queue": ("login",)}]
    assert [row.event.id for row in rows] == ["t-1", "t-2"]
    assert {(row.domain, row.part) for row in rows} == {("tickets", "both")}


@pytest.mark.parametrize(
    "content",
    [
        "id,title,body,Team\n7,Card,It is gone,cards\n",
        "id;title;body;Team\r\n7;Card;It is gone;cards\r\n",
        "id\ttitle\tbody\tTeam\n7\tCard\tIt is gone\tcards\n",
        '"id","title","body","Team"\n"7","Card","It is gone","cards"\n',
        "\ufeffid,title,body,Team,agent\n7,Card,It is gone,cards,Bob\n",
        "id,title,body,Team\n7,Card,It is gone, cards \n",
    ],
    ids=["comma", "semicolon", "tab", "quotes", "byte order mark", "blanks"],
)
def test_the_tables_of_office_programs_are_read(tmp_path: Path, content: str) -> None:
    """A table with another delimiter, or with a mark at its beginning, would be one column."""
    (row,) = read(tmp_path / "t.csv", content, queue="Team")
    assert (row.event.id, row.event.title, row.event.body) == ("7", "Card", "It is gone")
    assert row.gold == {"queue": ("cards",)}
    assert "Bob" not in str(row.event)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_table_in_utf_16_is_read(tmp_path: Path, encoding: str, compressed: bool) -> None:
    """What an office program saves as Unicode text would be one column of unreadable letters."""
    data = "id\ttext\tqueue\r\n7\tGebühr für was?\tfees\r\n".encode(encoding)
    if encoding == "utf-16-be":
        data = b"\xfe\xff" + data
    if compressed:
        data = gzip.compress(data)
    (row,) = read(tmp_path / "t.csv", data)
    assert (row.event.id, row.event.text, row.gold) == (
        "7",
        "Gebühr für was?",
        {"queue": ("fees",)},
    )


def test_lines_may_end_as_those_of_old_programs(tmp_path: Path) -> None:
    """A whole table with carriage returns alone would be its header, and hold no row."""
    rows = read(tmp_path / "t.csv", b"id,text,queue\r1,Gone,cards\r2,Charged twice,fees\r")
    assert [(row.event.id, *row.gold["queue"]) for row in rows] == [("1", "cards"), ("2", "fees")]


def test_a_cell_may_have_several_lines_and_old_letters(tmp_path: Path) -> None:
    """A text of two lines would be two rows, and one from an old office program no row."""
    content = 'text,queue\n"Karte weg,\nbitte sperren",cards\nGeb\xfchr?,fees\n'.encode("cp1252")
    rows = read(tmp_path / "t.csv", content)
    assert [row.event.text for row in rows] == ["Karte weg,\nbitte sperren", "Gebühr?"]


def test_a_table_is_known_by_its_columns_and_read_compressed(tmp_path: Path) -> None:
    """A table would have to be called .csv, and could not be compressed."""
    data = gzip.compress(b"number,description,label\n3,The invoice is wrong,billing\n")
    (row,) = read(tmp_path / "export.txt", data)
    assert (row.event.id, row.event.title) == ("3", "The invoice is wrong")
    assert row.gold == {"queue": ("billing",)}
    with open_records(str(tmp_path / "export.txt")) as records:
        assert records.taken_for == "CSV with 3 columns"


def test_a_log_line_with_commas_is_no_table(tmp_path: Path) -> None:
    """The first line of a log would be taken for the names of columns."""
    path = tmp_path / "x.log"
    path.write_text("<34>Oct 11 22:14:15 host su: failed, user, root\nlast, line\n")
    with open_records(str(path)) as records:
        assert records.taken_for == "one record per line"
        assert len(list(records.numbered)) == 2


def test_a_table_with_an_endless_cell_is_one_sentence(tmp_path: Path) -> None:
    """A file whose quotes are damaged would end in a traceback."""
    with pytest.raises(DataError, match=r"cannot read .*field limit"):
        read(tmp_path / "t.csv", 'text,queue\n"' + "x" * 200_000 + '",a\n')


def test_rows_without_a_label_or_a_text_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One empty ticket in an export would keep a desk from training."""
    rows = read(tmp_path / "t.csv", "id,text,queue\n1,,cards\n2,Gone,\n3,Lost,cards\n")
    assert [row.event.id for row in rows] == ["3"]
    assert "1 labelled row of" in caplog.text
    assert "1 row of" in caplog.text
    assert "line 2 of" in caplog.text


def test_a_place_without_any_label_is_named_with_what_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who mistypes a column would only read that there are no labels."""
    with pytest.raises(DataError, match="no labelled row"):
        read(tmp_path / "t.csv", "id,text,queue\n1,Gone,cards\n2,Lost,cards\n", queue="quee")
    assert "2 rows of" in caplog.text
    assert "none has a label at quee: they have id, text, queue" in caplog.text


def test_a_flat_line_has_its_label_in_a_column(tmp_path: Path) -> None:
    """A line without the field `labels` would be refused, however plain it is."""
    lines = '{"id": 4, "text": "Gone", "queue": "cards", "split": "test", "source": "mail"}\n'
    (row,) = read(tmp_path / "t.ndjson", lines)
    assert (row.event.id, row.gold, row.part, row.source) == (
        "4",
        {"queue": ("cards",)},
        "test",
        "mail",
    )
    assert row.event.attributes == {}


def test_a_row_without_any_label_says_how_to_name_one(tmp_path: Path) -> None:
    """People would not learn how to say where the label is."""
    with pytest.raises(DataError, match=r"line 2 of .* neither labels nor a column queue or label"):
        read(tmp_path / "t.csv", "text,Team\nGone,cards\n")


@pytest.mark.parametrize("wrapped", [False, True], ids=["lines", "one document"])
def test_the_export_of_a_desk_is_read_as_its_documents(tmp_path: Path, wrapped: bool) -> None:
    """Training would see other texts than serving does, or the label among them."""
    tickets = [ZENDESK, ZENDESK | {"id": 82, "group": None}]
    content = b"\n".join(map(orjson.dumps, tickets))
    if wrapped:
        content = orjson.dumps({"tickets": tickets, "count": 2}, option=orjson.OPT_INDENT_2)
    (row,) = read(tmp_path / "export.json", content, queue="group.name")
    assert row.gold == {"queue": ("Card delivery",)}
    assert (row.event.id, row.event.title) == ("81", "Card")
    assert "Card delivery" not in orjson.dumps(row.event.event).decode()


def test_the_label_of_an_alert_is_taken_out_of_its_document(tmp_path: Path) -> None:
    """The model would read its own label, and be right on every row and on no event."""
    alert = {"alert_id": "a-1", "rule": "Login from two places", "status": {"verdict": "benign"}}
    content = orjson.dumps(alert) + b"\n"
    (row,) = read(tmp_path / "a.json", content, domain="alerts", disposition="status.verdict")
    assert row.gold == {"disposition": ("benign",)}
    assert row.domain == "alerts"
    assert b"benign" not in orjson.dumps(row.event.event)


def test_an_object_is_no_label(tmp_path: Path) -> None:
    """The text of a whole object would become a label."""
    with pytest.raises(DataError, match="group is an object; name a field in it"):
        read(tmp_path / "e.json", orjson.dumps(ZENDESK), queue="group")


@pytest.mark.parametrize("value", [3, "3"])
def test_a_number_is_a_label(tmp_path: Path, value: Any) -> None:
    """The numbers of teams could not be used."""
    content = orjson.dumps({"text": "Gone", "team": value})
    (row,) = read(tmp_path / "t.ndjson", content, queue="team")
    assert row.gold == {"queue": ("3",)}


@pytest.mark.parametrize(("shared", "count", "rows"), [(60, 16, 4), (60, 16, 2), (80, 16, 4)])
def test_bands_in_common_are_as_many_as_the_likeness_says(
    shared: int, count: int, rows: int
) -> None:
    """Hash functions that all order the pieces alike are one: near-duplicates would be missed."""
    bands, chance = Bands(count, rows), random.Random(3)
    common, expected = 0, (shared / 100) ** rows
    for _ in range(200):
        pieces = chance.sample(range(1 << 32), 100)
        either = (100 - shared) // 2
        some = frozenset(pieces[: shared + either])
        others = frozenset(pieces[:shared] + pieces[shared + either :])
        assert likeness(some, others) == shared / 100
        common += len(set(bands.of(some)) & set(bands.of(others)))
    assert common / (200 * count) == pytest.approx(expected, abs=0.03)


def test_texts_that_are_nearly_alike_share_a_cluster() -> None:
    """A model would be measured on tickets that it has learnt by heart."""
    texts = [
        "Order 4711 of anna@example.com has not arrived, see https://shop.example/o/4711",
        "Order 82 of bob@example.com has not arrived, see https://shop.example/o/82",
        "ORDER #9 of carl@example.com has not arrived - see https://shop.example/o/9",
        "I forgot the password of my account",
    ]
    clusters = [clusters_of([masked(text) for text in texts])[masked(text)] for text in texts]
    assert clusters[0] == clusters[1] == clusters[2] != clusters[3]


def test_a_cluster_is_no_chain() -> None:
    """Texts of which each is only like the next would all be in one fold."""
    words = [f"word{chr(97 + n)}" for n in range(26)]
    texts = [" ".join(words[start : start + 12]) for start in range(14)]
    clusters = clusters_of(texts)
    assert len({clusters[text] for text in texts}) >= 3


def test_clusters_do_not_depend_on_the_order_of_rows() -> None:
    """The same file would be divided otherwise if somebody sorts it."""
    generator = random.Random(3)
    texts = [f"the {a} of my {b} is {c}" for a in ("lid", "cap") for b in "xyz" for c in "uvw"]
    rows = to_rows([{"kind": "ticket", "text": text, "labels": {"queue": "a"}} for text in texts])
    before = {row.event.text: row.cluster for row in with_clusters(rows)}
    generator.shuffle(rows)
    assert {row.event.text: row.cluster for row in with_clusters(rows)} == before


def test_a_label_that_one_system_writes_is_divided() -> None:
    """All its rows would be answered by models that have never seen the label, and be wrong."""
    lines = [
        {
            "kind": "ticket",
            "text": f"Backup {n // 2} of host h{n // 2} failed",
            "labels": {"queue": "b"},
        }
        for n in range(40)
    ]
    lines += [
        {"kind": "ticket", "text": f"{word} is wrong in row {n}", "labels": {"queue": "c"}}
        for n in range(8)
        for word in ("The bill", "A very long and other text about my flat", "Nothing")
    ]
    rows = with_clusters(to_rows(lines))
    assert len({row.cluster for row in rows[:40]}) == 20, "equal texts are together"
    assert len({row.cluster for row in rows[40:]}) == 3


def test_a_cluster_that_is_named_stays() -> None:
    """What people know about their rows would be forgotten."""
    lines = [
        {"kind": "ticket", "text": "same text", "labels": {"queue": "a"}, "cluster": name}
        for name in ("one", "two")
    ]
    assert [row.cluster for row in with_clusters(to_rows(lines))] == ["one", "two"]


def test_many_rows_are_compared_in_little_time() -> None:
    """Comparing each text with each other one would take hours for a year of tickets."""
    generator = random.Random(5)
    words = [f"w{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(600)]
    texts = [" ".join(generator.choices(words, k=12)) for _ in range(1_500)]
    assert len(set(clusters_of(texts).values())) > 1_400
