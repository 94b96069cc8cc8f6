"""A pipeline whose workers have a key, and forged records of every kind on its topics."""

import hmac
import re
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from inference.egress.options import EgressOptions
from inference.llm.options import BudgetOptions
from schemas.codec import encode
from schemas.event import Event, Origin
from schemas.triaged import Case, Enrichment, TriagedEvent, Verdict
from streams.audit.entry import PublishedDecision
from streams.audit.trail import AuditTrail
from streams.config import AuditSection, ReviewerSection, SecuritySection, Settings
from streams.kafka.admin import create_topics
from streams.kafka.record import Record
from streams.topics import Topics
from tests.integration.test_llm_pipeline import serving
from tests.integration.test_pipeline import send, working
from tests.llm_server import ok
from tests.llm_tier import configured, endpoint, escalated
from tests.outputs import Outputs, dead_letter_origin
from tests.records import record as read

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

WORKER, REVIEWER, AUDIT = "worker-key-" + "w" * 32, "reviewer-key-" + "r" * 32, "audit-" + "a" * 32
STRANGER = "stranger-key-" + "s" * 32
BANK_TEXT = "the merger of Northwind and Contoso"
HEADER = "triage.decision"


def keyed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a key of the workers, one reviewer and a key of the audit."""
    for name, key in (("WORKER", WORKER), ("REVIEWER", REVIEWER), ("AUDIT", AUDIT)):
        monkeypatch.setenv(f"{name}_KEY", key)
    rules = [{"policy": "never", "tenants": ["bank"]}]
    return msgspec.structs.replace(
        settings,
        security=SecuritySection(worker_key_env="WORKER_KEY"),
        reviewers=[ReviewerSection(name="ana", key_env="REVIEWER_KEY", tenants=["acme"])],
        audit=AuditSection(key_env="AUDIT_KEY"),
        egress=msgspec.convert({"default": "full", "rules": rules}, EgressOptions),
    )


def verdict(triaged: TriagedEvent, **fields: Any) -> Verdict:
    """A verdict that confirms a decision."""
    given: dict[str, Any] = {"triaged": triaged, "labels": {}, "by": "ana"}
    return Verdict(**given | fields)


def feedback(
    names: Topics, verdict_: Verdict, signature: bytes | None, key: str = REVIEWER
) -> Record:
    """The record of a verdict, signed by a reviewer with this key."""
    value = encode(verdict_)
    assert verdict_.triaged is not None
    signed = hmac.new(key.encode(), value, "sha256").hexdigest().encode()
    headers = [("triage.reviewer", b"ana"), ("triage.reviewer.signature", signed)]
    return Record(
        names.feedback, verdict_.triaged.id.encode(), value, [*headers, (HEADER, signature)]
    )


def forged_cases(names: Topics) -> list[Record]:
    """Cases that no worker wrote: the text of a bank under another tenant, and the next offset."""
    event = Event(id="m-1", kind="ticket", text=BANK_TEXT, tenant="bank")
    of_acme = Event(id="m-1", kind="ticket", text=BANK_TEXT, tenant="acme")
    cases = [
        Case(event=event, triaged=escalated(of_acme).triaged),
        escalated(of_acme),
        msgspec.structs.replace(escalated(of_acme), escalation="risk", risk=0.0),
    ]
    return [Record(names.enrichment, b"m-1", encode(case)) for case in cases]


def forged_answer(names: Topics, event: Event) -> Record:
    """An answer to an event that is still to come, at the offset that it will have."""
    case = escalated(event)
    answer = msgspec.structs.replace(
        case.triaged,
        revision=1,
        status="final",
        decided_by="llm",
        queue="forged",
        enrichment=Enrichment(status="answered", calls=1, summary="forged"),
        origin=Origin(topic=names.input("tickets"), partition=0, offset=0),
    )
    return Record(names.triaged("tickets"), event.id.encode(), encode(answer))


def forged_cost(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Record:
    """An audit record of a million dollars, sealed with another key."""
    monkeypatch.setenv("STRANGER_KEY", STRANGER)
    stranger = msgspec.structs.replace(settings, audit=AuditSection(key_env="STRANGER_KEY"))
    costly = Enrichment(status="answered", calls=1, cost_usd=1e6)
    triaged = msgspec.structs.replace(
        escalated(Event(id="m-2", kind="ticket", text="x")).triaged, enrichment=costly
    )
    decision = PublishedDecision(triaged, encode(triaged))
    return AuditTrail(stranger, writer="stranger").record(read({}), decision)


async def test_forged_records_change_nothing(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can write to an internal topic could close, move and read the events of everybody."""
    names = Topics(settings.topics.prefix)
    ticket = Event(id="t-1", kind="ticket", text="zzqx my top-up is gone", tenant="acme")
    of_bank = Event(id="b-1", kind="ticket", text=f"zzqx {BANK_TEXT}", tenant="bank")
    with serving(ok()) as server:
        settings = keyed(
            configured(
                endpoint(server.base_url), settings=settings, budget=BudgetOptions(usd_per_day=1.0)
            ),
            monkeypatch,
        )
        settings = msgspec.structs.replace(
            settings, topics=msgspec.structs.replace(settings.topics, partitions=1)
        )
        strict = msgspec.structs.replace(settings.domain("tickets"), alpha=0.0001)
        settings = msgspec.structs.replace(
            settings, domains=msgspec.structs.replace(settings.domains, tickets=strict)
        )
        await create_topics(settings)
        await send(
            settings,
            [
                forged_cost(settings, monkeypatch),
                forged_answer(names, ticket),
                *forged_cases(names),
            ],
        )
        outputs = Outputs(settings)
        with working(settings, tmp_path) as worker:
            await send(
                settings,
                [
                    Record(names.input("tickets"), event.id.encode(), encode(event))
                    for event in (ticket, of_bank)
                ],
            )
            await outputs.read_until(lambda: len(written(outputs, names)) == 4)
            await send(settings, verdicts(outputs, names))
            await outputs.read_until(
                lambda: len(outputs.dead_letters) == 3 + 4 and len(written(outputs, names)) == 5
            )
            page = worker.get("/metrics")[1]
        requests = [request.text for request in server.requests]

    decisions = written(outputs, names)
    real, kept = ([each for each, _ in decisions if each.id == id_] for id_ in ("t-1", "b-1"))
    assert [triaged.revision for triaged in real] == [0, 1, 2]
    assert real[1].enrichment is not None
    assert real[1].enrichment.status == "answered", "neither the answer nor the cost was believed"
    assert real[2].decided_by == "human"
    assert [triaged.revision for triaged in kept] == [0, 1]
    assert kept[1].enrichment == Enrichment(status="kept_inside")
    assert len(requests) == 1
    assert BANK_TEXT not in requests[0]
    assert len(outputs.triaged) == len(decisions) + 1, "the forged answer is the only other record"
    stages = [
        (dead_letter_origin(letter)[0], dict(letter.headers)["__connect.errors.stage"])
        for letter in outputs.dead_letters
    ]
    assert sorted(stages) == sorted(
        [(names.enrichment, b"authenticate")] * 3
        + [(names.feedback, b"authenticate")] * 3
        + [(names.feedback, b"authorize")]
    )
    for topic, reason, count in (
        (names.enrichment, "unsigned", 3),
        (names.triaged("tickets"), "unsigned", 1),
        (names.audit, "wrong_signature", 1),
    ):
        found = re.search(
            rf'triage_refused_records_total{{reason="{reason}",topic="{topic}"}} (\d+)', page
        )
        assert found, f"{topic} {reason}\n{page}"
        assert int(found[1]) >= count


