"""One case through the LLM tier: what leaves, what is quoted, what is made of the answer, and that nothing escapes."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inference.egress.options import EgressOptions
from inference.egress.redaction import MAX_CHARS
from inference.llm.consultant import LlmOpinion
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
SECRET = "tr0ub4dor-x9"  # noqa: S105 - nobody's
OBJECT_ID = "650f3a2b1c9d8e7f6a5b4c3d"
"""An id that looks like a secret."""
SURE = Label(value="cloud", confidence=0.98)


class Desk:
    """A consultant and the endpoint it asks."""

    def __init__(self, enrichment: EnrichmentAgent, server: LlmServer) -> None:
        self.enrichment = enrichment
        self.server = server

    async def consult(self, case: Case) -> LlmOpinion:
        """What comes of one case."""
        assert self.enrichment.consultant is not None
        return await self.enrichment.consultant.consult(case)

    async def settle(self, *cases: Case) -> None:
        """People have decided these."""
        for case in cases:
            verdict = msgspec.structs.replace(
                case.triaged, status="final", decided_by="human", revision=2
            )
            await self.enrichment._library.see(case)
            await self.enrichment._library.see(verdict)

    @property
    def shown(self) -> str:
        """Everything the LLM was shown."""
        return "\n".join(request.text for request in self.server.requests)


@asynccontextmanager
async def desk(
    behaviour: Behaviour | None = None,
    *,
    egress: dict[str, Any] | None = None,
    backlog: int = 0,
    **changes: Any,
) -> AsyncIterator[Desk]:
    """A desk with these settings: `egress` as in a configuration, `backlog` cases waiting."""
    async with LlmServer(behaviour or ok()) as server:
        base = msgspec.structs.replace(
            Settings(), egress=msgspec.convert(egress or {}, EgressOptions), **changes
        )
        async with tier(
            configured(endpoint(server.base_url), settings=base), lambda: backlog
        ) as enrichment:
            yield Desk(enrichment, server)


def alert(id_: str = "a-1", text: str = "a mass download", **fields: Any) -> Event:
    """An alert of a tenant."""
    return Event(**{"id": id_, "kind": "alert", "text": text, "tenant": "acme"} | fields)


def status(opinion: LlmOpinion) -> str:
    """What the LLM tier did; when it has nothing to say, the labels are the small model's and a person decides."""
    if opinion.enrichment.status != "answered":
        assert opinion.needs_person
        assert len(opinion.reasons) == 1
        assert "\n" not in opinion.reasons[0]
    return opinion.enrichment.status


async def test_an_answer_that_may_stand_alone() -> None:
    """Every event would go to a person, and the LLM be paid for nothing."""
    async with desk(ok(queue="cloud")) as at:
        opinion = await at.consult(escalated(alert()))
    assert (status(opinion), opinion.needs_person) == ("answered", False)
    assert opinion.labels["queue"].value == "cloud"
    said = opinion.enrichment
    assert (said.model, said.tier, said.calls) == ("served", "tier-0", 1)
    assert (said.summary, said.rationale) == ("A summary.", "A rationale.")
    assert (said.prompt_tokens, said.completion_tokens) == (PROMPT_TOKENS, COMPLETION_TOKENS)
    assert said.cost_usd == pytest.approx((PROMPT_TOKENS * 1.0 + COMPLETION_TOKENS * 2.0) / 1e6)
    assert said.latency_s > 0


async def test_without_an_answer_labels_stay_and_the_cost_is_told() -> None:
    """A failing endpoint would change events, or its bill would be missing from them."""
    case = escalated(alert())
    async with desk(body(completion(None, refusal="I cannot."))) as at:
        opinion = await at.consult(case)
    assert status(opinion) == "refused"
    assert opinion.labels == case.triaged.labels
    assert (opinion.enrichment.calls, opinion.enrichment.prompt_tokens) == (1, PROMPT_TOKENS)
    assert opinion.enrichment.cost_usd > 0
    assert (opinion.enrichment.summary, opinion.enrichment.rationale) == (None, None)


async def test_policy_keeps_an_event_inside() -> None:
    """What must never leave would leave."""
    async with desk(egress={"default": "never"}) as at:
        opinion = await at.consult(escalated(alert()))
    assert status(opinion) == "kept_inside"
    assert not at.server.requests


