"""Dead letters, and which of them are sent back."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest

from agents.outcomes import DeadLettered, Element, Incoming
from schemas.deadletter import NEVER_READ
from schemas.event import Origin
from streams.config import Settings
from streams.deadletters import Letter, Pace, PlaceOfRecord, Selection, replaying, search
from streams.deadletters import replay as replay_letters
from streams.errors import DeliveryFailed
from streams.kafka.record import Record
from streams.pipeline.records import dead_letter
from tests.doubles import INPUT, TOPICS, FakeProducer, header_texts, incoming
from tests.unit.conftest import Triage

HEADERS = [("traceparent", b"00-1"), ("empty", None)]


def letter(
    offset: int = 0,
    disposition: Any = "retryable",
    value: bytes | None = b"{",
    headers: Sequence[Any] = HEADERS,
) -> Letter:
    """A dead letter on its topic, at the offset that its input had."""
    outcome = DeadLettered("decode", "InvalidEvent", "not JSON", disposition)
    record = dead_letter(outcome, incoming(offset, value, b"\xff", headers), TOPICS)
    return Letter(
        Incoming(
            record.value,
            record.key,
            record.headers,
            Origin(topic=record.topic, partition=0, offset=offset),
            0.0,
        )
    )


def test_the_original_comes_back() -> None:
    """A replay would change the key, the value or the headers of the event."""
    original = letter().original()
    assert (original.topic, original.key, original.value) == (
        TOPICS.input("alerts"),
        b"\xff",
        b"{",
    )
    assert original.headers == [*HEADERS, ("triage.attempt", b"1")]


def element_letter(position: int, rejected: bytes, offset: int = 7) -> Letter:
    """The dead letter of one event of a record with several."""
    outcome = DeadLettered("validate", "InvalidEvent", "nothing to read", "retryable")
    whole = incoming(offset, b"[{},{}]", b"k", HEADERS)
    element = replace(whole, element=Element(outcome, position, rejected))
    record = dead_letter(outcome, element, TOPICS)
    origin = Origin(topic=record.topic, partition=0, offset=position)
    return Letter(Incoming(record.value, record.key, record.headers, origin, 0.0))


async def test_of_a_record_with_several_events_only_the_bad_one_is_replayed(
    topic: "ReplayBench",
) -> None:
    """The good events of the record would be triaged again with each replay."""
    topic.letters = [element_letter(1, b'{"n":1}'), element_letter(4, b'{"n":4}')]
    done = await replay_letters(Settings(), Selection())
    assert done.replayed == 2
    assert [record.value for record in topic.producer.sent] == [b'{"n":1}', b'{"n":4}']
    assert [record.key for record in topic.producer.sent] == [b"k", b"k"]
    assert [record.headers for record in topic.producer.sent] == [
        [*HEADERS, ("triage.attempt", b"1")]
    ] * 2


def test_the_letters_of_one_record_can_be_told_apart(triage: Triage, topic: "ReplayBench") -> None:
    """A person could not name the one event that they want to see."""
    topic.letters = [letter(6), element_letter(1, b"one"), element_letter(4, b"four")]
    lines = triage("deadletters", "list")[1].splitlines()
    assert [line.split()[0] for line in lines] == [
        f"{INPUT}[2]@6",
        f"{INPUT}[2]@7#1",
        f"{INPUT}[2]@7#4",
    ]

    def shown(place: str) -> list[tuple[str | None, str]]:
        printed = triage("deadletters", "show", place, "--json")[1].splitlines()
        documents = [orjson.loads(line) for line in printed]
        return [(document["element"], document["value"]) for document in documents]

    assert shown(f"{INPUT}[2]@7#4") == [("4", "four")]
    assert shown(f"{INPUT}[2]@7") == [("1", "one"), ("4", "four")]
    assert shown(f"{INPUT}[2]@6") == [(None, "{")]


def test_it_can_be_described_to_a_person_and_to_a_program() -> None:
    """`triage deadletters list` would fail on the very bytes that it is for."""
    line = letter(value=b"\xc3(").line()
    assert "triage.alerts.v1[2]@0" in line
    assert "not JSON" in line
    assert letter(value=None).describe()["value"] is None
    assert letter().describe()["key"] == "\ufffd"


@pytest.mark.parametrize(
    ("value", "title"),
    [
        (b'{"id": "a", "kind": "alert", "title": "Root \\u001b[2Jlogin"}', "Root [2Jlogin"),
        (b'[{"title": "Disk nearly full"}, {"title": "x"}]', "Disk nearly full"),
        (
            b'{"event": {"id": "a", "kind": "alert", "title": "Root login"}, "risk": 1}',
            "Root login",
        ),
        (b"{broken", None),
        (b"", None),
        (None, None),
    ],
)
def test_a_letter_says_what_its_event_is_about(value: bytes | None, title: str | None) -> None:
    """A person would have to read the bytes of each letter to find the important one."""
    assert letter(value=value).title == letter(value=value).describe()["title"] == title
    if title:
        assert letter(value=value).line().endswith(title)
    elif value:
        assert repr(value.decode()) in letter(value=value).line()


class FakeConsumer:
    """Remembers commits. Like aiokafka's, it has fetched everything before the first record."""

    def __init__(self) -> None:
        self.offset = 0

    async def commit(self, offsets: dict[Any, int]) -> None:
        """Set where the next replay begins."""
        (self.offset,) = offsets.values()


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> "ReplayBench":
    """The dead-letter topic, without a broker."""
    return ReplayBench(monkeypatch)


