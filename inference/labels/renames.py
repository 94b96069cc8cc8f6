"""New names of labels: what an older model, event or verdict calls otherwise.

A name changes where it enters: in the heads of the model, in cases and decisions that are read
from topics, in verdicts and in labelled rows. Everything behind these places sees new names alone.
So a rule of the egress policy about the new name holds for an older event too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from inference.errors import ConfigError
from schemas.triaged import Case, Label, TriagedEvent


@dataclass(frozen=True)
class Renames:
    """For each domain and axis: the new name of each old name."""

    names: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.names)

    def of_axis(self, domain: str, axis: str) -> Mapping[str, str]:
        """The new name of each old name on one axis."""
        return self.names.get(domain, {}).get(axis, {})

    def value(self, domain: str, axis: str, value: str) -> str:
        """The name of a label today."""
        return self.of_axis(domain, axis).get(value, value)

    def values(self, domain: str, axis: str, values: Sequence[str]) -> tuple[str, ...]:
        """The names of the labels of a model, in the same order.

        Raises:
            ConfigError: the model has the old and the new name, so they are two labels.
        """
        for old, new in self.of_axis(domain, axis).items():
            if old in values and new in values:
                raise ConfigError(
                    f"the labels file renames {old!r} to {new!r} on {axis} of {domain}, but the "
                    "model has both labels; remove renamed_from, or train the model again on rows "
                    "with the new name"
                )
        return tuple(self.value(domain, axis, value) for value in values)

    def axes(self, domain: str, labels: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
        """The names of the labels of every axis of a model; see `values`."""
        return {axis: self.values(domain, axis, names) for axis, names in labels.items()}

    def chosen(self, domain: str, labels: Mapping[str, str]) -> dict[str, str]:
        """The labels of a verdict, by axis."""
        return {axis: self.value(domain, axis, value) for axis, value in labels.items()}

    def triaged(self, triaged: TriagedEvent) -> TriagedEvent:
        """A decision with the names of today; the same object if nothing of it was renamed."""
        if triaged.domain not in self.names:
            return triaged
        labels = {
            axis: self._label(triaged.domain, axis, label) for axis, label in triaged.labels.items()
        }
        if labels == triaged.labels:
            return triaged
        queue = triaged.queue
        for axis, label in triaged.labels.items():
            if label.value == triaged.queue:
                queue = labels[axis].value
        return replace(triaged, labels=labels, queue=queue)

    def case(self, case: Case) -> Case:
        """A case with the names of today; the same object if nothing of it was renamed."""
        triaged = self.triaged(case.triaged)
        return case if triaged is case.triaged else replace(case, triaged=triaged)

    def _label(self, domain: str, axis: str, label: Label) -> Label:
        return replace(
            label,
            value=self.value(domain, axis, label.value),
            alternatives=[
                replace(other, value=self.value(domain, axis, other.value))
                for other in label.alternatives
            ],
        )


NO_RENAMES = Renames()
