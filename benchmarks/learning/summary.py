"""The figures of a desk over all its replays."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from benchmarks.learning.replay import ALPHA, DELTA, LLM_USD, Line
from benchmarks.learning.streams import Desk


@dataclass(frozen=True, slots=True)
class DeskFigures:
    """What happened in the 250 verdicts before `verdicts`, and in all until then.

    Shares are of the events of that time; each is the mean over the replays. `accepted_low` and
    `accepted_high` are the smallest and the largest. `risk` is the share of the accepted events
    that was wrong, and `risk_until_then` that of all accepted events until then. It was above alpha
    in a share `above_alpha` of the replays. `cost_share` is the cost of the LLM calls as a share of
    that of one call for every event. `llm_wrong` counts wrong answers of the LLM; with all events
    given to it, `all_llm_wrong`. `machine` is the one of the last replay, with its load.
    """

    desk: str
    alpha: float
    delta: float
    verdicts: int
    replays: int
    events: int
    accepted: float
    accepted_low: float
    accepted_high: float
    risk: float | None
    risk_until_then: float | None
    above_alpha: float
    people_decided: int
    llm_calls: int
    llm_wrong: int
    cost_usd: float
    all_llm_usd: float
    cost_share: float
    all_llm_wrong: int
    static_accepted: float
    static_risk: float | None
    confident_accepted: float
    confident_risk: float | None
    machine: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """The figures with four decimals."""
        return {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


def summarize(desk: Desk, replays: Sequence[Sequence[Line]]) -> list[DeskFigures]:
    """One row for each number of verdicts that all replays reached."""
    return [_figures(desk, lines) for lines in zip(*replays, strict=False)]


def _figures(desk: Desk, lines: Sequence[Line]) -> DeskFigures:
    windows = [line.windows["learning"] for line in lines]
    totals = [line.totals["learning"] for line in lines]
    events = _mean([total.events for total in totals])
    calls = _mean([line.llm_calls for line in lines])
    shares = [window.share() for window in windows]
    risks = [total.risk() for total in totals]
    return DeskFigures(
        desk=desk.name,
        alpha=ALPHA,
        delta=DELTA,
        verdicts=lines[0].verdicts,
        replays=len(lines),
        events=round(events),
        accepted=_mean(shares),
        accepted_low=min(shares),
        accepted_high=max(shares),
        risk=_mean_risk([window.risk() for window in windows]),
        risk_until_then=_mean_risk(risks),
        above_alpha=_mean([float(risk is not None and risk > ALPHA) for risk in risks]),
        people_decided=lines[0].verdicts,
        llm_calls=round(calls),
        llm_wrong=round(_mean([line.llm_wrong for line in lines])),
        cost_usd=calls * LLM_USD,
        all_llm_usd=events * LLM_USD,
        cost_share=calls / events,
        all_llm_wrong=round(events * 0.1),
        static_accepted=_mean([line.windows["static"].share() for line in lines]),
        static_risk=_mean_risk([line.windows["static"].risk() for line in lines]),
        confident_accepted=_mean([line.windows["confidence 0.9"].share() for line in lines]),
        confident_risk=_mean_risk([line.windows["confidence 0.9"].risk() for line in lines]),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _mean_risk(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if known else None
