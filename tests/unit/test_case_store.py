"""The store of the view of cases: what is open, what was decided, and what is known of an event."""

import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.outcomes import Incoming
from schemas.agreement import input_digest
from schemas.errors import InvalidEvent
from schemas.event import Event, Origin, Stated
from schemas.signing import WorkerKeys
from schemas.triaged import Case, Label, TriagedEvent
from streams.cases import file, tables
from streams.cases import store as module
from streams.cases.entries import MAX_VALUES_CHARS
from streams.cases.file import statements_of
from streams.cases.query import DISAGREEMENT, Order
from streams.cases.store import CaseQuery, CaseStore
from streams.cases.tables import TABLES
from streams.errors import StreamError, TopicReplaced
from streams.kafka.offsets import Partition
from streams.trust import Trust
from tests.cases import REVIEW, TOPICS, Log, by_person, waiting
from tests.figures import tell
from tests.records import triaged


@pytest.fixture
def log() -> Log:
    """Empty topics."""
    return Log()


@pytest.fixture(params=["file", "temporary"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CaseStore]:
    """An empty store, in a file or in a temporary one."""
    path = tmp_path / "cases.sqlite" if request.param == "file" else None
    opened = CaseStore(path, TOPICS)
    yield opened
    opened.close()


def ids(store: CaseStore, **query: Any) -> list[str]:
    """The ids of the cases of a query."""
    return [summary.id for summary in store.list(CaseQuery(**query)).cases]


def at(day: int) -> Any:
    """The timing of an event that came in on a day of January."""
    instant = f"2026-01-{day:02d}T00:00:00.000Z"
    return msgspec.structs.replace(triaged().timing, received_at=instant, triaged_at=instant)


def test_a_case_is_open_until_a_person_decides(store: CaseStore, log: Log) -> None:
    """A person would be asked about an event that another one has decided."""
    first = waiting()
    store.apply(*log.both(first))
    assert ids(store) == ["e-1"]
    assert ids(store, state="decided") == []
    store.apply(log.decided(by_person(first.triaged)))
    assert ids(store) == []
    (summary,) = store.list(CaseQuery(state="decided")).cases
    assert (summary.revision, summary.status, summary.decided_by) == (1, "final", "human")
    assert summary.risk == 0.5


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1), (1, 0, 2)])
def test_the_topics_may_be_read_in_any_order(
    store: CaseStore, log: Log, order: tuple[int, ...]
) -> None:
    """The review topic is read before or after the triaged one, so a case would stay open."""
    first = waiting()
    person = by_person(first.triaged)
    records = [*log.both(first), log.decided(person)]
    for place in order:
        # Apart from its offset nothing says which topic was read first.
        record = records[place]
        origin = msgspec.structs.replace(record.origin, partition=place)
        store.apply(replace(record, origin=origin))
    known = store.find("e-1")
    assert known is not None
    assert known.current == person
    assert known.case == first
    assert known.revisions == [first.triaged, person]
    assert ids(store) == []
    assert ids(store, state="all") == ["e-1"]


def test_a_lower_revision_changes_nothing(store: CaseStore, log: Log) -> None:
    """The answer of an LLM that comes late would replace a person's decision."""
    first = waiting(status="needs_review")
    person = by_person(first.triaged, revision=2)
    late = msgspec.structs.replace(first.triaged, revision=1, decided_by="llm", status="final")
    store.apply(*log.both(first), log.decided(person), log.decided(late))
    known = store.find("e-1")
    assert known is not None
    assert known.current == person
    assert [each.revision for each in known.revisions] == [0, 1, 2]


def test_of_two_persons_the_first_stands(store: CaseStore, log: Log) -> None:
    """Two workers that decided at once would show another decision on each screen."""
    first = waiting()
    one, two = (by_person(first.triaged, by=name, queue=name) for name in ("a", "b"))
    store.apply(*log.both(first), log.decided(one), log.decided(two))
    known = store.find("e-1")
    assert known is not None
    assert known.current == one


def traced(record: Incoming, number: int) -> tuple[Incoming, str]:
    """A record with a trace context, and that."""
    trace = f"00-{number:032x}-{number:016x}-01"
    return replace(record, headers=[*record.headers, ("traceparent", trace.encode())]), trace


def test_the_trace_of_the_current_decision_is_known(store: CaseStore, log: Log) -> None:
    """A verdict would not be in the trace of its event."""
    first = waiting()
    decided, of_case = (traced(each, 1) for each in log.both(first))
    store.apply(decided[0], of_case[0])
    known = store.find("e-1")
    assert known is not None
    assert known.trace == decided[1] == of_case[1]
    by_human, trace = traced(log.decided(by_person(first.triaged)), 2)
    store.apply(by_human)
    known = store.find("e-1")
    assert known is not None
    assert known.trace == trace


