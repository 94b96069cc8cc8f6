"""The audit trail of one worker, the command that checks it, and the topic it is on."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from agents.outcomes import DeadLettered, Escalated, Reviewed, Triaged
from schemas.audit.record import HEADERS, MAX_HEADS, AuditRecord, sha256
from schemas.audit.segment import MAX_TENANTS, Segment, Segments
from schemas.audit.verification import Chain, Fault, Place
from schemas.codec import decode, encode
from streams.audit.trail import read_key
from streams.audit.verify import MAX_FAULTS, AuditReport
from streams.cli import audit as command
from streams.cli import main
from streams.config import AuditSection, Settings
from streams.errors import ConfigError, DeliveryFailed
from streams.kafka import admin
from streams.topics import Topics
from tests.chains import ASKED, check, decide, topic, trail
from tests.doubles import FakeProducer
from tests.records import case, triaged
from tests.records import record as read


def test_the_record_says_what_was_decided_about_what() -> None:
    """An auditor could not tell which input led to which output, by which model."""
    event = triaged(tenant="acme", enrichment=ASKED, decided_by="llm", revision=1)
    incoming = read({"id": "e-1"}, offset=9)
    made = trail().record(Triaged(event), incoming)
    assert made is not None
    assert (made.topic, made.key, made.headers) == ("triage.audit.v1", b"acme", HEADERS)
    record = decode(made.value or b"", AuditRecord)
    assert (record.id, record.revision, record.decided_by, record.labels) == (
        "e-1",
        1,
        "llm",
        {"queue": "cloud"},
    )
    assert (record.origin, record.model_digest) == (incoming.origin, "d" * 64)
    assert record.enrichment is not None
    assert (record.enrichment.tier, record.enrichment.cost_usd) == ("small", 0.0002)
    assert record.input_digest == sha256(incoming.value or b"")
    assert record.output_digest == sha256(encode(event))


@pytest.mark.parametrize("outcome", [Escalated(case()), Reviewed(case())])
def test_every_kind_of_decision_is_recorded(outcome: Escalated | Reviewed) -> None:
    """What the small model was unsure of would be missing from the trail."""
    assert trail().record(outcome, read({})) is not None


def test_a_dead_letter_is_no_decision() -> None:
    """The trail would hold what nobody decided."""
    assert trail().record(DeadLettered("decode", "InvalidEvent", "no"), read(b"{")) is None


def test_a_persons_verdict_does_not_pay_again() -> None:
    """The verdict carries the answer it was about: its cost would count twice against the day's budget."""
    made = decide(trail(), "acme", enrichment=ASKED, decided_by="human", revision=2)
    assert decode(made.value or b"", AuditRecord).enrichment is None


def test_a_restarted_worker_goes_on_from_what_it_finds() -> None:
    """A restart would cut the chain: what lies before it could be removed unseen."""
    before, after = trail("w1"), trail("w2")
    records = [decide(before, "acme", number) for number in range(3)]
    spent: list[tuple[str, float, float]] = []
    for each in topic(records):
        after.learn(read(each.value), lambda *spend: spent.append(spend))
    records.append(decide(after, "acme"))
    last = [decode(each.value or b"", AuditRecord) for each in records][-1]
    assert (last.sequence, last.previous) == (
        0,
        decode(records[2].value or b"", AuditRecord).digest,
    )
    assert check(topic(records))[0] == []
    assert spent == []


def test_what_others_spend_is_told_and_nothing_else_is() -> None:
    """Two workers would each spend the whole day's budget, or one count its own twice."""
    spent: list[tuple[str, float, float]] = []
    ours, others = trail("w1"), trail("w2")
    costly = [decide(each, "acme", enrichment=ASKED) for each in (ours, others)]
    damaged = topic(costly)[1].flipped(300, 2)
    for value in (*(each.value for each in costly), damaged.value, None, b"{}"):
        ours.learn(read(value), lambda *spend: spent.append(spend))
    assert [(tenant, usd) for tenant, usd, _ in spent] == [("acme", 0.0002)]


def test_an_evicted_tenant_begins_a_new_strand() -> None:
    """With more tenants than memory holds, sequence numbers would be given out twice."""
    segments = Segments("w", max_tenants=2)
    for tenant in ("a", "b", "a", "c", "b", "a"):
        segment = segments.of(tenant)
        segment.sequence += 1
        assert segments.wrote(segment.writer)
    assert (segments.of("a").writer, segments.of("a").sequence) == ("w.2", 1)
    assert not segments.wrote("other.2")
    assert MAX_TENANTS >= 10_000


