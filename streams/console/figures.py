"""How it is going: what the last hours say, and what the calibration promises.

Everything is counted from the decisions that this console has seen since it started, and those that
it has read back then. A part that cannot be said is None, with a sentence why.
"""

import time
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from agents.revision import rfc3339
from inference.acceptance.guarantee import risk
from inference.llm.options import CostOptions
from schemas.event import Domain
from schemas.instants import seconds_of
from schemas.triaged import DecidedBy
from streams.console.decisions import Decision
from streams.console.people import Person

STEP_S = 900.0
"""Decisions are counted by quarters of an hour."""
MAX_HOURS = 168
MAX_CELLS = 50_000
"""A cell counts one step of one tenant and domain; beyond so many, the oldest is forgotten."""
MAX_LATEST = 50_000
"""Of so many events the last decision is known, so that a later one takes its place."""
MAX_POINTS = 200
OPEN = "open"
CONFIDENCE_EDGES = tuple(round(0.05 * step, 2) for step in range(21))
LATENCY_EDGES_S = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
WHO: tuple[DecidedBy, ...] = ("rule", "slm", "llm", "human")

Part = Callable[[], Awaitable[tuple[Any, str | None]]]
"""A part of the figures that somebody else knows; without a value, the sentence says why."""


@dataclass(slots=True)
class _Cell:
    """The decisions of one step, tenant and domain."""

    decided: Counter[str] = field(default_factory=Counter)
    """Final decisions by who made them, whatever came later."""
    current: Counter[str] = field(default_factory=Counter)
    """Events by who has decided them last, or ``open``."""
    confident: list[int] = field(default_factory=lambda: [0] * (len(CONFIDENCE_EDGES) - 1))
    unsure: list[int] = field(default_factory=lambda: [0] * (len(CONFIDENCE_EDGES) - 1))
    latency: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_EDGES_S) + 1))
    inference: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_EDGES_S) + 1))
    usd: float = 0.0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """How the error grows with the coverage, on the calibration rows.

    `coverage` and `error` are shares in [0, 1], of as many points. `threshold_coverage` is what the
    threshold of the promise accepts of them.
    """

    coverage: list[float]
    error: list[float]
    threshold_coverage: float
    alpha: float
    note: str