class ReplayBench:
    """A topic of dead letters, a group that reads it, and the producer of the replay."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.letters: list[Letter] = []
        self.groups: list[str | None] = []
        self.consumer = FakeConsumer()
        self.producer = FakeProducer(prompt=True)
        monkeypatch.setattr(replaying, "Producer", lambda _: self.producer)
        for module in (replaying, search):
            monkeypatch.setattr(module, "reading", self._reading)
            monkeypatch.setattr(module, "until_quiet", self._records)

    @asynccontextmanager
    async def _reading(self, *_: Any, **options: Any) -> AsyncIterator[FakeConsumer]:
        self.groups.append(options.get("group_id"))
        yield self.consumer

    async def _records(self, _: Any) -> AsyncIterator[Incoming]:
        for unseen in self.letters[self.consumer.offset :]:
            yield unseen.record


async def test_a_letter_that_comes_back_meanwhile_is_left_for_the_next_replay(
    topic: ReplayBench,
) -> None:
    """An event that fails each time would be replayed for ever."""
    again = letter(1)
    later = replace(again.record, received_at_s=time.time() + 3600)
    topic.letters = [letter(0), Letter(later)]
    await replay_letters(Settings(), Selection())
    assert len(topic.producer.sent) == 1
    assert topic.consumer.offset == 1, "the next replay finds it"


async def test_with_a_limit_each_letter_is_replayed_once(topic: ReplayBench) -> None:
    """`--limit 1` would skip the letters that were fetched too, or send the first one again."""
    topic.letters = [letter(offset) for offset in range(3)]
    for _ in range(4):
        await replay_letters(Settings(), Selection(), limit=1)
    assert [record.topic for record in topic.producer.sent] == [TOPICS.input("alerts")] * 3


async def test_a_replay_that_fails_remembers_what_it_has_sent(
    topic: ReplayBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The letters before the failure would be sent twice."""
    topic.letters = [letter(offset) for offset in range(3)]
    send, sent = topic.producer.send, topic.producer.sent

    async def fail_second(record: Record) -> Any:
        if len(sent) == 1:
            raise DeliveryFailed("gone")
        return await send(record)

    monkeypatch.setattr(topic.producer, "send", fail_second)
    with pytest.raises(DeliveryFailed):
        await replay_letters(Settings(), Selection())
    assert topic.consumer.offset == 1


