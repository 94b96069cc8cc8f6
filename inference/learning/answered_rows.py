"""The rows that a history's model has answered, and what they say of a promise.

For dispositions there is a second promise: of what is accepted as harmless, at most a share `beta`
was malicious. It is a fixed sequence of tests, as the first promise is (*Learn then Test*,
Angelopoulos et al., 2021): on the first half of the newer part, thresholds of the risk are tried
from the strictest that could pass to the first that the rows do not support. The p-value of a
threshold is the exact binomial tail of the malicious rows among those that are accepted as
harmless. With probability 1 - `delta` over these rows, the share is at most `beta`. The second half
of the newer part shows what becomes of it.
"""

import math
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from inference.acceptance.binomial import binomial_tail, upper_bound
from inference.acceptance.guarantee import THRESHOLDS
from inference.acceptance.policy import Decision
from inference.labelled import LabelledRow
from inference.labels.file import LabelsFile
from inference.learning.dispositions import DISPOSITION, HARMLESS
from inference.learning.history_answer import AtAlpha, Harmless, HistoryOptions, OfLabel

CHARS_PER_TOKEN = 4


class AnsweredRows:
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


def _chars(row: LabelledRow) -> int:
    event = row.event
    texts = sum(len(text) for text in (event.text, event.title, event.body) if text)
    return texts + (len(msgspec.json.encode(event.event)) if event.event else 0)
