"""A person at the console: takes the arm over in a real browser, drags it to the button with the mouse, presses the
button, and records that; the recording is converted and replayed. Real graph, real recorder, real mouse events.
"""

import json
import subprocess

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("viser")
pytest.importorskip("playwright")
pytest.importorskip("mink")

from playwright.sync_api import Page, expect

from genima_core.arm import PANDA
from genima_core.data.dataset import Dataset
from genima_core.geometry import look_at
from genima_core.sim.planning import plan_scene
from genima_core.streaming.states import Commander
from genima_ros.messages import conversions, interfaces
from genima_ros.nodes.console.lead import HANDLE_M
from genima_ros.nodes.console.scene import VIEW_AT, VIEW_FROM

from .chromium import CHROMIUM, MISSING, PATIENCE_MS, launched, page_opener
from .test_intervention_session import GAPS, PATIENT, end
from .test_teleop_session import BOUNDS, PATIENCE_S, Operator, run, start

pytestmark = [
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason=MISSING),
]

SEED = 1000
FIELD_OF_VIEW_RAD = np.deg2rad(75.0)
"""Of viser's page."""
GRIPS = (0.75, 0.58, 0.75)
"""Where along each arrow of the handle it is gripped, so that it is no arc that turns the handle."""
NEAR_M, DEEPER_M, LONGEST_M = 0.006, 0.01, 0.12
FRAMES = (
    "() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(drawn))))"
)
"""The page finds out what is under the mouse by what it has drawn."""


class Hand(Operator):
    """Sees where the leader is, and drags it by the page's handle."""

    def __init__(self, page: Page, *processes) -> None:
        super().__init__(*processes)
        self.page, self.q, self.asked = page, PANDA.home, [PANDA.home]
        self.listen(interfaces.LEADER_JOINT_STATES, lambda message: setattr(self, "q", read(message)))
        self.listen(interfaces.LEADER_COMMAND, lambda message: self.asked.append(read(message)))

    @property
    def handle(self) -> np.ndarray:
        """(4, 4), where it was dragged to."""
        return PANDA.frame_pose(self.asked[-1], "tcp")

    def pixel(self, p_base: np.ndarray) -> tuple[float, float]:
        """Where a point is seen on the page, whose view nobody has turned."""
        box = self.page.locator("canvas").first.bounding_box()
        x, y, z = (np.linalg.inv(look_at(np.array(VIEW_FROM), np.array(VIEW_AT))) @ np.append(p_base, 1.0))[:3]
        scale = box["height"] / 2 / np.tan(FIELD_OF_VIEW_RAD / 2) / z
        return box["x"] + box["width"] / 2 + scale * x, box["y"] + box["height"] / 2 + scale * y

    def drag(self, axis: int, way_m: float) -> None:
        """By an arrow of the handle, as far as this along it."""
        grip_m = GRIPS[axis] * HANDLE_M
        before, arrow, mouse = self.asked[-1], self.handle[:3, axis], self.page.mouse
        begin, goal = (self.handle[:3, 3] + at_m * arrow for at_m in (grip_m, grip_m + way_m))
        mouse.move(*self.pixel(begin))
        self.page.evaluate(FRAMES)
        mouse.down()
        mouse.move(*self.pixel(goal), steps=5)
        self.page.evaluate(FRAMES)
        mouse.up()
        count = len(self.asked)

        def over() -> bool:
            """The leader has been told twice to go to one place, another than before, and is there."""
            told = self.asked[count:]
            again = len(told) > 1 and (told[-1] == told[-2]).all() and np.abs(told[-1] - before).max() > 1e-3
            return self.success or (again and np.abs(self.q - told[-1]).max() < 1e-3)

        print("drag", axis, round(way_m, 3), self.handle[:3, 3], flush=True)
        self.page.screenshot(path="/tmp/w/s.png")
        self.wait(over, "the leader where the handle is")

    def drag_over(self, goal: np.ndarray) -> None:
        """Above a point."""
        for axis in (0, 1):
            way = self.handle[:3, axis] * (1.0, 1.0, 0.0)
            while abs(away_m := way @ (goal - self.handle[:3, 3])) > NEAR_M and not self.success:
                self.drag(axis, float(np.clip(away_m, -LONGEST_M, LONGEST_M)))


