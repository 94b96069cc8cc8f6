"""Scores the parts of an event alone, so that a text beside a part cannot hide how severe it is."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from inference.acceptance.parts import (
    AXIS,
    SCREEN,
    may_hide_severity,
    severe_levels,
    severe_probabilities,
    with_parts,
)
from inference.acceptance.policy import Decision
from inference.model.engine import Pass
from inference.model.heads import Heads, calibrated
from inference.model.input_text import read_content, render_content
from inference.model.manifest import AxisCalibration
from inference.model.ngrams import Features
from inference.model.parts import repeated_share, split_content
from inference.model.temperature import softmax
from inference.model.tokenizer import Tokenizer
from inference.model.vector_cache import CachedEngine
from schemas.event import Event


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that are scored alone: of which event each is, and what the model reads of it.

    `repeated` is the share of repeated text of each event whose severity is below high.
    """

    rows: list[int]
    ids: list[list[int]]
    features: list[Features]
    repeated: dict[int, float]


NO_PARTS = Parts([], [], [], {})


class PartScorer:
    """Scores the parts of the events of one domain."""

    def __init__(
        self,
        heads: Heads,
        axes: Mapping[str, AxisCalibration],
        tokenizer: Tokenizer,
        engine: CachedEngine,
    ) -> None:
        self._heads = heads
        self._axes = axes
        self._tokenizer = tokenizer
        self._engine = engine
        self._has_severity = bool(severe_levels(heads.labels.get(AXIS, ())))

    def read(self, events: Sequence[Event], decisions: dict[int, Decision]) -> Parts:
        """The parts of these events that must be scored.

        `decisions` has the decision on each event by its row. Where nothing is to be scored, what
        the parts say is put into it.
        """
        if not self._has_severity:
            return NO_PARTS
        rows = [row for row, decision in decisions.items() if may_hide_severity(decision)]
        parts = self._screened(events, rows)
        for row in set(rows) - set(parts.rows):
            decisions[row] = with_parts(decisions[row], 0.0, parts.repeated[row])
        return parts

    async def score(
        self, parts: Parts, decisions: Mapping[int, Decision]
    ) -> list[tuple[int, Decision]]:
        """The last decision on each event with these parts, with its row."""
        severest = dict.fromkeys(parts.rows, 0.0)
        seconds = dict.fromkeys(parts.rows, 0.0)
        async with aclosing(self._engine.passes(parts.ids)) as passes:
            async for done in passes:
                probabilities = await asyncio.to_thread(self._severe, parts, done)
                elapsed_s = time.perf_counter() - done.started_s
                for place, probability in zip(done.rows, probabilities, strict=True):
                    row = parts.rows[place]
                    severest[row] = max(severest[row], probability)
                    seconds[row] = max(seconds[row], elapsed_s)
        return [
            (row, _scored(decisions[row], severest[row], parts.repeated[row], seconds[row]))
            for row in severest
        ]

    def _screened(self, events: Sequence[Event], rows: Sequence[int]) -> Parts:
        """The parts of these events that the n-gram head alone finds severe enough to be scored.

        The n-gram head costs a twentieth of the encoder. A model without such a head for the
        severity scores every part.
        """
        ngram_head, labels = self._heads.ngram_head, self._heads.labels[AXIS]
        temperature = self._axes[AXIS].temperature
        columns = ngram_head.columns.get(AXIS)
        part_rows, texts, features, repeated = [], [], [], {}
        for row in rows:
            content = read_content(events[row])
            repeated[row] = repeated_share(content.plain_text)
            for part in split_content(content):
                of_part = ngram_head.features(part)
                if columns is not None:
                    logits = ngram_head.logits(of_part)[None, columns]
                    probabilities = softmax(logits, temperature)
                    if severe_probabilities(probabilities, labels)[0] < SCREEN:
                        continue
                part_rows.append(row)
                texts.append(render_content(part))
                features.append(of_part)
        return Parts(part_rows, self._tokenizer.encode(texts), features, repeated)

    def _severe(self, parts: Parts, done: Pass) -> list[float]:
        """For each part of a pass, the probability that it is severe."""
        features = [parts.features[place] for place in done.rows]
        probabilities = calibrated(self._heads.logits(done.vectors, features), self._axes)[AXIS]
        severe: list[float] = severe_probabilities(probabilities, self._heads.labels[AXIS]).tolist()
        return severe


def _scored(decision: Decision, severest: float, repeated: float, seconds: float) -> Decision:
    decision = with_parts(decision, severest, repeated)
    return replace(decision, inference_s=decision.inference_s + seconds)
