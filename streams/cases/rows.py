"""Labelled rows of what people decided, as `triage train` reads them."""

from collections.abc import Iterator
from typing import Any

import orjson

from agents.cases import Known
from agents.outcomes import in_our_format
from schemas.triaged import TriagedEvent
from streams.cases.query import MAX_LIMIT, CaseQuery
from streams.cases.store import CaseStore


def labelled_rows(store: CaseStore, query: CaseQuery) -> Iterator[dict[str, Any]]:
    """One row for each case of a query that a person has decided, in the order of the query.

    A row has the whole event as `record`, so that it is read as it was on its topic, and the
    labels that the person set. A person who only confirmed the decision has set all of its labels.
    """
    after: str | None = None
    while True:
        page = store.list(_part_of(query, after))
        for summary in page.cases:
            known = store.find(summary.id, domain=summary.domain, tenant=summary.tenant)
            if known is not None and (row := labelled_row(known)) is not None:
                yield row
        after = page.next
        if after is None:
            return


def labelled_row(known: Known) -> dict[str, Any] | None:
    """The row of one event; None if no person has decided it, or its text is not known."""
    current, case = known.current, known.case
    if case is None or current.decided_by != "human":
        return None
    row: dict[str, Any] = {
        "id": current.id,
        "record": orjson.loads(in_our_format(case.event)),
        "labels": decided_labels(current),
    }
    return row | ({"source": current.source} if current.source else {})


def decided_labels(triaged: TriagedEvent) -> dict[str, str]:
    """The labels that a person set, by axis; all of them if the person only confirmed."""
    certain = {
        axis: label.value
        for axis, label in triaged.labels.items()
        if label.confidence == 1.0 and not label.alternatives
    }
    return certain or {axis: label.value for axis, label in triaged.labels.items()}


def _part_of(query: CaseQuery, after: str | None) -> CaseQuery:
    return CaseQuery(
        state="decided",
        domain=query.domain,
        queue=query.queue,
        severity=query.severity,
        tenant=query.tenant,
        source=query.source,
        escalation=query.escalation,
        tenants=query.tenants,
        text=query.text,
        order="age",
        limit=MAX_LIMIT,
        after=after,
    )