def test_a_trace_that_is_none_is_not_kept(store: CaseStore, log: Log) -> None:
    """The file would grow with whatever somebody has put into a header."""
    record = log.case(waiting())
    store.apply(replace(record, headers=[("traceparent", b"x" * 100_000)]))
    known = store.find("e-1")
    assert known is not None
    assert known.trace is None


def test_a_spot_check_is_open_although_it_is_final(store: CaseStore, log: Log) -> None:
    """Nobody would check what the small model accepted."""
    drawn = waiting(status="final", escalation="spot_check")
    store.apply(*log.both(drawn))
    assert ids(store, escalation="spot_check") == ["e-1"]
    store.apply(log.decided(by_person(drawn.triaged)))
    assert ids(store) == []


def test_of_other_decisions_only_the_place_is_kept(store: CaseStore, log: Log) -> None:
    """Millions of decisions that nobody looks at would fill the disk."""
    store.apply(log.decided(triaged("e-0")), log.decided(triaged("e-1")))
    assert store.find("e-1") is None
    assert store.place("e-1") == Origin(topic="triage.alerts.triaged.v1", partition=0, offset=1)
    assert store.place("e-2") is None
    assert ids(store, state="all") == []


def test_a_correction_of_what_never_was_a_case_is_known(store: CaseStore, log: Log) -> None:
    """The second person who corrects an accepted event would not be told of the first."""
    person = by_person(triaged())
    store.apply(log.decided(triaged()), log.decided(person, verdict="triage.feedback.v1[0]@7"))
    known = store.find("e-1")
    assert known is not None
    assert (known.current, known.case) == (person, None)
    assert known.verdicts == {1: "triage.feedback.v1[0]@7"}
    assert ids(store, state="all") == []


def test_an_id_of_several_events_is_told_apart(store: CaseStore, log: Log) -> None:
    """A verdict would decide the event of another tenant that has the same id."""
    for tenant in ("acme", "globex"):
        store.apply(*log.both(waiting(tenant=tenant)))
    ticket = Event(id="e-1", kind="ticket", text="x", tenant="acme")
    decision = triaged(
        domain="tickets", tenant="acme", status="needs_review", input_digest=input_digest(ticket)
    )
    store.apply(*log.both(Case(event=ticket, triaged=decision)))
    with pytest.raises(InvalidEvent, match="alerts of tenant 'acme', alerts of tenant 'globex', t"):
        store.find("e-1")
    with pytest.raises(InvalidEvent, match="belongs to several events"):
        store.find("e-1", tenant="acme")
    with pytest.raises(InvalidEvent, match="belongs to several events"):
        store.place("e-1", domain="alerts")
    found = store.find("e-1", domain="alerts", tenant="globex")
    assert found is not None
    assert found.current.tenant == "globex"
    assert store.find("e-1", tenant="initech") is None


def test_an_id_that_is_sent_again_with_another_text_is_another_event(
    store: CaseStore, log: Log
) -> None:
    """A decision about yesterday's text would close the case of today's."""
    old = waiting(timing=at(1))
    store.apply(*log.both(old), log.decided(by_person(old.triaged)))
    event = Event(id="e-1", kind="alert", text="another text")
    decision = msgspec.structs.replace(
        old.triaged, input_digest=input_digest(event), timing=at(2), title="another"
    )
    new = Case(event=event, triaged=decision)
    store.apply(*log.both(new))
    known = store.find("e-1")
    assert known is not None
    assert (known.current, known.case, known.revisions) == (decision, new, [decision])
    assert ids(store, text="another") == ["e-1"]
    assert ids(store, state="all", text="x") == [], "the words of the old text are gone"
    store.apply(log.decided(by_person(old.triaged, revision=5)))
    assert store.find("e-1") == known, "a late revision of the old text"


def test_the_same_event_sent_twice_stays_decided(store: CaseStore, log: Log) -> None:
    """A person would have to decide again whenever a producer sends an event twice."""
    first = waiting(timing=at(1))
    again = msgspec.structs.replace(
        first,
        triaged=msgspec.structs.replace(
            first.triaged, timing=at(2), origin=Origin(topic="t", partition=0, offset=9)
        ),
    )
    store.apply(*log.both(first), log.decided(by_person(first.triaged)), *log.both(again))
    assert ids(store) == []


