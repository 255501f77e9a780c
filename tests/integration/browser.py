"""A headless Chromium, driven by its own driver in the W3C WebDriver protocol."""

import base64
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,800",
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""Key under which the protocol names elements."""
PATIENCE = 240
"""Seconds, for machines that do other things meanwhile."""


class Browser:
    """One window."""

    def __init__(self, session: str) -> None:
        self.session = session

    def open(self, address: str) -> None:
        """Go to a page."""
        send(f"{self.session}/url", url=address)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of a JavaScript function."""
        return send(f"{self.session}/execute/sync", script=script, args=list(arguments))

    def upload(self, selector: str, path: Path) -> None:
        """Choose a file as a user does."""
        element = send(f"{self.session}/element", using="css selector", value=selector)[ELEMENT]
        send(f"{self.session}/element/{element}/value", text=str(path))

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression holds."""
        deadline = time.monotonic() + PATIENCE
        while not self.run(f"return Boolean({condition})"):
            assert time.monotonic() < deadline, f"waited in vain for {condition}"
            time.sleep(0.1)

    def screenshot(self, path: Path) -> Path:
        """Save what is seen as PNG."""
        path.write_bytes(base64.b64decode(send(f"{self.session}/screenshot", method="GET")))
        return path

    def complaints(self) -> list[str]:
        """Errors that the page has caused, apart from answers that tell of a mistake."""
        entries = send(f"{self.session}/se/log", type="browser")
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE" and "status of 400" not in entry["message"]]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start a browser with an empty profile; skips the test where there is none."""
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("chromium and chromedriver are not installed")
    process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        port = next(found[1] for line in process.stdout if (found := re.search(r"started successfully on port (\d+)", line)))
        options = {"binary": program, "args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        root = f"http://127.0.0.1:{port}/session"
        session = send(root, capabilities={"alwaysMatch": wanted})
        browser = Browser(f"{root}/{session['sessionId']}")
        try:
            yield browser
        finally:
            send(browser.session, method="DELETE")
    finally:
        process.terminate()
        process.wait()


def send(address: str, method: str = "POST", **values: Any) -> Any:
    """One command of the protocol; returns its value."""
    body = json.dumps(values).encode() if method == "POST" else None
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)["value"]
