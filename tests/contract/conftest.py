"""The choice between a double and a real broker."""

import pytest

from streams.config import Settings


@pytest.fixture(params=["double", pytest.param("real", marks=pytest.mark.broker)])
def settings_of_broker(request: pytest.FixtureRequest) -> Settings | None:
    """The settings of a real broker; None for the double."""
    if request.param == "double":
        return None
    settings: Settings = request.getfixturevalue("settings")
    return settings
