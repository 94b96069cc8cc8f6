"""An encoder under the test's thumb: passes wait at a gate, fail on demand, and are written down."""

import threading
from collections.abc import Sequence

import numpy as np

from inference.arrays import Vectors
from inference.errors import InvalidTokens
from inference.model.batching import padded_length

GATE_TIMEOUT_S = 10.0


class SlowEncoder:
    """Answers each text with its first id, so that a mixed-up row shows; fails a pass with an id of `poison` in it."""

    width = 1

    def __init__(
        self, *, replicas: int = 1, poison: Sequence[int] = (), is_open: bool = True
    ) -> None:
        self.replicas = replicas
        self.poison = frozenset(poison)
        self.gate = threading.Event()
        if is_open:
            self.gate.set()
        self.passes: list[list[int]] = []
        self.threads: set[int] = set()

    @property
    def forwarded(self) -> list[int]:
        """The first ids of all texts that were ever run."""
        return [first for one in self.passes for first in one]

    def check(self, ids: Sequence[int]) -> None:
        """As the real one: no ids would crash it."""
        if not ids:
            raise InvalidTokens("a text has 0 tokens; the encoder takes 1 to 512")

    def forward(self, ids: Sequence[Sequence[int]], padded: int) -> Vectors:
        """One pass; waits at the gate."""
        assert ids
        # What the promise of equal answers hangs on: the padding follows from each text alone.
        assert {padded_length(len(text)) for text in ids} == {padded}
        self.threads.add(threading.get_ident())
        self.passes.append([text[0] for text in ids])
        if not self.gate.wait(GATE_TIMEOUT_S):
            raise TimeoutError("the test never opened the gate")
        if self.poison.intersection(text[0] for text in ids):
            raise RuntimeError("this pass fails")
        return np.array([[text[0]] for text in ids], dtype=np.float32)