@pytest.mark.parametrize(
    "left",
    [
        letter(disposition="poison"),
        letter(value=None, headers=()),
        Letter(incoming(0, b"{}", headers=[("__connect.errors.topic", b"somebody.elses")])),
    ],
    ids=["poison", "without its value", "not from our topics"],
)
async def test_what_cannot_be_replayed_is_left(topic: ReplayBench, left: Letter) -> None:
    """An empty or hopeless record would be sent, or a record sent to a topic that is not ours."""
    if left.record.value is None:
        left = Letter(
            Incoming(
                None,
                None,
                [*left.record.headers, ("triage.value.bytes", b"9000000")],
                left.record.origin,
                0.0,
            )
        )
    topic.letters = [left]
    done = await replay_letters(Settings(), Selection())
    assert (done.replayed, done.left) == (0, 1)
    assert topic.producer.sent == []


async def test_a_letter_that_only_names_a_place_is_never_replayed(topic: ReplayBench) -> None:
    """`replay --poison` would send an empty record for each event of a batch that was too large."""
    never_read = DeadLettered(NEVER_READ, "BatchTooLarge", "too large")
    place = Origin(topic=TOPICS.input("alerts"), partition=0, offset=7)
    record = dead_letter(never_read, Incoming(None, None, (), place, 0.0), TOPICS)
    topic.letters = [Letter(Incoming(record.value, record.key, record.headers, place, 0.0))]
    await replay_letters(Settings(), Selection(poison=True))
    assert topic.producer.sent == []


async def test_poison_is_replayed_on_request(topic: ReplayBench) -> None:
    """After a fix of a parser, the events that it had refused could not be sent again."""
    topic.letters = [letter(disposition="poison")]
    assert (await replay_letters(Settings(), Selection(stage="decode", poison=True))).replayed == 1
    assert header_texts(topic.producer.sent[0].headers)["triage.attempt"] == "1"


def test_a_person_sees_the_oldest_letters_first(triage: Triage, topic: ReplayBench) -> None:
    """A user would see the newest letters, or all of a million."""
    topic.letters = [letter(offset) for offset in range(4)]
    code, out, err = triage("deadletters", "list", "--limit", "2")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"triage.alerts.v1[2]@{offset}  decode  retryable  not JSON  '{{'" for offset in range(2)
    ]


def test_programs_get_one_document_for_each_letter(triage: Triage, topic: ReplayBench) -> None:
    """A program would have to parse the lines for people."""
    topic.letters = [letter(7), letter(8, "poison")]
    code, out, _ = triage("deadletters", "list", "--json")
    documents = [orjson.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(document["offset"], document["disposition"]) for document in documents] == [
        ("7", "retryable"),
        ("8", "poison"),
    ]


@pytest.mark.parametrize(("json", "printed"), [([], "no dead letters\n"), (["--json"], "")])
def test_letters_of_another_stage_are_not_listed(
    triage: Triage, topic: ReplayBench, json: list[str], printed: str
) -> None:
    """A user would see an empty screen, or letters that are not of the stage."""
    topic.letters = [letter()]
    assert triage("deadletters", "list", "--stage", "deliver", *json) == (0, printed, "")
    assert triage("deadletters", "list", "--stage", "decode", *json)[1] not in ("", printed)


def test_the_replay_says_what_it_has_done(triage: Triage, topic: ReplayBench) -> None:
    """A user would not notice that some letters were left."""
    topic.letters = [letter(0), letter(1, "poison"), letter(2)]
    replayed = triage("deadletters", "replay")
    assert replayed == (0, f"2 replayed (2 to {INPUT}), 1 left where they are\n", "")
    assert len(topic.producer.sent) == 2
    code, out, _ = triage("deadletters", "replay", "--json")
    assert code == 0
    assert orjson.loads(out) == {
        "dry_run": False,
        "replayed": 0,
        "left": 0,
        "internal": 0,
        "topics": {},
    }


