"""The objects of a decoded document, counted while they are filled."""

from typing import Any

from schemas.errors import LimitExceeded
from schemas.limits import Limits


class Budget:
    """How many values a record may still have."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.max_event_nodes
        self.left = limits.max_event_nodes

    def take(self, values: int) -> None:
        """Count some values.

        Raises:
            LimitExceeded: the record has more values than `max_event_nodes`.
        """
        self.left -= values
        if self.left < 0:
            raise LimitExceeded(
                f"the record has more values than limits.max_event_nodes, which is {self._limit}; "
                "split it, or raise the limit",
                stage="decode",
            )


class Fields:
    """One object. A name that is added again gets a number, so that no value is lost."""

    __slots__ = ("_budget", "_repeated", "values")

    def __init__(self, budget: Budget) -> None:
        self.values: dict[str, Any] = {}
        self._repeated: dict[str, int] = {}
        self._budget = budget

    def add(self, name: str, value: Any) -> None:
        """Add a value as ``name``, or as ``name#2``, ``name#3`` … if the name is taken.

        Raises:
            LimitExceeded: the record has too many values.
        """
        budget = self._budget
        budget.left -= 1  # written out, because this is called for each value
        if budget.left < 0:
            budget.take(0)
        if name in self.values:
            name = self._next(name)
        self.values[name] = value

    def _next(self, name: str) -> str:
        number = self._repeated.get(name, 1) + 1
        numbered = f"{name}#{number}"
        while numbered in self.values:
            number += 1
            numbered = f"{name}#{number}"
        self._repeated[name] = number
        return numbered


def without_blanks(values: dict[str, Any]) -> dict[str, Any]:
    """The fields that were sent: those that are neither None nor empty."""
    return {name: value for name, value in values.items() if value not in (None, "", {}, [])}
