"""The cascade: which tier is asked, until when, and that every dollar is set aside before and settled after."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from inference.llm.budget import Budget
from inference.llm.cascade import Cascade, Consultation, Tier
from inference.llm.client.endpoint import Completion
from inference.llm.client.failure import LlmFailure, Usage
from inference.llm.options import BudgetOptions
from inference.llm.prices import Price
from inference.llm.prompt.prompt import Answer, Prompt

QUESTION = Prompt(
    labels={"queue": ("cloud", "email")}, opinions={}, event="an alert that reads like caf\u00e9"
)
DOLLAR_A_TOKEN = Price(1e6, 1e6, "configured")
MAX_ANSWER_TOKENS = 50
WORST_USD = (
    sum(len(message["content"].encode()) for message in QUESTION.messages()) + MAX_ANSWER_TOKENS
)
PLENTY_USD = 1e6
USAGE = Usage(100, 20)

End = Completion | Exception


def answered(queue: str = "cloud", *, usage: Usage = USAGE, calls: int = 1) -> Completion:
    """A whole answer."""
    content = {"summary": "s", "rationale": "r", "labels": {"queue": queue}, "decidable": True}
    return Completion(json.dumps(content), usage, "served", 0.1, calls)


def failed(
    status: Any = "unavailable",
    *,
    usage: Usage = Usage(),  # noqa: B008 - frozen
    calls: int = 1,
    cut_off: int = 0,
) -> LlmFailure:
    """No answer."""
    return LlmFailure(status, "the service said no", usage=usage, calls=calls, cut_off=cut_off)


class Scripted:
    """A guard whose endpoint ends its questions as told, one after the other; None never ends."""

    def __init__(self, *ends: End | None, takes_s: float = 0.0) -> None:
        self.ends = list(ends)
        self.takes_s = takes_s
        self.attempts = 1
        self.deadlines_s: list[float] = []
        self.closed = False

    async def complete(self, *_: object, deadline_s: float) -> Completion:
        """End the next question."""
        self.deadlines_s.append(deadline_s)
        await asyncio.sleep(self.takes_s)
        end = self.ends.pop(0)
        if end is None:
            await asyncio.Event().wait()
        if isinstance(end, Exception):
            raise end
        assert isinstance(end, Completion)
        return end

    async def close(self) -> None:
        """Noted."""
        self.closed = True


def cascade(
    *guards: Scripted, usd: float = PLENTY_USD, deadline_s: float = 5.0, **budget: Any
) -> Cascade:
    """A cascade over these, each a tier at a dollar a token."""
    tiers: Any = [
        Tier(f"tier-{number}", endpoint, DOLLAR_A_TOKEN, MAX_ANSWER_TOKENS)  # type: ignore[arg-type] # all it asks of one
        for number, endpoint in enumerate(guards)
    ]
    return Cascade(tiers, Budget(BudgetOptions(usd_per_day=usd, **budget)), deadline_s=deadline_s)


async def ask(
    asked: Cascade, enough: Callable[[Answer], bool] = bool, tenant: str = "acme"
) -> Consultation:
    """Put the question."""
    return await asked.ask(QUESTION, tenant, enough=enough)


def set_aside_usd(budget: Budget, usd: float = PLENTY_USD) -> float:
    """What nobody else may spend although nobody has spent it: found by asking for all the rest."""
    rest = usd - budget.spent_usd()
    free = budget.reserve("auditor", rest)
    if free is None:
        return rest
    budget.settle(free, 0.0)
    return 0.0


@pytest.mark.parametrize(
    ("end", "billed_usd"),
    [
        (answered(), 120.0),
        (answered("nonsense"), 120.0),
        (failed(), 0.0),
        (failed("truncated", usage=USAGE), 120.0),
        (failed("timeout", cut_off=1), WORST_USD),
        (failed("timeout", calls=0), 0.0),
        (failed("timeout", usage=USAGE, calls=2, cut_off=1), 120.0 + WORST_USD),
        (failed("breaker_open", calls=0), 0.0),
        (RuntimeError("a bug"), WORST_USD),
    ],
    ids=[
        "answer", "unusable answer", "failure", "billed failure", "cut off", "no turn", "cut off after a billed call",
        "left alone", "bug",
    ],
)  # fmt: skip
async def test_what_is_set_aside_is_settled_however_it_ends(end: End, billed_usd: float) -> None:
    """Money that stays set aside is lost to the day: after some failures no event would be asked about any more."""
    asked = cascade(Scripted(end))
    try:
        await ask(asked)
    except RuntimeError:
        assert isinstance(end, RuntimeError)
    assert asked.budget.spent_usd("acme") == pytest.approx(billed_usd)
    assert set_aside_usd(asked.budget) == 0.0


async def test_a_cancelled_question_is_settled_at_its_worst() -> None:
    """Each rebalance would keep its questions' money set aside for ever, or forget calls that are billed."""
    asked = cascade(Scripted(None))
    running = asyncio.create_task(ask(asked))
    await asyncio.sleep(0.01)
    assert set_aside_usd(asked.budget) > 0
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert asked.budget.spent_usd() == pytest.approx(WORST_USD)
    assert set_aside_usd(asked.budget) == 0.0


async def test_the_dearest_is_set_aside_while_a_question_is_asked() -> None:
    """A hundred questions at once would each find the last dollar still there."""
    asked = cascade(Scripted(*[answered()] * 3, takes_s=0.01), usd=WORST_USD + 120)
    at_once = await asyncio.gather(ask(asked), ask(asked))
    assert sorted(one.status for one in at_once) == ["answered", "over_budget"]
    assert (await ask(asked)).status == "answered", (
        "what was set aside and not spent is there again"
    )
    assert asked.budget.spent_usd() == pytest.approx(240)


