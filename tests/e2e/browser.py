"""A real browser for tests of what people see: pages, what they asked of the network, what they complained of.

Used by the tests of the reports and of the app; the fixture ``browser`` is known to all tests of this folder::

    from browser import opened

    def test_a_page(browser: Any) -> None:
        with opened(browser, path.as_uri()) as seen:
            seen.page.get_by_role("button", name="SVG").first.click()
        assert seen.complaints == [] and seen.strangers == []
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

CANDIDATES = ("chromium", "chromium-browser", "google-chrome", "chrome")
HERE = {"", "localhost", "127.0.0.1", "::1"}
DESK, PHONE = (1280, 900), (390, 844)


def chromium() -> str | None:
    """The Chromium of this machine: ``GALENIC_CHROMIUM``, ``/usr/bin/chromium`` or one on the path."""
    named = os.environ.get("GALENIC_CHROMIUM")
    places = [named] if named else ["/usr/bin/chromium", *filter(None, map(shutil.which, CANDIDATES))]
    return next((place for place in places if Path(place).is_file()), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One browser for all tests of a session; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install galenic[dev]")
    place = chromium()
    if place is None:
        pytest.skip("no Chromium is installed; set GALENIC_CHROMIUM to one")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=place, args=["--no-sandbox"])
        yield started
        started.close()


@dataclass
class Seen:
    """A page, and what it did while it was open.

    ``complaints`` are errors and warnings of the console and uncaught exceptions; ``asked`` are all addresses that
    were asked for, ``strangers`` those of another machine.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def strangers(self) -> list[str]:
        """Addresses outside this machine."""
        parts = {url: urlsplit(url) for url in self.asked}
        local = {"file", "data", "blob", "about"}
        return [url for url, it in parts.items() if it.scheme not in local and (it.hostname or "") not in HERE]

    def shot(self, name: str, *, full: bool = True) -> None:
        """Save a screenshot as ``name.png`` in the folder that ``GALENIC_SHOTS`` names, if it does."""
        folder = os.environ.get("GALENIC_SHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            file = re.sub(r"[^\w.-]+", "-", name) + ".png"
            self.page.screenshot(path=Path(folder) / file, full_page=full)

    def trouble(self, *, at_least: tuple[str, ...] = ("serious", "critical")) -> list[str]:
        """What axe-core finds of at least these grades: rule, help and the first places, a line each."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
        found = axe.Axe().run(self.page).response["violations"]
        return [
            f"{one['id']} ({one['impact']}): {one['help']}: {[node['target'] for node in one['nodes'][:4]]}"
            for one in found
            if one["impact"] in at_least
        ]


@contextmanager
def opened(
    browser: Any, url: str, *, size: tuple[int, int] = DESK, scheme: str = "light", offline: bool = False, **more: Any
) -> Iterator[Seen]:
    """A page of its own context at this address, closed at the end.

    Parameters
    ----------
    browser
        Of the fixture.
    url
        ``Path.as_uri()`` of a file, or an address of this machine.
    size
        Width and height of the window; ``DESK`` and ``PHONE`` are usual.
    scheme
        ``"light"`` or ``"dark"``.
    offline
        Whether the network is cut.
    more
        Further settings of the context.
    """
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, offline=offline, accept_downloads=True, **more
    )
    try:
        page = context.new_page()
        seen = Seen(page)
        page.on("console", lambda said: said.type in ("error", "warning") and seen.complaints.append(said.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("request", lambda request: seen.asked.append(request.url))
        page.goto(url)
        yield seen
    finally:
        context.close()
