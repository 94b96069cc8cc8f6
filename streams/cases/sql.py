"""The SQL of a query: its conditions, its order, its total and its counts."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from streams.cases.intake import DECIDED, OPEN
from streams.cases.query import DIMENSIONS, MAX_LIMIT, CaseQuery, Order, words_of

ORDERS: dict[Order, Sequence[str]] = {
    "urgency": ("calm", "minus_risk", "received_s", "num"),
    "risk": ("minus_risk", "received_s", "num"),
    "age": ("received_s", "num"),
    "stated": ("minus_rank", "minus_risk", "received_s", "num"),
    "queue": ("queue", "calm", "minus_risk", "received_s", "num"),
}
"""The columns of each order, all ascending; the index `cases_by_ORDER` has them."""
STATES = {"open": (OPEN,), "decided": (DECIDED,), "all": (DECIDED, OPEN)}
COUNTERS = {"open": "open", "decided": "decided", "all": "open + decided"}
NO_WORDS = '""'


def page_of(
    db: sqlite3.Connection, query: CaseQuery, *, behind: Sequence[Any], total: int, limit: int
) -> list[tuple[Any, ...]]:
    """At most `limit` rows: the summary, then the columns of the order.

    `behind` are the columns of the row before them; it is empty for the first page.
    """
    columns = ", ".join(ORDERS[query.order])
    where, values = _conditions(query)
    if behind:
        where += f" AND ({columns}) > ({', '.join('?' * len(behind))})"
    return db.execute(
        f"SELECT summary, {columns} FROM cases INDEXED BY {_index(query, total, limit)} "  # noqa: S608
        f"WHERE {where} ORDER BY {columns} LIMIT ?",
        [*values, *behind, limit],
    ).fetchall()


def total_of(db: sqlite3.Connection, query: CaseQuery) -> int:
    """How many cases a query has."""
    if query.text is None:
        where, values = facet_conditions(query)
        sql = f"SELECT SUM({COUNTERS[query.state]}) FROM facets WHERE {where}"  # noqa: S608
    else:
        where, values = _conditions(query)
        sql = f"SELECT COUNT(*) FROM cases WHERE {where}"  # noqa: S608
    return int(db.execute(sql, values).fetchone()[0] or 0)


def counts_of(db: sqlite3.Connection, query: CaseQuery) -> dict[str, dict[str, int]]:
    """How many cases there are by each dimension, without the query's filter on it."""
    facets = _texts_by_facet(db, query) if query.text is not None else None
    return {dimension: dict(_counted(db, query, dimension, facets)) for dimension in DIMENSIONS}


def facet_conditions(query: CaseQuery) -> tuple[str, list[Any]]:
    """The condition on `facets` that a query means, and its values."""
    conditions, values = ["1"], list[Any]()
    for dimension in DIMENSIONS:
        value = getattr(query, dimension)
        if value is not None:
            conditions.append(f"{dimension} = ?")
            values.append(value)
    if query.tenants is not None:
        conditions.append("tenant IN (SELECT value FROM json_each(?))")
        values.append(msgspec.json.encode(list(query.tenants)).decode())
    return " AND ".join(conditions), values


def _conditions(query: CaseQuery) -> tuple[str, list[Any]]:
    """The condition on `cases` that a query means, and its values."""
    states = ", ".join(map(str, STATES[query.state]))
    conditions, values = [f"state IN ({states})"], list[Any]()
    where, of_facets = facet_conditions(query)
    if of_facets:
        conditions.append(f"facet IN (SELECT facet FROM facets WHERE {where})")  # noqa: S608
        values += of_facets
    if query.text is not None:
        conditions.append("num IN (SELECT rowid FROM words WHERE words MATCH ?)")
        values.append(words_of(query.text) or NO_WORDS)
    return " AND ".join(conditions), values


def _index(query: CaseQuery, total: int, limit: int) -> str:
    """The index that answers a query with the least work.

    Few cases are sorted. Many are read in their order until the page is full.
    """
    if total * total < limit * MAX_LIMIT:
        return "cases_by_facet"
    return f"cases_by_{query.order}"


def _texts_by_facet(db: sqlite3.Connection, query: CaseQuery) -> str:
    """The numbers of cases with the words of a query, by facet, as JSON; they are counted once."""
    where, values = _conditions(CaseQuery(state=query.state, text=query.text))
    sql = f"SELECT facet, COUNT(*) FROM cases WHERE {where} GROUP BY facet"  # noqa: S608
    return msgspec.json.encode(db.execute(sql, values).fetchall()).decode()


def _counted(
    db: sqlite3.Connection, query: CaseQuery, dimension: str, facets: str | None
) -> Iterator[tuple[str, int]]:
    """The values of a dimension with their numbers of cases, the most first."""
    without: dict[str, Any] = {dimension: None}
    where, values = facet_conditions(replace(query, **without))
    source, n = "facets", COUNTERS[query.state]
    if facets is not None:
        source = "json_each(?) AS texts JOIN facets ON facet = texts.value ->> 0"
        n, values = "texts.value ->> 1", [facets, *values]
    yield from db.execute(
        f"SELECT {dimension}, SUM({n}) AS n FROM {source} WHERE {where} "  # noqa: S608
        f"AND {dimension} != '' GROUP BY 1 HAVING n > 0 ORDER BY n DESC, 1",
        values,
    )
