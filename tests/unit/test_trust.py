"""What a worker believes: records of its topics, cases, and who gives verdicts."""

import hmac
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import msgspec
import pytest

from agents.decided import Decided
from agents.feedback import apply_feedback
from agents.outcomes import DeadLettered, Escalated, Incoming, Outcome, Triaged
from agents.reviewers import REVIEWER_HEADER, REVIEWER_SIGNATURE_HEADER, Reviewer
from agents.verdict_checks import VerdictChecks
from inference.errors import ConfigError
from schemas.codec import encode
from schemas.signing import DECISION_HEADER, WorkerKeys
from schemas.triaged import Label, Verdict
from streams.config import ReviewerSection, SecuritySection, Settings, load
from streams.kafka.record import Record
from streams.metrics import Metrics
from streams.pipeline.records import outputs_of
from streams.trust import Trust, unprotected
from tests.doubles import TOPICS, KnownCases
from tests.records import provisional, record, unsure
from tests.tiny_model import LABELS

KEYS = WorkerKeys(b"k" * 32)
FORGER = WorkerKeys(b"f" * 32)


def read(written: Record) -> Incoming:
    """A record as it is read from its topic."""
    incoming = record(written.value, topic=written.topic)
    return replace(incoming, key=written.key, headers=written.headers)


def written(keys: WorkerKeys, outcome: Outcome | None = None) -> list[Incoming]:
    """The records of an outcome (by default an escalation), as another worker reads them."""
    outputs = outputs_of(outcome or Escalated(unsure()), record(b"{}"), TOPICS, keys)
    return [read(each) for each in outputs.records]


async def passed(batch: Sequence[Incoming]) -> list[Outcome]:
    """An agent that ends every record."""
    return [Triaged(provisional(id=str(each.origin.offset))) for each in batch]


async def test_a_case_that_no_worker_has_signed_is_a_dead_letter() -> None:
    """A forged case would have its text sent to the LLM, or end an event in a queue of choice."""
    metrics = Metrics()
    (_, ours), (_, forged), (_, unsigned) = (written(keys) for keys in (KEYS, FORGER, WorkerKeys()))
    batch = [
        replace(each, origin=msgspec.structs.replace(each.origin, offset=offset))
        for offset, each in enumerate([forged, ours, unsigned, ours])
    ]
    outcomes = await Trust(KEYS, metrics.note_refused).guard(passed)(batch)
    assert [type(outcome) for outcome in outcomes] == [
        DeadLettered,
        Triaged,
        DeadLettered,
        Triaged,
    ]
    letter = outcomes[0]
    assert isinstance(letter, DeadLettered)
    assert (letter.stage, letter.disposition) == ("authenticate", "retryable")
    assert letter.message.startswith("no worker has signed this record")
    assert [outcomes[at].triaged.id for at in (1, 3)] == ["1", "3"]  # type: ignore[union-attr]
    page = metrics.render().decode()
    for reason in ("unsigned", "wrong_signature"):
        labels = f'reason="{reason}",topic="{TOPICS.enrichment}"'
        assert f"triage_refused_records_total{{{labels}}} 1.0" in page


async def test_a_batch_of_forged_cases_asks_no_agent() -> None:
    """The agent would be called with nothing, and its answer would not fit the batch."""

    async def never(_: Sequence[Incoming]) -> list[Outcome]:
        raise AssertionError("called")

    _, forged = written(FORGER)
    (outcome,) = await Trust(KEYS).guard(never)([forged])
    assert isinstance(outcome, DeadLettered)


def test_without_a_key_every_record_goes_to_the_agent() -> None:
    """The demo would refuse its own cases."""
    assert Trust().guard(passed) is passed
    assert all(map(Trust().believes, written(FORGER)))


# Verdicts.


def verdict(**changes: Any) -> Verdict:
    """A person's answer about the decision of `unsure`."""
    fields: dict[str, Any] = {
        "triaged": unsure().triaged,
        "labels": {"queue": "fees_fx"},
        "by": "r.okafor",
    }
    return Verdict(**fields | changes)


