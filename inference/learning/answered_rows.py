"""The rows that a history's model has answered, and what they say of a promise."""

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from inference.acceptance.binomial import upper_bound
from inference.acceptance.dispositions import DISPOSITION, is_harmless
from inference.acceptance.guarantee import Promise
from inference.acceptance.policy import Decision
from inference.labelled import LabelledRow
from inference.labels.file import LabelsFile
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
                DISPOSITION in deciding and is_harmless(decision.labels[DISPOSITION].value)
                for decision in decisions
            ],
            dtype=np.bool_,
        )
        self.is_malicious = np.array(
            [not any(map(is_harmless, of_row.get(DISPOSITION, ()))) for of_row in gold],
            dtype=np.bool_,
        )
        self._has_dispositions = DISPOSITION in deciding

    def at(self, promise: Promise, second: Promise | None) -> AtAlpha:
        """The answer for a promise; `second` is the one with the same alpha, and with beta."""
        accepted = self.risks < promise.threshold
        wrong = int((accepted & ~self.right).sum())
        decided = int(accepted.sum())
        harmless = with_beta = None
        if self._has_dispositions:
            harmless = self._harmless(accepted)
            if second is not None:
                with_beta = self._harmless(self.risks < second.harmless_threshold)
        return AtAlpha(
            alpha=promise.alpha,
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
        chosen = accepted & self.says_harmless
        count, malicious = int(chosen.sum()), int((chosen & self.is_malicious).sum())
        return Harmless(
            rows=len(accepted),
            accepted=count,
            malicious=malicious,
            at_most=upper_bound(malicious, count, self._options.delta),
        )


def _chars(row: LabelledRow) -> int:
    event = row.event
    texts = sum(len(text) for text in (event.text, event.title, event.body) if text)
    return texts + (len(msgspec.json.encode(event.event)) if event.event else 0)
