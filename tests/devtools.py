"""A headless Chromium driven through its DevTools protocol: enough to press keys, read a page and take its picture.

Every message to the console, every exception and every address asked for is kept, so that a test can say that there
were none but the page's own. Where no Chromium is installed, tests that need one are skipped.
"""

import asyncio
import base64
import contextlib
import itertools
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")]
DEADLINE_S = 30.0
KEYS = {"Enter": ("\r", 13), "ArrowLeft": ("", 37), "ArrowUp": ("", 38), "ArrowRight": ("", 39), "ArrowDown": ("", 40)}


class Page:
    """One tab. `messages` are console messages and exceptions, `asked` the addresses requested."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._loaded = asyncio.Event()
        self.messages: list[str] = []
        self.asked: list[str] = []

    async def listen(self) -> None:
        """Sort what the browser says until it goes."""
        async for message in self._socket:
            data = message.json()
            method, given = data.get("method"), data.get("params", {})
            if "id" in data and not (future := self._waiting.pop(data["id"])).done():
                future.set_result(data)
            elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                self.messages.append(str(given))
            elif method == "Network.requestWillBeSent":
                self.asked.append(given["request"]["url"])
            elif method == "Page.loadEventFired":
                self._loaded.set()

    async def call(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        answer = await asyncio.wait_for(self._waiting[number], DEADLINE_S)
        assert "error" not in answer, answer
        return answer["result"]

    async def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Load `url` in a window of this size, and wait until it is there."""
        for domain in ("Runtime", "Log", "Network", "Page"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        self._loaded.clear()
        await self.call("Page.navigate", url=url)
        await asyncio.wait_for(self._loaded.wait(), DEADLINE_S)

    async def js(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        await self.js(f"new Promise(met => (function look() {{ {expression} ? met() : setTimeout(look, 10) }})())")

    async def press(self, key: str) -> None:
        """Press and release a key."""
        text, code = KEYS.get(key, (key, ord(key[0].upper())))
        given = {"key": key, "text": text, "windowsVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **given)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def picture(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])


class Browser:
    """A running Chromium that listens on `port`."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._address = f"http://127.0.0.1:{port}"
        self._listeners: list[asyncio.Task[None]] = []

    async def page(self) -> Page:
        """Open a new tab."""
        async with self._session.put(f"{self._address}/json/new?about:blank") as answer:
            target = await answer.json()
        page = Page(await self._session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0))
        self._listeners.append(asyncio.create_task(page.listen()))
        return page

    async def close(self) -> None:
        """Stop listening."""
        for listener in self._listeners:
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Run a Chromium with an empty profile while the block runs."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        try:
            port = await asyncio.wait_for(_port(process.stderr), DEADLINE_S)
            rest = asyncio.create_task(process.stderr.read())  # a full pipe would stop it
            async with aiohttp.ClientSession() as session:
                running = Browser(session, port)
                try:
                    yield running
                finally:
                    await running.close()
        finally:
            process.kill()
            await process.wait()
        await rest


async def _port(said: asyncio.StreamReader) -> int:
    """The port that the browser says it listens on."""
    async for line in said:
        if found := re.search(rb"DevTools listening on ws://[^:]+:(\d+)/", line):
            return int(found[1])
    raise AssertionError("chromium ended")
