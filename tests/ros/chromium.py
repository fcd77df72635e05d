"""Chromium without a GPU, and pages of the console in it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
MISSING = "no chromium; apt-get install chromium"
OPTIONS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
"""Without a GPU: drawn by the processor."""
PATIENCE_MS = 60_000
STOP = "EMERGENCY STOP (Esc)"


@contextmanager
def launched() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


@contextmanager
def page_opener(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages of an address, in windows of a size; at its end none may have reported an error."""
    pages, problems = [], []

    def open_page(address: str, width: int = 1280, height: int = 800) -> Page:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: message.type == "error" and problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        expect(page.get_by_role("button", name=STOP)).to_be_visible(timeout=PATIENCE_MS)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not problems