def test_the_orders(store: CaseStore, log: Log) -> None:
    """A person would look at what can wait while something urgent is open."""
    for id_, risk, stated, day, queue in (
        ("a", 0.9, None, 3, "cloud"),
        ("b", 0.1, "critical", 4, "email"),
        ("c", 0.9, "low", 2, "network"),
        ("d", 0.2, "critical", 5, "cloud"),
        ("e", 0.3, "high", 1, "email"),
    ):
        event = waiting(id_, risk=risk, stated=Stated(severity=stated), timing=at(day), queue=queue)
        store.apply(*log.both(event))
    orders: dict[Order, str] = {
        "urgency": "d b c a e",
        "risk": "c a e d b",
        "age": "e c a b d",
        "stated": "d b e c a",
        "queue": "d a b e c",
    }
    for order, expected in orders.items():
        assert " ".join(ids(store, order=order)) == expected, order
        page, seen = store.list(CaseQuery(order=order, limit=2)), []
        while True:
            seen += [summary.id for summary in page.cases]
            assert page.total == 5
            if page.next is None:
                break
            page = store.list(CaseQuery(order=order, limit=2, after=page.next))
        assert " ".join(seen) == expected, f"{order}, page by page"
    assert ids(store, state="all", order="age") == ids(store, order="age")


def test_what_nobody_ranks_is_ordered_by_what_the_model_proposes(
    store: CaseStore, log: Log
) -> None:
    """A stolen card would be the last of a hundred cases, because its sender states nothing."""
    for id_, severity, stated in (
        ("a", "low", None),
        ("b", "critical", None),
        ("c", "critical", "low"),
        ("d", "low", "informational"),
    ):
        labels = {"severity": Label(value=severity, confidence=0.5)}
        case = waiting(id_, labels=labels, stated=Stated(severity=stated) if stated else None)
        store.apply(*log.both(case))
    assert ids(store, order="stated") == ["c", "d", "b", "a"]


def test_the_filters_and_counts(store: CaseStore, log: Log) -> None:
    """A team would be shown the cases of another one."""
    severity = {"severity": Label(value="high", confidence=0.5)}
    store.apply(
        *log.both(waiting("a", queue="cloud", tenant="acme", source="x", labels=severity)),
        *log.both(waiting("b", queue="email", tenant="acme", escalation="rule")),
        *log.both(waiting("c", queue="cloud", tenant="globex", source="x")),
    )
    assert ids(store, queue="cloud", order="age") == ["a", "c"]
    assert ids(store, queue="cloud", tenant="globex") == ["c"]
    assert ids(store, tenants=["globex", "initech"]) == ["c"]
    assert ids(store, tenants=[]) == []
    assert ids(store, severity="high") == ids(store, source="x", tenant="acme") == ["a"]
    assert ids(store, escalation="rule") == ["b"]
    assert ids(store, domain="tickets") == []
    counts = store.counts(CaseQuery(queue="cloud", tenants=["acme"]))
    assert counts == {
        "domain": {"alerts": 1},
        "queue": {"cloud": 1, "email": 1},
        "severity": {"high": 1},
        "tenant": {"acme": 1},
        "source": {"x": 1},
        "escalation": {"risk": 1},
        "disagreement": {},
    }
    assert store.counts(CaseQuery(text="alert"))["queue"] == {"cloud": 2, "email": 1}
    assert store.list(CaseQuery(text="alert b")).total == 1
    store.apply(log.decided(by_person(waiting("b", tenant="acme").triaged, queue="saas")))
    assert store.counts(CaseQuery())["queue"] == {"cloud": 2}
    assert store.counts(CaseQuery(state="decided"))["queue"] == {"saas": 1}
    assert store.counts(CaseQuery(state="all"))["tenant"] == {"acme": 2, "globex": 1}


def test_where_two_people_disagree_is_marked_and_found(store: CaseStore, log: Log) -> None:
    """Nobody would see that a colleague's decision was changed; who confirms does not disagree."""
    for id_, second in (("changed", "a.lindt"), ("own", "r.okafor")):
        asked = waiting(id_)
        first = by_person(asked.triaged, labels={"queue": Label(value="email", confidence=1.0)})
        later = by_person(first, by=second, labels={"queue": Label(value="saas", confidence=1.0)})
        store.apply(*log.both(asked), log.decided(first), log.decided(later))
    asked = waiting("confirmed")
    first = by_person(asked.triaged)
    store.apply(*log.both(asked), log.decided(first), log.decided(by_person(first, by="a.lindt")))
    (found,) = store.list(CaseQuery(state="all", disagreement=DISAGREEMENT)).cases
    assert (found.id, found.disagreement) == ("changed", True)
    marks = {each.id: each.disagreement for each in store.list(CaseQuery(state="all")).cases}
    assert marks == {"changed": True, "own": False, "confirmed": False}
    assert store.counts(CaseQuery(state="all"))["disagreement"] == {DISAGREEMENT: 1}
    recent = store.recent(CaseQuery(disagreement=DISAGREEMENT))
    assert [(each.summary.id, each.summary.revision) for each in recent] == [("changed", 2)]