def test_the_options_of_the_replay_are_used(triage: Triage, topic: ReplayBench) -> None:
    """Poison would be sent again although nobody asked for it, or more than `--limit` letters."""
    topic.letters = [letter(offset, "poison") for offset in range(3)]
    arguments = ("--stage", "decode", "--poison", "--limit", "2", "--json")
    code, out, _ = triage("deadletters", "replay", *arguments)
    document = orjson.loads(out)
    assert (code, document["replayed"], document["left"]) == (0, 2, 0)
    assert len(topic.producer.sent) == 2


async def test_a_letter_that_became_too_large_is_left(topic: ReplayBench) -> None:
    """One large letter would stop the replay, and block all letters behind it."""
    topic.producer = FakeProducer(prompt=True, takes_bytes={TOPICS.input("alerts"): 10})
    topic.letters = [letter(0, value=b"{" * 11), letter(1)]
    done = await replay_letters(Settings(), Selection())
    assert (done.replayed, done.left) == (1, 1)
    assert [record.value for record in topic.producer.sent] == [b"{"]


def from_topic(topic: str, offset: int = 0) -> Letter:
    """A letter whose headers say that its record was on this topic."""
    headers = [
        ("__connect.errors.topic", topic.encode()),
        ("__connect.errors.stage", b"feedback"),
        ("__connect.errors.exception.class.name", b"ValueError"),
        ("triage.disposition", b"retryable"),
    ]
    return replace_origin(Letter(incoming(offset, b"{}", headers=headers)), offset)


INTERNAL = sorted(set(TOPICS) - {TOPICS.input("alerts"), TOPICS.input("tickets")})


@pytest.mark.parametrize("name", INTERNAL)
async def test_a_forged_letter_is_not_sent_to_an_internal_topic(
    topic: ReplayBench, name: str
) -> None:
    """Whoever can write a dead letter could forge a verdict, a decision or an audit record."""
    topic.letters = [from_topic(name)]
    done = await replay_letters(Settings(), Selection(poison=True))
    assert (done.replayed, done.left, done.internal) == (0, 1, 1)
    assert topic.producer.sent == []


@pytest.mark.parametrize("name", INTERNAL)
async def test_internal_topics_are_written_to_on_request(topic: ReplayBench, name: str) -> None:
    """A case or a verdict could not be replayed after its agent was mended, or would loop."""
    topic.letters = [letter(0), from_topic(name, 1)]
    done = await replay_letters(Settings(), Selection(internal=True))
    expected = [] if name == TOPICS.deadletter else [name]
    sent = [*topic.producer.sent, *topic.producer.audited]
    assert [record.topic for record in sent] == expected
    assert done.replayed == len(expected)


async def test_each_selection_has_a_group_of_its_own(topic: ReplayBench) -> None:
    """A letter that one selection leaves would never be looked at again."""
    selections = [
        Selection(),
        Selection(poison=True),
        Selection(internal=True),
        Selection(poison=True, internal=True),
        Selection(stage="decode"),
    ]
    for selection in selections:
        await replay_letters(Settings(), selection)
    assert len(set(topic.groups)) == len(selections)
    assert topic.groups[0] == "triage-replay-every-stage-retryable", "as before the last release"


async def test_a_replay_keeps_its_rate(topic: ReplayBench) -> None:
    """A hundred thousand letters at once would delay the events that come in."""
    topic.letters = [letter(offset) for offset in range(5)]
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    await replay_letters(Settings(), Selection(), rate=2, sleep=sleep)
    # The clock hardly moves while the double sends, so each letter waits half a second longer.
    assert len(waited) == 4
    assert waited == sorted(waited)
    assert 0 < waited[0] <= 0.5