def read(message) -> np.ndarray:
    return conversions.positions_by_name(message, PANDA.joint_names)


def button(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def demonstrate(page: Page, hand: Hand) -> None:
    """Takes over, records, presses the button, and labels the recording."""
    planned = plan_scene("push_button", SEED, PANDA.home, 1.0)
    tips = np.array([PANDA.frame_pose(q, "tcp")[:3, 3] for q in planned.q])
    goal = tips[tips[:, 2].argmin()]
    page.get_by_role("tab", name="Lead").click()
    button(page, "Take over")
    hand.wait(lambda: hand.teleop.startswith("mirroring"), "taking over")
    expect(page.get_by_text("drag the handle at the gripper;")).to_be_visible(timeout=PATIENCE_MS)
    opening = page.get_by_text("gripper, %", exact=True).locator("xpath=following::input[@type='text'][1]")
    opening.fill("0")
    opening.press("Enter")
    page.get_by_role("tab", name="Record").click()
    hand.wait(lambda: "recorder" in hand.diagnostics, "the recorder")
    button(page, "Start")
    hand.wait(lambda: hand.recording, "the start of the recording")
    hand.drag_over(goal)
    while not hand.success:
        hand.drag(2, float(np.clip(hand.handle[2, 3] - goal[2], DEEPER_M, LONGEST_M)))
        hand.drag_over(goal)
    hand.wait(lambda: hand.success, "the button that was pressed")
    button(page, "Stop")
    hand.wait(lambda: not hand.recording, "the end of the recording")
    button(page, "Success")
    expect(page.get_by_text("✓ recorder label")).to_be_visible(timeout=PATIENCE_MS)


def test_a_person_drags_the_arm_to_the_button_presses_it_and_that_is_recorded_and_replayed(tmp_path):
    patient = {name: PATIENT[name] for name in ("streamer", "teleop")}
    for name, nodes in (("bounds", {"recorder": BOUNDS | GAPS}), ("patient", patient)):
        sections = {node: {"ros__parameters": values} for node, values in nodes.items()}
        (tmp_path / f"{name}.yaml").write_text(json.dumps(sections))
    arguments = (f"seed:={SEED}", "fps:=10", "size:=64", "console:=true", f"config:={tmp_path / 'patient.yaml'}")
    up = start(tmp_path, "up", "up", "teleop", "sim", *arguments)
    options = ("--out", tmp_path / "bags", "--episodes", 1, "--fps", 10, "--config", tmp_path / "bounds.yaml")
    record = start(tmp_path, "record", "record", "push_button", *options, stdin=subprocess.PIPE)
    try:
        with launched() as browser, page_opener(browser) as open_page, Operator(record, up, tmp_path) as operator:
            operator.wait(lambda: "console" in operator.diagnostics, "the console")
            log = (tmp_path / "up.log").read_text()
            assert log.startswith("http://127.0.0.1:"), "the address comes first"
            address = operator.diagnostics["console"]["address"]
            assert log.split()[0] == address or "was taken meanwhile" in log
            page = open_page(address)
            with Hand(page, record, up, tmp_path) as hand:
                demonstrate(page, hand)
                assert hand.diagnostics["streamer"]["limit_violations"] == 0
        with Operator(record, up, tmp_path) as operator:
            assert operator.spin_until(lambda: record.poll() is not None, PATIENCE_S)
        assert record.returncode == 0
    finally:
        end(up, record)
        for name in ("up", "record"):
            print((tmp_path / f"{name}.log").read_text())
    run("convert", "bags", tmp_path / "bags", tmp_path / "data")
    episode = Dataset(tmp_path / "data").episode(0)
    assert episode.success and episode.seed == SEED
    assert (episode.commander == list(Commander).index(Commander.HUMAN)).mean() > 0.9
    run("replay", tmp_path / "data", "--sim", "--speed", 2, "--json", tmp_path / "replay.json")
    assert json.loads((tmp_path / "replay.json").read_text())["success"] is True
