"""`triage review`: what waits is listed and shown, a verdict is checked, sent and answered."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from agents.cases import Known
from inference.errors import ConfigError
from inference.labelled import read_rows
from inference.labels.renames import Renames
from schemas.errors import InvalidEvent
from schemas.event import Event
from schemas.triaged import Alternative, Enrichment, Label, TriagedEvent, Verdict
from streams.cases import decide as deciding
from streams.cases.decide import Refused, send_verdicts
from streams.cases.rows import labelled_row
from streams.cases.store import CaseStore
from streams.cli import review as command
from streams.config import ReviewerSection, Settings
from streams.errors import StreamError
from tests.cases import TOPICS, Log, by_person, waiting
from tests.doubles import FakeProducer, header_texts
from tests.records import case, triaged
from tests.tiny_model import LABELS
from tests.unit.conftest import Triage

PLACE = "triage.feedback.v1[0]@0"


class StoredView:
    """The view of cases over a store, whose topics have ended."""

    def __init__(self, store: CaseStore) -> None:
        self.store = store

    async def find_read(
        self, id_: str, *, domain: Any = None, tenant: str | None = None
    ) -> Known | None:
        """What is stored of an event."""
        return self.store.find(id_, domain=domain, tenant=tenant)

    find = find_read


@pytest.fixture
def log() -> Log:
    """Empty topics."""
    return Log()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> CaseStore:
    """The store that the commands ask."""
    made = CaseStore(None, TOPICS)

    @asynccontextmanager
    async def opened(_: Settings) -> AsyncIterator[StoredView]:
        yield StoredView(made)

    monkeypatch.setattr(command, "open_view", opened)
    monkeypatch.setattr(command, "served_labels", lambda _: (LABELS, Renames()))
    return made


def a_case(**changes: Any) -> Any:
    """A case with everything that can be shown."""
    labels = {
        "queue": Label(
            value="cloud", confidence=0.6, alternatives=[Alternative(value="email", confidence=0.3)]
        ),
        "severity": Label(value="high", confidence=0.5, abstained=True),
    }
    fields: dict[str, Any] = {
        "labels": labels,
        "reasons": ["the risk is high", "the LLM is off"],
        "enrichment": Enrichment(status="answered", summary="a login"),
        "link": "https://siem.example.com/e-1",
    }
    return waiting(**fields | changes)


def queue_label(value: str) -> dict[str, Label]:
    """The labels of an event that somebody has decided."""
    return {"queue": Label(value=value, confidence=1.0)}


def test_the_list_is_a_table(triage: Triage, store: CaseStore, log: Log) -> None:
    """A person could not see what waits."""
    store.apply(*log.both(a_case()), *log.both(waiting("e-2", risk=0.9, title="\x1b[31mred")))
    code, out, _ = triage("review", "list")
    assert code == 0
    rows = [line for line in out.splitlines() if "e-" in line]
    assert "e-2" in rows[0]
    assert "e-1" in rows[1]
    assert "0.90" in rows[0]
    assert "\x1b" not in out
    assert "high" in rows[1]


def test_the_list_has_filters_pages_and_json(triage: Triage, store: CaseStore, log: Log) -> None:
    """A program could not read more than one page, or would get the cases of other queues."""
    for number in range(4):
        store.apply(*log.both(waiting(f"e-{number}", queue="cloud", risk=number / 10)))
    store.apply(*log.both(waiting("other", queue="email")))
    arguments = ["review", "list", "--queue", "cloud", "--order", "risk", "--limit", "3", "--json"]
    code, out, _ = triage(*arguments)
    document = json.loads(out)
    assert code == 0
    assert [each["id"] for each in document["cases"]] == ["e-3", "e-2", "e-1"]
    assert document["total"] == 4
    assert document["counts"]["queue"] == {"cloud": 4, "email": 1}
    _, out, _ = triage(*arguments, "--after", document["next"])
    assert [each["id"] for each in json.loads(out)["cases"]] == ["e-0"]
    _, out, _ = triage("review", "list", "--queue", "cloud", "--limit", "3")
    assert "3 of 4" in out
    assert triage("review", "list", "--text", "nothing")[1] == "no open cases\n"
    assert triage("review", "list", "--state", "all", "--text", "nothing")[1] == "no cases\n"
    code, _, err = triage("review", "list", "--after", "x")
    assert (code, "leave it out" in err) == (1, True)


def test_a_case_is_shown_with_its_text_and_history(
    triage: Triage, store: CaseStore, log: Log
) -> None:
    """A person would decide without knowing what is asked."""
    waiting_case = a_case()
    event = msgspec.structs.replace(
        waiting_case.event, text="first line\nqueue:\n    forged", event={"user": "mallory"}
    )
    decision = msgspec.structs.replace(waiting_case.triaged, input_digest=None)
    whole = msgspec.structs.replace(waiting_case, event=event, triaged=decision)
    store.apply(*log.both(whole), log.decided(by_person(decision, queue="email")))
    code, out, _ = triage("review", "show", "e-1")
    assert code == 0
    for part in (
        "first line",
        '"user": "mallory"',
        "queue = cloud 0.60   (or email 0.30)",
        "severity = high 0.50, a hint only",
        "the LLM is off",
        "a login",
        "https://siem.example.com/e-1",
        "revision 0, ",
        "decided by r.okafor",
        "risk, estimated risk 0.5000",
    ):
        assert part in out, part
    assert out.count("\nqueue:\n") == 1, "a text cannot look like a field"
    document = json.loads(triage("review", "show", "e-1", "--json")[1])
    assert document["event"]["event"] == {"user": "mallory"}
    assert [each["revision"] for each in document["revisions"]] == [0, 1]


def test_a_disagreement_of_two_people_is_shown(triage: Triage, store: CaseStore, log: Log) -> None:
    """Only the last of two decisions would be seen, as if nobody had said otherwise."""
    waiting_case = a_case()
    first = by_person(waiting_case.triaged, labels=queue_label("email"))
    second = by_person(first, by="a.lindt", labels=queue_label("identity"))
    store.apply(*log.both(waiting_case), log.decided(first), log.decided(second))
    out = triage("review", "show", "e-1")[1]
    assert "disagreement:\n    queue was email for r.okafor, and is identity for a.lindt\n" in out
    document = json.loads(triage("review", "show", "e-1", "--json")[1])
    (found,) = document["disagreements"]
    assert (found["earlier_by"], found["later_by"]) == ("r.okafor", "a.lindt")


def test_the_list_marks_where_people_disagree(triage: Triage, store: CaseStore, log: Log) -> None:
    """Whoever looks through the cases would have to open each to see that two people disagree."""
    asked = a_case()
    first = by_person(asked.triaged, labels=queue_label("email"))
    second = by_person(first, by="a.lindt", labels=queue_label("identity"))
    store.apply(*log.both(asked), log.decided(first), log.decided(second))
    store.apply(*log.both(waiting("e-2")))
    lines = triage("review", "list", "--state", "all")[1].splitlines()
    (disagreed,) = (line for line in lines if line.startswith("e-1"))
    (undecided,) = (line for line in lines if line.startswith("e-2"))
    assert "disagree" in disagreed.split()
    assert "disagree" not in undecided
    assert "people" not in triage("review", "list")[1], "an empty column takes room"
    # What people disagree about is decided, so the default state cannot be open here.
    document = json.loads(triage("review", "list", "--disagreement", "--json")[1])
    assert [(each["id"], each["disagreement"]) for each in document["cases"]] == [("e-1", True)]
    assert document["counts"]["disagreement"] == {"yes": 1}
    assert triage("review", "list", "--disagreement", "--state", "open")[1] == "no open cases\n"


def test_an_id_that_is_unknown_or_shared_is_said(
    triage: Triage, store: CaseStore, log: Log
) -> None:
    """A person would be shown nothing, or another tenant's event."""
    for tenant in ("acme", "globex"):
        store.apply(*log.both(waiting(tenant=tenant)))
    code, _, err = triage("review", "show", "e-9")
    assert (code, "no event with the id 'e-9'" in err) == (1, True)
    code, _, err = triage("review", "show", "e-1")
    assert (code, "say which one in domain and tenant" in err) == (1, True)
    assert triage("review", "show", "e-1", "--tenant", "acme")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["queue"], 2, "write it as queue=billing"),
        (["queue=cloud", "queue=email"], 2, "an axis is set twice"),
        ([], 2, "set a label such as queue=billing, or confirm with --about REVISION"),
        (["queue=cluod"], 1, "'cluod', which is no value of queue; use one of "),
        (["colour=red"], 1, "'colour', which is no axis of alerts"),
        (["queue=cloud", "--by", " "], 2, "this is no verdict"),
    ],
)
def test_what_is_mistyped_is_never_sent(
    triage: Triage, store: CaseStore, log: Log, arguments: list[str], code: int, message: str
) -> None:
    """A person would wait for a worker to find a mistake that is plain to see."""
    store.apply(*log.both(waiting()))
    got, _, err = triage("review", "decide", "e-1", *arguments)
    assert (got, message in err) == (code, True), err


