"""The rows that the baselines may see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from inference.acceptance.samples import CALIBRATION_SPLITS
from inference.errors import EvaluationError
from inference.evaluation.predictions import with_severity_levels
from inference.evaluation.run import EvaluatedRows
from inference.labelled import LabelledRow
from inference.model.input_text import plain_text

VALIDATION_STRIDE = 10
"""Without validation rows, every tenth training row takes their place."""


@dataclass(frozen=True, slots=True)
class BaselineRows:
    """The rows of one domain that a baseline may see.

    It learns from the `training` rows. The `validation` rows choose what it reads.
    """

    training: Sequence[LabelledRow]
    validation: Sequence[LabelledRow]

    @classmethod
    def of(cls, rows: Sequence[LabelledRow], evaluated: Sequence[LabelledRow]) -> Self:
        """The training and validation rows among `rows`, without any that is evaluated.

        Raises:
            EvaluationError: no training row is left.
        """
        identities = {_identity(row) for row in evaluated}
        free = [row for row in rows if _identity(row) not in identities]
        training = [row for row in free if row.part == "train"]
        validation = [row for row in free if row.part in CALIBRATION_SPLITS]
        if not validation:
            validation = training[::VALIDATION_STRIDE]
            training = [row for i, row in enumerate(training) if i % VALIDATION_STRIDE]
        if not training:
            raise EvaluationError(
                f"the baselines of {evaluated[0].domain} have no training row that is not "
                "evaluated; name a file of such rows with --train-data, "
                "or evaluate another --split"
            )
        return cls(training, validation)

    def with_severity_levels(self) -> Self:
        """The same rows; those with a severity are also labelled on its three levels."""
        return type(self)(
            with_severity_levels(self.training), with_severity_levels(self.validation)
        )


def choose_baseline_rows(
    chosen: Sequence[EvaluatedRows], rows: Sequence[LabelledRow]
) -> dict[str, BaselineRows]:
    """The rows among `rows` that the baselines may see in each evaluated domain.

    Raises:
        EvaluationError: no training row of a domain is left.
    """
    return {
        evaluated.domain: BaselineRows.of(
            [row for row in rows if row.domain == evaluated.domain], evaluated.rows
        )
        for evaluated in chosen
    }


def _identity(row: LabelledRow) -> tuple[str, str]:
    """Identifies the same event in two files. Its id alone may name another event elsewhere."""
    return row.event.id, plain_text(row.event)