class Figures:
    """Counts decisions, and answers for one person. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        cost: CostOptions,
        curves: Callable[[], Mapping[Domain, RiskCoverage]],
        parts: Mapping[str, Part],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cost = cost
        self._curves = curves
        self._parts = parts
        self._clock = clock
        self._cells: OrderedDict[tuple[float, str, Domain], _Cell] = OrderedDict()
        self._since_s = clock()
        self._latest: OrderedDict[int, tuple[_Cell, str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._cells)

    def note(self, decision: Decision) -> None:
        """Count a decision."""
        at_s = _seconds(decision.triaged_at, self._clock())
        self._since_s = min(self._since_s, at_s)
        key = (at_s // STEP_S * STEP_S, decision.tenant, decision.domain)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = _Cell()
            if len(self._cells) > MAX_CELLS:
                del self._cells[min(self._cells)]
        _count(cell, decision)
        self._note_current(cell, decision)

    def _note_current(self, cell: _Cell, decision: Decision) -> None:
        """Count the event where its last decision is, and no longer where the one before was."""
        event = hash((decision.domain, decision.tenant, decision.id))
        before = self._latest.pop(event, None)
        if before is not None:
            before[0].current[before[1]] -= 1
        state = decision.decided_by if decision.status == "final" else OPEN
        cell.current[state] += 1
        self._latest[event] = cell, state
        if len(self._latest) > MAX_LATEST:
            self._latest.popitem(last=False)

    async def of(
        self, person: Person, *, hours: int, domain: Domain | None, tenant: str | None
    ) -> dict[str, Any]:
        """All figures of the last hours, of the tenants that a person may see."""
        now_s = self._clock()
        since_s = max(now_s - hours * 3_600, self._since_s)
        first_s = since_s // STEP_S * STEP_S
        cells = {
            key: cell
            for key, cell in self._cells.items()
            if key[0] >= first_s
            and tenant in (None, key[1])
            and domain in (None, key[2])
            and person.sees(key[1])
        }
        document: dict[str, Any] = {
            "as_of": rfc3339(now_s),
            "since": rfc3339(since_s),
            "volume": _volume(cells, first_s, now_s),
            "shares": _shares(cells.values()),
            "confidence": _confidence(cells.values()),
            "latency": _latency(cells.values()),
            "cost": _costs(cells.values(), self._cost),
            "risk_coverage": {
                name: curve for name, curve in self._curves().items() if domain in (None, name)
            },
        }
        notes: dict[str, str] = {}
        for name, part in self._parts.items():
            document[name], note = await part()
            if note is not None:
                notes[name] = note
        return {**document, "notes": notes}


def risk_coverage(
    rows: Iterable[Sequence[float]], wrong: Sequence[bool], threshold: float, alpha: float
) -> RiskCoverage:
    """The curve over rows: their error probabilities on each deciding axis, and who was wrong."""
    risks = np.array([risk(row) for row in rows], dtype=np.float64)
    order = np.argsort(risks, kind="stable")
    errors = np.cumsum(np.array(wrong, dtype=np.float64)[order])
    counts = np.arange(1, len(order) + 1)
    last = max(0, len(order) - 1)
    at: list[int] = np.unique(np.linspace(0, last, MAX_POINTS).astype(int)).tolist()
    at = at[: len(order)]
    accepted = int((risks < threshold).sum())
    return RiskCoverage(
        coverage=[round(float(counts[i]) / len(order), 4) for i in at],
        error=[round(float(errors[i] / counts[i]), 4) for i in at],
        threshold_coverage=accepted / max(1, len(order)),
        alpha=alpha,
        note=(
            "Of the calibration rows, the surest first: this share of them is accepted, and that "
            "share of the accepted ones is wrong."
        ),
    )


def _count(cell: _Cell, decision: Decision) -> None:
    if decision.status == "final":
        cell.decided[decision.decided_by] += 1
    cell.usd += decision.cost_usd
    cell.calls += decision.llm_calls
    if decision.revision:
        return
    cell.latency[bisect_right(LATENCY_EDGES_S, decision.total_s)] += 1
    if decision.decided_by != "slm" or decision.confidence is None:
        return
    cell.inference[bisect_right(LATENCY_EDGES_S, decision.inference_s)] += 1
    counts = cell.confident if decision.status == "final" else cell.unsure
    place = bisect_right(CONFIDENCE_EDGES, decision.confidence) - 1
    counts[max(0, min(place, len(counts) - 1))] += 1


def _volume(
    cells: Mapping[tuple[float, str, Domain], _Cell], first_s: float, now_s: float
) -> dict[str, Any]:
    steps = max(1, int((now_s - first_s) // STEP_S) + 1)
    counts: dict[str, list[int]] = {who: [0] * steps for who in WHO}
    for (at_s, _, _), cell in cells.items():
        step = int((at_s - first_s) // STEP_S)
        if 0 <= step < steps:
            for who in WHO:
                counts[who][step] += cell.decided[who]
    starts = [rfc3339(first_s + step * STEP_S) for step in range(steps)]
    return {"step_s": STEP_S, "starts": starts, **counts}


def _shares(cells: Iterable[_Cell]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for cell in cells:
        total.update(cell.current)
    counts = {who: total[who] for who in (*WHO, OPEN)}
    return {"events": sum(counts.values()), **counts}


def _confidence(cells: Iterable[_Cell]) -> dict[str, Any]:
    listed = list(cells)
    return {
        "edges": list(CONFIDENCE_EDGES),
        "accepted": _sums([cell.confident for cell in listed], len(CONFIDENCE_EDGES) - 1),
        "escalated": _sums([cell.unsure for cell in listed], len(CONFIDENCE_EDGES) - 1),
    }


def _latency(cells: Iterable[_Cell]) -> dict[str, Any] | None:
    listed = list(cells)
    totals = _sums([cell.latency for cell in listed], len(LATENCY_EDGES_S) + 1)
    of_model = _sums([cell.inference for cell in listed], len(LATENCY_EDGES_S) + 1)
    return {
        "n": sum(totals),
        "p50_s": _quantile(totals, 0.5),
        "p95_s": _quantile(totals, 0.95),
        "p99_s": _quantile(totals, 0.99),
        "inference_p50_s": _quantile(of_model, 0.5),
    }


def _costs(cells: Iterable[_Cell], cost: CostOptions) -> dict[str, Any]:
    """What the LLM has cost, and what it would have cost to ask it about every event.

    That is estimated from what an answer has cost here, or from `[cost]` if none was paid for.
    """
    listed = list(cells)
    usd, calls = sum(cell.usd for cell in listed), sum(cell.calls for cell in listed)
    events = _shares(listed)["events"]
    answered = sum(cell.decided["llm"] for cell in listed)
    assumed_usd = (
        cost.llm_prompt_overhead_tokens * cost.llm_input_usd_per_million
        + cost.llm_answer_tokens * cost.llm_output_usd_per_million
    ) / 1_000_000
    each_usd = usd / answered if usd and answered else assumed_usd
    return {
        "llm_usd": round(usd, 6),
        "calls": calls,
        "human_decisions": sum(cell.decided["human"] for cell in listed),
        "all_llm_usd": round(each_usd * events, 6),
        "saved_usd": round(each_usd * events - usd, 6),
        "basis": "measured" if usd and answered else "assumed",
    }


def _sums(rows: Sequence[Sequence[int]], length: int) -> list[int]:
    return [sum(column) for column in zip(*rows, strict=True)] if rows else [0] * length


def _quantile(counts: Sequence[int], share: float) -> float | None:
    """The quantile of a histogram over `LATENCY_EDGES_S`, by straight lines inside its bars."""
    total = sum(counts)
    if not total:
        return None
    wanted, before = share * total, 0
    edges = [0.0, *LATENCY_EDGES_S, LATENCY_EDGES_S[-1]]
    for (low, high), count in zip(pairwise(edges), counts, strict=True):
        if count and before + count >= wanted:
            return round(low + (high - low) * (wanted - before) / count, 6)
        before += count
    return LATENCY_EDGES_S[-1]


def _seconds(text: str, default: float) -> float:
    """An instant of a record; what is none, or not of these years, counts as now."""
    at_s = seconds_of(text, default)
    return at_s if default - MAX_HOURS * 3_600 <= at_s <= default + STEP_S else default
