"""The settled events most like a new one, of its own tenant: nearest neighbours in the small model's embedding.

In memory and searched exhaustively: a tenant's few thousand events are compared in two milliseconds, and an
approximate index would make what is quoted depend on the order in which events came.
"""

from collections import OrderedDict
from dataclasses import dataclass

import msgspec
import numpy as np

from inference.arrays import DECIMALS, Vectors
from inference.model.input_text import render
from inference.retrieval.options import RetrievalOptions
from schemas.event import Domain, Event
from schemas.triaged import Case, TriagedEvent

MAX_EXCERPT_CHARS = 400

_Shelf = OrderedDict[str, "_Kept"]


@dataclass(frozen=True, slots=True)
class Precedent:
    """A settled event as it arrived, and its final revision; `similarity` is the cosine, in [-1, 1].

    Nothing here has passed the egress policy: ask it with `triaged`, and redact `event`, before rendering.
    """

    event: Event
    triaged: TriagedEvent
    similarity: float


@dataclass(frozen=True, slots=True)
class _Kept:
    """A settled case as JSON, which is smaller than its objects, and its vector of length one."""

    case: bytes
    vector: Vectors


class Precedents:
    """Settled events by tenant and domain; no tenant is ever shown another's."""

    def __init__(self, options: RetrievalOptions) -> None:
        self._options = options
        self._shelves: OrderedDict[tuple[str, Domain], _Shelf] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, settled: Case, vector: Vectors) -> None:
        """Keep a settled case under its event's tenant, domain and id; what was kept under that id is replaced.

        `vector` is the event's embedding, float32 (width,) of length one.
        """
        event = settled.event
        shelf = self._shelf(event)
        self._size -= shelf.pop(event.id, None) is not None
        shelf[event.id] = _Kept(msgspec.json.encode(settled), vector)
        self._size += 1
        if len(shelf) > self._options.max_events_per_tenant:
            self._forget_oldest(shelf)
        if self._size > self._options.max_events:
            self._forget_idlest()

    def similar(self, event: Event, vector: Vectors) -> list[Precedent]:
        """The settled events of this event's tenant and domain most like it, the likest first; never itself.

        `vector` is the event's embedding, float32 (width,) of length one. Equally similar ones come in order of id.
        """
        if (event.tenant, event.domain) not in self._shelves:
            return []
        shelf = self._shelf(event)
        # No BLAS: its sums depend on shape and threads, and what is quoted must not.
        cosines = np.einsum(
            "ew,w->e", np.stack([kept.vector for kept in shelf.values()]), vector
        ).round(DECIMALS)
        ranked = sorted(
            (-cosine, id_)
            for id_, cosine in zip(shelf, cosines.tolist(), strict=True)
            if cosine >= self._options.min_similarity and id_ != event.id
        )
        return [
            _precedent(shelf[id_], -negative) for negative, id_ in ranked[: self._options.similar]
        ]

    def _shelf(self, event: Event) -> _Shelf:
        shelf = self._shelves.setdefault((event.tenant, event.domain), OrderedDict())
        self._shelves.move_to_end((event.tenant, event.domain))
        return shelf

    def _forget_oldest(self, shelf: _Shelf) -> None:
        shelf.popitem(last=False)
        self._size -= 1

    def _forget_idlest(self) -> None:
        idlest = next(iter(self._shelves))
        self._forget_oldest(self._shelves[idlest])
        if not self._shelves[idlest]:
            del self._shelves[idlest]


def describe_precedent(precedent: Precedent) -> str:
    """One settled event for a `Quotation`: its labels, queue, who decided, and how its text begins.

    The text is what the small model reads of it, without control characters, in at most 400 characters.
    """
    triaged = precedent.triaged
    labels = ", ".join(f"{axis}: {label.value}" for axis, label in triaged.labels.items())
    verdict = f"{labels}; sent to {triaged.queue}; decided by {triaged.decided_by}"
    return f"{verdict}\n{render(precedent.event)[:MAX_EXCERPT_CHARS]}"


def _precedent(kept: _Kept, similarity: float) -> Precedent:
    case = msgspec.json.decode(kept.case, type=Case)
    return Precedent(case.event, case.triaged, similarity)
