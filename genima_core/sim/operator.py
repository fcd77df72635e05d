"""The simulated operator: what the hand on the leader does, and when."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from enum import StrEnum

import numpy as np

from genima_core.arm import Arm
from genima_core.environment import Trajectory
from genima_core.sim.hand import Hand, Lead
from genima_core.sim.planning import Planner

START_FROM_HOME_RAD = np.array([0.25, 0.12, -0.10, 0.15, 0.10, -0.12, 0.20])
"""Where the leader waits at first: a little away from home, so that engaging has something to do."""
READY_NOISE_RAD = 0.03
LIFT_BELOW_M = 0.25
"""A gripper lower than this goes straight up before it goes back, so that it sweeps nothing off the table."""
LIFT_M = 0.12
LIFT_STEPS = 6
WAITS_WITHIN = 0.004
"""Of where the arm is: rad of the joints, and the gripper's opening."""
SLIDERS_HOLD_S = 2.0
"""Sliders send where the leader should be again and again; after this long without a message they count as released."""


class Activity(StrEnum):
    READY = "ready"
    """Holding still, or on the way back."""
    PLANNING = "planning"
    PERFORMING = "performing"
    DONE = "done"
    """At the end of a demonstration, until the recording ends."""
    SLIDERS = "sliders"


class Operator:
    """Demonstrates the task once per recording, as soon as the follower mirrors the leader; then asks for a new scene.

    Sliders win: while they hold the leader, nothing is demonstrated. All times are seconds of one clock, given by the
    caller; one thread calls everything, and `step` once per period.
    """

    def __init__(
        self,
        hand: Hand,
        plan: Planner,
        next_scene: Callable[[], bool],
        warn: Callable[[str], None],
        perform_on_recording: bool = True,
    ) -> None:
        """`next_scene` asks for the next scene and returns at once, with whether `on_scene` will announce one."""
        self.activity = Activity.READY
        self.scene: int | None = None
        self.performed = 0
        """Demonstrations carried out to their end."""
        self._hand, self._plan, self._next_scene, self._warn = hand, plan, next_scene, warn
        self._perform_on_recording = perform_on_recording
        self._recording = self._mirroring = self._wanted = self._by_hand = self._awaiting_scene = False
        self._planned: Future[Trajectory] | None = None
        self._moves: deque[np.ndarray] = deque()
        self._sliders_s = -np.inf

    def on_recording(self, recording: bool, now_s: float) -> None:
        """A recording began or ended."""
        if self._recording and not recording:
            self._wanted = False
            self._awaiting_scene = self._next_scene()
            if self.activity is not Activity.SLIDERS:
                self._go_back(now_s)
        elif recording and not self._recording:
            self._wanted, self._by_hand = self._perform_on_recording, False
        self._recording = recording

    def on_mirroring(self, mirroring: bool, now_s: float) -> None:
        """The follower began or ceased to mirror the leader."""
        self._mirroring = mirroring
        if not mirroring and self.activity is Activity.PERFORMING and not self._by_hand:
            self._go_back(now_s)

    def on_scene(self, seed: int, now_s: float) -> None:
        """The objects stand elsewhere."""
        known, self.scene = self.scene, seed
        self._awaiting_scene = False
        if known is not None and self.activity in (Activity.PLANNING, Activity.PERFORMING):
            self._go_back(now_s)

    def on_no_scene(self) -> None:
        """The scene that was asked for will not come."""
        self._awaiting_scene = False

    def on_sliders(self, q: np.ndarray, opening: float | None, now_s: float) -> None:
        """Somebody moves the leader to `q` (7,); ValueError as in `Hand.move`, and nothing changes then."""
        self._hand.move(q, now_s, opening)
        self._moves.clear()
        self._planned = None
        self.activity, self._sliders_s = Activity.SLIDERS, now_s

    def wait_at(self, q: np.ndarray, opening: float, now_s: float) -> None:
        """Where the arm is, while nobody leads it: so taking over begins without a motion; ValueError as above."""
        lead = self._hand.at(now_s)
        apart = max(np.abs(lead.q - q).max(), abs(lead.opening - opening)) > WAITS_WITHIN
        if apart and self.activity is Activity.READY and self._hand.at_rest(now_s):
            self._hand.move(self._hand.arm.clip(q), now_s, float(np.clip(opening, 0.0, 1.0)))

    def perform(self) -> str:
        """A demonstration as soon as possible, recorded and mirrored or not; returns what will happen.

        RuntimeError, with the reason, where that is not possible now.
        """
        if self.activity in (Activity.SLIDERS, Activity.PLANNING, Activity.PERFORMING):
            raise RuntimeError(f"the leader is busy: {self.activity}")
        if self.scene is None:
            raise RuntimeError("no scene was announced; is the sim node running?")
        self._wanted = self._by_hand = True
        return f"will perform scene {self.scene}"

    def step(self, now_s: float) -> Lead:
        """Where the leader is now; begins what is due."""
        if self.activity is Activity.SLIDERS and now_s - self._sliders_s > SLIDERS_HOLD_S:
            self.activity = Activity.READY
        if self.activity is Activity.PLANNING and self._planned is not None and self._planned.done():
            self._begin(self._planned, now_s)
        if self._hand.at_rest(now_s):
            if self.activity is Activity.PERFORMING:
                self.activity, self._wanted = Activity.DONE, False
                self.performed += 1
            elif self._moves:
                self._hand.move(self._moves.popleft(), now_s)
            elif self.scene is not None and self._may_plan():
                lead = self._hand.at(now_s)
                self.activity = Activity.PLANNING
                self._planned = self._plan(self.scene, lead.q, lead.opening)
        return self._hand.at(now_s)

    def _may_plan(self) -> bool:
        idle = self.activity in (Activity.READY, Activity.DONE) and not self._awaiting_scene
        return self._wanted and idle and self._may_perform()

    def _may_perform(self) -> bool:
        return self._by_hand or (self._recording and self._mirroring)

    def _begin(self, planned: "Future[Trajectory]", now_s: float) -> None:
        self._planned = None
        self.activity = Activity.READY
        try:
            demonstration = planned.result()
        except (ValueError, RuntimeError) as error:  # out of reach, or the planner's process died
            self._warn(f"scene {self.scene} is skipped: {error}")
            self._awaiting_scene = self._next_scene()
            if not self._awaiting_scene:
                self._wanted = False
            return
        if self._may_perform():
            self._hand.perform(demonstration, now_s)
            self.activity = Activity.PERFORMING

    def _go_back(self, now_s: float) -> None:
        """To a ready pose, the fingers open, and straight up first where the gripper is low."""
        lead = self._hand.at(now_s)
        rng = np.random.default_rng((self.performed, 0 if self.scene is None else self.scene))
        ready = self._hand.arm.home + rng.normal(0.0, READY_NOISE_RAD, 7)
        low = self._hand.arm.frame_pose(lead.q, "tcp")[2, 3] < LIFT_BELOW_M
        self._moves = deque([lifted(self._hand.arm, lead.q), ready] if low else [ready])
        self._hand.move(self._moves.popleft(), now_s, opening=1.0)
        self._planned = None
        self.activity = Activity.READY


def lifted(arm: Arm, q: np.ndarray, height_m: float = LIFT_M) -> np.ndarray:
    """Joints (7,) with the tcp straight above where `q` has it, as far as the joints allow."""
    step = np.array([0.0, 0.0, height_m / LIFT_STEPS, 0.0, 0.0, 0.0])
    for _ in range(LIFT_STEPS):
        q = arm.clip(q + np.linalg.pinv(arm.jacobian(q, "tcp"), rcond=1e-2) @ step)
    return q
