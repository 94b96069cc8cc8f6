"""Batching across callers: texts of many callers share forward passes, off the event loop."""

import asyncio
import itertools
import threading
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
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


@dataclass(frozen=True, slots=True)
class Pass:
    """What one forward pass gives to one caller.

    `rows` are places in the caller's texts, and `vectors` is float32 of shape (len(rows), width).
    The pass began at `started_s`, in seconds of `time.perf_counter`.
    """

    rows: list[int]
    vectors: Vectors
    started_s: float


@dataclass(slots=True, eq=False)
class _Call:
    """The texts of one caller: `results` has each pass when it is done, or the first error.

    `done` is set when no other text of the call needs to run: it has failed, or the caller is gone.
    """

    results: asyncio.Queue[Pass | Exception] = field(default_factory=asyncio.Queue)
    done: bool = False

    def fail(self, error: Exception) -> None:
        self.done = True
        self.results.put_nowait(error)


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


async def vectors_of(passes: AsyncGenerator[Pass, None], count: int, width: int) -> Vectors:
    """What all passes of `count` texts give: float32 of shape (count, width), in their order."""
    vectors = np.zeros((count, width), dtype=np.float32)
    async with aclosing(passes):
        async for done in passes:
            vectors[done.rows] = done.vectors
    return vectors


class Engine:
    """Runs an encoder for many concurrent callers.

    Each replica has a thread. A thread that has run a pass takes the next one by itself: it does
    not wait for the event loop, which has other work. At most `max_waiting` texts wait or run. A
    caller with more texts waits until there is space. This wait is the backpressure on the stream.
    If a forward pass fails, every call with a text in it fails. Texts of cancelled calls are not
    run.
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
        self._arrivals = itertools.count()
        self._executor = ThreadPoolExecutor(encoder.replicas, thread_name_prefix="inference")
        self._threads: set[asyncio.Future[None]] = set()
        self._scheduled = False
        # Of the event loop and of the threads:
        self._lock = threading.Lock()
        self._waiting = _WaitingTexts()
        self._idle_replicas = encoder.replicas
        self._closed = False

    @property
    def width(self) -> int:
        """How many components a vector has."""
        return self._encoder.width

    async def passes(self, ids: Sequence[Sequence[int]]) -> AsyncGenerator[Pass, None]:
        """Embed texts, which are given as token ids, and give each pass when it is done.

        Raises:
            InvalidTokens: An id would crash the C++ engine; nothing was run.
            InferenceError: The encoder failed on a pass with one of these texts.
            EngineClosed: The engine was closed before all vectors were there.
        """
        for text in ids:
            self._encoder.check(text)
        call, missing = _Call(), len(ids)
        try:
            await self._enqueue(call, ids)
            while missing:
                result = await call.results.get()
                if isinstance(result, Exception):
                    raise result
                missing -= len(result.rows)
                yield result
        finally:
            # If the caller is gone, the texts that still wait must not run.
            call.done = True

    async def embed(self, ids: Sequence[Sequence[int]]) -> Vectors:
        """Embed texts as `passes` does, and wait for all of them.

        Returns:
            float32 of shape (len(ids), width), in the order of `ids`.
        """
        return await vectors_of(self.passes(ids), len(ids), self._encoder.width)

    async def close(self) -> None:
        """Fail all waiting calls, wait for the running passes, and release the threads."""
        with self._lock:
            self._closed = True
            waiting = self._waiting.take_all()
        for text in waiting:
            text.call.fail(EngineClosed("the inference engine was closed while this text waited"))
            self._free_places.release()
        await asyncio.gather(*self._threads, return_exceptions=True)
        self._executor.shutdown(wait=False)

    async def _enqueue(self, call: _Call, ids: Sequence[Sequence[int]]) -> None:
        for row, text in enumerate(ids):
            await self._free_places.acquire()
            if self._closed:
                call.fail(EngineClosed("the inference engine is closed; start a new one"))
            # A call that has failed does not need its other rows.
            if call.done:
                self._free_places.release()
                return
            with self._lock:
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
        loop = asyncio.get_running_loop()
        with self._lock:
            useful = min(self._idle_replicas, sum(map(len, self._waiting.queues.values())))
            if self._closed:
                return
            self._idle_replicas -= useful
        for _ in range(useful):
            thread = loop.run_in_executor(self._executor, self._run_passes, loop)
            self._threads.add(thread)
            thread.add_done_callback(self._threads.discard)

    def _run_passes(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run passes in this thread until no text waits."""
        while (taken := self._take()) is not None:
            texts, padded = taken
            running = [text for text in texts if not text.call.done]
            started_s, result = time.perf_counter(), self._forward(running, padded)
            if isinstance(result, Exception):
                for text in running:
                    text.call.done = True  # already now: the next pass begins before the delivery
            try:
                loop.call_soon_threadsafe(self._deliver, texts, running, result, started_s)
            except RuntimeError:
                return  # the event loop has ended, and all callers with it

    def _take(self) -> tuple[list[_WaitingText], int] | None:
        with self._lock:
            if self._closed or not self._waiting.queues:
                self._idle_replicas += 1
                return None
            return self._waiting.take_batch(self._max_batch_tokens)

    def _forward(self, texts: Sequence[_WaitingText], padded: int) -> Vectors | Exception:
        if not texts:
            return np.zeros((0, self._encoder.width), dtype=np.float32)
        try:
            vectors = self._encoder.forward([text.ids for text in texts], padded)
        except Exception as error:  # noqa: BLE001 - the callers must get whatever the pass raised
            return error
        if len(vectors) != len(texts):
            return ValueError(f"the encoder gave {len(vectors)} vectors for {len(texts)} texts")
        return vectors

    def _deliver(
        self,
        taken: Sequence[_WaitingText],
        texts: Sequence[_WaitingText],
        result: Vectors | Exception,
        started_s: float,
    ) -> None:
        """Give a pass to its callers; on the event loop."""
        places: dict[_Call, list[int]] = defaultdict(list)
        for place, text in enumerate(texts):
            places[text.call].append(place)
        for call, of_call in places.items():
            if isinstance(result, Exception):
                call.fail(result)
            else:
                rows = [texts[place].row for place in of_call]
                call.results.put_nowait(Pass(rows, result[of_call], started_s))
        for _ in taken:
            self._free_places.release()
