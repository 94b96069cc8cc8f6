"""Numbers in sentences."""


def plural(count: int, one: str, many: str) -> str:
    """A number with its words: ``plural(2, "row has", "rows have")`` is ``2 rows have``."""
    words = one if count == 1 else many
    return f"{count:,} {words}"
