"""Tests of the cascade: which tier is asked, and until when.

Every dollar is set aside before a call and settled after it.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from inference.llm import cascade as module
from inference.llm.budget import Budget
from inference.llm.cascade import Cascade, Consultation, Tier
from inference.llm.client.endpoint import Completion
from inference.llm.client.failure import LlmFailure, Usage
from inference.llm.options import BudgetOptions
from inference.llm.prices import Price
from inference.llm.prompt.prompt import Answer, Prompt
from tests.clock import Clock
from tests.patience import until

PROMPT = Prompt(
    labels={"queue": ("cloud", "email")}, estimates={}, event="an alert that reads like caf\u00e9"
)
DOLLAR_PER_TOKEN = Price(1e6, 1e6, "configured")
MAX_ANSWER_TOKENS = 50
MESSAGE_BYTES = sum(len(message["content"].encode()) for message in PROMPT.messages())
MAX_USD = MESSAGE_BYTES + MAX_ANSWER_TOKENS
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
    """A resilient endpoint that ends its prompts with `ends`, in order; None never ends.

    If it has a clock, each prompt takes `takes_s` seconds of that clock.
    """

    def __init__(self, *ends: End | None, takes_s: float = 0.0, clock: Clock | None = None) -> None:
        self.ends = list(ends)
        self.takes_s = takes_s
        self.clock = clock
        self.attempts = 1
        self.deadlines_s: list[float] = []
        self.closed = False

    async def complete(self, *_: object, deadline_s: float) -> Completion:
        """End the next prompt."""
        self.deadlines_s.append(deadline_s)
        await asyncio.sleep(0)
        if self.clock is not None:
            self.clock.now_s += self.takes_s
        end = self.ends.pop(0)
        if end is None:
            await asyncio.Event().wait()
        if isinstance(end, Exception):
            raise end
        assert isinstance(end, Completion)
        return end

    async def close(self) -> None:
        """Note it."""
        self.closed = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the cascade."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def cascade(
    *endpoints: Scripted, usd: float = PLENTY_USD, deadline_s: float = 5.0, **budget: Any
) -> Cascade:
    """A cascade of these endpoints, as tiers with a price of one dollar per token."""
    tiers = [
        Tier(f"tier-{number}", cast("Any", endpoint), DOLLAR_PER_TOKEN, MAX_ANSWER_TOKENS)
        for number, endpoint in enumerate(endpoints)
    ]
    return Cascade(tiers, Budget(BudgetOptions(usd_per_day=usd, **budget)), deadline_s=deadline_s)


async def ask(
    tiers: Cascade, enough: Callable[[Answer], bool] = bool, tenant: str = "acme"
) -> Consultation:
    """Ask the tiers about the prompt."""
    return await tiers.ask(PROMPT, tenant, enough=enough)


def set_aside_usd(budget: Budget, usd: float = PLENTY_USD) -> float:
    """The money that is set aside and not spent: found by an attempt to reserve all the rest."""
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
        (failed("timeout", cut_off=1), MAX_USD),
        (failed("timeout", calls=0), 0.0),
        (failed("timeout", usage=USAGE, calls=2, cut_off=1), 120.0 + MAX_USD),
        (failed("breaker_open", calls=0), 0.0),
        (RuntimeError("a bug"), MAX_USD),
    ],
    ids=[
        "answer", "unusable answer", "failure", "billed failure", "cut off", "no turn",
        "cut off after a billed call", "breaker open", "bug",
    ],
)  # fmt: skip
async def test_reserved_money_is_settled_after_every_end(end: End, billed_usd: float) -> None:
    """Otherwise money would stay reserved, and after some failures no prompt would be sent."""
    tiers = cascade(Scripted(end))
    try:
        await ask(tiers)
    except RuntimeError:
        assert isinstance(end, RuntimeError)
    assert tiers.budget.spent_usd("acme") == pytest.approx(billed_usd)
    assert set_aside_usd(tiers.budget) == 0.0


async def test_a_cancelled_prompt_is_settled_at_its_highest_cost() -> None:
    """Otherwise a rebalance would keep money reserved, or forget calls that are billed."""
    endpoint = Scripted(None)
    tiers = cascade(endpoint)
    running = asyncio.create_task(ask(tiers))
    await until(lambda: endpoint.deadlines_s)
    assert set_aside_usd(tiers.budget) > 0
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert tiers.budget.spent_usd() == pytest.approx(MAX_USD)
    assert set_aside_usd(tiers.budget) == 0.0


async def test_the_highest_cost_is_reserved_during_a_call() -> None:
    """Otherwise each of a hundred concurrent prompts would find the last dollar unspent."""
    tiers = cascade(Scripted(*[answered()] * 3), usd=MAX_USD + 120)
    concurrent = await asyncio.gather(ask(tiers), ask(tiers))
    assert sorted(consultation.status for consultation in concurrent) == ["answered", "over_budget"]
    assert (await ask(tiers)).status == "answered", (
        "money that was reserved and not spent is free again"
    )
    assert tiers.budget.spent_usd() == pytest.approx(240)


async def test_money_for_retries_is_reserved_too() -> None:
    """Otherwise the last prompts of a day could be billed several times each."""
    endpoint = Scripted(answered())
    endpoint.attempts = 3
    assert (await ask(cascade(endpoint, usd=3 * MAX_USD - 1))).status == "over_budget"
    assert (await ask(cascade(endpoint, usd=3 * MAX_USD))).status == "answered"


async def test_nothing_is_sent_over_budget() -> None:
    """Otherwise the cost would have no limit, or the event would not say why nobody was asked."""
    endpoint = Scripted(answered())
    consultation = await ask(cascade(endpoint, usd=MAX_USD - 1))
    assert (
        consultation.status,
        consultation.calls,
        consultation.cost_usd,
        consultation.answer,
    ) == (
        "over_budget",
        0,
        0.0,
        None,
    )
    assert not endpoint.deadlines_s
    assert "budget" in consultation.explanation


async def test_each_tenant_has_its_own_budget() -> None:
    """Otherwise one tenant could spend the money of all."""
    tiers = cascade(Scripted(answered(), answered()), tenants={"acme": MAX_USD})
    assert [(await ask(tiers, tenant=name)).status for name in ("acme", "acme", "bmce")] == [
        "answered", "over_budget", "answered",
    ]  # fmt: skip


async def test_the_first_answer_that_is_enough_ends_the_cascade() -> None:
    """Otherwise the strong tier would be paid for what the cheap one has answered."""
    strong = Scripted(answered("email"))
    consultation = await ask(cascade(Scripted(answered("cloud")), strong))
    assert consultation.answer is not None
    assert (consultation.tier, consultation.model, consultation.answer.labels) == (
        "tier-0",
        "served",
        {"queue": "cloud"},
    )
    assert not strong.deadlines_s


async def test_after_an_answer_that_is_not_enough_the_next_tier_is_asked() -> None:
    """Otherwise an uncertain event would not reach the strong tier, or lose costs of the first."""
    tiers = cascade(
        Scripted(answered("cloud", calls=2)), Scripted(answered("email", usage=Usage(7, 3)))
    )
    consultation = await ask(tiers, enough=lambda answer: answer.labels["queue"] == "email")
    assert consultation.answer is not None
    assert (consultation.status, consultation.tier, consultation.answer.labels) == (
        "answered",
        "tier-1",
        {"queue": "email"},
    )
    assert (consultation.calls, consultation.usage) == (3, Usage(107, 23))
    assert consultation.cost_usd == pytest.approx(130)
    assert tiers.budget.spent_usd() == pytest.approx(130)


@pytest.mark.parametrize(
    ("later", "calls", "usd"),
    [
        (failed("refused", usage=Usage(5, 5)), 2, 130.0),
        (failed("breaker_open", calls=0), 1, 120.0),
        (answered("nonsense"), 2, 240.0),
    ],
    ids=["refused", "breaker open", "unusable"],
)
async def test_an_earlier_answer_is_kept_when_the_later_tier_has_none(
    later: End, calls: int, usd: float
) -> None:
    """Otherwise an answer that was paid for would be lost because the next tier failed."""
    consultation = await ask(
        cascade(Scripted(answered("cloud")), Scripted(later)), enough=lambda _: False
    )
    assert consultation.answer is not None
    assert (consultation.status, consultation.tier, consultation.model) == (
        "answered",
        "tier-0",
        "served",
    )
    assert consultation.answer.labels == {"queue": "cloud"}
    assert consultation.calls == calls
    assert consultation.cost_usd == pytest.approx(usd)


async def test_after_a_failure_the_next_tier_is_asked() -> None:
    """Otherwise one endpoint that is down would send every event to a person."""
    tiers = cascade(Scripted(failed("truncated", usage=USAGE)), Scripted(answered("email")))
    consultation = await ask(tiers)
    assert (consultation.status, consultation.tier, consultation.explanation) == (
        "answered",
        "tier-1",
        "",
    )
    assert (consultation.calls, consultation.usage) == (2, USAGE + USAGE)
    assert consultation.cost_usd == pytest.approx(240)


async def test_without_an_answer_the_failure_is_that_of_the_last_tier() -> None:
    """Otherwise the status would be that of the first tier, which did not end the cascade."""
    consultation = await ask(
        cascade(Scripted(failed("refused")), Scripted(failed("rate_limited", calls=3)))
    )
    assert (consultation.status, consultation.tier, consultation.answer) == (
        "rate_limited",
        "tier-1",
        None,
    )
    assert (consultation.calls, consultation.explanation) == (4, "the service said no")


async def test_the_tiers_share_the_deadline(clock: Clock) -> None:
    """Otherwise two tiers would take twice the time of an event, and three tiers three times."""
    slow, late, never = (
        Scripted(answered(), takes_s=takes_s, clock=clock) for takes_s in (50, 100, 0)
    )
    consultation = await ask(cascade(slow, late, never, deadline_s=120), enough=lambda _: False)
    assert (slow.deadlines_s, late.deadlines_s, never.deadlines_s) == ([120], [70], [])
    assert consultation.latency_s == 150
    assert consultation.status == "answered", "the answers that came in time count"


async def test_without_time_a_tier_reserves_nothing(clock: Clock) -> None:
    """Otherwise money would be reserved for a prompt that is not sent."""
    tiers = cascade(
        Scripted(failed(), takes_s=10, clock=clock), Scripted(answered()), deadline_s=10
    )
    consultation = await ask(tiers)
    assert (consultation.status, consultation.tier, consultation.calls) == ("timeout", "tier-1", 1)
    assert (tiers.budget.spent_usd(), set_aside_usd(tiers.budget)) == (0.0, 0.0)


async def test_every_tier_is_closed() -> None:
    """Otherwise connections would stay open after a worker has stopped."""
    endpoints: Sequence[Scripted] = [Scripted(), Scripted()]
    await cascade(*endpoints).close()
    assert all(endpoint.closed for endpoint in endpoints)
