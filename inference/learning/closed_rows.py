"""The rows of a closed history that somebody has closed with an answer.

An alert that is open, or was closed without an answer, has no label: to learn from it would be to
learn from a guess.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from inference.acceptance.dispositions import DISPOSITION, disposition_of
from inference.labelled import LabelledRow


def closed_rows(rows: Sequence[LabelledRow]) -> tuple[list[LabelledRow], int, int]:
    """The rows that somebody has closed with an answer, with the dispositions in our words.

    Returns:
        The rows, how many were left out because their sender says that they are open, and how many
        because nobody has determined what they are.
    """
    closed: list[LabelledRow] = []
    still_open = undetermined = 0
    for row in rows:
        stated = row.event.stated
        if stated is not None and stated.status == "open":
            still_open += 1
            continue
        gold = dict(row.gold)
        if DISPOSITION in gold:
            values = [disposition_of(value) for value in gold.pop(DISPOSITION)]
            if known := tuple(value for value in values if value is not None):
                gold[DISPOSITION] = known
        if gold:
            closed.append(replace(row, gold=gold))
        else:
            undetermined += 1
    return closed, still_open, undetermined