@pytest.mark.parametrize("refused", [True, False])
def test_a_verdict_is_sent_and_its_end_is_said(
    triage: Triage,
    store: CaseStore,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    refused: bool,
) -> None:
    """A person would not know whether the decision counts."""
    waiting_case = waiting()
    store.apply(*log.both(waiting_case))
    sent: list[Verdict] = []

    async def answer(_: Settings, verdict: Verdict, **__: Any) -> TriagedEvent | Refused:
        sent.append(verdict)
        if refused:
            return Refused(verdict, "a person has decided")
        return by_person(waiting_case.triaged)

    monkeypatch.setattr(command, "send_and_wait", answer)
    monkeypatch.setattr(command, "Producer", lambda _: FakeProducer(prompt=True))
    monkeypatch.setenv("LOGNAME", "a.novak")
    code, out, err = triage("review", "decide", "e-1", "queue=cloud", "--comment", "mine")
    assert code == int(refused)
    if refused:
        assert "the verdict was refused: a person has decided" in err
    else:
        assert out == "e-1 is decided: revision 1, queue=cloud\n"
    assert sent == [
        Verdict(
            id="e-1",
            labels={"queue": "cloud"},
            by="a.novak",
            comment="mine",
            domain="alerts",
            tenant="default",
        )
    ]
    if not refused:
        code, out, _ = triage("review", "decide", "e-1", "queue=cloud", "--json")
        assert json.loads(out)["revision"] == 1