def test_each_end_of_another_strand_is_named_once() -> None:
    """What another worker wrote last could be cut off unseen, or records would grow with every worker there was."""
    ours, others = trail("ours"), [trail(f"w{number}") for number in range(3)]
    ends = []
    for each in others:
        ours.learn(read(decide(each, "acme").value))
        end = decide(each, "acme")
        ends.append(decode(end.value or b"", AuditRecord).digest)
        ours.learn(read(end.value))
    first, second = (decode(decide(ours, "acme").value or b"", AuditRecord) for _ in range(2))
    assert (first.previous, first.heads) == (ends[2], tuple(sorted(ends[:2])))
    assert second.heads == ()


def test_no_more_is_named_than_there_are_records() -> None:
    """Among many workers most of the topic would be names."""
    segment, named = Segment("w"), []
    for number in range(200):
        for other in range(10):
            segment.saw(f"w{other}", f"{number}-{other}")
        named += [segment.name()]
        segment.extend("d")
    assert {len(heads) for heads in named[1:]} == {0, 10}
    assert sum(map(len, named)) <= 200
    assert named[190] == tuple(f"190-{other}" for other in range(10))
    for other in range(MAX_HEADS + 5):
        segment.saw(f"z{other:03}", f"{other:03}")
    for _ in range(MAX_HEADS):
        segment.extend("d")
    assert segment.name() == tuple(f"{other:03}" for other in range(5, MAX_HEADS + 5))


async def test_lanes_that_write_at_once_keep_the_order() -> None:
    """Sequence numbers would be sent in another order than they were given."""
    producer, one = FakeProducer(prompt=True, awaits_audit=True), trail()
    send = producer.send

    async def slow_send(record: Any) -> Any:
        await asyncio.sleep(0.001 if len(producer.sent) % 3 else 0)
        return await send(record)

    producer.send = slow_send  # type: ignore[method-assign]
    decided = [(Triaged(triaged(f"e-{n}")), read({}, offset=n)) for n in range(5)]
    receipts = await asyncio.gather(*(one.append(decided, producer) for _ in range(4)))
    assert [len(some) for some in receipts] == [5] * 4
    assert [decode(each.value or b"", AuditRecord).sequence for each in producer.sent] == list(
        range(20)
    )


async def test_nothing_is_appended_behind_a_lost_record() -> None:
    """A record the broker did not take would leave a hole that looks like tampering for ever."""
    producer, one = FakeProducer(awaits_audit=True), trail()
    decided = [(Triaged(triaged()), read({}))]
    (receipt,) = await one.append(decided, producer)
    receipt.set_exception(DeliveryFailed("gone"))
    await asyncio.sleep(0)
    with pytest.raises(DeliveryFailed, match="restarted"):
        await one.append(decided, producer)
    assert len(producer.sent) == 1


@pytest.mark.parametrize(
    ("options", "key"),
    [({}, None), ({"key_env": "SEAL"}, b"secret"), ({"key_file": "seal.key"}, b"from a file")],
)
def test_the_key_is_read(options: dict[str, str], key: bytes | None, tmp_path: Path) -> None:
    """The seal would be made without the key, or with its line end."""
    (tmp_path / "seal.key").write_text("from a file\n")
    if "key_file" in options:
        options = {"key_file": str(tmp_path / options["key_file"])}
    assert read_key(AuditSection(**options), {"SEAL": "secret"}) == key


@pytest.mark.parametrize(
    "options", [{"key_env": "SEAL"}, {"key_file": "/nowhere/seal.key"}, {"key_file": "/dev/null"}]
)
def test_a_key_that_is_not_there_stops_the_worker(options: dict[str, str]) -> None:
    """Decisions would be sealed without the key, and nobody would know."""
    with pytest.raises(ConfigError, match=r"^audit\.key_"):
        read_key(AuditSection(**options), {})


CHAIN = Chain(
    records=3,
    heads={"w1": "cd" * 32, "w2": "ab" * 32, "w3": "ef" * 32},
    tips={"ef" * 32, "ab" * 32},
)


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Iterator[AuditReport]:
    """What the command finds, without a broker."""
    found = AuditReport("triage.audit.v1", None, chains={"acme": CHAIN})

    async def verify(*_: Any) -> AuditReport:
        return found

    monkeypatch.setattr(command, "verify_topic", verify)
    return found