async def test_retries_are_set_aside_too() -> None:
    """A day's last questions would each be billed as often as they are tried."""
    endpoint = Scripted(answered())
    endpoint.attempts = 3
    assert (await ask(cascade(endpoint, usd=3 * WORST_USD - 1))).status == "over_budget"
    assert (await ask(cascade(endpoint, usd=3 * WORST_USD))).status == "answered"


async def test_nothing_is_asked_over_budget() -> None:
    """The bill would have no limit; and the event must say why nobody was asked."""
    endpoint = Scripted(answered())
    ended = await ask(cascade(endpoint, usd=WORST_USD - 1))
    assert (ended.status, ended.calls, ended.cost_usd, ended.answer) == (
        "over_budget",
        0,
        0.0,
        None,
    )
    assert not endpoint.deadlines_s
    assert "budget" in ended.explanation


async def test_each_tenant_pays_its_own() -> None:
    """One tenant's flood would spend everybody's day."""
    asked = cascade(Scripted(answered(), answered()), tenants={"acme": WORST_USD})
    assert [(await ask(asked, tenant=name)).status for name in ("acme", "acme", "bmce")] == [
        "answered", "over_budget", "answered",
    ]  # fmt: skip


async def test_the_first_answer_that_is_enough_ends_it() -> None:
    """The strong tier would be paid for what the cheap one has settled."""
    strong = Scripted(answered("email"))
    ended = await ask(cascade(Scripted(answered("cloud")), strong))
    assert ended.answer is not None
    assert (ended.tier, ended.model, ended.answer.labels) == (
        "tier-0",
        "served",
        {"queue": "cloud"},
    )
    assert not strong.deadlines_s


async def test_an_answer_that_is_not_enough_goes_on_to_the_next_tier() -> None:
    """What stays uncertain would never reach the strong tier; usage, calls and cost are of both."""
    asked = cascade(
        Scripted(answered("cloud", calls=2)), Scripted(answered("email", usage=Usage(7, 3)))
    )
    ended = await ask(asked, enough=lambda answer: answer.labels["queue"] == "email")
    assert ended.answer is not None
    assert (ended.status, ended.tier, ended.answer.labels) == (
        "answered",
        "tier-1",
        {"queue": "email"},
    )
    assert (ended.calls, ended.usage) == (3, Usage(107, 23))
    assert ended.cost_usd == pytest.approx(130)
    assert asked.budget.spent_usd() == pytest.approx(130)


@pytest.mark.parametrize(
    ("later", "calls", "usd"),
    [
        (failed("refused", usage=Usage(5, 5)), 2, 130.0),
        (failed("breaker_open", calls=0), 1, 120.0),
        (answered("nonsense"), 2, 240.0),
    ],
    ids=["refused", "left alone", "unusable"],
)
async def test_an_earlier_answer_is_kept_when_the_later_tier_has_none(
    later: End, calls: int, usd: float
) -> None:
    """An answer that was paid for would be thrown away because a second opinion could not be had."""
    ended = await ask(cascade(Scripted(answered("cloud")), Scripted(later)), enough=lambda _: False)
    assert ended.answer is not None
    assert (ended.status, ended.tier, ended.model) == ("answered", "tier-0", "served")
    assert ended.answer.labels == {"queue": "cloud"}
    assert (ended.calls, ended.cost_usd) == (calls, pytest.approx(usd))


async def test_a_failing_tier_is_no_end() -> None:
    """One endpoint that is down would send every event to a person although another could answer."""
    asked = cascade(Scripted(failed("truncated", usage=USAGE)), Scripted(answered("email")))
    ended = await ask(asked)
    assert (ended.status, ended.tier, ended.explanation) == ("answered", "tier-1", "")
    assert (ended.calls, ended.usage, ended.cost_usd) == (2, USAGE + USAGE, pytest.approx(240))


async def test_without_any_answer_the_last_tier_says_why() -> None:
    """A person would be told of the first tier's trouble, which the second had survived."""
    ended = await ask(
        cascade(Scripted(failed("refused")), Scripted(failed("rate_limited", calls=3)))
    )
    assert (ended.status, ended.tier, ended.answer) == ("rate_limited", "tier-1", None)
    assert (ended.calls, ended.explanation) == (4, "the service said no")


async def test_the_deadline_is_shared_over_tiers() -> None:
    """Two tiers would take twice an event's time, and three three times."""
    slow, late, never = (Scripted(answered(), takes_s=takes_s) for takes_s in (0.05, 0.1, 0.0))
    ended = await ask(cascade(slow, late, never, deadline_s=0.12), enough=lambda _: False)
    assert slow.deadlines_s == [pytest.approx(0.12, abs=0.02)]
    assert late.deadlines_s == [pytest.approx(0.07, abs=0.03)]
    assert not never.deadlines_s
    assert ended.latency_s >= 0.14
    assert ended.status == "answered", "the answers that came in time count"


async def test_a_tier_whose_time_is_up_costs_nothing() -> None:
    """Money would be set aside for a question nobody asks."""
    asked = cascade(Scripted(failed(), takes_s=0.02), Scripted(answered()), deadline_s=0.01)
    ended = await ask(asked)
    assert (ended.status, ended.tier, ended.calls) == ("timeout", "tier-1", 1)
    assert (asked.budget.spent_usd(), set_aside_usd(asked.budget)) == (0.0, 0.0)


async def test_every_tier_is_closed() -> None:
    """Connections would stay open behind a worker that has stopped."""
    guards: Sequence[Scripted] = [Scripted(), Scripted()]
    await cascade(*guards).close()
    assert all(endpoint.closed for endpoint in guards)
