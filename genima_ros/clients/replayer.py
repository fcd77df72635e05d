"""Streams actions through a running streamer from outside, and watches what the arm makes of them."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from genima_core.arm import Arm
from genima_core.data.motion import APPROACH_SPEED, approach
from genima_core.streaming.mirror import ENGAGED, Mirroring
from genima_core.streaming.states import Reason, State, Status
from genima_core.types import ActionChunk
from genima_ros.clients.observer import Observer
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import read_status

FOUND_S = 10.0
ACCEPTED_S = 3.0
SILENT_S = 3.0
"""The streamer says twice a second how it is."""
STOP_S = 5.0
ARRIVED_RAD = 0.05
LEAD_S = 0.2
"""Async mode plays actions when they are due; the first one is due this long after it was sent."""
REPORTED_S = 1.5
"""Diagnostics come once a second."""
Progress = Callable[[float], object]


class Replayer(Observer):
    """Knows the arm's joints, the streamer's state and the cell's success; sends chunks."""

    def __init__(self, domain: int, arm: Arm, remappings: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(domain, "replay", remappings)
        self.arm = arm
        self.succeeded = False
        self.q: np.ndarray | None = None
        """(7,) measured, rad."""
        self.status: Status | None = None
        """The streamer's."""
        self.teleop: StrEnum | None = None
        self._wanted = False
        self._heard_s = -math.inf
        self._reasons: list[str] = []
        self._measured: list[tuple[float, np.ndarray]] = []
        self._chunks = interfaces.publish(self.node, interfaces.ACTION_CHUNK)
        self.listen(interfaces.JOINT_STATES, self._on_joint_state)
        self.listen(interfaces.STREAMER_STATE, self._on_streamer_state)
        self.listen(interfaces.CHUNK_WANTED, lambda m: setattr(self, "_wanted", m.data))
        self.listen(interfaces.TELEOP_STATE, self._on_teleop_state)
        self.listen(interfaces.SUCCESS, lambda m: setattr(self, "succeeded", m.data))

    def way_to(self, goal: np.ndarray, speed: float = APPROACH_SPEED) -> tuple[np.ndarray, float]:
        """`motion.approach` from where the arm is."""
        if self.q is None:
            raise RuntimeError("the arm's position is not known yet")
        return approach(self.q, goal, speed)

    def wait_ready(self, timeout_s: float = FOUND_S) -> None:
        """Returns when the streamer is at rest and takes chunks; RuntimeError says what to do where it does not."""

        def is_there() -> bool:
            return bool(self.status and "streamer" in self.diagnostics and self._chunks.get_subscription_count())

        def is_enabled() -> bool:
            return self.status is not None and self.status.reason is not Reason.DISABLED

        start = "start one (genima up teleop sim, or genima up teleop real), or replay in a simulated cell: --sim"
        self.wait_until(is_there, timeout_s, f"no streamer is running here; {start}")
        silent = f"no joint states with {', '.join(self.arm.joint_names)} arrive; start the arm's driver"
        self.wait_until(lambda: self.q is not None, timeout_s, silent)
        if self.teleop in ENGAGED:
            raise RuntimeError(f"teleoperation is {self.teleop} and moves the arm; pause it first (p in genima record)")
        disabled = "the streamer is disabled; when nobody is near the arm, enable it: genima enable"
        self.wait_until(is_enabled, REPORTED_S, disabled)
        if not self.spin_until(lambda: self.state is State.HOLDING and self._wanted, timeout_s):
            raise RuntimeError(f"the streamer is {self.status}; something else may move the arm")

    @property
    def state(self) -> StrEnum | None:
        """The streamer's."""
        return None if self.status is None else self.status.state

    @property
    def _rests(self) -> bool:
        return self.state in (State.HOLDING, State.FAULT)

    @property
    def _is_silent(self) -> bool:
        return self.now_s() - self._heard_s > SILENT_S

    def follow(
        self, q: np.ndarray, openings: np.ndarray | None, step_s: float, progress: Progress = lambda _: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lets the arm follow actions `q` (n, 7), and the gripper openings (n,), until it is at rest at the last one.

        However that ends otherwise, the streamer is told to stop: nothing moves on without somebody who watches.
        `progress` is told the seconds since the motion began. Returns stamps (m,) since then, and positions (m, 7);
        RuntimeError where it is refused, or stopped before the end, with the streamer's reason.
        """
        self._reasons, self._measured = [], []
        planned_s = (len(q) - 1) * step_s
        with self._halting_on_errors():
            self._chunks.publish(self._chunk(q, openings, step_s))
            if not self.spin_until(lambda: self.state not in (None, State.HOLDING), ACCEPTED_S):
                self.spin(REPORTED_S)
                problem = self.diagnostics.get("streamer", {}).get("last_problem") or "it is silent"
                raise RuntimeError(f"the streamer does not take the motion: {problem}")
            begin_s = self.now_s()

            def over() -> bool:
                progress(self.now_s() - begin_s)
                return self._rests or self._is_silent

            self.spin_until(over, math.inf)  # the streamer plays slower what is too fast: nobody knows how much
            took_s = self.now_s() - begin_s
            if self._is_silent:
                raise RuntimeError(f"the streamer fell silent after {took_s:.1f} s; look at its process")
            if took_s < 0.95 * planned_s or not self.spin_until(lambda: self._distance(q[-1]) < ARRIVED_RAD, 1.0):
                reasons = "; ".join(dict.fromkeys(self._reasons)) or str(self.status)
                where = f"{self._distance(q[-1]):.3f} rad from the end of the motion"
                stopped = f"the arm stopped after {took_s:.1f} of {planned_s:.1f} s, {where}"
                raise RuntimeError(f"{stopped}; the streamer is {self.state}: {reasons}")
        return np.array([s for s, _ in self._measured]) - begin_s, np.array([at for _, at in self._measured])

    @contextmanager
    def _halting_on_errors(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            if not self._rests:
                print("stopping smoothly; the streamer is disabled then, enable it to move the arm again", flush=True)
                with suppress(RuntimeError):  # it is gone, and with it what it commanded
                    self.call("streamer", "stop", STOP_S)
                self.spin_until(lambda: self._rests, STOP_S)
            raise

    def _distance(self, q: np.ndarray) -> float:
        return float(np.abs(self.q - q).max())

    def _chunk(self, q: np.ndarray, openings: np.ndarray | None, step_s: float) -> JointTrajectory:
        now_s = self.now_s()
        opened = None if openings is None else np.clip(openings, 0.0, 1.0)
        chunk = ActionChunk(np.asarray(q, dtype=np.float64), opened, step_s, now_s + LEAD_S, now_s, approved=True)
        return conversions.chunk_to_trajectory(chunk, self.arm)

    def _on_joint_state(self, message: JointState) -> None:
        if set(self.arm.joint_names) <= set(message.name):
            with suppress(ValueError):  # the streamer says what is wrong with it
                self.q = conversions.positions_by_name(message, self.arm.joint_names)
                self._measured.append((conversions.seconds(message.header.stamp), self.q))

    def _on_streamer_state(self, message: DiagnosticStatus) -> None:
        self._heard_s = self.now_s()
        self.status = read_status(message, State) or self.status
        if self.status is not None and self.state in (State.STOPPING, State.FAULT) and self.status.text:
            self._reasons.append(self.status.text)

    def _on_teleop_state(self, message: DiagnosticStatus) -> None:
        status = read_status(message, Mirroring)
        self.teleop = None if status is None else status.state
