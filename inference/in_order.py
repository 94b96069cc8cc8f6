"""Results that come out in any order, each with its place."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def in_order(results: AsyncGenerator[tuple[int, T], None], count: int) -> list[T]:
    """The results of the places from 0 to `count` - 1, of which each must come out."""
    async with aclosing(results):
        by_place = {place: result async for place, result in results}
    return [by_place[place] for place in range(count)]