def written(outputs: Outputs, names: Topics) -> list[tuple[TriagedEvent, bytes | None]]:
    """The decisions about tickets that a worker has signed, each with its signature."""
    return [
        (msgspec.json.decode(record.value or b"", type=TriagedEvent), dict(record.headers)[HEADER])
        for record in outputs.on(names.triaged("tickets"))
        if HEADER in dict(record.headers)
    ]


def verdicts(outputs: Outputs, names: Topics) -> list[Record]:
    """Four verdicts that must be refused, and the one of the reviewer that must be taken."""
    last = {triaged.id: (triaged, signature) for triaged, signature in written(outputs, names)}
    (seen, signature), (of_bank, signature_of_bank) = last["t-1"], last["b-1"]
    locked = msgspec.structs.replace(seen, revision=900)
    foreign = msgspec.structs.replace(seen, tenant="bank")
    return [
        feedback(names, verdict(locked), signature),
        feedback(names, verdict(foreign), signature),
        feedback(names, verdict(seen, by="the chief"), signature, STRANGER),
        feedback(names, verdict(of_bank), signature_of_bank),
        feedback(names, verdict(seen), signature),
    ]


def test_the_keys_are_not_in_what_a_worker_is_given(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key in the configuration would be printed by `triage config show`."""
    shown = orjson.dumps(msgspec.to_builtins(keyed(settings, monkeypatch))).decode()
    for key in (WORKER, REVIEWER, AUDIT):
        assert key not in shown