def test_a_ticket_is_filtered_by_its_priority_as_an_alert_by_its_severity(
    store: CaseStore, log: Log
) -> None:
    """A support desk, which has no severities, could not look at what is urgent first."""
    urgent = {"priority": Label(value="urgent", confidence=0.5)}
    severe = {"severity": Label(value="high", confidence=0.5)}
    store.apply(*log.both(waiting("t", labels=urgent)), *log.both(waiting("a", labels=severe)))
    assert ids(store, severity="urgent") == ["t"]
    assert store.counts(CaseQuery())["severity"] == {"urgent": 1, "high": 1}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *[
            ("host-7", 1),
            ("HOST", 1),
            ('"', 0),
            ("x OR y", 0),
            ("*", 0),
            ("title:host", 0),
            ("", 0),
        ],
        *[('lo"gin', 0), ("login\0 on", 1), ("\udcff login", 1), ("- host", 1)],
    ],
)
def test_a_text_is_no_query_language(store: CaseStore, log: Log, text: str, found: int) -> None:
    """A quote in the search box would be an error of the database."""
    store.apply(*log.both(waiting(title="login on host-7")))
    assert store.list(CaseQuery(text=text)).total == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("HV-02.corp", ["alert-7"]),
        ("10.20.4.87", ["alert-7"]),
        ("10.4.20.87", []),
        ("4625 adm_kim", ["alert-7"]),
        ("alert-7", ["alert-7"]),
        ("ids", ["alert-7"]),
        ("computer", []),
        ("late", []),
    ],
)
def test_a_case_is_found_by_what_people_have_at_hand(
    store: CaseStore, log: Log, text: str, found: list[str]
) -> None:
    """Who looks for a host, an account, an address or an id would be told that nothing waits."""
    record = {
        "Computer": "HV-02.corp.example.com",
        "EventID": 4625,
        "data": [{"user": "adm_kim"}, {"ip": "10.20.4.87", "ok": True, "none": None}],
        "filler": "x " * MAX_VALUES_CHARS,
        "late": "late",
    }
    event = Event(id="alert-7", kind="alert", text="a login", source="ids", event=record)
    first = waiting("alert-7", source="ids")
    decision = msgspec.structs.replace(first.triaged, input_digest=input_digest(event))
    case = Case(event=event, triaged=decision)
    store.apply(*log.both(case))
    assert ids(store, text=text) == found
    store.apply(log.decided(by_person(case.triaged)))
    assert ids(store, state="all", text=text) == found


@pytest.mark.parametrize("after", ["x", "ImhlbGxvIg", "WyJyaXNrIl0", "é"])
def test_a_cursor_that_is_none_is_refused(store: CaseStore, after: str) -> None:
    """Whatever a browser sends would reach the database."""
    with pytest.raises(InvalidEvent, match="leave it out to begin again"):
        store.list(CaseQuery(after=after))


def test_alike_are_the_open_cases_of_one_tenant_that_differ_in_numbers(
    store: CaseStore, log: Log
) -> None:
    """One verdict over many alike cases would also decide those of another tenant."""
    titles = {
        "a": "Login from 10.0.0.1 failed",
        "b": "login from 10.9.8.7 failed",
        "c": "login from 10.9.8.7 succeeded",
        "d": "Login from fe80::1 failed",
    }
    for day, (id_, title) in enumerate(titles.items(), 1):
        store.apply(*log.both(waiting(id_, title=title, timing=at(day))))
    store.apply(*log.both(waiting("e", title=titles["b"], tenant="acme")))
    assert [summary.id for summary in store.alike("a")] == ["b", "d"]
    assert store.alike("e") == store.alike("nobody") == []


def near(store: CaseStore, id_: str) -> list[str]:
    """The ids of the cases near one, the nearest first."""
    return [each.summary.id for each in store.near(id_, domain="alerts", tenant="default")]


def test_near_are_the_open_cases_of_one_tenant_with_nearly_the_same_words(
    store: CaseStore, log: Log
) -> None:
    """Whoever decides many at once would not see those that another sensor calls otherwise."""
    titles = {
        "a": "Suspicious login to the mail server from host 17",
        "same": "Suspicious login to the mail server from host 18",
        "b": "A suspicious login to the mail server from a host",
        "c": "Suspicious login to the mail server",
        "d": "The disk of the print server is full",
    }
    for id_, title in titles.items():
        store.apply(*log.both(waiting(id_, title=title)))
    store.apply(*log.both(waiting("other tenant", title=titles["b"], tenant="acme")))
    assert near(store, "a") == ["b", "c"]
    assert [each.summary.id for each in store.near("same")] == ["b", "c"]
    assert all(0.5 <= each.likeness < 1 for each in store.near("a"))
    assert near(store, "d") == near(store, "nobody") == []


