"""Whether a candidate may take the place of the model that is served: the test, and its error rate.

Both models answer the same events, which people have decided after the candidate was made. So the
candidate never saw them, and whether they were chosen does not depend on it.

Events come to people in two ways, and each is tested by itself: the served model did not accept
an event (``escalated``), or accepted it, and it was drawn to be checked (``spot_check``). Within
one of them every event had the same chance. Let d be 1 if only the candidate is wrong, -1 if only
the served model is wrong, and 0 otherwise. The test is against the hypothesis that the mean of d is
at least `margin`. It is a bet against it, whose gain K is a nonnegative supermartingale if it is
true (Waudby-Smith and Ramdas, 2024, "Estimating means of bounded random variables by betting"). By
Ville's inequality K ever reaches 1 / `error` with a probability of at most `error`. So one may look
after every decision, and stop as soon as it does.

A candidate whose share of wrong answers is larger by `margin` or more, in one of the two ways, is
therefore found no worse with a probability of at most `error`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from schemas.label_record import Chosen

ERROR = 0.05
"""The probability with which a candidate that is worse is found no worse."""
BETS = tuple(step / 10 for step in range(1, 10))
"""The shares of the stake that are bet, all at once: no single one is best for every difference."""
TESTED: tuple[Chosen, ...] = ("escalated", "spot_check")

MAX_MORE = 10_000

Finding = Literal["better", "worse", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One event that a person decided, with what both models answer.

    `chosen` and `probability` are those of its record. `served_right` and `candidate_right` are
    about all deciding axes that the person decided.
    """

    chosen: Chosen
    probability: float
    served_right: bool
    candidate_right: bool
    served_accepts: bool
    candidate_accepts: bool


class WayFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The events that came to people in one way.

    `only_served` and `only_candidate` count those on which one of the two alone is right. The test
    has found the candidate no worse if `evidence` is at least 20 (1 / `ERROR`), and worse if
    `evidence_worse` is. It needs about `more` events for that, if both models are right as often as
    until now, or equally often without any event; at most `MAX_MORE` are said.
    """

    rows: int
    served_wrong: int
    candidate_wrong: int
    only_served: int
    only_candidate: int
    evidence: float
    evidence_worse: float
    more: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a candidate in one domain.

    The shares are estimates for all events: an event counts as many times as one divided by the
    chance that it was chosen with. `finding` is ``better`` if the candidate is no worse and accepts
    more, ``worse`` if it is worse, and ``undecided`` otherwise; `reason` says it in a sentence.
    """

    rows: int
    ways: dict[str, WayFigures]
    served_wrong: float
    candidate_wrong: float
    served_coverage: float
    candidate_coverage: float
    served_accepted_wrong: float
    candidate_accepted_wrong: float
    margin: float
    error: float
    finding: Finding
    reason: str


def compare(rows: Sequence[Compared], *, margin: float, served_accepts_any: bool) -> Comparison:
    """Compare a candidate with the served model on these events, in the order of the decisions.

    Args:
        rows: The events. Those that people decided unasked are not tested.
        margin: The difference of the shares of wrong answers that is no longer "no worse".
        served_accepts_any: Whether the served model accepts events at all; if it does, spot checks
            must have shown how the candidate does on them.
    """
    by_way: dict[str, list[Compared]] = {way: [] for way in TESTED}
    for row in rows:
        if row.chosen in by_way:
            by_way[row.chosen].append(row)
    tested = [row for of_way in by_way.values() for row in of_way]
    ways = {way: _figures(of_way, margin) for way, of_way in by_way.items()}
    shares = {
        "served_wrong": _share(tested, [not row.served_right for row in tested]),
        "candidate_wrong": _share(tested, [not row.candidate_right for row in tested]),
        "served_coverage": _share(tested, [row.served_accepts for row in tested]),
        "candidate_coverage": _share(tested, [row.candidate_accepts for row in tested]),
        "served_accepted_wrong": _accepted_wrong(tested, candidate=False),
        "candidate_accepted_wrong": _accepted_wrong(tested, candidate=True),
    }
    finding, reason = _find(ways, shares, served_accepts_any=served_accepts_any)
    return Comparison(
        rows=len(tested),
        ways=ways,
        margin=margin,
        error=ERROR,
        finding=finding,
        reason=reason,
        **shares,
    )


