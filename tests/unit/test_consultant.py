"""Tests of the consultant, with one case through the LLM tier.

They check what leaves, what is quoted, what the answer changes, and that no error escapes.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inference.egress.options import EgressOptions
from inference.egress.redaction import MAX_CHARS
from inference.llm.opinion import LlmOpinion
from inference.llm.options import BudgetOptions
from inference.retrieval.options import RetrievalOptions
from schemas.event import Event
from schemas.triaged import Case, Label
from streams.config import Settings
from streams.enrichment import EnrichmentAgent
from tests.llm_server import (
    COMPLETION_TOKENS,
    PROMPT_TOKENS,
    Behaviour,
    LlmServer,
    body,
    completion,
    error,
    ok,
)
from tests.llm_tier import configured, endpoint, escalated, tier

MAIL = "anna.smith@example.com"
SECRET = "tr0ub4dor-x9"  # noqa: S105 - invented
OBJECT_ID = "650f3a2b1c9d8e7f6a5b4c3d"
"""An id that looks like a secret."""
CONFIDENT = Label(value="cloud", confidence=0.98)


class ServedConsultant:
    """A consultant and the server that it calls."""

    def __init__(self, enrichment: EnrichmentAgent, server: LlmServer) -> None:
        self.enrichment = enrichment
        self.server = server

    async def consult(self, case: Case) -> LlmOpinion:
        """Ask about one case."""
        assert self.enrichment.consultant is not None
        return await self.enrichment.consultant.consult(case)

    async def settle(self, *cases: Case) -> None:
        """Let people decide these cases."""
        for case in cases:
            verdict = msgspec.structs.replace(
                case.triaged, status="final", decided_by="human", revision=2
            )
            await self.enrichment._library.see(case)
            await self.enrichment._library.see(verdict)

    @property
    def shown(self) -> str:
        """Everything that the LLM was shown."""
        return "\n".join(request.text for request in self.server.requests)


@asynccontextmanager
async def consultant(
    behaviour: Behaviour | None = None,
    *,
    egress: dict[str, Any] | None = None,
    backlog: int = 0,
    **changes: Any,
) -> AsyncIterator[ServedConsultant]:
    """A consultant with these settings, and a server.

    `egress` is a table as in a configuration, and `backlog` is the number of waiting cases.
    """
    async with LlmServer(behaviour or ok()) as server:
        base = msgspec.structs.replace(
            Settings(), egress=msgspec.convert(egress or {}, EgressOptions), **changes
        )
        async with tier(
            configured(endpoint(server.base_url), settings=base), lambda: backlog
        ) as enrichment:
            yield ServedConsultant(enrichment, server)


def alert(id_: str = "a-1", text: str = "a mass download", **fields: Any) -> Event:
    """An alert of a tenant."""
    return Event(**{"id": id_, "kind": "alert", "text": text, "tenant": "acme"} | fields)


def status(opinion: LlmOpinion) -> str:
    """The status. Without an answer, a person decides, and there is one reason of one line."""
    if opinion.enrichment.status != "answered":
        assert opinion.needs_person
        assert len(opinion.reasons) == 1
        assert "\n" not in opinion.reasons[0]
    return opinion.enrichment.status


async def test_an_answer_may_stand_alone() -> None:
    """Otherwise every event would go to a person, and the LLM would be paid for nothing."""
    async with consultant(ok(queue="cloud")) as served:
        opinion = await served.consult(escalated(alert()))
    assert (status(opinion), opinion.needs_person) == ("answered", False)
    assert opinion.labels["queue"].value == "cloud"
    enrichment = opinion.enrichment
    assert (enrichment.model, enrichment.tier, enrichment.calls) == ("served", "tier-0", 1)
    assert (enrichment.summary, enrichment.rationale) == ("A summary.", "A rationale.")
    assert enrichment.prompt_tokens == PROMPT_TOKENS
    assert enrichment.completion_tokens == COMPLETION_TOKENS
    cost_usd = (PROMPT_TOKENS * 1.0 + COMPLETION_TOKENS * 2.0) / 1e6
    assert enrichment.cost_usd == pytest.approx(cost_usd)
    assert enrichment.latency_s > 0


async def test_without_an_answer_the_labels_stay_and_the_cost_counts() -> None:
    """Otherwise a failing endpoint would change events, or its cost would be missing."""
    case = escalated(alert())
    async with consultant(body(completion(None, refusal="I cannot."))) as served:
        opinion = await served.consult(case)
    assert status(opinion) == "refused"
    assert opinion.labels == case.triaged.labels
    assert (opinion.enrichment.calls, opinion.enrichment.prompt_tokens) == (1, PROMPT_TOKENS)
    assert opinion.enrichment.cost_usd > 0
    assert (opinion.enrichment.summary, opinion.enrichment.rationale) == (None, None)


async def test_the_policy_keeps_an_event_inside() -> None:
    """Otherwise an event would leave although the policy forbids it."""
    async with consultant(egress={"default": "never"}) as served:
        opinion = await served.consult(escalated(alert()))
    assert status(opinion) == "kept_inside"
    assert not served.server.requests


@pytest.mark.parametrize("half", ["event", "triaged"])
async def test_the_policy_is_asked_of_both_halves_of_a_case(half: str) -> None:
    """Otherwise the text of a tenant that must stay inside leaves in the name of another."""
    case = escalated(alert())
    kept = msgspec.structs.replace(getattr(case, half), tenant="bank")
    forged = msgspec.structs.replace(case, **{half: kept})
    rules = [{"policy": "never", "tenants": ["bank"]}]
    async with consultant(egress={"default": "full", "rules": rules}) as served:
        opinion = await served.consult(forged)
    assert opinion.enrichment.status == "kept_inside"
    assert not served.server.requests


async def test_an_event_that_cannot_be_redacted_stays_inside() -> None:
    """Otherwise an error in redaction would let the event out as it is."""
    line = f"{MAIL} " * 100
    huge = alert(event={"log": [line] * (MAX_CHARS // len(line) + 1)})
    async with consultant() as served:
        opinion = await served.consult(escalated(huge))
    assert status(opinion) == "redaction_failed"
    assert not served.server.requests
    assert MAIL not in opinion.reasons[0]


async def test_a_text_of_a_megabyte_is_cut_before_it_is_redacted() -> None:
    """Otherwise a long log would delay all other calls, or half of a secret would leave."""
    secret = "password=" + "k7Qz" * 2000
    async with consultant() as served:
        opinion = await served.consult(
            escalated(alert(text="noise " * 3_999 + secret + " noise" * 200_000))
        )
    assert status(opinion) == "answered"
    assert "k7Qz" not in served.server.requests[0].text


async def test_the_least_uncertain_are_shed() -> None:
    """Otherwise very many cases would wait for the LLM for days."""
    async with consultant(backlog=10**9) as served:
        opinions = [await served.consult(escalated(alert())) for _ in range(5)]
    assert {status(opinion) for opinion in opinions} == {"shed"}
    assert not served.server.requests


async def test_a_bug_stops_no_worker_and_logs_no_text(caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise one event would stop the tier for ever, or its text would be in the log."""
    async with consultant() as served:
        assert served.enrichment.cascade is not None

        async def fail(*_: object, **__: object) -> None:
            raise ValueError(f"cannot read {MAIL}")

        served.enrichment.cascade.ask = fail  # type: ignore[assignment, method-assign] # a bug
        with caplog.at_level(logging.DEBUG):
            opinion = await served.consult(escalated(alert(text=f"mail from {MAIL}")))
    assert status(opinion) == "failed"
    assert "ValueError" in caplog.text
    assert MAIL not in caplog.text + repr(opinion)


