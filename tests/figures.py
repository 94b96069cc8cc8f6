"""Figures that the tests counted. They are shown at the end of a run, passed or failed."""

FIGURES: list[str] = []


def tell(line: str) -> None:
    """Keep a line to show at the end of the run."""
    FIGURES.append(line)