def run(*arguments: str) -> int:
    """The exit code of `triage audit verify`."""
    with pytest.raises(SystemExit) as ended:
        main(["audit", "verify", *arguments])
    return int(ended.value.code or 0)


def test_a_whole_topic_is_a_table_and_exit_code_0(
    report: AuditReport, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody would know which head to note."""
    assert run() == 0
    heading, line, other = capsys.readouterr().out.splitlines()
    assert heading.split() == ["tenant", "records", "segments", "copies", "head"]
    assert line.split() == ["acme", "3", "3", "0", "ab" * 32]
    assert other.index("ef") == line.index("ab")


def test_a_fault_is_one_line_and_exit_code_1(
    report: AuditReport, capsys: pytest.CaptureFixture[str]
) -> None:
    """A changed record would not be named, or a tenant's name would drive the terminal."""
    report.note(
        [
            Fault("changed", Place(3, 17), "\x1b[2J"),
            Fault("missing", Place(0, 4), "acme", "w", 5, 2),
        ]
    )
    report.lost = [("acme", "cd" * 32)]
    assert run() == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[:3] == [
        "triage.audit.v1[3]@17: changed (tenant '\\x1b[2J')",
        "triage.audit.v1[0]@4: 2 missing before it (tenant acme, writer w, sequence 5 and on)",
        f"triage.audit.v1: the head {'cd' * 32} of acme is not there",
    ]
    assert err.count("\n") == 1
    assert "faults: 2, heads not found: 1" in err


def test_programs_get_json(report: AuditReport, capsys: pytest.CaptureFixture[str]) -> None:
    """A monitor would have to read the table."""
    report.note([Fault("missing", Place(0, 4), "acme", "w", 5, 2)])
    assert run("--json") == 1
    document = orjson.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert document["faults"] == [
        {
            "what": "missing",
            "partition": 0,
            "offset": 4,
            "tenant": "acme",
            "writer": "w",
            "sequence": 5,
            "count": 2,
        }
    ]
    assert document["tenants"]["acme"] == {
        "records": 3,
        "segments": 3,
        "copies": 0,
        "heads": {"w1": "cd" * 32, "w2": "ab" * 32, "w3": "ef" * 32},
        "tips": ["ab" * 32, "ef" * 32],
    }


@pytest.mark.parametrize("expectation", ["acme", "acme=12", f"={'ab' * 32}"])
def test_an_expectation_that_is_none_is_bad_usage(
    expectation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped head would be reported as lost, or pass."""
    assert run("--expect", expectation) == 2
    assert "TENANT=DIGEST" in capsys.readouterr().err


def test_a_report_keeps_the_first_faults_and_counts_all() -> None:
    """A topic of a million faults would be held in memory; one tenant's would be hidden behind another's."""
    kept = AuditReport("t", "acme")
    kept.note(
        Fault("changed", Place(0, n), tenant)
        for n in range(MAX_FAULTS + 5)
        for tenant in ("acme", "globex")
    )
    assert (len(kept.faults), kept.many, kept.ok) == (MAX_FAULTS, MAX_FAULTS + 5, False)
    assert AuditReport("t", None).ok


def test_the_audit_topic_is_made_to_keep_everything() -> None:
    """The broker's default would delete the evidence after a week."""
    names = Topics("triage")
    assert admin._new_topic(names.audit, Settings()).topic_configs == {
        "max.message.bytes": "8388608",
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
    }
    assert set(admin._new_topic(names.review, Settings()).topic_configs) == {"max.message.bytes"}


@pytest.mark.parametrize(
    ("found", "problems"),
    [
        ({"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}, 0),
        ({"max.message.bytes": "8388608"}, 0),
        ({"retention.ms": "604800000"}, 1),
        ({"cleanup.policy": "compact", "retention.bytes": "1000"}, 2),
    ],
)
async def test_an_audit_topic_that_forgets_is_named(found: dict[str, str], problems: int) -> None:
    """`topics check` would call a topic well that loses decisions."""
    names = Topics("triage")

    async def describe_configs(_: Any) -> Any:
        entries = [(key, value, False, False, False, []) for key, value in found.items()]
        return [SimpleNamespace(resources=[(0, "", 2, names.audit, entries)])]

    client: Any = SimpleNamespace(describe_configs=describe_configs)
    said = await admin._misconfigured(client, names)
    assert len(said) == problems
    assert all("triage.audit.v1 does not keep every record" in sentence for sentence in said)