async def test_a_late_letter_does_not_start_a_burst() -> None:
    """After a slow broker, the letters would come faster than the rate until they caught up."""
    now_s = 0.0
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now_s
        waited.append(seconds)
        now_s += seconds

    pace = Pace(10, sleep, lambda: now_s)
    await pace.wait()
    now_s += 60
    for _ in range(3):
        await pace.wait()
    assert waited == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize(("rate", "records"), [(None, 500), (100, 500), (2, 120), (0.1, 6)])
def test_a_slow_replay_polls_often_enough(rate: float | None, records: int) -> None:
    """The group would take the consumer for dead, and letters would be sent twice."""

    async def sleep(_: float) -> None:
        raise AssertionError

    assert Pace(rate, sleep).letters_a_poll == records


async def test_a_replay_takes_only_what_it_can_send_in_a_minute(topic: ReplayBench) -> None:
    """The number above would be computed and not used."""
    asked: list[dict[str, int]] = []

    class Consumer(FakeConsumer):
        async def getmany(self, **options: int) -> dict[Any, Any]:
            asked.append(options)
            return {}

    await replaying._ShortPolls(Consumer(), 7).getmany(timeout_ms=5)
    assert asked == [{"timeout_ms": 5, "max_records": 7}]


def test_a_dry_run_sends_nothing_and_forgets_it(triage: Triage, topic: ReplayBench) -> None:
    """A person could not look before a replay, or the replay after it would send nothing."""
    topic.letters = [letter(0), letter(1, "poison"), from_topic(TOPICS.feedback, 2), letter(3)]
    code, out, _ = triage("deadletters", "replay", "--dry-run")
    assert (code, topic.producer.sent) == (0, [])
    assert out.splitlines() == [
        f"2 would be replayed (2 to {INPUT}), 2 left where they are",
        (
            "1 of those left are not from input topics; look at them with "
            "`triage deadletters show`, then use --to-internal"
        ),
    ]
    code, out, _ = triage("deadletters", "replay", "--dry-run", "--limit", "1", "--json")
    assert orjson.loads(out) == {
        "dry_run": True,
        "replayed": 1,
        "left": 0,
        "internal": 0,
        "topics": {INPUT: 1},
    }
    assert triage("deadletters", "replay", "--rate", "1000")[0] == 0
    assert len(topic.producer.sent) == 2


def test_letters_are_counted_by_reason(triage: Triage, topic: ReplayBench) -> None:
    """A person would have to read a thousand letters to learn that they have one reason."""
    topic.letters = [letter(0), letter(1), letter(2, "poison"), from_topic(TOPICS.feedback)]
    code, out, err = triage("deadletters")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["count", "stage", "error", "topic", "disposition"],
        ["2", "decode", "InvalidEvent", INPUT, "retryable"],
        ["1", "decode", "InvalidEvent", INPUT, "poison"],
        ["1", "feedback", "ValueError", TOPICS.feedback, "retryable"],
    ]
    document = orjson.loads(triage("deadletters", "--json")[1])
    assert document["dead_letters"] == 4
    assert document["reasons"][0] == {
        "stage": "decode",
        "error": "InvalidEvent",
        "topic": INPUT,
        "disposition": "retryable",
        "count": 2,
    }


def test_without_letters_the_count_says_so(triage: Triage, topic: ReplayBench) -> None:
    """A person would see an empty screen."""
    assert triage("deadletters") == (0, "no dead letters\n", "")
    assert orjson.loads(triage("deadletters", "--json")[1]) == {"dead_letters": 0, "reasons": []}