def test_exported_rows_teach_a_model(
    triage: Triage, store: CaseStore, log: Log, tmp_path: Path
) -> None:
    """What people decide could not be learned from."""
    event = Event(
        id="e-1",
        kind="alert",
        text="a login",
        event={"user": "mallory", "labels": {"queue": "forged"}},
        source="siem",
    )
    decision = msgspec.structs.replace(a_case(source="siem").triaged, input_digest=None)
    decided = by_person(
        decision, labels=decision.labels | {"queue": Label(value="email", confidence=1.0)}
    )
    whole = msgspec.structs.replace(a_case(), event=event, triaged=decision)
    store.apply(*log.both(whole), log.decided(decided), *log.both(waiting("open")))
    file = tmp_path / "rows.ndjson"
    code, out, _ = triage("review", "export", "--out", file)
    assert (code, "1 labelled row in" in out) == (0, True)
    (row,) = read_rows([file])
    assert row.gold == {"queue": ("email",)}
    assert (row.event.text, row.event.event, row.source) == ("a login", event.event, "siem")
    assert [json.loads(line) for line in triage("review", "export")[1].splitlines()] == [
        json.loads(file.read_bytes())
    ]
    assert triage("review", "export", "--queue", "network")[1] == ""
    assert triage("review", "export", "--out", tmp_path)[0] != 0


def test_a_row_needs_a_person_and_a_text() -> None:
    """A model would learn its own answers, or from nothing."""
    first = case()
    confirmed = by_person(first.triaged)
    assert labelled_row(Known(first.triaged, first)) is None
    assert labelled_row(Known(confirmed)) is None
    row = labelled_row(Known(confirmed, first))
    assert row is not None
    assert row["labels"] == {"queue": "cloud"}, "a confirmation confirms all labels"


# Sending.


def a_verdict(**changes: Any) -> Verdict:
    """A short verdict."""
    fields: dict[str, Any] = {"id": "e-1", "labels": {"queue": "cloud"}, "by": "anna"}
    return Verdict(**fields | changes)


async def test_a_verdict_is_written_in_its_short_form() -> None:
    """The worker would refuse what this command writes."""
    producer = FakeProducer(prompt=True)
    places = await send_verdicts(
        Settings(), [a_verdict(), a_verdict(id="e-2")], producer=producer, labels=LABELS
    )
    assert places == [PLACE, "triage.feedback.v1[0]@1"]
    assert [record.key for record in producer.sent] == [b"e-1", b"e-2"]
    first = producer.sent[0]
    assert (first.topic, list(first.headers)) == ("triage.feedback.v1", [])
    assert orjson.loads(first.value or b"") == {
        "id": "e-1",
        "labels": {"queue": "cloud"},
        "by": "anna",
    }


@pytest.mark.parametrize(
    "bad",
    [
        a_verdict(labels={"queue": "nowhere"}),
        a_verdict(domain="tickets", labels={"queue": "cloud"}),
        a_verdict(id=None),
    ],
)
async def test_nothing_is_sent_if_one_verdict_is_wrong(bad: Verdict) -> None:
    """Half of what a person decided at once would be sent, and nobody would know which half."""
    producer = FakeProducer(prompt=True)
    with pytest.raises(InvalidEvent):
        await send_verdicts(Settings(), [a_verdict(), bad], producer=producer, labels=LABELS)
    assert producer.sent == []