def _figures(rows: Sequence[Compared], margin: float) -> WayFigures:
    differences = [row.served_right - row.candidate_right for row in rows]
    return WayFigures(
        rows=len(rows),
        served_wrong=sum(not row.served_right for row in rows),
        candidate_wrong=sum(not row.candidate_right for row in rows),
        only_served=differences.count(1),
        only_candidate=differences.count(-1),
        evidence=_largest_gain([margin - difference for difference in differences], 1 - margin),
        more=_more(differences, margin),
        evidence_worse=_largest_gain([float(difference) for difference in differences], 1.0),
    )


def _largest_gain(outcomes: Sequence[float], most_lost: float) -> float:
    """The largest gain that a bet on each outcome ever has, the stake being 1.

    If the mean of the outcomes is at most 0, it is a million with a probability of one to a
    million at most. An outcome is at least -`most_lost`, so no bet loses everything.
    """
    stakes = [0.0] * len(BETS)
    largest = 1.0
    for outcome in outcomes:
        stakes = [
            stake + math.log1p(bet * outcome / most_lost)
            for stake, bet in zip(stakes, BETS, strict=True)
        ]
        # Beyond this, the exponential would overflow.
        largest = max(largest, sum(math.exp(min(stake, 700.0)) for stake in stakes) / len(stakes))
    return largest


def _more(differences: Sequence[int], margin: float) -> int:
    """How many events more the test needs, if they are like those until now."""
    outcomes = [margin - difference for difference in differences]
    mean = max(margin - sum(differences) / max(1, len(differences)), margin / 4)
    gains = [sum(math.log1p(bet * outcome / (1 - margin)) for outcome in outcomes) for bet in BETS]
    steps = [math.log1p(bet * mean / (1 - margin)) for bet in BETS]
    enough = math.log(len(BETS) / ERROR)
    needed = min((enough - gain) / step for gain, step in zip(gains, steps, strict=True))
    return min(MAX_MORE, max(1, math.ceil(needed)))


def _find(
    ways: Mapping[str, WayFigures], shares: Mapping[str, float], *, served_accepts_any: bool
) -> tuple[Finding, str]:
    worse = [way for way, figures in ways.items() if figures.evidence_worse >= 1 / ERROR]
    if worse:
        return (
            "worse",
            f"it is wrong more often than the served model on events that were {worse[0]}",
        )
    needed = [
        way for way in TESTED if (way == "spot_check" and served_accepts_any) or ways[way].rows
    ]
    if not needed:
        return "undecided", "people have decided nothing yet since it was made"
    open_ways = [way for way in needed if ways[way].evidence < 1 / ERROR]
    if open_ways:
        counts = " and ".join(f"about {ways[way].more} {way} ones" for way in open_ways)
        there = " and ".join(f"{ways[way].rows} {way}" for way in open_ways)
        return "undecided", (
            f"more decisions by people are needed: {counts}, if the two models go on as until now; "
            f"there are {there} ones"
        )
    if shares["candidate_wrong"] > shares["served_wrong"]:
        return "undecided", "it is within the margin, but wrong a little more often"
    if shares["candidate_coverage"] <= shares["served_coverage"]:
        return "undecided", "it is no worse, but does not accept more"
    return "better", "it is no worse on events that it never saw, and accepts more"


def _share(rows: Sequence[Compared], flags: Sequence[bool]) -> float:
    weights = [1 / row.probability for row in rows]
    hit = sum(weight for weight, flag in zip(weights, flags, strict=True) if flag)
    return hit / (sum(weights) or 1.0)


def _accepted_wrong(rows: Sequence[Compared], *, candidate: bool) -> float:
    """The share of the accepted events that are wrong; 0.0 if none is accepted."""
    if candidate:
        accepted = [row for row in rows if row.candidate_accepts]
        return _share(accepted, [not row.candidate_right for row in accepted])
    accepted = [row for row in rows if row.served_accepts]
    return _share(accepted, [not row.served_right for row in accepted])
