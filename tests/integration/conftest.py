"""What the tests of this folder share: one browser for a module, and consoles to look at."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest_asyncio

from tests.chromium import DevTools, chromium
from tests.console_pages import SHORT_HOLD_S, Console, Start, new_world, report_status, served
from tests.console_world import World


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser_of_module() -> AsyncIterator[DevTools]:
    """One Chromium for all tests of this module."""
    async with chromium() as devtools:
        yield devtools


@pytest_asyncio.fixture(loop_scope="module")
async def browser(browser_of_module: DevTools) -> AsyncIterator[DevTools]:
    """The Chromium of this module, without a page."""
    yield browser_of_module
    await browser_of_module.close_pages()


@pytest_asyncio.fixture(loop_scope="module")
async def start(browser: DevTools, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a console whose world `fill` has filled."""
    async with AsyncExitStack() as stack:

        async def start_console(
            fill: Callable[[World], object], *, hold_s: float = SHORT_HOLD_S
        ) -> Console:
            world, section = new_world(tmp_path, hold_s=hold_s)
            fill(world)
            url = await stack.enter_async_context(served(world, section))
            report_status(world, "up")
            return Console(world, url, browser)

        yield start_console