def test_a_case_is_near_no_more_once_it_is_decided_or_forgotten(store: CaseStore, log: Log) -> None:
    """A decided case would be decided again with those that are near."""
    texts = ("mail server does not answer", "the mail server does not answer", "mail server quiet")
    for number, title in enumerate(texts):
        store.apply(*log.both(waiting(f"e-{number}", title=title)))
    assert near(store, "e-0") == ["e-1"]
    store.apply(log.decided(by_person(waiting("e-1", title=texts[1]).triaged)))
    assert near(store, "e-0") == []
    store.apply(*log.both(waiting("e-3", title=texts[1])))
    assert near(store, "e-0") == ["e-3"]
    store.apply(log.decided(by_person(waiting("e-0", title=texts[0]).triaged)))
    store.prune(keep_s=0, begins={}, now_s=1e12)
    assert near(store, "e-0") == near(store, "e-3") == []
    store.clear()
    with store._file.reading() as db:
        assert db.execute("SELECT COUNT(*) FROM near").fetchone() == (0,)


def test_the_feed_has_each_decision_once_in_order(store: CaseStore, log: Log) -> None:
    """A screen would miss decisions, or show one twice."""
    first = waiting("a", queue="cloud")
    store.apply(*log.both(first), log.decided(triaged("b", queue="email")))
    store.apply(log.decided(by_person(first.triaged)), log.decided(triaged("b", queue="email")))
    arrivals = store.recent()
    assert [(each.summary.id, each.summary.revision) for each in arrivals] == [
        ("a", 0),
        ("b", 0),
        ("a", 1),
    ]
    later = store.recent(CaseQuery(queue="cloud"), after_seq=arrivals[0].seq)
    assert [each.seq for each in later] == [arrivals[2].seq]
    assert store.recent(CaseQuery(limit=1)) == arrivals[-1:]


def test_the_feed_is_bounded(store: CaseStore, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet screen would need a disk for every decision ever made."""
    monkeypatch.setattr(module, "MAX_ARRIVALS", 3)
    store.apply(*(log.decided(triaged(f"e-{number}")) for number in range(9)))
    assert [each.summary.id for each in store.recent()] == ["e-6", "e-7", "e-8"]


def test_a_record_counts_once_and_offsets_are_kept(store: CaseStore, log: Log) -> None:
    """After a restart, decisions would be missing from the feed or be there twice."""
    records = [log.decided(triaged("a")), log.decided(triaged("b"))]
    assert store.apply(*records) == 2
    assert store.apply(*records) == 0
    partition = Partition(TOPICS.triaged("alerts"), 0)
    assert store.offsets() == {partition: 2}
    assert store.resume() == {partition: 1}
    store.apply(positions={partition: 5, Partition(REVIEW, 3): 2})
    assert store.offsets() == {partition: 5, Partition(REVIEW, 3): 2}
    assert len(store.recent()) == 2


def test_a_file_is_opened_again_and_shared(tmp_path: Path, log: Log) -> None:
    """Every restart would read all topics from their beginning."""
    path = tmp_path / "deep" / "cases.sqlite"
    first, second = CaseStore(path, TOPICS), CaseStore(path, TOPICS)
    records = log.both(waiting())
    assert first.apply(*records) == 2
    assert second.apply(*records) == 0, "what the other process has taken in is skipped"
    assert ids(second) == ["e-1"]
    first.close()
    second.close()
    third = CaseStore(path, TOPICS)
    assert ids(third) == ["e-1"]
    assert len(third.offsets()) == 2
    third.close()


def test_processes_that_start_at_once_share_a_file(tmp_path: Path, log: Log) -> None:
    """Of a worker and a command that start together, one would fail because the file is locked."""
    path = tmp_path / "cases.sqlite"
    with ThreadPoolExecutor(8) as threads:
        stores = list(threads.map(lambda _: CaseStore(path, TOPICS), range(8)))
        records = log.both(waiting())
        assert sum(threads.map(lambda store: store.apply(*records), stores)) == 2
    for store in stores:
        assert ids(store) == ["e-1"]
        store.close()


def test_a_file_that_stays_locked_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person would not learn which file another program holds."""
    path = tmp_path / "cases.sqlite"
    for name, value in (("ATTEMPTS", 2), ("PAUSE_S", 0.0), ("LOCK_TIMEOUT_S", 0.0)):
        monkeypatch.setattr(file, name, value)
    with sqlite3.connect(path) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StreamError, match=r"locked.*set review\.state"):
            CaseStore(path, TOPICS)
    holder.close()


