"""A clock that a test moves."""


class Clock:
    """The time as the code under test sees it; it stands still until the test moves it.

    It stands in for the module `time`, and for a clock that an argument takes. On a loaded machine
    the real time may run ahead of a test by seconds.
    """

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def monotonic(self) -> float:
        """The time now, in seconds."""
        return self.now_s
