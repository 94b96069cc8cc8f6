"""What a model would have decided, answered from a closed history before anything is switched on.

The older part of the rows trains and calibrates a model, and the newer part is answered by it. The
model has seen nothing of the newer part. Where the rows have no times, a part of them is chosen at
random, near-duplicates together: the answer then says nothing of how the events change over time.

For dispositions there is a second promise: of what is accepted as harmless, at most a share `beta`
was malicious. It is a fixed sequence of tests, as the first promise is (*Learn then Test*,
Angelopoulos et al., 2021): on the first half of the newer part, thresholds of the risk are tried
from the strictest that could pass to the first that the rows do not support. The p-value of a
threshold is the exact binomial tail of the malicious rows among those that are accepted as
harmless. With probability 1 - `delta` over these rows, the share is at most `beta`. The second half
of the newer part shows what becomes of it.
"""

import asyncio
import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np

from inference.acceptance.guarantee import THRESHOLDS, binomial_tail, promise_on
from inference.acceptance.options import Terms
from inference.acceptance.policy import Decision
from inference.acceptance.samples import load_samples
from inference.classifier import Classifier
from inference.clusters import with_clusters
from inference.errors import DataError
from inference.labelled import LabelledRow
from inference.labels.file import LabelsFile
from inference.learning.dispositions import DISPOSITION, HARMLESS, disposition_of
from inference.learning.rows import labels_for
from inference.model.artifact import Artifact
from inference.progress import Progress
from inference.scratch import scratch_directory
from inference.training.own_labels import train_own_labels
from inference.training.recipe import TrainingOptions
from schemas.event import Domain

