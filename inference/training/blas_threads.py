"""How many threads the algebra of a training has."""

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

ROWS_FOR_THREADS = 10_000


@contextmanager
def threads_for(rows: int) -> Iterator[None]:
    """One thread for few rows, as many as usual for others.

    The matrices of few rows are so small that several threads mostly wait for each other. On a
    machine that does other work, too, that takes four times as long.
    """
    limit = 1 if rows < ROWS_FOR_THREADS else None
    with threadpool_limits(limits=limit, user_api="blas"):
        yield
