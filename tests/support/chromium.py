"""Headless Chromium over its debugging pipe: a page on a screen of any width, what it logs, and its picture."""

import base64
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# A browser that hangs is ended, so that a test fails instead.
_PATIENCE_SECONDS = 120
FOUND = next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Browser:
    """A tab. complaints: what it logged as a warning or an error, and exceptions, in order."""

    out: Any
    into: Any
    session: str = ""
    count: int = 0
    complaints: list[str] = field(default_factory=list)
    loaded: int = 0

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the answer to a command of the DevTools protocol."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        self.out.write(json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        self.out.flush()
        while True:
            answer = self.read()
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]

    def read(self) -> dict[str, Any]:
        """Return the next message, having taken note of it."""
        letters = bytearray()
        while (letter := self.into.read(1)) != b"\0":
            assert letter, "the browser went away"
            letters += letter
        message = json.loads(letters)
        name, content = message.get("method"), message.get("params", {})
        if name == "Log.entryAdded" and content["entry"]["level"] in ("warning", "error"):
            self.complaints.append(content["entry"]["text"])
        if name == "Runtime.exceptionThrown" or (name == "Runtime.consoleAPICalled" and content["type"] != "log"):
            self.complaints.append(json.dumps(content))
        self.loaded += name == "Page.loadEventFired"
        return message

    def open(self, page: Path, *, width: int, height: int = 900) -> None:
        """Load a page on a screen of some CSS pixels, a phone's where it is narrow."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1.5, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", **screen)
        before = self.loaded
        self.ask("Page.navigate", url=page.as_uri())
        while self.loaded == before:
            self.read()

    def value(self, expression: str) -> Any:
        """Return what a JavaScript expression gives."""
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def picture(self, path: Path) -> None:
        """Write the whole page as PNG."""
        data = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start a browser with a profile folder of its own, and close it."""
    assert FOUND is not None
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    # The protocol is spoken over the file descriptors 3 and 4.
    start = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe"]
    process = subprocess.Popen(
        ["bash", "-c", start, FOUND, *flags, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    patience = threading.Timer(_PATIENCE_SECONDS, process.kill)
    patience.start()
    with open(ours_out, "wb") as out, open(ours_in, "rb") as into:
        tab = Browser(out, into)
        try:
            target = tab.ask("Target.createTarget", url="about:blank")["targetId"]
            tab.session = tab.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                tab.ask(f"{domain}.enable")
            yield tab
        finally:
            patience.cancel()
            process.kill()
            process.wait()