async def test_a_verdict_is_signed_with_the_key_of_its_reviewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers that know reviewers would refuse every verdict of this command."""
    monkeypatch.setenv("ANNA_KEY", "a" * 32)
    monkeypatch.setenv("BEN_KEY", "b" * 32)
    anna, ben = (
        ReviewerSection(name=name, key_env=f"{name.upper()}_KEY") for name in ("anna", "ben")
    )
    producer = FakeProducer(prompt=True)
    both = Settings(reviewers=[anna, ben])
    await send_verdicts(both, [a_verdict(by="ben")], producer=producer, labels=LABELS)
    (record,) = producer.sent
    signature = hmac.digest(b"b" * 32, record.value or b"", "sha256").hex()
    assert header_texts(record.headers) == {
        "triage.reviewer": "ben",
        "triage.reviewer.signature": signature,
    }
    only = Settings(reviewers=[anna])
    await send_verdicts(only, [a_verdict(by="carl")], producer=producer, labels=LABELS)
    assert header_texts(producer.sent[1].headers)["triage.reviewer"] == "anna"
    with pytest.raises(ConfigError, match=r"names several \(anna, ben\)"):
        await send_verdicts(both, [a_verdict(by="carl")], producer=producer, labels=LABELS)


class Letters:
    """Dead letters that come while a verdict waits."""

    def __init__(self, reasons: dict[str, str]) -> None:
        self.reasons: dict[str, str] = {}
        self._coming = reasons

    async def read(self) -> None:
        """Read what has come."""
        await asyncio.sleep(0)
        self.reasons |= self._coming


async def decide(
    monkeypatch: pytest.MonkeyPatch,
    known: Known | None,
    reasons: dict[str, str] | None = None,
    verdict: Verdict | None = None,
) -> TriagedEvent | Refused:
    """What becomes of a verdict."""

    @asynccontextmanager
    async def letters(_: Settings) -> AsyncIterator[Letters]:
        yield Letters(reasons or {})

    class View:
        async def find(self, *_: Any, **__: Any) -> Known | None:
            return known

    monkeypatch.setattr(deciding, "watching_dead_letters", letters)
    view: Any = View()
    return await deciding.decide(
        Settings(),
        verdict or a_verdict(),
        view=view,
        producer=FakeProducer(prompt=True),
        timeout_s=0.2,
        labels=LABELS,
    )


async def test_the_answer_is_the_revision_of_this_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person would be told of a decision that another one has made."""
    first, second = by_person(triaged()), by_person(by_person(triaged()), by="ben")
    known = Known(second, None, [triaged(), first, second], {1: PLACE, 2: "elsewhere"})
    assert await decide(monkeypatch, known) == first
    refused = await decide(monkeypatch, known, {PLACE: "no"}, a_verdict())
    assert refused == Refused(a_verdict(), "no")
    for other in (None, Known(triaged()), Known(second, None, [second], {2: "elsewhere"})):
        with pytest.raises(StreamError, match="no worker has answered"):
            await decide(monkeypatch, other)


@pytest.mark.parametrize(
    ("reason", "comment", "is_same"),
    [
        ("decided by anna", None, True),
        ("decided by anna, signed by page", None, True),
        ("decided by anna: why", "why", True),
        ("decided by anna, signed by page: why", "why", True),
        ("decided by anna: why", None, False),
        ("decided by annabel", None, False),
    ],
)
async def test_a_verdict_that_was_sent_twice_is_answered(
    monkeypatch: pytest.MonkeyPatch, reason: str, comment: str | None, is_same: bool
) -> None:
    """A person who repeats a command would wait for a revision that is never made."""
    done = msgspec.structs.replace(by_person(triaged()), reasons=[reason])
    known = Known(done, None, [done], {1: "elsewhere"})
    if is_same:
        verdict = a_verdict(comment=comment)
        assert await decide(monkeypatch, known, verdict=verdict) == done
    else:
        with pytest.raises(StreamError):
            await decide(monkeypatch, known, verdict=a_verdict(comment=comment))


def test_the_labels_of_the_configured_model_are_allowed(tiny_model: Path) -> None:
    """The command would refuse labels that the worker takes, or send those that it does not."""
    settings = msgspec.convert({"model": {"path": str(tiny_model)}}, Settings)
    labels, renames = deciding.served_labels(settings)
    assert {domain: dict(axes) for domain, axes in labels.items()} == {
        domain: {axis: tuple(names) for axis, names in axes.items()}
        for domain, axes in LABELS.items()
    }
    assert not renames
