"""Chromium driven through chromedriver by the W3C WebDriver protocol, with the standard library only."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from processes import DEADLINE_S

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
ARROW_RIGHT, ARROW_LEFT, HOME, END, ENTER = "\ue014", "\ue012", "\ue011", "\ue010", "\ue007"


class Browser:
    """A session: pages, scripts, keys, screenshots, console messages and network requests."""

    def __init__(self, address: str, profile: Path) -> None:
        self._address = address
        wanted = {
            "goog:chromeOptions": {"args": [*_FLAGS, f"--user-data-dir={profile}"]},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        self._session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def open(self, page: Path, width: int, height: int = 900, dark: bool = False) -> None:
        """Loads a file in a window of that size in CSS pixels, at a device pixel ratio of 1."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.command(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        self._do("POST", "/url", {"url": page.absolute().as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """Runs the body of a JavaScript function and returns its result."""
        return self._do("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait_for(self, script: str, deadline: float = DEADLINE_S) -> Any:
        """Runs the script until its result is true; fails after `deadline` seconds."""
        end = time.monotonic() + deadline
        while not (found := self.run(script)):
            if time.monotonic() > end:
                pytest.fail(f"still not true after {deadline} s: {script}")
            time.sleep(0.05)
        return found

    def press(self, keys: str) -> None:
        """Presses and releases keys one after another in the focused element."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._do("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def drag(self, start: tuple[int, int], end: tuple[int, int], pointer: str = "touch") -> None:
        """Drags with a finger (or the mouse) from one point of the window to another."""
        moves = [
            {"type": "pointerMove", "x": start[0], "y": start[1], "duration": 0},
            {"type": "pointerDown"},
            {"type": "pointerMove", "x": end[0], "y": end[1], "duration": 100},
            {"type": "pointerUp"},
        ]
        self._do(
            "POST",
            "/actions",
            {
                "actions": [
                    {"type": "pointer", "id": "finger", "actions": moves, "parameters": {"pointerType": pointer}}
                ]
            },
        )

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """A PNG of the window, or of the whole page."""
        made = self.command(
            "Page.captureScreenshot",
            captureBeyondViewport=whole,
            **(
                {
                    "clip": {
                        "x": 0,
                        "y": 0,
                        "scale": 1,
                        **self.run(
                            "const r = document.documentElement; return {width: r.clientWidth, height: r.scrollHeight};"
                        ),
                    }
                }
                if whole
                else {}
            ),
        )
        path.write_bytes(base64.b64decode(made["data"]))

    def command(self, name: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._do("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def complaints(self) -> list[str]:
        """Warnings and errors of the console since the last call."""
        return [
            f"{entry['level']}: {entry['message']}"
            for entry in self._do("POST", "/se/log", {"type": "browser"})
            if entry["level"] in ("WARNING", "SEVERE")
        ]

    def requests(self) -> list[str]:
        """Addresses requested by pages since the last call."""
        events = [
            json.loads(entry["message"])["message"] for entry in self._do("POST", "/se/log", {"type": "performance"})
        ]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]

    def close(self) -> None:
        """Ends the session and its browser."""
        self._do("DELETE", "")

    def _do(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._ask(method, f"/session/{self._session}{path}", body)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            self._address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=DEADLINE_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{method} {path}: {json.load(error)['value']['message']}")


def missing_browser() -> str:
    """The reason why there is no browser for tests; empty if there is one."""
    lacking = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    return f"no {' and no '.join(lacking)} on PATH (Debian: apt install chromium chromium-driver)" if lacking else ""


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A Chromium of its own with an empty profile in `folder`; ends with all its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "chromedriver.log").open("wb")
    driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for_port(port, driver)
        session = Browser(f"http://127.0.0.1:{port}", folder / "profile")
        yield session
        session.close()
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
        log.close()


def _wait_for_port(port: int, driver: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end and driver.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"chromedriver does not answer on port {port} after {DEADLINE_S} s, status {driver.poll()}")
