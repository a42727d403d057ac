"""The app as a user has it: a server of this machine, and a page on which things are clicked, uploaded and saved."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from browser import HERE, Seen, opened

PATIENCE = 90_000
"""Milliseconds that something may take to appear: machines of tests are busy."""
DONE = "[data-testid=stApp][data-test-script-state=notRunning]"
WORDS = {"good": "Success", "bad": "Error", "note": "Info", "warning": "Warning"}
"""Boxes by what they say."""


@contextmanager
def served(home: Path, *flags: str) -> Iterator[str]:
    """The address of an app that ends with the block; what it printed must hold no traceback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "galenic", "app", "--no-browser", "--port", str(port), *flags]
    surroundings = os.environ | {"HOME": str(home), "TMPDIR": str(home), "OMP_NUM_THREADS": "1"}
    with (home / "app.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=surroundings, cwd=home)
    try:
        wait_until_healthy(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert "Traceback" not in (home / "app.log").read_text()


def wait_until_healthy(port: int, process: subprocess.Popen[bytes], tries: int = 600) -> None:
    """Ask until it answers; fail where it ends instead."""
    for _ in range(tries):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
                assert answer.status == 200
                return
        except OSError:
            try:
                code = process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"the app ended with {code} before it answered") from None
    raise AssertionError("the app does not answer")


@contextmanager
def visited(browser: Any, url: str, **how: Any) -> Iterator[App]:
    """The app in a browser that is cut off from all other machines: what is asked of them is recorded."""
    with opened(browser, "about:blank", **how) as seen:
        page = seen.page
        page.set_default_timeout(PATIENCE)
        page.on("websocket", lambda socket: seen.asked.append(socket.url))
        page.context.route(lambda asked: (urlsplit(asked).hostname or "") not in HERE, lambda route: route.abort())
        page.goto(url)
        page.get_by_role("heading", level=1).wait_for()
        yield App(seen)


@dataclass
class App:
    """What a user does on its pages.

    Parameters
    ----------
    seen
        The page, and what it asked and complained of.
    """

    seen: Seen

    @property
    def page(self) -> Any:
        """Of Playwright."""
        return self.seen.page

    def go(self, name: str, title: str) -> None:
        """To another page by the list on the left, until it is drawn."""
        self.page.get_by_test_id("stSidebarNav").get_by_role("link", name=name, exact=True).click()
        self.page.get_by_role("heading", level=1, name=title).wait_for()
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is computed and every figure on the page is drawn."""
        self.page.wait_for_selector(DONE)
        self.page.wait_for_function(
            "[...document.querySelectorAll('[data-testid=stPlotlyChart], [data-testid=stSkeleton]')]"
            ".filter(one => one.offsetParent).every(one => one.querySelector('.main-svg'))"
        )

    def at(self, key: str) -> Any:
        """A widget by the key that the app gives it."""
        return self.page.locator(f".st-key-{key}")

    def box(self, kind: str) -> Any:
        """Boxes that can be seen, of a kind of ``WORDS``."""
        return self.page.locator(f"[data-testid=stAlertContent{WORDS[kind]}]:visible")

    def says(self, kind: str, text: str) -> str:
        """All of the box in which this text is, once it is there."""
        found = self.box(kind).filter(has_text=text).first
        found.wait_for()
        self.settle()
        return str(found.inner_text())

    def pick(self, key: str, label: str) -> None:
        """One of the choices side by side."""
        self.at(key).get_by_text(label, exact=True).click()

    def upload(self, key: str, name: str, content: bytes) -> None:
        """Hand over a file of this name."""
        self.settle()  # what is drawn anew loses what was handed over
        given = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        self.at(key).locator("input[type=file]").set_input_files(given)

    def saved(self, key: str) -> Path:
        """The file that a button saves, under the name that it suggests."""
        with self.page.expect_download() as waited:
            self.at(key).get_by_role("button").click()
        place = Path(waited.value.path())
        return place.rename(place.with_name(f"{place.name}-{waited.value.suggested_filename}"))

    def shot(self, name: str) -> None:
        """A picture of all of the page: Streamlit scrolls inside of the window, so the window is made as high."""
        size = self.page.viewport_size
        if os.environ.get("GALENIC_SHOTS"):
            main = "document.querySelector('[data-testid=stMain]').scrollHeight"
            self.page.set_viewport_size({**size, "height": max(size["height"], self.page.evaluate(main) + 20)})
            self.settle()
            self.seen.shot(f"app-{re.sub('[^a-z]+', '-', name.lower())}", full=False)
            self.page.set_viewport_size(size)
