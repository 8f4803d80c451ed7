"""A headless Chromium for tests, spoken to over its debugging pipe: the standard library is enough for that.

The protocol: https://chromedevtools.github.io/devtools-protocol/. Messages are JSON, each ended by a zero byte; the
browser reads them from file descriptor 3 and writes to 4.
"""

import base64
import io
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)
SOFTWARE_WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
NO_WEBGL = ("--disable-3d-apis",)


def find_chromium() -> str | None:
    """The browser that is installed: the variable CHROMIUM, else the usual names. None on Windows: no pipes there."""
    if os.name != "posix":
        return None
    names = (os.environ.get("CHROMIUM", "chromium"), "chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


class Chromium:
    """One browser with one page."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing
        self.numbers = itertools.count(1)
        self.rest = b""
        self.session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its result; events that come meanwhile are kept."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message(60.0)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def open(self, path: Path, width: int = 1300, height: int = 900, theme: str = "light") -> None:
        """Load a file from disk at a window size, and wait until it is complete."""
        self.events.clear()
        media = [{"name": "prefers-color-scheme", "value": theme}]
        self.call("Emulation.setEmulatedMedia", features=media)
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; promises are waited for."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = 60.0) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < end, f"not true after {seconds} s: {condition}; {self.complaints()}"
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """Press and release a key where the focus is ("ArrowUp", "Tab", "Enter", "1")."""
        codes = {"Tab": 9, "Enter": 13, "PageUp": 33, "PageDown": 34, "ArrowLeft": 37, "ArrowUp": 38}
        codes |= {"ArrowRight": 39, "ArrowDown": 40, " ": 32} | {str(digit): 48 + digit for digit in range(10)}
        text = {"text": "\r"} if key == "Enter" else {}
        event = {"key": key, "code": f"Digit{key}" if key.isdigit() else key, "windowsVirtualKeyCode": codes[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def picture(self, selector: str | None = None) -> np.ndarray:
        """What is seen of an element (or of the window), as RGB numbers."""
        clip = {}
        if selector is not None:
            box = self.run(
                f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView("
                "{block: 'center', behavior: 'instant'}); const b = e.getBoundingClientRect();"
                "return [b.x + scrollX, b.y + scrollY, b.width, b.height] })()"
            )
            clip = {"clip": dict(zip(("x", "y", "width", "height"), box, strict=True)) | {"scale": 1}}
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, **clip)["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)

    def complaints(self) -> list[str]:
        """Console errors and warnings, uncaught exceptions, violations of the page's policy, since `open`.

        Without what the graphics driver says about `picture` reading pixels back.
        """
        self._drain()
        found = []
        for event in self.events:
            params = event["params"]
            if event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
            if event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                found.append(" ".join(str(part.get("value", part)) for part in params["args"]))
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(params["exceptionDetails"]))
        return [text for text in found if "GPU stall due to ReadPixels" not in text]

    def requests(self) -> list[str]:
        """The addresses that were asked for since `open`; what lies in the page itself (data:) is none."""
        self._drain()
        urls = [
            event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith("data:")]

    def _drain(self) -> None:
        self.run("new Promise(resolve => setTimeout(resolve, 50))")

    def _message(self, seconds: float) -> dict[str, Any]:
        """The next answer; events on the way are put aside."""
        while True:
            while b"\0" not in self.rest:
                ready, _, _ = select.select([self.reading], [], [], seconds)
                assert ready, f"Chromium was silent for {seconds} s"
                chunk = os.read(self.reading, 1 << 20)
                assert chunk, "Chromium ended"
                self.rest += chunk
            text, _, self.rest = self.rest.partition(b"\0")
            message = json.loads(text)
            if "id" in message:
                return message
            self.events.append(message)


@contextmanager
def launched(path: str, profile: Path, flags: tuple[str, ...] = SOFTWARE_WEBGL) -> Iterator[Chromium]:
    """A browser with an empty profile; ended with the block."""
    theirs_in, ours_write = os.pipe()
    ours_read, theirs_out = os.pipe()
    command = [path, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
    # A shell could do this too, but the plain ones know descriptors of one digit only.
    move = f"import os, sys; os.dup2({theirs_in}, 3); os.dup2({theirs_out}, 4); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", move, *command],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Chromium(ours_read, ours_write)
    finally:
        os.close(ours_write)  # the browser ends when its pipe does
        os.close(ours_read)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
