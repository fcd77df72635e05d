"""The console in a real browser: it loads, nothing overlaps, controls do what they say, and a key stops the arm."""

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("viser")
pytest.importorskip("playwright")

from playwright.sync_api import Browser, Page, expect
from std_msgs.msg import String

from genima_core.streaming.states import Reason, State
from genima_ros.messages import interfaces
from genima_ros.nodes.console_node import ConsoleNode

from .chromium import CHROMIUM, MISSING, PATIENCE_MS, STOP, launched, page_opener

pytestmark = [
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason=MISSING),
]


class Spun:
    """A bench that a thread of its own spins, because the browser is driven from this one."""

    def __init__(self, bench) -> None:
        self._bench, self._over = bench, False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def until(self, condition: Callable[[], object]) -> None:
        with self._news:
            assert self._news.wait_for(condition, PATIENCE_MS / 1e3), "what the test waits for did not happen"

    def close(self) -> None:
        self._over = True
        self._thread.join()

    def _spin(self) -> None:
        while not self._over:
            self._bench.executor.spin_once(timeout_sec=0.05)
            with self._news:
                self._news.notify_all()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def console(bench, cell) -> ConsoleNode:
    cell.offer("controller/approve", "controller/reject", "recorder/start", "sim/reset")
    return bench.node(ConsoleNode)


@pytest.fixture
def spun(bench, console) -> Iterator[Spun]:
    spun = Spun(bench)
    yield spun
    spun.close()


@pytest.fixture
def open_page(browser, console, spun) -> Iterator[Callable[..., Page]]:
    with page_opener(browser) as open_page:
        yield partial(open_page, console.address)


def tell(page: Page, text: str) -> None:
    """Types it where instructions are typed, and leaves the cursor there."""
    field = page.get_by_text("instruction", exact=True).locator("xpath=following::input[1]")
    field.click()
    field.fill(text)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1024, 768)])
def test_what_matters_is_in_sight_and_nothing_lies_over_it(cell, spun, open_page, width, height):
    cell.say(interfaces.INSTRUCTION, String(data="push the button"))
    page = open_page(width, height)
    expect(page.get_by_text("AT REST")).to_be_visible(timeout=PATIENCE_MS)
    for control in (STOP, "Enable", "Disable", "Reset fault", "Recover", "Tell"):
        button = page.get_by_role("button", name=control, exact=True)
        box = button.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
        assert 0 <= box["y"] and box["y"] + box["height"] <= height
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        on_top = page.evaluate("([x, y]) => document.elementFromPoint(x, y).closest('button')?.innerText", middle)
        assert on_top is not None and on_top.strip() == control
    expect(page.get_by_text("push the button").first).to_be_visible(timeout=PATIENCE_MS)
    picture = page.locator("img:visible").first
    first = picture.get_attribute("src")
    expect(picture).not_to_have_attribute("src", str(first), timeout=PATIENCE_MS)  # pictures go on arriving


def test_the_button_and_the_key_stop_the_arm_also_while_somebody_types(cell, spun, open_page):
    page = open_page()
    stop = page.get_by_role("button", name=STOP)

    def moving() -> bool:
        return cell.streamer.status.state is State.TRACKING

    def stopped() -> bool:
        return cell.streamer.status.state is State.FAULT

    def type_and_press_escape() -> None:
        tell(page, "half a sentence")
        page.keyboard.press("Escape")

    for how in (stop.click, lambda: page.keyboard.press("Escape"), type_and_press_escape):
        cell.acting = True
        spun.until(moving)
        how()
        spun.until(stopped)
        cell.acting = False
        expect(page.get_by_text("FAULT", exact=True)).to_be_visible(timeout=PATIENCE_MS)
        expect(page.get_by_text("emergency stop: the arm stops and stays").first).to_be_visible(timeout=PATIENCE_MS)
        page.get_by_role("button", name="Reset fault").click()
        spun.until(lambda: cell.streamer.status.state is State.HOLDING)
        page.get_by_role("button", name="Enable").click()
        spun.until(lambda: cell.streamer.status.reason is not Reason.DISABLED)


def test_an_instruction_a_scene_an_approval_and_a_recording(bench, cell, spun, open_page):
    heard = bench.listen(interfaces.INSTRUCTION)
    page = open_page()
    tell(page, "open the drawer")
    page.get_by_role("button", name="Tell", exact=True).click()
    spun.until(lambda: [message.data for message in heard] == ["open the drawer"])
    expect(page.get_by_text("✓ instruction: open the drawer")).to_be_visible(timeout=PATIENCE_MS)
    cell.report(controller={"rate_hz": 1.0}, sim={"task": "turn_tap"})
    cell.propose()
    page.get_by_role("button", name="Approve").click()
    spun.until(lambda: [name for name, _ in cell.calls] == ["controller/approve"])
    page.get_by_role("button", name="Next scene").click()
    spun.until(lambda: cell.calls[-1] == ("sim/reset", None))
    page.get_by_role("tab", name="Record").click()
    page.get_by_role("button", name="Start", exact=True).click()
    spun.until(lambda: cell.calls[-1] == ("recorder/start", None))
    page.get_by_role("tab", name="State").click()
    expect(page.get_by_text("streamer", exact=True)).to_be_visible(timeout=PATIENCE_MS)
