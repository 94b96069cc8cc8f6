"""An encoder that a test controls: its passes wait at a gate, may fail, and are recorded."""

import threading
from collections.abc import Sequence

import numpy as np

from inference.arrays import Vectors
from inference.errors import InvalidTokens
from inference.model.batching import padded_length

GATE_TIMEOUT_S = 30.0


class SlowEncoder:
    """Returns the first id of each text as its vector, so that mixed up rows are noticed.

    A pass fails if the first id of a text is in `poison`. Passes wait until `gate` is set.
    """

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
        """The first ids of all texts that were run."""
        return [first_id for first_ids in self.passes for first_id in first_ids]

    def check(self, ids: Sequence[int]) -> None:
        """Refuse an empty text, like the real encoder."""
        if not ids:
            raise InvalidTokens("a text has 0 tokens; the encoder takes 1 to 512")

    def forward(self, ids: Sequence[Sequence[int]], padded: int) -> Vectors:
        """Run one pass, which waits at the gate."""
        assert ids
        # A text has the same vector in every batch only if its padding follows from the text alone.
        assert {padded_length(len(text)) for text in ids} == {padded}
        self.threads.add(threading.get_ident())
        self.passes.append([text[0] for text in ids])
        if not self.gate.wait(GATE_TIMEOUT_S):
            raise TimeoutError("the test never opened the gate")
        if self.poison.intersection(text[0] for text in ids):
            raise RuntimeError("this pass fails")
        return np.array([[text[0]] for text in ids], dtype=np.float32)