async def end(
    verdict_: Verdict | bytes,
    checks: VerdictChecks,
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> Outcome:
    """What becomes of a verdict with these headers."""
    incoming = replace(record(verdict_, topic=TOPICS.feedback), headers=headers)
    (outcome,) = await apply_feedback(
        [incoming], checks=checks, cases=KnownCases(), decided=Decided()
    )
    return outcome


def decision_header(keys: WorkerKeys = KEYS) -> list[tuple[str, bytes | None]]:
    """The header that a person's program copies from the record that the person read."""
    review = written(keys)[1]
    return [each for each in review.headers if each[0] == DECISION_HEADER]


async def test_a_verdict_brings_the_signature_of_the_decision_back() -> None:
    """Nobody could decide anything once the workers have a key."""
    checks = VerdictChecks(LABELS, KEYS)
    assert isinstance(await end(verdict(), checks, decision_header()), Triaged)
    ((_, signature),) = decision_header()
    assert signature is not None
    assert isinstance(await end(verdict(signature=signature.decode()), checks), Triaged)


@pytest.mark.parametrize(
    "forged",
    [
        {"tenant": "other"},
        {"revision": 900},
        {"labels": {"severity": Label(value="informational", confidence=1.0)}, "domain": "alerts"},
        {"source": "elsewhere"},
    ],
)
async def test_a_verdict_about_an_invented_decision_is_refused(forged: dict[str, Any]) -> None:
    """A forged verdict would write into another tenant, lock an event, or lift a policy."""
    checks = VerdictChecks(LABELS, KEYS)
    triaged = provisional(**forged)
    for headers in (decision_header(), [], decision_header(FORGER)):
        outcome = await end(verdict(triaged=triaged, labels={}), checks, headers)
        assert isinstance(outcome, DeadLettered)
        assert outcome.stage == "authenticate"
        assert outcome.disposition == "retryable"
        assert "not signed by a worker" in outcome.message


async def test_a_signed_decision_may_have_labels_of_an_earlier_model() -> None:
    """Events that wait for a person while the model is replaced could never be ended."""
    old = provisional(labels={"shade": Label(value="red", confidence=0.4)})
    signature = (KEYS.sign_decision(old) or b"").decode()
    checks = VerdictChecks(LABELS, KEYS)
    kept = verdict(triaged=old, signature=signature)
    assert isinstance(await end(kept, checks), Triaged)
    assert isinstance(await end(kept, VerdictChecks(LABELS)), DeadLettered), "nobody has signed it"


ALICE = Reviewer("alice", b"a" * 32)
ANALYST = Reviewer("analyst", b"b" * 32, tenants=["acme"], axes=["queue"])
REVIEWERS = VerdictChecks(LABELS, reviewers=[ALICE, ANALYST])


def signed_by(
    reviewer: Reviewer, verdict_: Verdict, name: str | None = None
) -> list[tuple[str, bytes | None]]:
    """The headers of a reviewer, who may call themself by another `name`."""
    signature = hmac.new(reviewer.key, encode(verdict_), "sha256").hexdigest()
    return [
        (REVIEWER_HEADER, (name or reviewer.name).encode()),
        (REVIEWER_SIGNATURE_HEADER, signature.encode()),
    ]


async def test_a_reviewer_decides_about_their_tenants_and_axes() -> None:
    """A reviewer could decide about the events of every customer."""
    own = await end(verdict(), REVIEWERS, signed_by(ANALYST, verdict()))
    assert isinstance(own, Triaged)
    assert own.triaged.reasons[-1] == "decided by r.okafor, signed by analyst"
    for foreign in (
        verdict(triaged=provisional(tenant="other")),
        verdict(labels={"queue": "fees_fx", "priority": "low"}),
    ):
        outcome = await end(foreign, REVIEWERS, signed_by(ANALYST, foreign))
        assert isinstance(outcome, DeadLettered)
        assert (outcome.stage, outcome.disposition) == ("authorize", "poison")
        assert "the reviewer analyst may not decide about" in outcome.message
        assert isinstance(await end(foreign, REVIEWERS, signed_by(ALICE, foreign)), Triaged)


async def test_a_reviewer_decides_in_the_name_of_their_people_only() -> None:
    """Somebody with a key could decide as others do, and get around the share of one person."""
    desk = Reviewer("desk", b"d" * 32, people=["R. Okafor", "bo"])
    checks = VerdictChecks(LABELS, reviewers=[desk])
    own = verdict(by="r. okafor")
    assert isinstance(await end(own, checks, signed_by(desk, own)), Triaged)
    foreign = verdict(by="ana")
    outcome = await end(foreign, checks, signed_by(desk, foreign))
    assert isinstance(outcome, DeadLettered)
    assert (outcome.stage, outcome.disposition) == ("authorize", "poison")
    assert "the reviewer desk may not decide as 'ana'" in outcome.message


@pytest.mark.parametrize("by", ["ana", "Ana ", "A\u200bna"])
async def test_only_people_on_the_list_decide(by: str) -> None:
    """Anybody could decide under a name of their own, or nobody on the list could."""
    checks = VerdictChecks(LABELS, people=["ana", "bo"])
    assert isinstance(await end(verdict(by=by), checks), Triaged)
    outcome = await end(verdict(by=f"{by}s"), checks)
    assert isinstance(outcome, DeadLettered)
    assert (outcome.stage, outcome.disposition) == ("authorize", "poison")
    assert "add them to security.people" in outcome.message


@pytest.mark.parametrize(
    "headers",
    [
        [],
        signed_by(ALICE, verdict(), "analyst"),
        signed_by(ALICE, verdict(by="the chief")),
        signed_by(Reviewer("mallory", b"m" * 32), verdict()),
        signed_by(ALICE, verdict())[:1],
        signed_by(ALICE, verdict()) * 2,
    ],
    ids=["unsigned", "another's name", "another verdict", "nobody", "no signature", "twice"],
)
async def test_a_verdict_of_nobody_is_refused(headers: list[tuple[str, bytes | None]]) -> None:
    """Whoever can write to the feedback topic would speak as any person."""
    outcome = await end(verdict(), REVIEWERS, headers)
    assert isinstance(outcome, DeadLettered)
    assert (outcome.stage, outcome.disposition) == ("authenticate", "retryable")
    assert "no configured reviewer has signed this verdict" in outcome.message


async def test_a_reviewer_may_lower_a_severity() -> None:
    """A person could not correct an alert that the model takes too seriously."""
    alert = provisional(
        domain="alerts", labels={"severity": Label(value="critical", confidence=0.9)}
    )
    lowered = verdict(triaged=alert, labels={"severity": "informational"})
    outcome = await end(lowered, REVIEWERS, signed_by(ALICE, lowered))
    assert isinstance(outcome, Triaged)
    assert outcome.triaged.labels["severity"].value == "informational"


async def test_what_is_believed_unsigned_may_not_invent_labels() -> None:
    """A forged verdict would invent labels as long as unsigned records are believed."""
    keys = WorkerKeys(b"k" * 32, unsigned_until_s=inf)
    invented = provisional(labels={"shade": Label(value="red", confidence=0.4)})
    outcome = await end(verdict(triaged=invented), VerdictChecks(LABELS, keys))
    assert isinstance(outcome, DeadLettered)
    assert outcome.stage == "validate"


# The configuration.


def test_keys_are_read_from_the_environment() -> None:
    """A key would have to stand in the configuration, which `config show` prints."""
    section = SecuritySection(worker_key_env="NEW", previous_worker_key_env="OLD")
    keys = section.read_keys({"NEW": "n" * 16, "OLD": "o" * 16})
    old = WorkerKeys(b"o" * 16).sign_decision(provisional())
    assert keys.decision_refusal(provisional(), old) is None
    assert keys.sign_decision(provisional()) == WorkerKeys(b"n" * 16).sign_decision(provisional())
    assert not SecuritySection().read_keys().configured


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (SecuritySection(worker_key_env="NONE"), "security.worker_key_env: .*not set"),
        (
            SecuritySection(worker_key_env="SHORT"),
            "security.worker_key_env: .*fewer than 16 bytes; make one with",
        ),
        (
            SecuritySection(previous_worker_key_env="LONG"),
            "security.worker_key_env: is missing, but there is a previous key",
        ),
        (SecuritySection(worker_key_file="/nowhere"), "security.worker_key_file: .*cannot be read"),
    ],
)
def test_a_key_that_cannot_be_used_is_reported(section: SecuritySection, message: str) -> None:
    """A worker would start without the key, and believe everybody."""
    with pytest.raises(ConfigError, match=message) as caught:
        section.read_keys({"SHORT": "hidden-15-bytes", "LONG": "l" * 16})
    assert "hidden" not in str(caught.value)


