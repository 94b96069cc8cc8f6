"""Batching across callers: texts of many callers share forward passes, off the event loop."""

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
    """The part of an encoder that the engine uses."""

    width: int
    replicas: int

    def check(self, ids: Sequence[int]) -> None:
        """Raise `InvalidTokens` for ids that must not reach the C++ engine."""

    def forward(self, ids: Sequence[Sequence[int]], padded: int) -> Vectors:
        """Run one blocking forward pass. It is called from a worker thread."""


@dataclass(slots=True)
class _Call:
    """The texts of one call of `embed`.

    The future `answer` is set once: when the last of the rows has its vector, or when the first
    row fails. `missing` counts the rows without a vector.
    """

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
    """A text that waits for a forward pass: the row `row` of `call`. `arrival` is its order."""

    arrival: int
    call: _Call
    row: int
    ids: Sequence[int]


@dataclass(slots=True)
class _WaitingTexts:
    """The waiting texts, in one queue per padded length.

    The queue with the oldest text is served next, so that no text waits for ever.
    """

    queues: dict[int, deque[_WaitingText]] = field(default_factory=dict)

    def add(self, text: _WaitingText) -> None:
        self.queues.setdefault(padded_length(len(text.ids)), deque()).append(text)

    def take_batch(self, max_batch_tokens: int) -> tuple[list[_WaitingText], int]:
        """Remove the texts of the next forward pass. Return them and their padded length.

        The texts of cancelled or failed calls are among them.
        """
        padded = min(self.queues, key=lambda length: self.queues[length][0].arrival)
        queue = self.queues[padded]
        count = min(len(queue), rows_per_batch(padded, max_batch_tokens))
        texts = [queue.popleft() for _ in range(count)]
        if not queue:
            del self.queues[padded]
        return texts, padded

    def take_all(self) -> list[_WaitingText]:
        texts = [text for queue in self.queues.values() for text in queue]
        self.queues.clear()
        return texts


class Engine:
    """Runs an encoder for many concurrent callers.

    At most `max_waiting` texts wait or run. A caller with more texts waits until there is space.
    This wait is the backpressure on the stream. If a forward pass fails, every call with a text
    in it fails. Texts of cancelled calls are not run.
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
        self._free_places = asyncio.Semaphore(max_waiting)
        self._waiting = _WaitingTexts()
        self._arrivals = itertools.count()
        self._idle_replicas = encoder.replicas
        self._executor = ThreadPoolExecutor(encoder.replicas, thread_name_prefix="inference")
        self._passes: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._closed = False

    async def embed(self, ids: Sequence[Sequence[int]]) -> Vectors:
        """Embed texts, which are given as token ids.

        Returns:
            float32 of shape (len(ids), width), in the order of `ids`.

        Raises:
            InvalidTokens: An id would crash the C++ engine; nothing was run.
            InferenceError: The encoder failed on a pass with one of these texts.
            EngineClosed: The engine was closed before all vectors were there.
        """
        for text in ids:
            self._encoder.check(text)
        vectors = np.zeros((len(ids), self._encoder.width), dtype=np.float32)
        if not ids:
            return vectors
        call = _Call(vectors, asyncio.get_running_loop().create_future(), len(ids))
        try:
            await self._enqueue(call, ids)
        except asyncio.CancelledError:
            # The caller is gone, so the texts that already wait must not run.
            if not call.answer.cancel():
                # The call has failed. asyncio warns about an exception that nobody retrieves.
                call.answer.exception()
            raise
        return await call.answer

    async def close(self) -> None:
        """Fail all waiting calls, wait for the running passes, and release the threads."""
        self._closed = True
        for text in self._waiting.take_all():
            text.call.fail(EngineClosed("the inference engine was closed while this text waited"))
            self._free_places.release()
        await asyncio.gather(*self._passes, return_exceptions=True)
        self._executor.shutdown(wait=False)

    async def _enqueue(self, call: _Call, ids: Sequence[Sequence[int]]) -> None:
        for row, text in enumerate(ids):
            await self._free_places.acquire()
            if self._closed:
                call.fail(EngineClosed("the inference engine is closed; start a new one"))
            # A call that has failed, or was cancelled, does not need its other rows.
            if call.answer.done():
                self._free_places.release()
                return
            self._waiting.add(_WaitingText(next(self._arrivals), call, row, text))
            self._schedule()

    def _schedule(self) -> None:
        """Start passes in the next turn of the event loop, not now.

        Then the rows of this call, and of all callers that are ready now, share passes.
        """
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start_passes)

    def _start_passes(self) -> None:
        self._scheduled = False
        while self._idle_replicas and self._waiting.queues and not self._closed:
            taken, padded = self._waiting.take_batch(self._max_batch_tokens)
            texts = [text for text in taken if not text.call.answer.done()]
            for _ in range(len(taken) - len(texts)):
                self._free_places.release()
            if texts:
                self._idle_replicas -= 1
                task = asyncio.create_task(self._run_pass(texts, padded))
                self._passes.add(task)
                task.add_done_callback(self._passes.discard)

    async def _run_pass(self, texts: list[_WaitingText], padded: int) -> None:
        try:
            ids = [text.ids for text in texts]
            loop = asyncio.get_running_loop()
            vectors = await loop.run_in_executor(self._executor, self._encoder.forward, ids, padded)
            for text, vector in zip(texts, vectors, strict=True):
                text.call.fill(text.row, vector)
        except asyncio.CancelledError:
            # The event loop is ending and cancels the callers too. No new pass must begin.
            self._closed = True
            raise
        except Exception as error:  # noqa: BLE001 - the callers must get whatever the pass raised
            for text in texts:
                text.call.fail(error)
        finally:
            self._idle_replicas += 1
            for _ in texts:
                self._free_places.release()
            self._start_passes()
