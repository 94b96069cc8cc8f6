"""Batching across callers: many waiting texts, few forward passes, none of it on the event loop."""

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from inference.arrays import Vectors
from inference.errors import EngineClosed
from inference.model.batching import DEFAULT_MAX_BATCH_TOKENS, padded_length, rows_per_batch

DEFAULT_MAX_WAITING = 1024


class Forward(Protocol):
    """What the engine needs of an encoder."""

    width: int
    replicas: int

    def check(self, ids: Sequence[int]) -> None:
        """Raise `InvalidTokens` for ids that must not reach the C++ engine."""

    def forward(self, ids: Sequence[Sequence[int]], padded: int) -> Vectors:
        """One blocking forward pass; called from a worker thread."""


@dataclass(slots=True)
class _Call:
    """One caller's texts; answered once, when the last of its rows is in or the first has failed."""

    vectors: Vectors
    answer: asyncio.Future[Vectors]
    missing: int

    def fill(self, row: int, vector: Vectors) -> None:
        self.vectors[row] = vector
        self.missing -= 1
        if not self.missing and not self.answer.done():
            self.answer.set_result(self.vectors)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(slots=True)
class _WaitingText:
    """One text waiting for a place in a forward pass."""

    turn: int
    call: _Call
    row: int
    ids: Sequence[int]


@dataclass(slots=True)
class _WaitingTexts:
    """Rows by padded length; the room whose head has waited longest is served next, so nobody starves."""

    queues: dict[int, deque[_WaitingText]] = field(default_factory=dict)

    def add(self, row: _WaitingText) -> None:
        self.queues.setdefault(padded_length(len(row.ids)), deque()).append(row)

    def take(self, max_batch_tokens: int) -> tuple[list[_WaitingText], int]:
        """The next batch and its padded length; callers who have gone away are passed over but returned too."""
        padded = min(self.queues, key=lambda length: self.queues[length][0].turn)
        queue = self.queues[padded]
        rows = [
            queue.popleft()
            for _ in range(min(len(queue), rows_per_batch(padded, max_batch_tokens)))
        ]
        if not queue:
            del self.queues[padded]
        return rows, padded

    def empty(self) -> list[_WaitingText]:
        rows = [row for queue in self.queues.values() for row in queue]
        self.queues.clear()
        return rows


class Engine:
    """Runs an encoder for many concurrent callers.

    At most `max_waiting` texts wait; a caller beyond that really waits for room, which is what carries backpressure
    to the stream. A forward pass that raises fails every caller in it. Cancelled callers take no part.
    """

    def __init__(
        self,
        encoder: Forward,
        *,
        max_batch_tokens: int = DEFAULT_MAX_BATCH_TOKENS,
        max_waiting: int = DEFAULT_MAX_WAITING,
    ) -> None:
        self._encoder = encoder
        self._max_batch_tokens = max_batch_tokens
        self._room = asyncio.Semaphore(max_waiting)
        self._waiting = _WaitingTexts()
        self._turns = itertools.count()
        self._idle = encoder.replicas
        self._executor = ThreadPoolExecutor(encoder.replicas, thread_name_prefix="inference")
        self._passes: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._closed = False

    async def embed(self, ids: Sequence[Sequence[int]]) -> Vectors:
        """Embed texts given as token ids.

        Returns:
            float32 of shape (len(ids), width), in the order given.

        Raises:
            InvalidTokens: an id would crash the engine; nothing was run.
            EngineClosed: the engine was closed meanwhile.
        """
        for text in ids:
            self._encoder.check(text)
        vectors = np.zeros((len(ids), self._encoder.width), dtype=np.float32)
        if not ids:
            return vectors
        call = _Call(vectors, asyncio.get_running_loop().create_future(), len(ids))
        try:
            await self._line_up(call, ids)
        except asyncio.CancelledError:
            # Rows already in line must not run for a caller who has gone.
            if not call.answer.cancel():
                call.answer.exception()  # looked at, or asyncio would complain that nobody did
            raise
        return await call.answer

    async def close(self) -> None:
        """Fail whoever waits, let running forward passes end, and release the threads."""
        self._closed = True
        for row in self._waiting.empty():
            row.call.fail(EngineClosed("the inference engine was closed while this text waited"))
            self._room.release()
        await asyncio.gather(*self._passes, return_exceptions=True)
        self._executor.shutdown(wait=False)

    async def _line_up(self, call: _Call, ids: Sequence[Sequence[int]]) -> None:
        for row, text in enumerate(ids):
            await self._room.acquire()
            if self._closed:
                call.fail(EngineClosed("the inference engine is closed; start a new one"))
            if (
                call.answer.done()
            ):  # closed, or an earlier row of this call has failed: the rest need not run
                self._room.release()
                return
            self._waiting.add(_WaitingText(next(self._turns), call, row, text))
            self._schedule()

    def _schedule(self) -> None:
        # Not at once: the rows of this call, and of every caller ready now, should share passes.
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start_passes)

    def _start_passes(self) -> None:
        self._scheduled = False
        while self._idle and self._waiting.queues and not self._closed:
            taken, padded = self._waiting.take(self._max_batch_tokens)
            rows = [row for row in taken if not row.call.answer.done()]
            for _ in range(len(taken) - len(rows)):
                self._room.release()
            if rows:
                self._idle -= 1
                task = asyncio.create_task(self._run_pass(rows, padded))
                self._passes.add(task)
                task.add_done_callback(self._passes.discard)

    async def _run_pass(self, rows: list[_WaitingText], padded: int) -> None:
        try:
            ids = [row.ids for row in rows]
            loop = asyncio.get_running_loop()
            vectors = await loop.run_in_executor(self._executor, self._encoder.forward, ids, padded)
            for row, vector in zip(rows, vectors, strict=True):
                row.call.fill(row.row, vector)
        except asyncio.CancelledError:
            self._closed = (
                True  # the event loop is ending and takes the callers with it: begin nothing more
            )
            raise
        except Exception as error:  # noqa: BLE001 - whatever the pass raised belongs to its callers
            for row in rows:
                row.call.fail(error)
        finally:
            self._idle += 1
            for _ in rows:
                self._room.release()
            self._start_passes()