async def test_a_case_of_another_model_does_not_crash() -> None:
    """Otherwise a case of an earlier model with other axes would stop the worker."""
    case = escalated(alert())
    labels = case.triaged.labels | {"colour": Label(value="red", confidence=0.1)}
    old = msgspec.structs.replace(
        case, triaged=msgspec.structs.replace(case.triaged, labels=labels)
    )
    async with consultant() as served:
        opinion = await served.consult(old)
    assert status(opinion) == "failed"
    assert opinion.labels == labels
    assert not served.server.requests


async def test_the_summary_is_restored_without_secrets() -> None:
    """Otherwise an analyst would read placeholders, or a password that a model repeated."""
    event = alert(text=f"{MAIL} logged in with password={SECRET}")
    summary = "[EMAIL_1] used [SECRET_1], not [EMAIL_7]."
    async with consultant(ok(summary=summary, rationale="As [EMAIL_1] did.")) as served:
        opinion = await served.consult(escalated(event))
    assert opinion.enrichment.summary == f"{MAIL} used [SECRET_1], not [EMAIL_7]."
    assert opinion.enrichment.rationale == f"As {MAIL} did."
    assert opinion.enrichment.redactions == {"email": 1, "secret": 1}
    for value in (MAIL, SECRET):
        assert value not in served.shown


async def test_the_policy_may_let_an_event_out_as_it_is() -> None:
    """Otherwise the policy `full` would not do what its name says."""
    async with consultant(ok(summary="[EMAIL_1]."), egress={"default": "full"}) as served:
        opinion = await served.consult(escalated(alert(text=f"mail from {MAIL}")))
    assert MAIL in served.shown
    assert opinion.enrichment.redactions == {}
    assert opinion.enrichment.summary == "[EMAIL_1].", (
        "nothing was replaced, so nothing is put back"
    )