@pytest.mark.parametrize("content", [b"no database" * 100, None])
def test_a_file_that_cannot_be_read_is_made_again(
    tmp_path: Path, log: Log, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged file, or one of another release, would keep the worker from starting."""
    path = tmp_path / "cases.sqlite"
    if content is None:
        monkeypatch.setattr(tables, "VERSION", 99)
        older = CaseStore(path, TOPICS)
        older.apply(*log.both(waiting()))
        older.close()
        monkeypatch.undo()
    else:
        path.write_bytes(content)
    store = CaseStore(path, TOPICS)
    assert store.offsets() == {}
    assert ids(store) == []
    store.close()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A person would see an error of SQLite that does not say which key to set."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StreamError, match=r"set review\.state"):
        CaseStore(blocked / "cases.sqlite", TOPICS)


def test_a_topic_that_was_made_again_is_noticed(store: CaseStore, log: Log) -> None:
    """New records would be skipped, because the old topic had as many."""
    store.apply(*log.both(waiting("a")), *log.both(waiting("b")))
    other = replace(log.case(waiting("z")), origin=Origin(topic=REVIEW, partition=0, offset=1))
    with pytest.raises(TopicReplaced):
        store.apply(other)
    assert ids(store, order="age") == ["a", "b"], "nothing of the batch was taken in"
    store.clear()
    assert (ids(store, state="all"), store.offsets(), store.recent()) == ([], {}, [])
    assert store.list(CaseQuery(text="alert")).total == 0
    store.apply(*Log().both(waiting("z")))
    assert ids(store, text="alert") == ["z"]


def test_what_is_forged_or_cannot_be_read_is_skipped(tmp_path: Path, log: Log) -> None:
    """Whoever can write to a topic would close cases, or stop the view."""
    keys = WorkerKeys(b"k" * 16)
    store = CaseStore(tmp_path / "cases.sqlite", TOPICS, Trust(keys))
    first = waiting()
    person = by_person(first.triaged)

    def signed(record: Incoming) -> Incoming:
        value = record.value or b""
        headers = keys.headers(record.origin.topic, record.key, value, None)
        return replace(record, headers=headers)

    store.apply(*map(signed, log.both(first)), log.decided(person))
    assert ids(store) == ["e-1"], "the verdict is not signed"
    bad = [
        log.on(REVIEW, b"{"),
        log.on(REVIEW, b""),
        log.on(TOPICS.triaged("tickets"), triaged("other domain")),
        log.decided(triaged("x", revision=2**63 - 1)),
        log.decided(triaged("x", revision=-1)),
        log.decided(triaged("x", timing=msgspec.structs.replace(at(1), received_at="never"))),
        log.case(msgspec.structs.replace(waiting("x"), event=Event(id="y", kind="alert"))),
    ]
    assert store.apply(*map(signed, bad)) == 0
    assert store.offsets()[Partition(REVIEW, 0)] == log.next[REVIEW]
    store.apply(signed(log.decided(person)))
    assert ids(store) == []
    store.close()


def test_what_was_decided_long_ago_is_forgotten(store: CaseStore, log: Log) -> None:
    """The file would grow for ever."""
    for day in (1, 20):
        old = waiting(f"e-{day}", timing=at(day))
        store.apply(*log.both(old), log.decided(by_person(old.triaged)))
    store.apply(*log.both(waiting("open", timing=at(1))), log.decided(triaged("far")))
    now_s = 1_769_904_000.0  # 2026-02-01
    begins = {Partition(TOPICS.triaged("alerts"), 0): 5}
    store.prune(keep_s=20 * 86_400.0, begins=begins, now_s=now_s)
    assert ids(store, state="all", order="age") == ["open", "e-20"]
    assert ids(store, state="all", text="1") == [], "its words are gone too"
    assert store.find("e-1") is None
    assert store.place("e-1") is None, "its topic does not hold it any more"
    assert store.place("far") is not None
    assert store.counts(CaseQuery(state="all"))["domain"] == {"alerts": 2}
    assert len(store.recent()) == 6, "the feed still has it"


def test_only_so_many_decisions_are_remembered(
    store: CaseStore, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A topic that keeps records for ever would fill the disk."""
    monkeypatch.setattr(module, "MAX_DECISIONS", 2)
    for day in (1, 2, 3):
        store.apply(log.decided(triaged(f"e-{day}", timing=at(day))))
    store.prune(keep_s=1e9, begins={})
    assert [store.place(f"e-{day}") is not None for day in (1, 2, 3)] == [False, True, True]


def test_counters_agree_with_the_cases(store: CaseStore, log: Log) -> None:
    """The totals are counted while records come in; a mistake would stay for ever."""
    chance = random.Random(7)
    for _ in range(300):
        id_ = f"e-{chance.randrange(20)}"
        event = waiting(id_, queue=chance.choice(["a", "b"]), revision=chance.randrange(3))
        records = log.both(event)
        if chance.random() < 0.4:
            records.append(log.decided(by_person(event.triaged)))
        chance.shuffle(records)
        for record in sorted(records, key=lambda each: each.origin.offset):
            store.apply(record)
    for state in ("open", "decided", "all"):
        page = store.list(CaseQuery(state=state, limit=1000))
        assert page.total == len(page.cases), state
        queues = [summary.queue for summary in page.cases]
        counted = store.counts(CaseQuery(state=state))["queue"]
        assert counted == {queue: queues.count(queue) for queue in set(queues)}, state


def test_of_two_messages_with_one_id_the_later_offset_counts(store: CaseStore, log: Log) -> None:
    """The broker stamps a batch with one time, so a message would replace the one behind it."""

    def message(text: str, offset: int, topic: str = "triage.alerts.v1", day: int = 1) -> Any:
        event = Event(id="e-1", kind="alert", text=text)
        origin = Origin(topic=topic, partition=0, offset=offset)
        decision = triaged(
            status="needs_review", input_digest=input_digest(event), origin=origin, timing=at(day)
        )
        return Case(event=event, triaged=decision)

    def text() -> str | None:
        known = store.find("e-1")
        assert known is not None
        assert known.case is not None
        return known.case.event.text

    first, second = message("one", 1), message("two", 2)
    store.apply(*log.both(second), *log.both(first))
    assert text() == "two"
    store.apply(*log.both(message("one", 3)))
    assert text() == "one", "the first text was sent again"
    store.apply(*log.both(second))
    assert text() == "one"
    store.apply(log.decided(by_person(second.triaged, revision=5)))
    assert text() == "one", "a verdict about the earlier message"
    store.apply(*log.both(message("elsewhere", 0, topic="other", day=2)))
    assert text() == "elsewhere"
    sibling = message("sibling", 0, topic="other", day=2)
    store.apply(*log.both(sibling))
    assert text() == "sibling", "of two events in one record, the one behind"
    store.apply(log.decided(by_person(message("elsewhere", 0, topic="other", day=2).triaged)))
    assert text() == "sibling"


def test_a_message_that_is_sent_again_keeps_its_later_place(store: CaseStore, log: Log) -> None:
    """A message between the two copies would look newer than what a person has decided."""

    def decision(text: str, offset: int) -> TriagedEvent:
        event = Event(id="e-1", kind="alert", text=text)
        origin = Origin(topic="triage.alerts.v1", partition=0, offset=offset)
        return triaged(input_digest=input_digest(event), origin=origin)

    person = by_person(decision("one", 1))
    store.apply(log.decided(person), log.decided(decision("one", 3)))
    store.apply(log.decided(decision("between", 2)))
    known = store.find("e-1")
    assert known is not None
    assert known.current == person


MANY = 100_000
QUEUES = ("endpoint", "cloud", "identity", "network", "email")
PLACES = tuple(
    f"on the {place} in {town}" for place in ("server", "gate") for town in "abcdefghijklm"
)
QUICK_S = 0.05
FOUND_S = 0.005
NEAR_S = 0.25


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaseStore]:
    """A store with `MANY` open cases.

    A thousand of them were taken in; the others are copies of their rows.
    """
    store, log = CaseStore(tmp_path_factory.mktemp("large") / "cases.sqlite", TOPICS), Log()
    chance = random.Random(7)
    for number in range(1_000):
        event = waiting(
            f"e-{number}",
            risk=chance.random(),
            queue=chance.choice(QUEUES),
            tenant=f"tenant-{chance.randrange(20)}",
            stated=Stated(severity=chance.choice([None, "low", "critical"])),
            timing=at(chance.randrange(1, 28)),
            title=f"alert about word{chance.randrange(100)} {chance.choice(PLACES)} host-{number}",
        )
        store.apply(*log.both(event))
    copies = MANY // 1_000
    with store._file.transaction() as db:
        # Counted and indexed once at the end: the copies would take a minute otherwise.
        again = [
            statement
            for statement in statements_of(TABLES)
            if re.match(r"\s*CREATE (TRIGGER case_added|INDEX)", statement)
        ]
        for statement in again:
            kind, name = re.findall(r"CREATE (TRIGGER|INDEX) (\w+)", statement)[0]
            db.execute(f"DROP {kind} {name}")
        for shift in range(1_000, MANY, 1_000):
            db.execute(
                "INSERT INTO cases SELECT num + ?1, id_hash + ?1, scope, state, facet, calm, "
                "minus_risk + ?1 * 1e-9, minus_rank, received_s + ?1, queue, decided_s, "
                "fingerprint, summary, bands FROM cases WHERE num <= 1000",
                (shift,),
            )
            db.execute(
                "INSERT INTO records SELECT num + ?1, revision, value, verdict, trace FROM records "
                "WHERE num <= 1000 AND revision = -1",
                (shift,),
            )
            db.execute(
                "INSERT INTO words (rowid, title) SELECT num + ?1, 'word' || num % 100 FROM cases "
                "WHERE num <= 1000",
                (shift,),
            )
        # In the order of its key: a million rows in any order would take a minute.
        db.execute(
            "WITH RECURSIVE copy (shift) AS "
            "(VALUES (1000) UNION ALL SELECT shift + 1000 FROM copy WHERE shift < ?) "
            "INSERT INTO near SELECT band, grp, num + shift FROM near JOIN copy ORDER BY 1, 2, 3",
            (MANY - 1_000,),
        )
        db.execute("UPDATE facets SET open = open * ?", (copies,))
        for statement in again:
            db.execute(statement)
    yield store
    store.close()


