"""The Franka Hand over the vendor's network protocol, by the package franka-rs; no ROS, and nothing waits for it."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from genima_core.gripper import Answer, Goal, GripperControl

SHUT_M = 0.005
"""Up to this width closing is a grasp at once."""
RETRY_S = 1.0
HOMING_S = 30.0
Action = Callable[[Any], object]


class FrankaHand:
    """A `genima_core.gripper.Driver`. What becomes of goals is kept, until `deliver` is called by its owner's thread.

    One thread reads the width, another carries out goals one after the other; a stop interrupts the one under way.
    """

    def __init__(
        self, open_gripper: Callable[[], Any], max_width_m: float, speed_m_s: float = 0.1, force_n: float = 20.0
    ) -> None:
        """`open_gripper` returns a `franka.Gripper`, or raises what keeps it from it."""
        self._open, self._max_width_m, self._speed_m_s, self._force_n = open_gripper, max_width_m, speed_m_s, force_n
        self.width_m: float | None = None
        """As last measured; None before, and while the hand is not reached."""
        self.problem = ""
        """Why the hand is not reached; "" where it is."""
        self._news: queue.SimpleQueue[tuple[int, Answer | None]] = queue.SimpleQueue()
        """Numbers of goals, taken on (None) or ended."""
        self._gripper: Any = None
        self._work: queue.SimpleQueue[tuple[int | None, Action, Future[object] | None]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._closing = threading.Event()
        for run in (self._read, self._carry_out):
            threading.Thread(target=run, name="franka_hand", daemon=True).start()

    def ready(self) -> bool:
        return self._gripper is not None

    def send(self, goal: Goal) -> None:
        speed_m_s, force_n, slack_m = self._speed_m_s, self._force_n, self._max_width_m

        def act(gripper: Any) -> object:
            if not goal.closing:
                return gripper.move(goal.width_m, speed_m_s)
            if goal.width_m > SHUT_M and self._reaches(gripper, goal):
                return True
            # Holds whatever is between the fingers, however wide it is; without anything it closes to 0.
            return gripper.grasp(goal.width_m, speed_m_s, force_n, slack_m, slack_m)

        self._work.put((goal.number, act, None))

    def _reaches(self, gripper: Any, goal: Goal) -> bool:
        """Whether the fingers come to a width; what is between them would keep them from it."""
        try:
            reached = bool(gripper.move(goal.width_m, self._speed_m_s))
        except Exception:  # a hand that is gone will say so to the grasp that follows
            reached = False
        if not reached and goal.number in self._cancelled:
            raise RuntimeError("it was cancelled")
        return reached

    def cancel(self, number: int) -> None:
        self._cancelled.add(number)
        if (gripper := self._gripper) is not None:
            # In a thread of its own: nobody knows how soon the hand answers.
            threading.Thread(target=_quietly, args=(gripper.stop,), daemon=True).start()

    def deliver(self, control: GripperControl, now_s: float) -> None:
        """Tells the state machine what was measured, and what has become of its goals."""
        if (width_m := self.width_m) is not None:
            control.measured(width_m)
        while not self._news.empty():
            number, answer = self._news.get()
            if answer is None:
                control.on_accepted(number, now_s)
            else:
                control.on_answer(number, answer, now_s)

    def home(self) -> bool:
        """Moves the fingers through their whole range to find it, as is needed after they were changed; waits for it.

        RuntimeError: why it did not work.
        """
        if self._gripper is None:
            raise RuntimeError(f"the hand is not reached: {self.problem or 'it is being connected'}")
        done: Future[object] = Future()
        self._work.put((None, lambda gripper: gripper.homing(), done))
        try:
            return bool(done.result(HOMING_S))
        except Exception as error:
            raise RuntimeError(f"homing failed: {' '.join(str(error).split()) or 'no answer'}") from error

    def close(self) -> None:
        self._closing.set()

    # ---- the threads

    def _read(self) -> None:
        while not self._closing.is_set():
            try:
                if self._gripper is None:
                    self._gripper = self._open()
                self.width_m, self.problem = float(self._gripper.read_once().width), ""
            except Exception as error:  # the package's own kinds, and whatever a broken connection brings
                self._gripper = self.width_m = None
                self.problem = " ".join(str(error).split())
                self._closing.wait(RETRY_S)

    def _carry_out(self) -> None:
        while True:
            number, act, done = self._work.get()
            if number is not None:
                self._news.put((number, None))
            try:
                if number in self._cancelled:
                    raise RuntimeError("it was cancelled")
                answer: object = act(self._gripper)
                self.width_m = float(self._gripper.read_once().width)  # where it ended, not shortly before
                error: Exception | None = None
            except Exception as raised:
                answer, error = False, raised
            if done is not None:
                done.set_exception(error) if error else done.set_result(answer)
            elif number is not None:
                self._cancelled.discard(number)
                text = " ".join(str(error).split()) if error else "" if answer else "it did not reach the width"
                self._news.put((number, Answer(bool(answer), message=text)))


def _quietly(act: Callable[[], object]) -> None:
    try:
        act()
    except Exception:  # what was to be stopped has ended with the connection
        return