async def test_a_raised_event_of_high_impact_goes_to_a_person() -> None:
    """Otherwise the LLM alone would end an event that has just become critical."""
    low = Label(value="low", confidence=0.5, abstained=True)
    async with consultant(ok(severity="critical")) as served:
        opinion = await served.consult(escalated(alert(), severity=low))
    assert opinion.labels["severity"].value == "critical"
    assert opinion.needs_person
    assert opinion.reasons == ["the LLM raises severity from low to critical", "high impact"]


async def test_a_disagreement_with_a_confident_small_model_goes_to_a_person() -> None:
    """Otherwise the sender of the event could overrule a calibrated label."""
    async with consultant(ok(queue="endpoint")) as served:
        opinion = await served.consult(escalated(alert(), queue=CONFIDENT))
    assert (status(opinion), opinion.needs_person) == ("answered", True)
    assert opinion.labels["queue"] == CONFIDENT
    assert opinion.enrichment.summary, "the summary is still useful"


async def test_an_answer_that_needs_a_person_goes_on_to_the_next_tier() -> None:
    """Otherwise the strong tier would not get the events that it is there for."""
    async with LlmServer(ok(decidable=False)) as cheap, LlmServer(ok()) as strong:
        settings = configured(endpoint(cheap.base_url), endpoint(strong.base_url))
        async with tier(settings) as enrichment:
            opinion = await ServedConsultant(enrichment, strong).consult(escalated(alert()))
    assert (status(opinion), opinion.needs_person) == ("answered", False)
    assert (opinion.enrichment.tier, opinion.enrichment.calls) == ("tier-1", 2)
    assert opinion.enrichment.prompt_tokens == 2 * PROMPT_TOKENS


async def test_the_budget_of_the_tenant_counts() -> None:
    """Otherwise prompts would be sent with money that their tenant does not have."""
    async with LlmServer(ok()) as server:
        budget = BudgetOptions(tenants={"acme": 0.0})
        async with tier(configured(endpoint(server.base_url), budget=budget)) as enrichment:
            opinion = await ServedConsultant(enrichment, server).consult(escalated(alert()))
    assert status(opinion) == "over_budget"
    assert not server.requests


async def test_the_reason_names_the_failure_of_the_endpoint() -> None:
    """Otherwise the person who gets the event would not know why there is no answer."""
    async with consultant(error(401, "invalid_api_key")) as served:
        opinion = await served.consult(escalated(alert()))
    assert status(opinion) == "rejected"
    assert opinion.reasons[0].startswith("the LLM gave no answer: ")
    assert "secret-in-error" not in repr(opinion)


async def test_a_settled_event_is_quoted_and_recorded() -> None:
    """Otherwise earlier decisions would be useless, or nobody could see what was quoted."""
    async with consultant() as served:
        await served.settle(escalated(alert("a-0", "the same download, yesterday")))
        opinion = await served.consult(escalated(alert()))
    assert opinion.enrichment.quoted == ["a-0"]
    assert "the same download, yesterday" in served.shown
    assert "decided by human" in served.shown


async def test_events_of_other_tenants_are_not_quoted() -> None:
    """Otherwise the incident of one tenant would be sent to the LLM of another."""
    async with consultant(egress={"default": "full"}) as served:
        await served.settle(escalated(alert("a-0", "of somebody else", tenant="bmce")))
        opinion = await served.consult(escalated(alert()))
    assert opinion.enrichment.quoted == []
    assert "somebody else" not in served.shown


async def test_an_event_is_not_its_own_precedent() -> None:
    """Otherwise the LLM would be shown the answer that it is asked for."""
    async with consultant() as served:
        await served.settle(escalated(alert()))
        assert (await served.consult(escalated(alert()))).enrichment.quoted == []


IDENTITY = {"labels": {"queue": ["identity"]}}