@pytest.mark.parametrize(
    "query",
    [
        *[{"order": order} for order in ("urgency", "risk", "age", "stated", "queue")],
        {"queue": "cloud"},
        {"tenant": "tenant-3", "queue": "email", "order": "stated"},
        {"tenants": ["tenant-1", "tenant-2"], "order": "age"},
        {"queue": "nowhere"},
        {"text": "word7", "order": "risk"},
    ],
    ids=str,
)
def test_a_hundred_thousand_cases_are_listed_at_once(
    large: CaseStore, query: dict[str, Any]
) -> None:
    """A person would wait for every page, and a worker for every person."""
    asked = CaseQuery(**query)
    large.list(asked)  # the pages of the file are in memory from here on
    took_s = min(_cpu_s(lambda: large.list(asked)) for _ in range(3))
    assert took_s < QUICK_S, f"the page took {took_s:.3f} s of processor time"
    page = large.list(asked)
    assert len(page.cases) == (0 if query.get("queue") == "nowhere" else 50)
    if not query.keys() - {"order"}:
        assert page.total == MANY
    if page.next is not None:
        behind = replace(asked, after=page.next)
        took_s = min(_cpu_s(lambda: large.list(behind)) for _ in range(3))
        assert took_s < QUICK_S, f"the next page took {took_s:.3f} s of processor time"