async def test_what_cannot_be_redacted_stays_inside() -> None:
    """An error in redaction would let the event out as it is."""
    huge = alert(event={"log": f"{MAIL} " * (MAX_CHARS // len(MAIL))})
    async with desk() as at:
        opinion = await at.consult(escalated(huge))
    assert status(opinion) == "redaction_failed"
    assert not at.server.requests
    assert MAIL not in opinion.reasons[0]


async def test_a_text_of_a_megabyte_is_cut_before_it_is_redacted() -> None:
    """One log pasted into a ticket would hold up every other call; cut within a word, half a secret would leave."""
    secret = "password=" + "k7Qz" * 2000
    async with desk() as at:
        opinion = await at.consult(
            escalated(alert(text="noise " * 3_999 + secret + " noise" * 200_000))
        )
    assert status(opinion) == "answered"
    assert "k7Qz" not in at.server.requests[0].text


async def test_the_least_uncertain_are_shed() -> None:
    """A flood would wait for the LLM for days."""
    async with desk(backlog=10**9) as at:
        opinions = [await at.consult(escalated(alert())) for _ in range(5)]
    assert {status(opinion) for opinion in opinions} == {"shed"}
    assert not at.server.requests


async def test_a_bug_ends_no_worker_and_tells_no_tale(caplog: pytest.LogCaptureFixture) -> None:
    """One event would stop the tier at the same place for ever, or its text would be in the log."""
    async with desk() as at:
        assert at.enrichment.cascade is not None

        async def fail(*_: object, **__: object) -> None:
            raise ValueError(f"cannot read {MAIL}")

        at.enrichment.cascade.ask = fail  # type: ignore[assignment, method-assign] # a bug
        with caplog.at_level(logging.DEBUG):
            opinion = await at.consult(escalated(alert(text=f"mail from {MAIL}")))
    assert status(opinion) == "failed"
    assert "ValueError" in caplog.text
    assert MAIL not in caplog.text + repr(opinion)


async def test_a_case_of_a_model_we_do_not_have_is_no_crash() -> None:
    """Cases of an earlier model may have axes that are gone."""
    case = escalated(alert())
    labels = case.triaged.labels | {"colour": Label(value="red", confidence=0.1)}
    old = msgspec.structs.replace(
        case, triaged=msgspec.structs.replace(case.triaged, labels=labels)
    )
    async with desk() as at:
        opinion = await at.consult(old)
    assert status(opinion) == "failed"
    assert opinion.labels == labels
    assert not at.server.requests


async def test_the_summary_is_restored_but_for_secrets() -> None:
    """An analyst would read placeholders, or a password that a model has repeated."""
    event = alert(text=f"{MAIL} logged in with password={SECRET}")
    said = "[EMAIL_1] used [SECRET_1], not [EMAIL_7]."
    async with desk(ok(summary=said, rationale="As [EMAIL_1] did.")) as at:
        opinion = await at.consult(escalated(event))
    assert opinion.enrichment.summary == f"{MAIL} used [SECRET_1], not [EMAIL_7]."
    assert opinion.enrichment.rationale == f"As {MAIL} did."
    assert opinion.enrichment.redactions == {"email": 1, "secret": 1}
    for value in (MAIL, SECRET):
        assert value not in at.shown


async def test_policy_may_let_an_event_out_as_it_is() -> None:
    """`full` would mean something else than it says."""
    async with desk(ok(summary="[EMAIL_1]."), egress={"default": "full"}) as at:
        opinion = await at.consult(escalated(alert(text=f"mail from {MAIL}")))
    assert MAIL in at.shown
    assert opinion.enrichment.redactions == {}
    assert opinion.enrichment.summary == "[EMAIL_1].", "what nobody replaced is not restored"


async def test_a_raised_event_of_high_impact_goes_to_a_person() -> None:
    """The model alone would end what has just become critical."""
    low = Label(value="low", confidence=0.5, abstained=True)
    async with desk(ok(severity="critical")) as at:
        opinion = await at.consult(escalated(alert(), severity=low))
    assert opinion.labels["severity"].value == "critical"
    assert opinion.needs_person
    assert opinion.reasons == ["the LLM raises severity from low to critical", "high impact"]


async def test_a_disagreement_with_a_sure_small_model_goes_to_a_person() -> None:
    """Whoever writes the event would overrule a calibrated opinion."""
    async with desk(ok(queue="endpoint")) as at:
        opinion = await at.consult(escalated(alert(), queue=SURE))
    assert (status(opinion), opinion.needs_person) == ("answered", True)
    assert opinion.labels["queue"] == SURE
    assert opinion.enrichment.summary, "what it said is still of use"


async def test_an_answer_that_needs_a_person_is_asked_of_the_next_tier() -> None:
    """The strong tier is there for exactly these."""
    async with LlmServer(ok(decidable=False)) as cheap, LlmServer(ok()) as strong:
        settings = configured(endpoint(cheap.base_url), endpoint(strong.base_url))
        async with tier(settings) as enrichment:
            opinion = await Desk(enrichment, strong).consult(escalated(alert()))
    assert (status(opinion), opinion.needs_person) == ("answered", False)
    assert (opinion.enrichment.tier, opinion.enrichment.calls) == ("tier-1", 2)
    assert opinion.enrichment.prompt_tokens == 2 * PROMPT_TOKENS


async def test_the_budget_is_the_tenants() -> None:
    """Events would be asked about with money their tenant does not have."""
    async with LlmServer(ok()) as server:
        budget = BudgetOptions(tenants={"acme": 0.0})
        async with tier(configured(endpoint(server.base_url), budget=budget)) as enrichment:
            opinion = await Desk(enrichment, server).consult(escalated(alert()))
    assert status(opinion) == "over_budget"
    assert not server.requests


async def test_an_endpoint_that_is_down_is_said() -> None:
    """The person who gets the event could not tell why no LLM has helped."""
    async with desk(error(401, "invalid_api_key")) as at:
        opinion = await at.consult(escalated(alert()))
    assert status(opinion) == "rejected"
    assert opinion.reasons[0].startswith("the LLM gave no answer: ")
    assert "secret-in-error" not in repr(opinion)


async def test_a_settled_event_is_quoted_and_recorded() -> None:
    """What people have decided before would be of no use; or nobody could see what the LLM was shown."""
    async with desk() as at:
        await at.settle(escalated(alert("a-0", "the same download, yesterday")))
        opinion = await at.consult(escalated(alert()))
    assert opinion.enrichment.quoted == ["a-0"]
    assert "the same download, yesterday" in at.shown
    assert "decided by human" in at.shown


async def test_no_tenant_is_shown_anothers() -> None:
    """One customer's incident would be told to another's LLM."""
    async with desk(egress={"default": "full"}) as at:
        await at.settle(escalated(alert("a-0", "of somebody else", tenant="bmce")))
        opinion = await at.consult(escalated(alert()))
    assert opinion.enrichment.quoted == []
    assert "somebody else" not in at.shown


async def test_an_event_is_not_its_own_precedent() -> None:
    """The LLM would be shown the answer it is asked for."""
    async with desk() as at:
        await at.settle(escalated(alert()))
        assert (await at.consult(escalated(alert()))).enrichment.quoted == []


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
    """What policy keeps inside would leave as a quotation beside an event that may go."""
    settled = escalated(
        alert("a-0", f"by {MAIL} from 192.0.2.7"), queue=Label(value="identity", confidence=0.99)
    )
    async with desk(egress=default | {"rules": [rule | IDENTITY]}) as at:
        await at.settle(settled)
        opinion = await at.consult(escalated(alert(), queue=SURE))
    assert opinion.enrichment.quoted == (["a-0"] if quoted else [])
    assert len(at.server.requests) == 1
    assert (MAIL in at.shown) == (quoted and default["default"] == "full")


async def test_a_value_has_one_placeholder_wherever_it_stands() -> None:
    """Who did it then and who did it now would look like two people; or the quotation would tell the name."""
    async with desk(ok(summary="[EMAIL_1] again.")) as at:
        await at.settle(
            escalated(alert("a-0", f"yesterday {MAIL} and eve@example.org downloaded it"))
        )
        opinion = await at.consult(escalated(alert(text=f"today {MAIL} downloaded it")))
    assert opinion.enrichment.summary == f"{MAIL} again."
    assert at.shown.count("[EMAIL_1]") == 3, "the orders, the event and the quotation"
    assert at.shown.count("[EMAIL_2]") == 1
    assert opinion.enrichment.redactions == {"email": 2}
    assert MAIL not in at.shown


async def test_quotations_are_recorded_by_their_own_ids() -> None:
    """An id that looks like a secret must not leave; but `[SECRET_1]` in the event would tell nobody what was shown."""
    async with desk() as at:
        await at.settle(escalated(alert(OBJECT_ID, "yesterday")))
        opinion = await at.consult(escalated(alert()))
    assert opinion.enrichment.quoted == [OBJECT_ID]
    assert OBJECT_ID not in at.shown


@pytest.fixture
def runbooks(tmp_path: Path) -> RetrievalOptions:
    """A folder with one runbook, by somebody who wrote a colleague's address into it."""
    (tmp_path / "download.md").write_text(
        f"# Mass download\nAsk {MAIL} whether the download was planned.\n", "utf-8"
    )
    (tmp_path / "other.md").write_text("# Phishing\nNothing of the kind.\n", "utf-8")
    return RetrievalOptions(runbooks=str(tmp_path))


async def test_a_runbook_is_quoted_and_redacted(runbooks: RetrievalOptions) -> None:
    """What the house knows would be of no use, or leave unredacted because it is not part of the event."""
    async with desk(retrieval=runbooks) as at:
        opinion = await at.consult(escalated(alert()))
    assert opinion.enrichment.quoted == ["download.md#mass-download"]
    assert "Ask [EMAIL_1] whether the download was planned." in at.shown
    assert "Nothing of the kind" not in at.shown
    assert MAIL not in at.shown


async def test_what_is_switched_off_is_not_quoted(runbooks: RetrievalOptions) -> None:
    """Zero would mean some."""
    async with desk(retrieval=msgspec.structs.replace(runbooks, passages=0, similar=0)) as at:
        await at.settle(escalated(alert("a-0")))
        assert (await at.consult(escalated(alert()))).enrichment.quoted == []


async def test_nothing_is_looked_up_for_what_stays_inside(runbooks: RetrievalOptions) -> None:
    """Retrieval would read events that policy has closed."""
    async with desk(retrieval=runbooks, egress={"default": "never"}) as at:
        await at.settle(escalated(alert("a-0")))
        opinion = await at.consult(escalated(alert()))
    assert (opinion.enrichment.status, opinion.enrichment.quoted) == ("kept_inside", [])