@pytest.mark.parametrize(
    ("default", "rule", "quoted"),
    [
        ({"default": "redacted"}, {"policy": "never"}, False),
        ({"default": "full"}, {"policy": "never"}, False),
        ({"default": "full"}, {"policy": "redacted"}, False),
        ({"default": "redacted", "keep": ["ip"]}, {"policy": "redacted"}, False),
        (
            {"default": "redacted", "keep": ["ip"]},
            {"policy": "redacted", "keep": ["ip", "host"]},
            True,
        ),
        ({"default": "redacted"}, {"policy": "full"}, True),
        ({"default": "full"}, {"policy": "full"}, True),
    ],
)
async def test_a_settled_event_leaves_under_its_own_policy(
    default: dict[str, Any], rule: dict[str, Any], quoted: bool
) -> None:
    """Otherwise an event that stays inside would leave as a quotation beside another one."""
    settled = escalated(
        alert("a-0", f"by {MAIL} from 192.0.2.7"), queue=Label(value="identity", confidence=0.99)
    )
    async with consultant(egress=default | {"rules": [rule | IDENTITY]}) as served:
        await served.settle(settled)
        opinion = await served.consult(escalated(alert(), queue=CONFIDENT))
    assert opinion.enrichment.quoted == (["a-0"] if quoted else [])
    assert len(served.server.requests) == 1
    assert MAIL not in served.shown, "what is quoted is what the small model reads: no addresses"


async def test_a_verdict_does_not_let_out_what_was_kept_inside() -> None:
    """Otherwise a forged verdict with another label makes an event leave as a quotation."""
    kept = escalated(alert("a-0", f"by {MAIL}"), queue=Label(value="identity", confidence=0.99))
    rules = [{"policy": "never"} | IDENTITY]
    async with consultant(egress={"default": "full", "rules": rules}) as served:
        await served.enrichment._library.see(kept)
        labels = kept.triaged.labels | {"queue": Label(value="cloud", confidence=1.0)}
        verdict = msgspec.structs.replace(
            kept.triaged, status="final", decided_by="human", revision=2, labels=labels
        )
        await served.enrichment._library.see(verdict)
        opinion = await served.consult(escalated(alert(), queue=CONFIDENT))
    assert opinion.enrichment.quoted == []
    assert MAIL not in served.shown


async def test_a_value_has_the_same_placeholder_everywhere() -> None:
    """Otherwise one person would look like two, or the quotation would contain the address."""
    async with consultant(ok(summary="[EMAIL_1] again.")) as served:
        await served.settle(
            escalated(alert("a-0", f"yesterday {MAIL} and eve@example.org downloaded it"))
        )
        opinion = await served.consult(escalated(alert(text=f"today {MAIL} downloaded it")))
    assert opinion.enrichment.summary == f"{MAIL} again."
    assert served.shown.count("[EMAIL_1]") == 3, "the instructions, the event and the quotation"
    assert served.shown.count("[EMAIL_2]") == 1
    assert opinion.enrichment.redactions == {"email": 2}
    assert MAIL not in served.shown


async def test_quotations_are_recorded_with_their_own_ids() -> None:
    """Otherwise an id that looks like a secret would leave, or be useless in the event."""
    async with consultant() as served:
        await served.settle(escalated(alert(OBJECT_ID, "yesterday")))
        opinion = await served.consult(escalated(alert()))
    assert opinion.enrichment.quoted == [OBJECT_ID]
    assert OBJECT_ID not in served.shown


@pytest.fixture
def runbooks(tmp_path: Path) -> RetrievalOptions:
    """A folder of runbooks, one of which contains the address of a person."""
    (tmp_path / "download.md").write_text(
        f"# Mass download\nAsk {MAIL} whether the download was planned.\n", "utf-8"
    )
    (tmp_path / "other.md").write_text("# Phishing\nNothing of the kind.\n", "utf-8")
    return RetrievalOptions(runbooks=str(tmp_path))


async def test_a_runbook_is_quoted_and_redacted(runbooks: RetrievalOptions) -> None:
    """Otherwise runbooks would be useless, or leave without redaction."""
    async with consultant(retrieval=runbooks) as served:
        opinion = await served.consult(escalated(alert()))
    assert opinion.enrichment.quoted == ["download.md#mass-download"]
    assert "Ask [EMAIL_1] whether the download was planned." in served.shown
    assert "Nothing of the kind" not in served.shown
    assert MAIL not in served.shown


async def test_with_zero_nothing_is_quoted(runbooks: RetrievalOptions) -> None:
    """Otherwise zero quotations would still be some."""
    async with consultant(
        retrieval=msgspec.structs.replace(runbooks, passages=0, similar=0)
    ) as served:
        await served.settle(escalated(alert("a-0")))
        assert (await served.consult(escalated(alert()))).enrichment.quoted == []


async def test_nothing_is_quoted_for_an_event_that_stays_inside(runbooks: RetrievalOptions) -> None:
    """Otherwise retrieval would read events that the policy keeps inside."""
    async with consultant(retrieval=runbooks, egress={"default": "never"}) as served:
        await served.settle(escalated(alert("a-0")))
        opinion = await served.consult(escalated(alert()))
    assert (opinion.enrichment.status, opinion.enrichment.quoted) == ("kept_inside", [])
