"""The models that a worker serves, and the swap to other ones while it works."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from agents.outcomes import Incoming, Outcome
from inference.classifier import Classifier
from inference.errors import InferenceError, ModelError
from inference.labels.file import NO_LABELS, LabelsFile
from inference.serving import Serving
from schemas.event import DOMAINS, Domain
from schemas.triaged import LabelSets
from streams.models.registry import Registry, State

log = logging.getLogger(__name__)

CHECK_S = 2.0
"""How often a worker looks for a promoted model."""

OpenModel = Callable[[str | None, Collection[Domain], Collection[Domain]], Classifier]
"""Opens a model of the registry by its name, or with None the one of `[model] path`.

It is opened for the domains that it decides, and for those whose other axes it labels beside
another model. There it decides nothing, so the terms of the promise do not apply to it.
"""

OnDecided = Callable[[Sequence[Incoming], Sequence[Outcome]], None]

_Key = tuple[str | None, tuple[Domain, ...], tuple[Domain, ...]]
_AxisLabels = dict[str, tuple[str, ...]]


@dataclass(slots=True, eq=False)
class _Choice:
    """One choice of models, and how many batches use it."""

    serving: Serving
    models: dict[Domain, str | None]
    users: int = 0


class LabelsInForce(Mapping[Domain, Mapping[str, tuple[str, ...]]]):
    """The label sets that hold now, as a mapping that changes when the models do."""

    def __init__(self, read: Callable[[], Mapping[Domain, _AxisLabels]]) -> None:
        self._read = read

    def __getitem__(self, domain: Domain) -> Mapping[str, tuple[str, ...]]:
        return self._read()[domain]

    def __iter__(self) -> Iterator[Domain]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


class _Pinned(Serving):
    """A choice of models for those who keep it: it is never closed, and its label sets follow."""

    def __init__(self, serving: Serving, label_sets: LabelSets) -> None:
        self.__dict__.update(serving.__dict__)
        self._label_sets = label_sets

    @property
    def label_sets(self) -> LabelSets:
        return self._label_sets


@dataclass(slots=True)
class _Labels:
    """`served`: of the models that are served. `allowed`: also of those before and after them."""

    served: dict[Domain, _AxisLabels] = field(default_factory=dict)
    allowed: dict[Domain, _AxisLabels] = field(default_factory=dict)


class ServedModels:
    """The models that are served now, and from the next batch on those that were promoted.

    Without a `registry`, it is the model of `[model] path` for ever. With `keep_axes`, that model
    labels the axes that a promoted one lacks. `labels` is the labels file.

    Raises:
        ModelError: a model that should be served cannot be.
        ConfigError: the terms ask for what a model does not label.
    """

    def __init__(
        self,
        open_model: OpenModel,
        registry: Registry | None = None,
        *,
        keep_axes: bool = True,
        labels: LabelsFile = NO_LABELS,
    ) -> None:
        self._open_model = open_model
        self.registry = registry
        self._keep_axes = keep_axes and registry is not None
        self._labels_file = labels
        self._opened: dict[_Key, Classifier] = {}
        self._choices: list[_Choice] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._refused: State | None = None
        self._labels = _Labels()
        self._truncated: dict[Domain, int] = {}
        self._encoded: Counter[tuple[Domain, str]] = Counter()
        self.state = registry.state() if registry else State()
        self.on_change: list[Callable[[Serving], None]] = []
        """What is told of other models, just before the first batch is given to them."""
        self.on_decided: list[OnDecided] = []
        """What is told of every batch that was decided."""
        self._choosing = False
        self._complaint = ""
        self._now = self._adopt(*self._choose(self.state))
        self._note_labels()

    @property
    def serving(self) -> Serving:
        """What is served now; whoever awaits anything takes it with `use`."""
        return self._now.serving

    @property
    def models(self) -> Mapping[Domain, str | None]:
        """The names of the models that are served; None is the one of `[model] path`."""
        return self._now.models

    @property
    def label_sets(self) -> LabelsInForce:
        """The labels of the models that are served."""
        return LabelsInForce(lambda: self._labels.served)

    @property
    def allowed_labels(self) -> LabelsInForce:
        """The labels that a person may choose.

        While workers change to another model, some serve the old one and some the new one, and
        their events are decided by people at any time. So the labels of a candidate and of the
        model before are among them, and those of the labels file, which no model has at first.
        """
        return LabelsInForce(lambda: self._labels.allowed)

    @property
    def truncated(self) -> dict[Domain, int]:
        """How many events of each domain had more text than an encoder reads; it only grows."""
        counts = dict(self._truncated)
        for (_, domains, _), classifier in self._opened.items():
            _count(counts, domains, classifier)
        return counts

    @property
    def encoded_texts(self) -> Counter[tuple[Domain, str]]:
        """How many texts of each domain were computed and cached; it only grows.

        See `Classifier.encoded_texts`.
        """
        counts = self._encoded.copy()
        for classifier in self._opened.values():
            counts.update(_encoded(classifier))
        return counts

    @contextmanager
    def use(self) -> Iterator[Serving]:
        """The models of one batch: they stay open, and are the same, until its end."""
        choice = self._now
        choice.users += 1
        try:
            yield choice.serving
        finally:
            choice.users -= 1
            self._close_unused()

    def pinned(self) -> Serving:
        """The models as they are now, for those who need the same ones for ever.

        Vectors of two encoders cannot be compared, so the library of earlier events keeps its own.
        """
        self._now.users += 1
        return _Pinned(self._now.serving, self.label_sets)

    async def watch(self) -> None:
        """Take over what is promoted, within `CHECK_S` and the time to load it. Never returns."""
        while True:
            await asyncio.sleep(CHECK_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Take over what is promoted now. What cannot be served is logged, and not served."""
        if self.registry is None:
            return
        state = self.state
        try:
            state = await asyncio.to_thread(self.registry.state)
            if state in (self.state, self._refused):
                return
            # In a thread: to verify and load a model takes a second. Meanwhile nothing is closed,
            # because it may be used again.
            self._choosing = True
            chosen = await asyncio.to_thread(self._choose, state)
        except (InferenceError, OSError) as error:
            self._refused = state
            self._complain(str(error))
            return
        finally:
            self._choosing = False
        before, choice = self._now, self._adopt(*chosen)
        for tell in self.on_change:
            tell(choice.serving)
        self._now, self.state, self._refused, self._complaint = choice, state, None, ""
        if before.models != choice.models:
            log.info("models that are served from now on: %s", _names(choice.models))
        await asyncio.to_thread(self._note_labels)
        self._close_unused()

    def _complain(self, reason: str) -> None:
        """Say once why the models that are served stay as they are."""
        if reason != self._complaint:
            self._complaint = reason
            log.error("the models that are served stay as they are: %s", reason)

    async def close(self) -> None:
        """Fail the waiting callers and release the threads."""
        await asyncio.gather(*self._closing)
        for classifier in self._opened.values():
            await classifier.close()
        self._opened.clear()

    def _choose(self, state: State) -> tuple[_Choice, dict[_Key, Classifier]]:
        """Open the models of a state; those that are open already are used again.

        Nothing else changes. So it can run in a thread, and leave nothing half done.
        """
        by_name: dict[str | None, list[Domain]] = {}
        for domain in DOMAINS:
            by_name.setdefault(state.roles(domain).current, []).append(domain)
        learned = [domain for domain in DOMAINS if state.roles(domain).current is not None]
        if learned and self._keep_axes:
            by_name.setdefault(None, [])
        opened: dict[_Key, Classifier] = {}
        classifiers: dict[Domain, Classifier] = {}
        beside: dict[Domain, Classifier] = {}
        for name, domains in by_name.items():
            besides = learned if name is None and self._keep_axes else []
            key = (name, tuple(domains), tuple(besides))
            classifier = self._opened.get(key) or self._open_model(*key)
            opened[key] = classifier
            classifiers |= {each: classifier for each in domains if each in classifier.domains}
            beside |= {each: classifier for each in besides if each in classifier.domains}
        serving = Serving(classifiers, beside)
        models = {each: state.roles(each).current for each in serving.domains}
        return _Choice(serving, models), opened

    def _adopt(self, choice: _Choice, opened: Mapping[_Key, Classifier]) -> _Choice:
        """Keep a choice, with the models that were opened for it."""
        self._opened |= opened
        self._choices.append(choice)
        return choice

    def _close_unused(self) -> None:
        """Close the models that nobody serves and no batch uses any more."""
        if self._choosing:
            return
        self._choices = [each for each in self._choices if each is self._now or each.users]
        used = {model for choice in self._choices for model in choice.serving.classifiers}
        for key, classifier in list(self._opened.items()):
            if classifier not in used:
                del self._opened[key]
                _count(self._truncated, key[1], classifier)
                self._encoded.update(_encoded(classifier))
                task = asyncio.get_running_loop().create_task(classifier.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    def _note_labels(self) -> None:
        """Read which labels hold, those of models that are not served among them."""
        serving = self._now.serving
        served = {domain: serving.labels(domain) for domain in serving.domains}
        allowed = dict(served)
        for domain in served:
            roles = self.state.roles(domain)
            for name in (roles.candidate, *roles.previous[:1]):
                allowed[domain] = _union(allowed[domain], self._labels_of(name, domain))
            if self.registry is not None:
                allowed[domain] = _union(
                    allowed[domain], _labels_of_file(self._labels_file, domain)
                )
        self._labels = _Labels(served, allowed)

    def _labels_of(self, name: str | None, domain: Domain) -> _AxisLabels:
        if name is None or self.registry is None:
            return {}
        try:
            spec = self.registry.manifest(name).domains.get(domain)
        except ModelError:
            return {}
        if spec is None:
            return {}
        renames = self._labels_file.renames
        return {
            axis: tuple(renames.value(domain, axis, label) for label in axis_spec.labels)
            for axis, axis_spec in spec.axes.items()
        }


def _count(counts: dict[Domain, int], domains: Collection[Domain], classifier: Classifier) -> None:
    for domain in domains:
        counts[domain] = counts.get(domain, 0) + classifier.truncated.get(domain, 0)


def _encoded(classifier: Classifier) -> dict[tuple[Domain, str], int]:
    return {
        (domain, result): count
        for domain in classifier.domains
        for result, count in classifier.encoded_texts(domain).items()
    }


def _labels_of_file(file: LabelsFile, domain: Domain) -> _AxisLabels:
    labels: _AxisLabels = {}
    for of_domain, axis, label in file.places():
        if of_domain == domain:
            labels[axis] = (*labels.get(axis, ()), label)
    return labels


def _union(first: _AxisLabels, second: _AxisLabels) -> _AxisLabels:
    return {
        axis: tuple(dict.fromkeys((*first.get(axis, ()), *second.get(axis, ()))))
        for axis in [*first, *(axis for axis in second if axis not in first)]
    }


def _names(models: Mapping[Domain, str | None]) -> str:
    return ", ".join(
        f"{domain} by {name or 'the model of [model] path'}" for domain, name in models.items()
    )
