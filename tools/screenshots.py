"""Look at a page in headless Chromium: `python tools/screenshots.py PAGE [--out DIR]`.

Opens the HTML file at 1280 and 390 px, light and dark, and prints one JSON object: for each view the width of the
content, and every request that the page made. With --out it also writes the four views there as PNG files. Speaks the
DevTools protocol over a pipe, so nothing but Chromium is needed.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")
TALLEST_PX = 2000
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--remote-debugging-pipe", "--hide-scrollbars"),
)


class Chromium:
    """A headless browser spoken to over descriptors 3 and 4, one NUL-ended JSON message at a time."""

    def __init__(self, executable: str, profile: str) -> None:
        there, to_browser = os.pipe()
        from_browser, here = os.pipe()

        def place() -> None:
            spare_in, spare_out = os.dup(there), os.dup(here)  # 3 and 4 may be among the pipe's own ends
            os.dup2(spare_in, 3)
            os.dup2(spare_out, 4)

        self._process = subprocess.Popen(
            [executable, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=place,
            close_fds=False,
            pass_fds=(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(there)
        os.close(here)
        self._out = os.fdopen(to_browser, "wb", buffering=0)
        self._in = os.fdopen(from_browser, "rb", buffering=0)
        self._rest = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Send one command and return its result; events that come meanwhile are kept."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            heard = self._read()
            if heard.get("id") == number:
                if "error" in heard:
                    raise RuntimeError(f"{method}: {heard['error']['message']}")
                result: dict[str, Any] = heard["result"]
                return result
            self.events.append(heard)

    def wait_for(self, method: str) -> None:
        """Read until an event of this name comes."""
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._read())

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = self._in.read(65536)
            if not piece:
                raise RuntimeError("Chromium ended before it answered")
            self._rest += piece
        text, _, self._rest = self._rest.partition(b"\0")
        heard: dict[str, Any] = json.loads(text)
        return heard

    def close(self) -> None:
        """End the browser."""
        self._out.close()
        self._in.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def look(browser: Chromium, page: Path, width: int, scheme: str) -> tuple[dict[str, Any], bytes]:
    """Load the page in one view; its measures and requests, and a picture of its first screens."""
    browser.events.clear()
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.call("Emulation.setDeviceMetricsOverride", session, **metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", session, features=features)
    browser.call("Network.enable", session)
    browser.call("Page.enable", session)
    browser.call("Page.navigate", session, url=page.as_uri())
    browser.wait_for("Page.loadEventFired")
    script = (
        "JSON.stringify({scroll_width: document.documentElement.scrollWidth, inner_width: innerWidth,"
        " height: document.documentElement.scrollHeight, paper: getComputedStyle(document.body).backgroundColor})"
    )
    told = browser.call("Runtime.evaluate", session, expression=script)["result"]["value"]
    seen = {"width": width, "scheme": scheme, **json.loads(told)}
    clip = {"x": 0, "y": 0, "width": width, "height": min(seen["height"], TALLEST_PX), "scale": 1}
    picture = browser.call("Page.captureScreenshot", session, format="png", captureBeyondViewport=True, clip=clip)
    requests = [
        event["params"]["request"]["url"]
        for event in browser.events
        if event.get("method") == "Network.requestWillBeSent" and event.get("sessionId") == session
    ]
    browser.call("Target.closeTarget", targetId=target)
    return seen | {"requests": requests}, base64.b64decode(picture["data"])


def find_chromium() -> str | None:
    """The browser's path, where there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, help="folder for the four pictures, named NAME-WIDTH-SCHEME.png")
    parser.add_argument("--name", default="page", help="first part of the pictures' names")
    options = parser.parse_args()
    executable = find_chromium()
    if executable is None:
        print("No Chromium on PATH: install it (Debian: apt-get install chromium).", file=sys.stderr)
        return 2
    views = []
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        browser = Chromium(executable, profile)
        try:
            for width in WIDTHS:
                for scheme in SCHEMES:
                    seen, picture = look(browser, options.page.resolve(), width, scheme)
                    views.append(seen)
                    if options.out is not None:
                        options.out.mkdir(parents=True, exist_ok=True)
                        (options.out / f"{options.name}-{width}-{scheme}.png").write_bytes(picture)
        finally:
            browser.close()
    print(json.dumps(views, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
