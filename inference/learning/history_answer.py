"""What is asked of a closed history, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from schemas.event import Domain


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryOptions:
    """What is asked of a history.

    `alphas` are the shares of wrong decisions to answer for, and `delta` the probability that a
    promise fails. With `beta`, the second promise is answered too. `llm_usd` and
    `llm_usd_per_token` are what the LLM costs for an event, and for a token of its text.
    """

    deciding: Sequence[str]
    alphas: Sequence[float] = (0.02, 0.05, 0.10)
    delta: float = 0.10
    beta: float | None = None
    llm_usd: float = 0.0
    llm_usd_per_token: float = 0.0
    max_event_chars: int = 4_000


class Harmless(msgspec.Struct, frozen=True, kw_only=True):
    """What is accepted as benign or as a false positive, among the newer rows.

    `malicious` of the `accepted` were true positives; with probability 1 - delta their true share
    is at most `at_most`.
    """

    rows: int
    accepted: int
    malicious: int
    at_most: float


class AtAlpha(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one share of wrong decisions.

    Of the answered rows, `decided` would be decided by the small model, and `wrong` of these
    wrongly: with probability 1 - delta at most the share `at_most`. `stays` go to the LLM and to
    people. `usd` is what the LLM costs for them, and `usd_saved` what it does not cost any more.
    `harmless` is about dispositions alone, and `harmless_with_beta` with the second promise.
    """

    alpha: float
    decided: int
    coverage: float
    wrong: int
    wrong_share: float
    at_most: float
    stays: int
    usd: float
    usd_saved: float
    harmless: Harmless | None = None
    harmless_with_beta: Harmless | None = None


class OfLabel(msgspec.Struct, frozen=True, kw_only=True):
    """One label of the first deciding axis.

    Of its answered `rows`, `right` are proposed rightly, and `decided` are decided at the second of
    the `alphas`, or at the only one.
    """

    label: str
    rows: int
    right: int
    decided: int


class HistoryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a closed history answers.

    `taught` rows made the model, and `answered` rows were answered by it. `by_time` says whether
    the answered rows are the newer ones; `answered_from` is then the instant of the first of them.
    `usd_all_llm` is what the LLM would have cost for all answered rows. `beta_reason` says why the
    second promise cannot be given, and `leaks` names fields that hold the label itself.
    """

    domain: Domain
    deciding: list[str]
    rows: int
    still_open: int
    undetermined: int
    taught: int
    answered: int
    by_time: bool
    answered_from: str | None
    proposed_right: float
    delta: float
    beta: float | None
    at_alpha: list[AtAlpha]
    labels: list[OfLabel]
    usd_all_llm: float
    beta_reason: str = ""
    leaks: dict[str, float] = msgspec.field(default_factory=dict)
