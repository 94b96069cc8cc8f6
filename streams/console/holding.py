"""Verdicts on their way: each may be undone for some seconds, and is then sent.

What holds: a verdict that was taken is in the journal. It leaves the journal when the broker has
acknowledged it, or its author undoes it, or somebody else has decided meanwhile, which its author
is told. If the broker is away, it is tried again until it is there.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from agents.revision import rfc3339
from inference.errors import InferenceError
from schemas.errors import SchemaError
from streams.console.claims import CaseKey
from streams.console.journal import GivenVerdict, HeldVerdict, Journal
from streams.console.live import Hub
from streams.errors import RequestRefused, StreamError

log = logging.getLogger(__name__)

Send = Callable[[Sequence[GivenVerdict]], Awaitable[None]]
"""Puts verdicts on the feedback topic, and returns when the broker has them all."""

Standing = Callable[[GivenVerdict], Awaitable["str | None"]]
"""Why a verdict must not be sent any more, in a sentence; None if it may."""

MAX_HELD = 10_000
"""How many verdicts may wait; a broker that is away for hours must not fill the memory."""
MAX_BATCH = 500
SETTLE_S = 15.0
"""So long a case counts as decided after its verdict was sent, until the decision is seen."""
RETRY_S = 1.0
FLUSH_TIMEOUT_S = 5.0

T = TypeVar("T")


class HeldVerdicts:
    """Holds verdicts, undoes them, and sends them when their time is over.

    `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        journal: Journal,
        hub: Hub,
        send: Send,
        standing: Standing,
        clock: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._hub = hub
        self._send = send
        self._standing = standing
        self._clock = clock
        self._held: dict[int, HeldVerdict] = {}
        self._by_case: dict[CaseKey, str] = {}
        self._sent: dict[CaseKey, tuple[str | None, float]] = {}
        """Who has sent a verdict (None: its decision was seen), and until when it is waited for."""
        self._sending: set[int] = set()
        self._wake = asyncio.Event()
        # SQLite waits for the disk; one thread keeps the order of what is written.
        self._thread = ThreadPoolExecutor(1, "journal")
        self._task: asyncio.Task[None] | None = None
        self.failure: str | None = None
        """Why verdicts that are due could not be sent; None if nothing is in the way."""

    def __len__(self) -> int:
        return len(self._held)

    async def start(self) -> None:
        """Open the journal, and begin to send.

        Raises:
            ConfigError: the journal cannot be used.
        """
        for held in await self._in_thread(self._journal.open):
            self._note(held)
        if self._held:
            log.info("%d verdicts of an earlier console are sent", len(self._held))
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Send what is held, whether its time is over or not. What cannot be sent stays there."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        # What was on its way when the task was cancelled is sent again: better twice than never.
        self._sending.clear()
        if self._held:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_TIMEOUT_S):
                    while self._held and await self._send_some(float("inf")):
                        pass
        if self._held:
            log.warning(
                "%d verdicts could not be sent; the next console sends them", len(self._held)
            )
        await self._in_thread(self._journal.close)
        self._thread.shutdown()

    def held_by(self, key: CaseKey) -> str | None:
        """Who has given a verdict on this case that is not a decision yet."""
        by, _ = self._sent.get(key, (None, 0.0))
        return self._by_case.get(key, by)

    def seen(self, key: CaseKey) -> None:
        """Note that the decision about a case is on its topic: it may be corrected now.

        The list of cases learns of the decision a little later, and tells of it then; see `settle`.
        """
        if key in self._sent:
            _, until_s = self._sent[key]
            self._sent[key] = (None, until_s)

    def settle(self, key: CaseKey) -> None:
        """Note that the decision about a case has been seen."""
        if self._sent.pop(key, None) is not None and key not in self._by_case:
            self._tell(key, None)

    def expire(self) -> None:
        """No longer wait for decisions that do not come: the verdict may have been refused."""
        now_s = self._clock()
        for key in [key for key, (_, until_s) in self._sent.items() if until_s <= now_s]:
            self.settle(key)

    async def hold(self, verdicts: Sequence[GivenVerdict], hold_s: float) -> tuple[str, str]:
        """Take verdicts, to be sent in `hold_s` seconds.

        No two of them are about one case, and none is about a case that is `held_by` somebody.

        Returns:
            What `undo` takes, and until when, as RFC 3339.

        Raises:
            RequestRefused: too many verdicts wait already.
        """
        if len(self._held) + len(verdicts) > MAX_HELD:
            raise RequestRefused(
                503, "too many verdicts wait for the broker; decide on when it is back"
            )
        undo, due_s = secrets.token_urlsafe(16), self._clock() + hold_s
        for verdict in verdicts:
            self._by_case[verdict.key] = verdict.by
        try:
            written = await self._in_thread(partial(self._journal.add, undo, due_s, verdicts))
        except BaseException:
            for verdict in verdicts:
                self._by_case.pop(verdict.key, None)
            raise
        for held in written:
            self._note(held)
            self._tell(held.verdict.key, held.verdict.by)
        self._wake.set()
        return undo, rfc3339(due_s)

    async def undo(self, undo: str, by: str) -> int:
        """Take back what was held under `undo` by this person.

        Raises:
            RequestRefused: it was sent meanwhile, or there was nothing.
        """
        taken = [
            held
            for held in self._held.values()
            if secrets.compare_digest(held.undo.encode(), undo.encode(errors="surrogateescape"))
            and held.verdict.by == by
            and held.number not in self._sending
        ]
        if not taken:
            raise RequestRefused(
                410, "it is too late to undo this; correct it with another decision instead"
            )
        await self._forget(taken)
        return len(taken)

    def _note(self, held: HeldVerdict) -> None:
        self._held[held.number] = held
        self._by_case[held.verdict.key] = held.verdict.by

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            if not await self._send_some(self._clock()):
                await self._wait()

    async def _wait(self) -> None:
        """Wait until the next verdict is due, a new one is there, or it is time to try again."""
        wait_s: float | None = None
        if self.failure is not None:
            wait_s = RETRY_S
        elif self._held:
            wait_s = max(0.0, min(held.due_s for held in self._held.values()) - self._clock())
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await (asyncio.Event() if self.failure else self._wake).wait()

    async def _send_some(self, until_s: float) -> bool:
        """Send verdicts that are due; false if there are none, or they could not be sent."""
        due = [held for held in self._held.values() if held.due_s <= until_s][:MAX_BATCH]
        if not due:
            return False
        self._sending.update(held.number for held in due)
        standing: list[HeldVerdict] = []
        try:
            standing += [held for held in due if await self._still_stands(held)]
            self._await_decisions(standing)
            await self._send([held.verdict for held in standing])
        except (StreamError, InferenceError, SchemaError) as error:
            if self.failure is None:
                log.warning("%d verdicts wait: %s", len(due), error)
            self.failure = str(error)
            for held in standing:
                self._sent.pop(held.verdict.key, None)
                self._by_case[held.verdict.key] = held.verdict.by
            return False
        finally:
            self._sending.difference_update(held.number for held in due)
        self.failure = None
        settled_s = self._clock() + SETTLE_S
        for held in standing:
            if known := self._sent.get(held.verdict.key):
                self._sent[held.verdict.key] = (known[0], settled_s)
        await self._remove(standing)
        return True

    def _await_decisions(self, standing: Sequence[HeldVerdict]) -> None:
        """Note that these are sent now: their decisions may be seen before the broker's answer is.

        From then on the case may be decided again, so nothing but `_sent` says that it may not.
        """
        for held in standing:
            self._sent[held.verdict.key] = (held.verdict.by, float("inf"))
            self._by_case.pop(held.verdict.key, None)

    async def _still_stands(self, held: HeldVerdict) -> bool:
        reason = await self._standing(held.verdict)
        if reason is None:
            return True
        domain, tenant, id_ = held.verdict.key
        document = {"domain": domain, "tenant": tenant, "id": id_, "reason": reason}
        self._hub.publish("refused", document, tenant=tenant, only=held.verdict.by)
        await self._forget([held])
        return False

    async def _forget(self, held: Sequence[HeldVerdict]) -> None:
        """Drop verdicts that are not sent: their cases wait for a decision again."""
        for each in held:
            self._by_case.pop(each.verdict.key, None)
        await self._remove(held)
        for each in held:
            if self.held_by(each.verdict.key) is None:
                self._tell(each.verdict.key, None)

    async def _remove(self, held: Sequence[HeldVerdict]) -> None:
        for each in held:
            # At once, and then in the file: nobody may undo it in between.
            self._held.pop(each.number, None)
        # Whoever ends the console must not leave in the file what the broker has.
        removing = self._in_thread(partial(self._journal.remove, [each.number for each in held]))
        await asyncio.shield(removing)

    def _tell(self, key: CaseKey, by: str | None) -> None:
        domain, tenant, id_ = key
        document = {"domain": domain, "tenant": tenant, "id": id_, "by": by}
        self._hub.publish("held", document, tenant=tenant, domain=domain)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        result: Any = await loop.run_in_executor(self._thread, work)
        return result  # type: ignore[no-any-return]
