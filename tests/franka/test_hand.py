import threading
import time
from types import SimpleNamespace

import pytest

from genima_core.franka.hand import FrankaHand
from genima_core.gripper import GripperConfig, GripperControl, State

LIMIT_S = 30.0


class Gripper:
    def __init__(self) -> None:
        self.width_m, self.calls, self.moving, self.stopped = 0.08, [], threading.Event(), threading.Event()
        self.object_m = 0.0
        """Width of what is between the fingers."""
        self.moving.set()

    def read_once(self):
        time.sleep(0.005)
        return SimpleNamespace(width=self.width_m)

    def move(self, width_m, speed):
        self.calls.append(("move", width_m))
        while not self.moving.wait(0.005):
            if self.stopped.is_set():
                return False
        self.width_m = max(width_m, self.object_m)
        return self.width_m == width_m

    def grasp(self, width_m, speed, force, inner, outer):
        self.calls.append(("grasp", width_m))
        self.width_m = self.object_m
        return True

    def homing(self):
        return True

    def stop(self):
        self.stopped.set()
        return True


class Hand:
    """A hand with what moves it, stepped as the node does."""

    def __init__(self, open_gripper) -> None:
        self.driver = FrankaHand(open_gripper, 0.08)
        self.control = GripperControl(GripperConfig(), 0.08, self.driver)

    def until(self, condition) -> None:
        end_s = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end_s, "what the test waits for did not happen"
            self.driver.deliver(self.control, time.monotonic())
            self.control.step(time.monotonic())
            time.sleep(0.002)


@pytest.fixture
def hand():
    gripper = Gripper()
    hand = Hand(lambda: gripper)
    hand.gripper = gripper
    hand.until(lambda: hand.driver.width_m is not None)
    yield hand
    hand.driver.close()


def test_it_closes_by_a_grasp_that_holds_what_is_there_and_opens_by_a_move(hand):
    hand.gripper.object_m = 0.03
    hand.control.command(0.0)
    hand.until(lambda: hand.control.holding)
    hand.control.command(0.06)
    hand.until(lambda: hand.driver.width_m == pytest.approx(0.06))
    assert hand.gripper.calls == [("grasp", 0.0), ("move", 0.06)]
    assert hand.driver.home()


def test_an_empty_hand_closes_as_far_as_it_is_told_and_holds_what_is_in_the_way(hand):
    hand.control.command(0.05)
    hand.until(lambda: hand.driver.width_m == pytest.approx(0.05))
    hand.until(lambda: hand.control.state is State.IDLE)
    assert hand.gripper.calls == [("move", 0.05)] and not hand.control.holding
    hand.gripper.object_m = 0.03
    hand.control.command(0.02)
    hand.until(lambda: hand.control.holding)
    assert hand.gripper.calls[1:] == [("move", 0.02), ("grasp", 0.02)]


def change_its_mind(hand, first_m, then_m):
    """Another width is asked for in mid motion, which stops; it comes there."""
    hand.gripper.moving.clear()
    hand.control.command(first_m)
    hand.until(lambda: hand.control.state is State.MOVING)
    hand.control.command(then_m)
    hand.until(hand.gripper.stopped.is_set)
    hand.gripper.moving.set()
    hand.until(lambda: hand.driver.width_m == pytest.approx(then_m))


def test_closing_that_is_stopped_does_not_become_a_grasp(hand):
    change_its_mind(hand, 0.03, 0.08)
    assert not any(name == "grasp" for name, _ in hand.gripper.calls)


def test_a_newer_width_stops_the_motion_under_way(hand):
    hand.gripper.width_m = 0.02
    hand.until(lambda: hand.driver.width_m == pytest.approx(0.02))
    change_its_mind(hand, 0.08, 0.05)
    assert hand.control.problem == ""


def test_a_hand_that_is_not_there_is_said_and_found_later():
    there = []

    def open_gripper():
        if not there:
            raise ConnectionError("nobody answers at port 1338")
        return there[0]

    hand = Hand(open_gripper)
    hand.until(lambda: hand.driver.problem)
    assert hand.driver.problem == "nobody answers at port 1338" and not hand.driver.ready()
    with pytest.raises(RuntimeError, match="the hand is not reached: nobody answers"):
        hand.driver.home()
    there.append(Gripper())
    hand.until(hand.driver.ready)
    hand.driver.close()


def test_what_the_package_raises_is_an_answer(hand):
    def fail(*_):
        raise RuntimeError("Command\nfailed!")

    hand.gripper.move = fail
    hand.gripper.width_m = 0.0
    hand.until(lambda: hand.driver.width_m == 0.0)
    hand.control.command(0.08)
    hand.until(lambda: hand.control.problem)
    assert hand.control.problem == "the gripper has failed: Command failed!"