def test_invented_reasons_do_not_fill_memory(
    triage: Triage, topic: ReplayBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes letters could give each a reason of its own."""
    monkeypatch.setattr(search, "MAX_REASONS", 40)
    topic.letters = [from_topic(f"t-{number}", number) for number in range(100)]
    document = orjson.loads(triage("deadletters", "--json")[1])
    assert document["dead_letters"] == 100
    assert len(document["reasons"]) == 41
    assert document["reasons"][0] == {
        **dict.fromkeys(("stage", "error", "topic", "disposition"), "(other)"),
        "count": 60,
    }
    lines = triage("deadletters")[1].splitlines()
    assert lines[-1] == "... and 11 reasons more; --json has all"


def test_options_of_a_subcommand_come_after_it(triage: Triage, topic: ReplayBench) -> None:
    """`--config` in front of a subcommand would be ignored without a word."""
    code, _, err = triage("deadletters", "--json", "list")
    assert code == 2
    assert "--config and --json come after list" in err


def test_one_letter_is_shown_whole(triage: Triage, topic: ReplayBench) -> None:
    """A person could not see what is wrong in the middle of a large record."""
    value = ("x" * 2_500 + "\nvalue:\n\x1b[2J\u202e").encode() + b"\xff"
    topic.letters = [letter(5), letter(6, value=value)]
    code, out, _ = triage("deadletters", "show", f"{INPUT}[2]@6")
    lines = out.splitlines()
    assert code == 0
    assert lines[lines.index("message:") + 1] == "    not JSON"
    assert lines[lines.index("letter:") + 1] == f"    {TOPICS.deadletter}[0]@6"
    assert lines[lines.index("header traceparent:") + 1] == "    00-1"
    assert lines[lines.index("header empty:") + 1] == "    (none)"
    assert lines.count("value:") == 1, "the value itself cannot begin a field"
    shown = lines[lines.index("value:") + 1 :]
    assert [line.strip() for line in shown] == [
        "x" * 1000,
        "x" * 1000,
        "x" * 500,
        "value:",
        "\\u001b[2J\\u202e\ufffd",
    ]
    document = orjson.loads(triage("deadletters", "show", f"{INPUT}[2]@6", "--json")[1])
    assert document["value"] == value.decode("utf-8", "replace")
    assert document["headers"] == [
        ["traceparent", "00-1"],
        ["empty", None],
        ["triage.attempt", "1"],
    ]


def test_a_letter_can_be_named_by_its_own_place(triage: Triage, topic: ReplayBench) -> None:
    """Somebody could hide a letter behind a forged one that names the same original."""
    topic.letters = [letter(5), replace_origin(letter(5), 6)]
    both = triage("deadletters", "show", f"{INPUT}[2]@5", "--json")[1].splitlines()
    assert [orjson.loads(line)["letter"] for line in both] == [
        f"{TOPICS.deadletter}[0]@5",
        f"{TOPICS.deadletter}[0]@6",
    ]
    (one,) = triage("deadletters", "show", f"{TOPICS.deadletter}[0]@6", "--json")[1].splitlines()
    assert orjson.loads(one)["offset"] == "5"


def replace_origin(moved: Letter, offset: int) -> Letter:
    """The same letter at another offset of the dead-letter topic."""
    origin = Origin(topic=TOPICS.deadletter, partition=0, offset=offset)
    return Letter(replace(moved.record, origin=origin))


@pytest.mark.parametrize("place", ["nothing", "t[x]@1", "t[0]@", "[0]@1", "t[0]@-1"])
def test_a_place_that_is_none_is_refused(triage: Triage, topic: ReplayBench, place: str) -> None:
    """A person would read the whole topic for nothing."""
    code, _, err = triage("deadletters", "show", place)
    assert code == 2
    assert "is not a place such as triage.alerts.v1[0]@17" in err


def test_a_letter_that_is_not_there_is_said(triage: Triage, topic: ReplayBench) -> None:
    """A person would see an empty screen."""
    code, out, err = triage("deadletters", "show", f"{INPUT}[0]@99")
    assert (code, out) == (1, "")
    assert f"no dead letter is from {INPUT}[0]@99" in err


def test_a_place_is_read_as_it_is_written() -> None:
    """A topic with brackets could not be named."""
    place = PlaceOfRecord("a[1]@2", 3, 4)
    assert PlaceOfRecord.parse(str(place)) == place
    element = PlaceOfRecord("a", 3, 4, 5)
    assert str(element) == "a[3]@4#5"
    assert PlaceOfRecord.parse(str(element)) == element
