"""How a record of an internal topic that is not believed is reported."""

from collections.abc import Callable

OnRefused = Callable[[str, str], None]
"""Takes the topic of a record and the reason why it was refused."""


def ignore(_topic: str, _reason: str) -> None:
    """Report it to nobody."""