def test_a_reviewer_needs_a_key_and_a_name_of_their_own(tmp_path: Any) -> None:
    """A verdict that nobody has signed could pass for a reviewer's."""
    with pytest.raises(ConfigError, match="the reviewer 'kim' has no key"):
        ReviewerSection(name="kim").reviewer({})
    file = tmp_path / "triage.toml"
    twice = '[[reviewers]]\nname = "kim"\nkey_env = "KEY"\n' * 2
    file.write_text(twice)
    with pytest.raises(ConfigError, match="names somebody twice"):
        load(file, {})
    file.write_text('[[reviewers]]\nname = "kim"\nkey_env = "q2hlZ3VyZQ=="\n')
    with pytest.raises(ConfigError, match="takes the name of a variable"):
        load(file, {})


def test_what_is_left_open_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator would not know that anybody on the broker can forge decisions."""
    assert len(unprotected(Settings())) == 2
    monkeypatch.setenv("KEY", "k" * 32)
    protected = msgspec.structs.replace(
        Settings(),
        security=SecuritySection(worker_key_env="KEY"),
        reviewers=[ReviewerSection(name="kim", key_env="KEY")],
    )
    assert unprotected(protected) == []
    today = datetime.now(UTC).date()
    for days, sentences in ((1, 1), (-2, 0)):
        day = today + timedelta(days=days)
        section = SecuritySection(worker_key_env="KEY", unsigned_until=day)
        lenient = msgspec.structs.replace(protected, security=section)
        assert len(unprotected(lenient)) == sentences
