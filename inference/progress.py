"""The type of the function that receives the progress of long work."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the number of finished items, and the number of all items."""
