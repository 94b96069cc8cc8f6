"""A headless Chromium that tests drive over the DevTools protocol, with aiohttp alone.

A driver such as Selenium or Playwright would be a dependency with a browser of its own. A test of
the console needs little of one: open a page, press keys, ask for what is there, take a picture.
"""

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.patience import PATIENCE_S

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
LARGEST_ANSWER = 256 * 2**20
POLL_S = 0.05

KEYS = {
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    "Tab": ("Tab", 9, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "Home": ("Home", 36, ""),
    "End": ("End", 35, ""),
    " ": ("Space", 32, " "),
}


def find_chromium() -> str | None:
    """The path of a Chromium on this machine, or None."""
    found = (shutil.which(name) for name in NAMES)
    return next((path for path in found if path), None)


NEEDS_CHROMIUM = pytest.mark.skipif(
    find_chromium() is None and os.environ.get("CI") != "true",
    reason="needs Chromium (Debian: apt-get install chromium)",
)
"""Skips a test on a machine without Chromium. In CI it fails there."""


class BrowserError(AssertionError):
    """The page threw an exception, or did not become what the test waits for."""


class Page:
    """One tab, in a browser context of its own: it shares no cookie with another one."""

    def __init__(self, devtools: "DevTools", session: str) -> None:
        self._devtools = devtools
        self._session = session
        self.problems: list[str] = []
        """What the page complained of: exceptions, errors on the console, broken policies."""

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol for this tab."""
        return await self._devtools.call(method, params, session=self._session)

    async def open(self, address: str) -> None:
        """Go to an address, and wait until the page has loaded."""
        await self.call("Page.navigate", url=address)
        await self.until("document.readyState === 'complete'")

    async def ask(self, expression: str) -> Any:
        """The value of an expression in JavaScript, which may be a promise.

        Raises:
            BrowserError: it threw.
        """
        answer = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            thrown = answer["exceptionDetails"].get("exception", {}).get("description")
            raise BrowserError(thrown or str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def until(self, condition: str, *, limit_s: float = PATIENCE_S) -> Any:
        """Wait until a condition in JavaScript holds, and return its value.

        Raises:
            BrowserError: it does not hold after `limit_s` seconds; says what the page shows.
        """
        try:
            async with asyncio.timeout(limit_s):
                while not (value := await self._value(condition)):
                    await asyncio.sleep(POLL_S)
                return value
        except TimeoutError:
            shown = await self.ask("document.body.innerText.slice(0, 3000)")
            raise BrowserError(
                f"it never became true: {condition}\n{self.problems}\n--- the page shows:\n{shown}"
            ) from None

    async def _value(self, condition: str) -> Any:
        try:
            # Only lists have a value here: an element is true in JavaScript.
            value = "v => v && (Array.isArray(v) && v.length ? v : true)"
            return await self.ask(f"({value})({condition})")
        except BrowserError:
            # The document is being replaced, or what the condition looks at is not there yet.
            return None

    async def sees(self, text: str, *, limit_s: float = PATIENCE_S) -> None:
        """Wait until the page shows a text."""
        wanted = json.dumps(text)
        await self.until(f"document.body.innerText.includes({wanted})", limit_s=limit_s)

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            await self._press(key)

    async def _press(self, key: str) -> None:
        code, number, text = KEYS.get(key, (f"Key{key.upper()}", ord(key.upper()[0]), key))
        common = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def count(self, selector: str) -> int:
        """How many elements fit a selector."""
        return int(await self.ask(f"document.querySelectorAll({json.dumps(selector)}).length"))

    async def texts(self, selector: str) -> list[str]:
        """What the elements that fit a selector show."""
        found = f"[...document.querySelectorAll({json.dumps(selector)})]"
        return list(await self.ask(f"{found}.map(each => each.innerText.trim())"))

    async def click(self, selector: str) -> None:
        """Click in the middle of the first element that fits, once there is one that can be."""
        # In one expression: between two, a page that is drawn anew may have taken the element away.
        box = await self.until(
            "(e => { if (!e || e.disabled) return null; e.scrollIntoView({block: 'center'});"
            " const b = e.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        where = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
        await self.call("Input.dispatchMouseEvent", type="mousePressed", **where)
        await self.call("Input.dispatchMouseEvent", type="mouseReleased", **where)

    async def resize(
        self, width: int, height: int, *, scale: float = 1, touch: bool = False
    ) -> None:
        """Give the window this size in CSS pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=touch,
        )

    async def prefer(self, **features: str) -> None:
        """Set what the system prefers: `prefers_color_scheme="dark"`."""
        listed = [{"name": name.replace("_", "-"), "value": v} for name, v in features.items()]
        await self.call("Emulation.setEmulatedMedia", features=listed)

    async def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write what the window shows into a PNG; with `whole`, the whole page."""
        answer = await self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))


class DevTools:
    """The connection to a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._contexts: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read())

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, session: str | None = None
    ) -> dict[str, Any]:
        """Call a method.

        Raises:
            BrowserError: the browser refused it or went away.
        """
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": dict(params or {})}
        if session is not None:
            message["sessionId"] = session
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        await self._socket.send_json(message)
        async with asyncio.timeout(2 * PATIENCE_S):
            return await answer

    async def new_page(self) -> Page:
        """A tab in a context of its own."""
        context = await self.call("Target.createBrowserContext")
        self._contexts.append(context)
        target = await self.call("Target.createTarget", {"url": "about:blank"} | context)
        attached = await self.call(
            "Target.attachToTarget", {"targetId": target["targetId"], "flatten": True}
        )
        page = Page(self, attached["sessionId"])
        self._pages[attached["sessionId"]] = page
        for part in ("Page", "Runtime", "Log", "Network"):
            await page.call(f"{part}.enable")
        await page.resize(1280, 800)
        return page

    async def close_pages(self) -> None:
        """Close every tab: each one that stays open takes processor time from the next test."""
        while self._contexts:
            await self.call("Target.disposeBrowserContext", self._contexts.pop())
        self._pages.clear()

    async def close(self) -> None:
        """Stop reading. The process ends by itself or is ended by its owner."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        async for message in self._socket:
            data = json.loads(message.data)
            waiting = self._waiting.pop(data.get("id", 0), None)
            if waiting is None:
                self._note(data)
            elif waiting.done():
                continue
            elif "error" in data:
                waiting.set_exception(BrowserError(str(data["error"])))
            else:
                waiting.set_result(data["result"])
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(BrowserError("the browser went away"))

    def _note(self, data: dict[str, Any]) -> None:
        page = self._pages.get(data.get("sessionId", ""))
        if page is None:
            return
        params = data.get("params", {})
        match data["method"]:
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                said = details.get("exception", {}).get("description") or details["text"]
                page.problems.append(f"exception: {said}")
            case "Runtime.consoleAPICalled" if params["type"] in {"error", "assert"}:
                said = [one.get("description") or one.get("value") for one in params["args"]]
                page.problems.append(f"console: {said}")
            case "Log.entryAdded" if params["entry"]["source"] in {"security", "javascript"}:
                page.problems.append(f"log: {params['entry']['text']}")


@asynccontextmanager
async def chromium() -> AsyncIterator[DevTools]:
    """Start a headless Chromium for the block.

    Raises:
        BrowserError: there is none, or it did not start.
    """
    program = find_chromium()
    if program is None:
        raise BrowserError("install chromium (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory(prefix="triage-chromium-", ignore_cleanup_errors=True) as home:
        process = await asyncio.create_subprocess_exec(
            program,
            "--headless=new",
            # Tests run as root in CI, where Chromium's sandbox does not start.
            "--no-sandbox",
            "--disable-gpu",
            # A container's /dev/shm may be too small for a page.
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-extensions",
            "--disable-sync",
            "--hide-scrollbars",
            "--no-first-run",
            "--remote-debugging-port=0",
            f"--user-data-dir={home}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | {"HOME": home},
        )
        try:
            address = await _address(Path(home) / "DevToolsActivePort", process)
            async with (
                aiohttp.ClientSession() as client,
                client.ws_connect(address, max_msg_size=LARGEST_ANSWER) as socket,
            ):
                devtools = DevTools(socket)
                try:
                    yield devtools
                finally:
                    await devtools.close()
        finally:
            await _end(process)


async def _address(file: Path, process: asyncio.subprocess.Process) -> str:
    try:
        async with asyncio.timeout(2 * PATIENCE_S):
            while True:
                lines = file.read_text().split() if file.is_file() else []
                if len(lines) == 2:
                    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
                if process.returncode is not None:
                    raise BrowserError(f"chromium ended with {process.returncode}")
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise BrowserError("chromium did not open its port") from None


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the browser and the processes that it started, which are one process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
