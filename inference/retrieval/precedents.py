"""Finds precedents: the settled events of the same tenant that are most similar to a new event.

They are its nearest neighbours in the embedding of the small model. The search is exhaustive and in
memory: it compares a tenant's few thousand events in two milliseconds. With an approximate index,
the result would depend on the order in which the events came.
"""

from collections import OrderedDict
from dataclasses import dataclass

import msgspec
import numpy as np

from inference.arrays import DECIMALS, Vectors
from inference.model.input_text import render
from inference.retrieval.options import RetrievalOptions
from schemas.codec import prepared
from schemas.event import Domain, Event
from schemas.triaged import Case, TriagedEvent

MAX_EXCERPT_CHARS = 400

_StoredCases = OrderedDict[str, "_StoredCase"]
"""By the id of the event, the oldest first."""


@dataclass(frozen=True, slots=True)
class Precedent:
    """A settled event as it arrived, and its final revision.

    `similarity` is the cosine, in [-1, 1]. The egress policy has not been applied yet. Before it is
    rendered, ask the policy about `triaged` and redact `event`.
    """

    event: Event
    triaged: TriagedEvent
    similarity: float


@dataclass(frozen=True, slots=True)
class _StoredCase:
    """A settled case as JSON, which takes less memory than objects, and its vector."""

    case: bytes
    vector: Vectors


class Precedents:
    """The settled events by tenant and domain; a tenant is never shown an event of another one."""

    def __init__(self, options: RetrievalOptions) -> None:
        self._options = options
        # The tenant and domain that was not used for the longest time comes first.
        self._stored: OrderedDict[tuple[str, Domain], _StoredCases] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, settled: Case, vector: Vectors) -> None:
        """Keep a settled case, in place of an earlier one of the same tenant, domain and id.

        Args:
            settled: the case.
            vector: the embedding of its event, float32 (width,), of length one.
        """
        event = settled.event
        cases = self._cases_like(event)
        self._size -= cases.pop(event.id, None) is not None
        cases[event.id] = _StoredCase(msgspec.json.encode(settled), vector)
        self._size += 1
        if len(cases) > self._options.max_events_per_tenant:
            self._forget_oldest(cases)
        if self._size > self._options.max_events:
            self._forget_least_recently_used()

    def similar(self, event: Event, vector: Vectors) -> list[Precedent]:
        """Return the most similar settled events of the event's tenant and domain.

        Args:
            event: the new event; a settled event with its id is left out.
            vector: its embedding, float32 (width,), of length one.

        Returns:
            The most similar first; equally similar ones in order of their ids.
        """
        if (event.tenant, event.domain) not in self._stored:
            return []
        cases = self._cases_like(event)
        # Not with BLAS: its sums depend on shape and threads, and the result must not.
        vectors = np.stack([stored.vector for stored in cases.values()])
        cosines = np.einsum("ew,w->e", vectors, vector).round(DECIMALS)
        ranked = sorted(
            (-cosine, id_)
            for id_, cosine in zip(cases, cosines.tolist(), strict=True)
            if cosine >= self._options.min_similarity and id_ != event.id
        )
        nearest = ranked[: self._options.similar]
        return [_precedent(cases[id_], -negative_cosine) for negative_cosine, id_ in nearest]

    def _cases_like(self, event: Event) -> _StoredCases:
        """The cases of the event's tenant and domain, which count as used now."""
        cases = self._stored.setdefault((event.tenant, event.domain), OrderedDict())
        self._stored.move_to_end((event.tenant, event.domain))
        return cases

    def _forget_oldest(self, cases: _StoredCases) -> None:
        cases.popitem(last=False)
        self._size -= 1

    def _forget_least_recently_used(self) -> None:
        key = next(iter(self._stored))
        self._forget_oldest(self._stored[key])
        if not self._stored[key]:
            del self._stored[key]


def describe_precedent(precedent: Precedent) -> str:
    """Describe a settled event for a `Quotation`.

    The first line has its labels, its queue and who decided. Then comes the beginning of its input
    text, without control characters and at most `MAX_EXCERPT_CHARS` long.
    """
    triaged = precedent.triaged
    labels = ", ".join(f"{axis}: {label.value}" for axis, label in triaged.labels.items())
    verdict = f"{labels}; sent to {triaged.queue}; decided by {triaged.decided_by}"
    return f"{verdict}\n{render(precedent.event)[:MAX_EXCERPT_CHARS]}"


def _precedent(stored: _StoredCase, similarity: float) -> Precedent:
    case = msgspec.json.decode(stored.case, type=prepared(Case))
    return Precedent(case.event, case.triaged, similarity)