def test_a_hundred_thousand_cases_are_counted_and_found_at_once(large: CaseStore) -> None:
    """The page would be slow, or a worker would wait for the case of each verdict."""
    for asked in (CaseQuery(), CaseQuery(queue="cloud", tenants=["tenant-1"])):
        took_s = min(_cpu_s(lambda asked=asked: large.counts(asked)) for _ in range(3))  # type: ignore[misc]
        assert took_s < QUICK_S, f"the counts took {took_s:.3f} s of processor time"
    assert sum(large.counts(CaseQuery())["queue"].values()) == MANY
    took_s = min(_cpu_s(lambda: large.find("e-500")) for _ in range(3))
    assert took_s < FOUND_S, f"the case took {took_s:.3f} s of processor time"
    log = Log()
    log.next = dict.fromkeys([REVIEW, TOPICS.triaged("alerts")], 5_000)
    verdicts = [log.decided(by_person(waiting("new").triaged)) for _ in range(100)]
    took_s = _cpu_s(lambda: large.apply(*verdicts))
    assert took_s < 100 * FOUND_S, f"a hundred decisions took {took_s:.3f} s of processor time"


def _cpu_s(call: Callable[[], object]) -> float:
    """How long a call takes, in seconds of processor time."""
    started_s = time.process_time()
    call()
    return time.process_time() - started_s


def test_what_the_small_model_said_stays_with_the_case(store: CaseStore, log: Log) -> None:
    """A labelled row would not say what the small model had proposed."""
    first = msgspec.structs.replace(waiting().triaged, status="provisional")
    second = waiting(revision=1)
    store.apply(log.decided(first))
    assert store.find("e-1") is None
    store.apply(*log.both(second))
    known = store.find("e-1")
    assert known is not None
    assert known.revisions == [first, second.triaged]
    other = msgspec.structs.replace(waiting("e-2").triaged, status="provisional")
    answer = msgspec.structs.replace(other, revision=1, status="final", decided_by="llm")
    store.apply(log.decided(other), log.decided(answer))
    assert store.first_place("e-2") == Origin(
        topic="triage.alerts.triaged.v1", partition=0, offset=2
    )
    store.apply(log.decided(by_person(answer)))
    known = store.find("e-2")
    assert known is not None
    assert known.revisions == [by_person(answer)], "the others are where they were published"
    assert store.first_place("nobody") is None


def test_what_waits_for_the_llm_for_ever_is_forgotten(store: CaseStore, log: Log) -> None:
    """Events whose answer never came would fill the disk."""
    first = msgspec.structs.replace(waiting(timing=at(1)).triaged, status="provisional")
    store.apply(log.decided(first))
    store.prune(keep_s=1.0, begins={}, now_s=2e9)
    store.apply(*log.both(waiting(revision=1, timing=at(1))))
    known = store.find("e-1")
    assert known is not None
    assert [each.revision for each in known.revisions] == [1]


def test_near_cases_among_a_hundred_thousand_are_found_at_once(large: CaseStore) -> None:
    """Every case that a person opens would take seconds, in a storm of cases that are alike."""
    where: dict[str, Any] = {"domain": "alerts", "tenant": None}
    took_s = min(_cpu_s(lambda: large.near("e-500", **where)) for _ in range(3))
    tell(f"cases: near ones among {MANY:,} in {took_s * 1000:.0f} ms of processor time")
    assert took_s < NEAR_S, f"near cases took {took_s:.3f} s of processor time"
    assert large.near("e-500", **where)