NEWER = 0.3
"""The share of the rows that is answered."""
TIMED = 0.9
"""So many rows must have a time for the division to go by time."""
MIN_ANSWERED = 20
BATCH_ROWS = 64
CHARS_PER_TOKEN = 4
LEAK = 0.5
"""A field that holds the label of so many rows is named: it may have been written afterwards."""
MAX_LEAVES = 500


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
    """What is accepted as benign or as a false positive, among the second half of the newer rows.

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


@dataclass(frozen=True, slots=True)
class Division:
    """The rows that teach, and those that are answered, in the order of their times."""

    older: list[LabelledRow]
    newer: list[LabelledRow]
    by_time: bool

    @property
    def answered_from(self) -> str | None:
        """The instant of the first answered row."""
        return self.newer[0].event.occurred_at if self.by_time and self.newer else None


def divide(rows: Sequence[LabelledRow]) -> Division:
    """Divide by time; without times by a hash of the cluster, so that it is always the same.

    Rows without a time are among the older ones, if most have one.
    """
    rows = with_clusters(rows)
    timed = [(at, row) for row in rows if (at := _instant(row)) is not None]
    if len(timed) >= TIMED * len(rows):
        timed.sort(key=lambda pair: pair[0])
        cut = len(timed) - round(NEWER * len(rows))
        untimed = [row for row in rows if _instant(row) is None]
        older = untimed + [row for _, row in timed[:cut]]
        return Division(older, [row for _, row in timed[cut:]], by_time=True)
    chosen = {row.cluster: _draw(row.cluster) < NEWER for row in rows}
    newer = sorted(
        (row for row in rows if chosen[row.cluster]), key=lambda row: _draw(f"2 {row.event.id}")
    )
    return Division([row for row in rows if not chosen[row.cluster]], newer, by_time=False)


def answer_history(
    rows: Sequence[LabelledRow],
    labels: LabelsFile,
    encoder: Path,
    options: HistoryOptions,
    progress: Progress,
    *,
    still_open: int = 0,
    undetermined: int = 0,
) -> HistoryAnswer:
    """Answer a history of one domain; nothing of it is kept.

    `still_open` and `undetermined` count rows that were left out before, for the answer.

    Raises:
        DataError: the rows are too few, or lack a deciding axis.
        ModelError: the encoder cannot be used.
    """
    deciding = list(options.deciding)
    rows = [row for row in rows if all(axis in row.gold for axis in deciding)]
    division = divide(rows)
    if len(division.newer) < MIN_ANSWERED:
        raise DataError(
            f"the history has {len(rows)} closed events with a label on {' and '.join(deciding)}; "
            f"give at least {math.ceil(MIN_ANSWERED / NEWER)}"
        )
    domain = division.newer[0].domain
    with scratch_directory() as folder:
        artifact = train_own_labels(
            [_teaching(row) for row in division.older],
            labels_for(labels, domain, division.older),
            folder,
            TrainingOptions(name="history", renames=labels.renames),
            progress,
            encoder=encoder,
        )
        terms = Terms(deciding=deciding, alpha=options.alphas[0], delta=options.delta)
        decisions = asyncio.run(_decide(artifact, domain, terms, division.newer, labels, progress))
        sample = load_samples(artifact)[domain]
        thresholds = {
            alpha: promise_on(sample, msgspec.structs.replace(terms, alpha=alpha)).threshold
            for alpha in options.alphas
        }
    answered = _Answered(division.newer, decisions, deciding, labels, options)
    harmless_below, beta_reason = answered.harmless_threshold()
    at_alpha = [
        answered.at(alpha, threshold, harmless_below) for alpha, threshold in thresholds.items()
    ]
    shown = list(thresholds.values())[min(1, len(thresholds) - 1)]
    return HistoryAnswer(
        domain=domain,
        deciding=deciding,
        rows=len(rows),
        still_open=still_open,
        undetermined=undetermined,
        taught=len(division.older),
        answered=len(division.newer),
        by_time=division.by_time,
        answered_from=division.answered_from,
        proposed_right=float(answered.right.mean()),
        delta=options.delta,
        beta=options.beta,
        at_alpha=at_alpha,
        labels=answered.of_labels(shown),
        usd_all_llm=float(answered.usd.sum()),
        beta_reason=beta_reason,
        leaks=leaking_fields(rows, deciding),
    )


class _Answered:
    """The newer rows with what the model says about them."""

    def __init__(
        self,
        rows: Sequence[LabelledRow],
        decisions: Sequence[Decision],
        deciding: Sequence[str],
        labels: LabelsFile,
        options: HistoryOptions,
    ) -> None:
        self._options = options
        renames = labels.renames
        self.axis = deciding[0]
        gold = [
            {axis: set(renames.values(row.domain, axis, row.gold[axis])) for axis in deciding}
            for row in rows
        ]
        self.gold = [of_row[self.axis] for of_row in gold]
        self.values = [decision.labels[self.axis].value for decision in decisions]
        self.risks = np.array([decision.risk for decision in decisions])
        self.right = np.array(
            [
                all(decision.labels[axis].value in of_row[axis] for axis in deciding)
                for of_row, decision in zip(gold, decisions, strict=True)
            ],
            dtype=np.bool_,
        )
        tokens = np.array([min(_chars(row), options.max_event_chars) for row in rows])
        self.usd = options.llm_usd + options.llm_usd_per_token * tokens / CHARS_PER_TOKEN
        self.says_harmless = np.array(
            [
                DISPOSITION in deciding and decision.labels[DISPOSITION].value in HARMLESS
                for decision in decisions
            ],
            dtype=np.bool_,
        )
        self.is_malicious = np.array(
            [not (of_row.get(DISPOSITION, set()) & set(HARMLESS)) for of_row in gold],
            dtype=np.bool_,
        )
        self._half = len(rows) // 2
        self._has_dispositions = DISPOSITION in deciding

    def harmless_threshold(self) -> tuple[float, str]:
        """Below which risk an event may be accepted as harmless; else 0.0, and why."""
        beta, delta = self._options.beta, self._options.delta
        if beta is None or not self._has_dispositions:
            return 0.0, ""
        first = np.arange(len(self.risks)) < self._half
        risks = self.risks[first & self.says_harmless]
        malicious = self.is_malicious[first & self.says_harmless]
        needed = math.ceil(math.log(delta) / math.log1p(-beta))
        threshold = 0.0
        for candidate in THRESHOLDS:
            accepted = risks < candidate
            count = int(accepted.sum())
            if count < needed:
                continue  # the order of the tests depends on the risks alone
            if binomial_tail(int(malicious[accepted].sum()), count, beta) > delta:
                break
            threshold = candidate
        if threshold:
            return threshold, ""
        if len(risks) < needed:
            return 0.0, (
                f"{len(risks)} answered events are called harmless in the half that tests it, and "
                f"at least {needed} are needed to promise {beta:.1%}"
            )
        return 0.0, f"too many of the surest {needed} that are called harmless were malicious"

    def at(self, alpha: float, threshold: float, harmless_below: float) -> AtAlpha:
        """The answer for one alpha, whose promise has this threshold."""
        accepted = self.risks < threshold
        wrong = int((accepted & ~self.right).sum())
        decided = int(accepted.sum())
        harmless = with_beta = None
        if self._has_dispositions:
            harmless = self._harmless(accepted)
            if self._options.beta is not None:
                kept = accepted & (~self.says_harmless | (self.risks < harmless_below))
                with_beta = self._harmless(kept)
        return AtAlpha(
            alpha=alpha,
            decided=decided,
            coverage=decided / len(accepted),
            wrong=wrong,
            wrong_share=wrong / max(1, decided),
            at_most=upper_bound(wrong, decided, self._options.delta),
            stays=len(accepted) - decided,
            usd=float(self.usd[~accepted].sum()),
            usd_saved=float(self.usd[accepted].sum()),
            harmless=harmless,
            harmless_with_beta=with_beta,
        )

    def of_labels(self, threshold: float) -> list[OfLabel]:
        """The labels of the first deciding axis, the most frequent first."""
        rows: Counter[str] = Counter()
        right: Counter[str] = Counter()
        decided: Counter[str] = Counter()
        for gold, value, risk in zip(self.gold, self.values, self.risks.tolist(), strict=True):
            for label in gold:
                rows[label] += 1
                right[label] += value in gold
                decided[label] += risk < threshold
        return [
            OfLabel(label=label, rows=count, right=right[label], decided=decided[label])
            for label, count in rows.most_common()
        ]

    def _harmless(self, accepted: "np.typing.NDArray[np.bool_]") -> Harmless:
        second = np.arange(len(accepted)) >= self._half
        chosen = accepted & self.says_harmless & second
        count, malicious = int(chosen.sum()), int((chosen & self.is_malicious).sum())
        return Harmless(
            rows=int(second.sum()),
            accepted=count,
            malicious=malicious,
            at_most=upper_bound(malicious, count, self._options.delta),
        )


def upper_bound(errors: int, rows: int, delta: float) -> float:
    """The largest share that so few errors do not refute: one-sided, by Clopper and Pearson."""
    low, high = errors / max(1, rows), 1.0
    if not rows:
        return 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if middle in (0.0, 1.0):
            break
        if binomial_tail(errors, rows, middle) > delta:
            low = middle
        else:
            high = middle
    return high


def leaking_fields(rows: Sequence[LabelledRow], axes: Sequence[str]) -> dict[str, float]:
    """The fields of the senders' documents that often hold the label itself, with how often.

    A field that was written when the event was closed is not there when it comes in.
    """
    counts: Counter[str] = Counter()
    documents = 0
    for row in rows:
        if row.event.event is None:
            continue
        documents += 1
        gold = {value.casefold() for axis in axes for value in row.gold.get(axis, ())}
        leaves = list(_leaves(row.event.event))[:MAX_LEAVES]
        counts.update({path for path, value in leaves if _meanings(value, axes) & gold})
    return {
        path: count / documents for path, count in counts.most_common() if count >= LEAK * documents
    }


def _meanings(value: str, axes: Sequence[str]) -> set[str]:
    """A value of a document as a label may be written."""
    meanings = {value.strip().casefold()}
    if DISPOSITION in axes:
        meanings.add(disposition_of(value) or "")
    return meanings


def _leaves(node: object, path: str = "") -> "list[tuple[str, str]]":
    """The texts of a document with their dotted paths; positions in arrays are left out."""
    found: list[tuple[str, str]] = []
    waiting: list[tuple[object, str]] = [(node, path)]
    while waiting and len(found) < MAX_LEAVES:
        value, at = waiting.pop()
        if isinstance(value, dict):
            waiting += [(inner, f"{at}.{name}".lstrip(".")) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(inner, at) for inner in value]
        elif isinstance(value, str):
            found.append((at, value))
    return found


def _teaching(row: LabelledRow) -> LabelledRow:
    return msgspec.structs.replace(row, part="both")


async def _decide(
    artifact: Artifact,
    domain: Domain,
    terms: Terms,
    rows: Sequence[LabelledRow],
    labels: LabelsFile,
    progress: Progress,
) -> list[Decision]:
    classifier = Classifier.open(
        artifact.directory, terms={domain: terms}, labels=labels, domains=[domain]
    )
    decisions: list[Decision] = []
    try:
        for start in range(0, len(rows), BATCH_ROWS):
            batch = [row.event for row in rows[start : start + BATCH_ROWS]]
            decisions += await classifier.classify(domain, batch)
            progress("answering the history", len(decisions), len(rows))
    finally:
        await classifier.close()
    return decisions


def _instant(row: LabelledRow) -> datetime | None:
    """When the event happened; None if it does not say it."""
    if row.event.occurred_at is None:
        return None
    try:
        at = datetime.fromisoformat(row.event.occurred_at)
    except ValueError:
        return None
    return at if at.tzinfo else None


def _chars(row: LabelledRow) -> int:
    event = row.event
    texts = sum(len(text) for text in (event.text, event.title, event.body) if text)
    return texts + (len(msgspec.json.encode(event.event)) if event.event else 0)


def _draw(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(f"history {name}".encode()).digest()[:6]) / 256**6
