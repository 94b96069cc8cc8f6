"""The vectors of the latest texts, so that a text that comes again costs no forward pass.

Alerts of one rule differ in ids, times and addresses, which the input text does not have. So their
token ids are often the same. The encoder's output depends on the token ids alone
(`inference.model.batching`): a vector from the cache has the same bits as a new one, and needs no
calibration of its own.
"""

import asyncio
import time
from array import array
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

import numpy as np

from inference.arrays import Vectors
from inference.model.engine import Engine, Pass, vectors_of

DEFAULT_MAX_CACHED = 8_192
"""A text of 96 tokens takes about 2.3 kB, so so many take 19 MB in each domain."""


class CachedEngine:
    """An engine that remembers the vectors of the latest `max_texts` different texts.

    The text that was not used for the longest time is forgotten. With `max_texts` 0 nothing is
    remembered, and a text that is twice in one call is computed twice.

    `computed` counts the texts that were given to the engine, `cached` all others.
    """

    def __init__(self, engine: Engine, max_texts: int = DEFAULT_MAX_CACHED) -> None:
        self._engine = engine
        self._max_texts = max_texts
        self._vectors: OrderedDict[bytes, Vectors] = OrderedDict()
        self.computed = 0
        self.cached = 0

    async def passes(self, ids: Sequence[Sequence[int]]) -> AsyncGenerator[Pass, None]:
        """As `Engine.passes`; the texts that are known come first, as if they were one pass.

        The others wait for their passes already when the first ones are given.
        """
        if not self._max_texts:
            self.computed += len(ids)
            async with aclosing(self._engine.passes(ids)) as passes:
                async for done in passes:
                    yield done
            return
        rows_of: dict[bytes, list[int]] = {}
        for row, text in enumerate(ids):
            rows_of.setdefault(array("i", text).tobytes(), []).append(row)
        known = self._known(rows_of)
        missing = [key for key in rows_of if key not in self._vectors]
        self.computed += len(missing)
        self.cached += len(ids) - len(missing)
        async with aclosing(self._engine.passes([ids[rows_of[key][0]] for key in missing])) as new:
            first: asyncio.Future[Pass | None] = asyncio.ensure_future(anext(new, None))
            try:
                if known.rows:
                    yield known
                result = await first
            finally:
                first.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await first
            while result is not None:
                keys = [missing[row] for row in result.rows]
                self._remember(keys, result.vectors)
                counts = [len(rows_of[key]) for key in keys]
                rows = [row for key in keys for row in rows_of[key]]
                yield Pass(rows, np.repeat(result.vectors, counts, axis=0), result.started_s)
                result = await anext(new, None)

    async def embed(self, ids: Sequence[Sequence[int]]) -> Vectors:
        """As `Engine.embed`."""
        return await vectors_of(self.passes(ids), len(ids), self._engine.width)

    def _known(self, rows_of: dict[bytes, list[int]]) -> Pass:
        """The rows whose vectors are known."""
        started_s = time.perf_counter()
        rows, vectors = [], []
        for key, rows_of_text in rows_of.items():
            vector = self._vectors.get(key)
            if vector is not None:
                self._vectors.move_to_end(key)
                rows += rows_of_text
                vectors += [vector] * len(rows_of_text)
        shape = len(rows), self._engine.width
        return Pass(rows, np.array(vectors, np.float32).reshape(shape), started_s)

    def _remember(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        for key, vector in zip(keys, vectors, strict=True):
            # A copy: a row of the pass would keep the vectors of all its texts in memory.
            self._vectors[key] = vector.copy()
            self._vectors.move_to_end(key)
        while len(self._vectors) > self._max_texts:
            self._vectors.popitem(last=False)
