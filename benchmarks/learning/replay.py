"""One desk, from no verdict on: events come, models and people decide, and the model learns.

Each day, the model decides about the events of the day. What it does not accept goes to the LLM.
A person answers a fixed number of reviews: first the spot checks of what was accepted, then
escalated events that are drawn at random. Whenever there are enough new verdicts, the model is
fitted again to all of them, and its calibration is cross-fitted. The LLM's answers teach nothing
here. The heads are those of the product, without n-grams.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace

from benchmarks.learning.streams import Stream
from inference.acceptance.guarantee import calibrate
from inference.arrays import Bools, Floats
from inference.labelled import LabelledRow
from inference.model.heads import unit_rows
from inference.model.model_input import ModelInput
from inference.model.temperature import softmax
from inference.training.crossfit import answer_by_folds, tune
from inference.training.head_fit import fit_heads_of_axis

ALPHA, DELTA = 0.05, 0.10
SPOT_CHECK_SHARE, SPOT_CHECKS_A_DAY = 0.02, 20
LLM_RIGHT, LLM_USD = 0.9, 0.002
EVERY = 250
"""So many verdicts lie between two lines of the result."""
LEARN_AT = (250, 500, 1_000, 1_500)
"""The model is fitted to all verdicts when there are so many."""
STATIC_FROM = 500
"""The static model has learned from so many verdicts, and then never again."""
CONFIDENCE = 0.9


@dataclass(slots=True)
class Tally:
    """What was accepted of the events so far, and how much of it was wrong."""

    events: int = 0
    accepted: int = 0
    wrong: int = 0

    def add(self, accepted: Bools, right: Bools) -> None:
        """Count the events of a day."""
        self.events += len(accepted)
        self.accepted += int(accepted.sum())
        self.wrong += int((accepted & ~right).sum())

    def share(self) -> float:
        """The share of the events that was accepted."""
        return self.accepted / max(1, self.events)

    def risk(self) -> float | None:
        """The share of the accepted events that was wrong; None if none was accepted."""
        return self.wrong / self.accepted if self.accepted else None


@dataclass(frozen=True, slots=True)
class Model:
    """A head, its temperature, and the threshold of its risk."""

    weight: Floats
    bias: Floats
    temperature: float
    threshold: float

    def decide(self, units: Floats) -> tuple[np.ndarray, Floats, Floats]:
        """The number of the label, the risk, and the confidence without a calibration."""
        logits = units @ self.weight.T + self.bias
        risk = (1 - softmax(logits, self.temperature).max(axis=1)).round(6)
        return logits.argmax(axis=1), risk, softmax(logits).max(axis=1)


@dataclass(slots=True)
class Line:
    """What happened between two numbers of verdicts, and in all until then.

    If the events are used up before, the last line has those that were left.
    """

    verdicts: int
    windows: dict[str, Tally]
    totals: dict[str, Tally]
    llm_calls: int
    llm_wrong: int


@dataclass(slots=True)
class Replay:
    """A desk as it is lived with one seed."""

    stream: Stream
    seed: int
    lines: list[Line] = field(default_factory=list)
    learned: list[int] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)

    def run(self) -> list[Line]:
        """Live until the events or the verdicts are used up."""
        desk = self.stream.desk
        generator = np.random.default_rng(self.seed)
        order = generator.permutation(len(self.stream.coming))
        units = unit_rows(self.stream.coming_vectors)
        number = {label: place for place, label in enumerate(self.stream.labels)}
        gold = np.array([number[row.gold[desk.axis][0]] for row in self.stream.coming])
        policies = ("learning", "static", "confidence 0.9")
        totals = {name: Tally() for name in policies}
        windows = {name: Tally() for name in policies}
        llm_calls = llm_wrong = 0
        model: Model | None = None
        static: Model | None = None
        for start in range(0, len(order) - desk.events_a_day + 1, desk.events_a_day):
            day = order[start : start + desk.events_a_day]
            models = {"learning": model, "static": static, "confidence 0.9": model}
            learning = _decide(models, units[day], gold[day], (totals, windows))
            llm_calls += int((~learning).sum())
            llm_wrong += int((generator.random(int((~learning).sum())) > LLM_RIGHT).sum())
            before = len(self.learned)
            self._review(day, learning, generator)
            after = len(self.learned)
            if before // EVERY != after // EVERY:
                self._end_line(after // EVERY, windows, totals, llm_calls, llm_wrong)
                windows = {name: Tally() for name in policies}
            if after >= desk.verdicts:
                break
            if any(before < each <= after for each in LEARN_AT):
                model = self._learn()
            if before < STATIC_FROM <= after:
                static = model
        else:
            # The events were used up before the next line.
            if windows["learning"].events:
                place = len(self.learned) // EVERY + 1
                self._end_line(place, windows, totals, llm_calls, llm_wrong)
        return self.lines

    def _end_line(
        self,
        place: int,
        windows: dict[str, Tally],
        totals: dict[str, Tally],
        llm_calls: int,
        llm_wrong: int,
    ) -> None:
        until_then = {name: Tally(*_values(tally)) for name, tally in totals.items()}
        self.lines.append(Line(place * EVERY, windows, until_then, llm_calls, llm_wrong))

    def _review(self, day: np.ndarray, accepted: Bools, generator: np.random.Generator) -> None:
        """A person answers spot checks of accepted events, then escalated ones."""
        count = int(accepted.sum())
        checks = min(count, max(SPOT_CHECKS_A_DAY, round(SPOT_CHECK_SHARE * count)))
        reviews = min(self.stream.desk.reviews_a_day - checks, len(day) - count)
        for events, drawn in ((day[accepted], checks), (day[~accepted], reviews)):
            if drawn > 0:
                self.learned += generator.choice(events, drawn, replace=False).tolist()
                self.chances += [drawn / len(events)] * drawn

    def _learn(self) -> Model:
        """Fit the heads to all verdicts, and cross-fit the calibration."""
        stream, axis = self.stream, self.stream.desk.axis
        rows = [
            replace(stream.coming[place], chance=chance)
            for place, chance in zip(self.learned, self.chances, strict=True)
        ]
        vectors = stream.coming_vectors[self.learned]
        labels = {axis: stream.labels}
        known = stream.known, stream.known_vectors
        answers = answer_by_folds(
            stream.desk.domain,
            rows,
            vectors,
            known,
            labels,
            lambda *_: None,
            seed=self.seed,
            strengths={axis: stream.desk.strengths},
            heads_only=True,
        )
        inputs = [ModelInput([1], 0.0, "", truncated=False)] * len(rows)
        fitted = tune(rows, inputs, answers, labels)
        all_rows: list[LabelledRow] = [*rows, *stream.known]
        all_vectors = np.concatenate([vectors, stream.known_vectors])
        (head,) = fit_heads_of_axis(
            all_rows,
            unit_rows(all_vectors),
            axis,
            stream.labels,
            [fitted.strengths[axis]],
            seed=self.seed,
        )
        promise = calibrate(fitted.sample, [axis], ALPHA, DELTA)
        temperature = fitted.calibration.axes[axis].temperature
        return Model(head.weight, head.bias, temperature, promise.threshold)


def _decide(
    models: Mapping[str, Model | None],
    units: Floats,
    gold: np.ndarray,
    tallies: Sequence[Mapping[str, Tally]],
) -> Bools:
    """Decide the events of a day by each policy, and count them; which ones learning accepts."""
    accepted_by = {}
    for name, model in models.items():
        accepted = right = np.zeros(len(gold), np.bool_)
        if model is not None:
            answers, risk, confidence = model.decide(units)
            right = answers == gold
            accepted = risk < model.threshold
            if name == "confidence 0.9":
                accepted = confidence >= CONFIDENCE
        for of_policies in tallies:
            of_policies[name].add(accepted, right)
        accepted_by[name] = accepted
    return accepted_by["learning"]


_streams: list[Stream] = []
"""The stream of this process; the processes of a pool inherit it."""


def keep_stream(stream: Stream) -> None:
    """Keep the stream for every replay in this process."""
    _streams[:] = [stream]


def live(seed: int) -> tuple[int, list[Line]]:
    """The seed, and the replay with it of the stream that was kept."""
    return seed, Replay(_streams[0], seed).run()


def _values(tally: Tally) -> tuple[int, int, int]:
    return tally.events, tally.accepted, tally.wrong
