"""The control loop: which drawing is acted upon, with which joints, through which gate, and when its chunk starts.

`genima eval` and the controller node step this one object, so that an evaluation measures what runs on an arm.
"""

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from genima_core.cameras import CameraRig
from genima_core.gripper_plan import GripperPlan
from genima_core.streaming.states import Reason, Refusal, Status
from genima_core.targets.gate import Gate, GateState
from genima_core.types import ActionChunk, Execution

if TYPE_CHECKING:
    from genima_core.controller.policy import Controller

Ending = Literal["success", "paused", "timeout"]

HISTORY = 4000
"""Joint states kept, so that the one at an image's capture time is still there when its drawing is finished: at 1 kHz
those of 4 s, and the streamer takes no older observations than of 3 s."""
STATE_SLACK_S = 0.1
STILL_RAD = 0.02
"""An arm whose joints have turned less than this since the capture has not moved."""
CLOCK_SET_S = 0.5
"""The wall clock has been set if it has moved against the steady one by more than this."""
LONGEST_REASONS = 3
"""A bad drawing breaks many rules at once; the first ones say enough."""
MOST_REFUSED = 3
"""So many drawings in a row are refused before the loop pauses: a model that samples may draw better the next time."""


@dataclass(frozen=True)
class _JointState:
    stamp_s: float
    q: np.ndarray
    opening: float


@dataclass(frozen=True)
class Proposal:
    """A chunk that waits for a person."""

    chunk: ActionChunk
    q: np.ndarray
    """(7,) rad, where the arm stood."""
    since_s: float


class ControlLoop:
    """Feed joint states, what the streamer wants, and drawings; `act` and `start` make the next chunk of a drawing.

    A drawing is acted upon with the joint state of its capture time: what the controller was trained on. The chunk is
    stamped with that capture time. Only what is captured after the streamer wanted a chunk is acted upon: in **sync**
    mode after it came to rest, in **async** mode so long before the end of the present chunk that the next takes over
    from it. (Where each drawing replaces the one before after a few actions, an arm hesitates at every grasp and cuts
    every corner.) In sync mode action 0 is due one step from now, because the arm waits. In async mode it is due one
    step after the capture, so that actions whose time has passed are skipped where the chunk is spliced in; but if the
    arm still is where it was captured, none has passed, and action 0 is due one step from now; and the gripper opens or
    closes when that was announced first (`GripperPlan`). If the chunk is refused, the streamer still wants one and the
    next drawing is acted upon; nothing locks up when either side is restarted.

    With a gate, a drawing is checked before it is acted upon. One that fails is refused, and the next is waited for;
    `MOST_REFUSED` in a row pause the loop: no chunk follows, so the streamer brings the arm to rest, until `resume`;
    then only what is captured afterwards counts.

    In **confirm** mode, which else is sync, a chunk is proposed (`propose`) instead of sent, and nothing else is acted
    upon until a person approves of it or rejects it, or until it is too old; then the loop looks again.

    Mode and gate may change at any time: what waits is forgotten, and only what is captured afterwards counts.

    While an operator has taken over nothing is acted upon, and afterwards only what is captured from then on.

    All times are seconds of the observations' clock and given by the caller.
    """

    def __init__(self, controller: "Controller", execution: Execution = "sync", gate: Gate | None = None) -> None:
        self.controller, self.execution, self.gate = controller, execution, gate
        self.instruction = ""
        self.status = Status(GateState.OPEN)
        """Of the gate; while it is closed, no drawing is acted upon. An open one says why it refused the last one."""
        self._refused = 0
        self._taken_over = False
        self.proposal: Proposal | None = None
        """What waits for a person's yes or no."""
        self._states: deque[_JointState] = deque(maxlen=HISTORY)
        self._wanted_since_s: float | None = None
        self._used_s = -np.inf
        self._gripper_plan = GripperPlan()
        self._now_minus_steady_s: float | None = None

    # ---- inputs

    def on_joint_state(self, q: np.ndarray, opening: float, stamp_s: float) -> None:
        """Joint positions (7,) rad and the gripper's opening, 0 closed to 1 open."""
        self._states.append(_JointState(stamp_s, q, opening))

    def on_wanted(self, wanted: bool, now_s: float) -> None:
        """Whether the streamer wants a chunk of what is captured from now on."""
        if not wanted:
            self._wanted_since_s = self.proposal = None
        elif self._wanted_since_s is None:
            self._wanted_since_s = now_s

    def on_operator(self, taken_over: bool, now_s: float) -> None:
        """Whether the operator has the arm; drawings that were refused before do not count any more afterwards."""
        if taken_over:
            self.proposal = None
            self._gripper_plan.clear()
        elif self._taken_over:
            self._used_s, self._refused = now_s, 0
        self._taken_over = taken_over

    def on_execution(self, execution: Execution, now_s: float) -> None:
        """How the streamer executes chunks; in another mode it must say anew whether it wants one."""
        if execution != self.execution:
            self.execution, self._wanted_since_s = execution, None
            self._begin_anew(now_s)

    def set_gate(self, gate: Gate | None, now_s: float) -> None:
        """Another gate, or none; a closed one stays so until `resume`: what paused the loop has not been looked at."""
        self.gate, self._refused = gate, 0
        self._begin_anew(now_s)

    def _begin_anew(self, now_s: float) -> None:
        self.proposal, self._used_s = None, now_s
        self._gripper_plan.clear()

    def on_rig(self, rig: CameraRig) -> None:
        """Where the cameras are now: the gate locates spheres by that. A rig of other cameras pauses the loop."""
        if self.gate is None:
            return
        own = self.gate.rig
        rig = rig.in_order(own.names)
        if (rig.names, rig.size) == (own.names, own.size):
            self.gate = replace(self.gate, rig=replace(rig, arm=own.arm))
        else:
            theirs = f"the cameras {', '.join(rig.names)} with {rig.size[0]}x{rig.size[1]} pixels"
            ours = f"{', '.join(own.names)} with {own.size[0]}x{own.size[1]}"
            self.pause(Reason.RIG, f"camera_rig has {theirs}; the checkpoint's are {ours}")

    def on_clock(self, now_s: float, steady_s: float) -> float:
        """Two clocks read together; by how much the first was set since the last call, 0.0 if it was not.

        What is remembered moves with it: else old stamps would be newer than new ones.
        """
        before_s, self._now_minus_steady_s = self._now_minus_steady_s, now_s - steady_s
        set_by_s = 0.0 if before_s is None else self._now_minus_steady_s - before_s
        if abs(set_by_s) < CLOCK_SET_S:
            return 0.0
        self._states.clear()
        self._gripper_plan.clear()
        self.proposal = None
        self._used_s += set_by_s
        if self._wanted_since_s is not None:
            self._wanted_since_s += set_by_s
        return set_by_s

    # ---- the loop

    def is_due(self, stamp_s: float) -> bool:
        """Whether a drawing captured then is acted upon: whether now is the time to look."""
        if self.paused or self.proposal or self._taken_over:
            return False
        if self._wanted_since_s is None or stamp_s <= self._used_s:
            return False
        return stamp_s >= self._wanted_since_s

    def act(self, drawing: np.ndarray, stamp_s: float, observation: np.ndarray | None = None) -> ActionChunk | None:
        """The chunk of a drawing (V, H, W, 3) uint8 captured at stamp_s; None if it is not due or the gate refuses it.

        The gate compares it with the `observation` (V, H, W, 3) uint8 that it was drawn over. ValueError,
        RuntimeError: nothing that can be acted upon, such as no joint state of that time.
        """
        if not self.is_due(stamp_s):
            return None
        state = self._state_at(stamp_s)
        if not self._admits(drawing, state.q, observation):
            self._used_s = stamp_s
            return None
        if not self.instruction:
            raise ValueError("no instruction yet: send one, or set the parameter instruction")
        positions, gripper = self.controller.act(drawing, state.q, state.opening, self.instruction)
        if not (np.isfinite(positions).all() and np.isfinite(gripper).all()):
            raise ValueError("the controller's actions are not finite; is the checkpoint damaged?")
        dt_s = self.controller.dt_s
        return ActionChunk(
            np.asarray(positions, np.float64), np.asarray(gripper, np.float64), dt_s, stamp_s + dt_s, stamp_s
        )

    def start(self, chunk: ActionChunk, now_s: float) -> ActionChunk:
        """The chunk that `act` made, to be sent now: with the time at which its first action is due."""
        moved = np.abs(self._states[-1].q - self._state_at(chunk.stamp_s).q).max() > STILL_RAD
        self._used_s = chunk.stamp_s
        if self._wanted_since_s is not None:
            # The streamer's answer is on its way; until then only a drawing of what comes after this chunk will do.
            self._wanted_since_s = now_s
        if self.execution != "async" or not moved:
            chunk = replace(chunk, start_s=now_s + chunk.dt_s)
        return self._gripper_plan.keep(chunk, now_s) if self.execution == "async" else chunk

    # ---- a person's yes or no

    def propose(self, chunk: ActionChunk, now_s: float) -> None:
        """The chunk that `act` made, to be looked at first."""
        self.proposal = Proposal(chunk, self._states[-1].q, now_s)

    def approve(self, now_s: float) -> ActionChunk | Refusal:
        """What was proposed, to be sent now; not if the arm has moved meanwhile: then the loop looks again."""
        proposal = self.proposal
        if proposal is None:
            return self._nothing_waits()
        if (silent_s := now_s - self._states[-1].stamp_s) > STATE_SLACK_S:
            return Refusal(Reason.JOINT_STATES, f"no joint state for {silent_s:.1f} s; where is the arm? Try again")
        self.reject(now_s)
        away = float(np.abs(self._states[-1].q - proposal.q).max())
        if away > STILL_RAD:
            return Refusal(Reason.STALE, f"the arm has moved by {away:.3f} rad since; the next drawing will wait again")
        return self.start(replace(proposal.chunk, stamp_s=now_s, approved=True), now_s)

    def reject(self, now_s: float) -> str | Refusal:
        """Forgets what was proposed, and acts upon what is captured from now on."""
        if self.proposal is None:
            return self._nothing_waits()
        self._begin_anew(now_s)
        return "rejected; the next drawing will wait again"

    def _nothing_waits(self) -> Refusal:
        if self.execution == "confirm":
            return Refusal(Reason.WAITING, "nothing waits for approval; the next drawing will")
        asking = "execution:=confirm, or the parameter execution of the streamer, has each one wait"
        return Refusal(Reason.WAITING, f"chunks do not wait for approval in {self.execution} mode; {asking}")

    # ---- the gate

    @property
    def paused(self) -> bool:
        return self.status.state is GateState.CLOSED

    def pause(self, kind: Reason, *reasons: str) -> None:
        """Acts upon nothing until `resume`."""
        self.status = Status(GateState.CLOSED, kind, _first(reasons))

    def resume(self, now_s: float) -> None:
        """Acts again, upon what is captured from now on."""
        if self.paused:
            self.status, self._refused = Status(GateState.OPEN), 0
            self._begin_anew(now_s)

    def _admits(self, drawing: np.ndarray, q: np.ndarray, observation: np.ndarray | None) -> bool:
        """Whether a drawing may become motion; one that cannot be checked may not."""
        if self.gate is None:
            return True
        try:
            reasons = self.gate.check(drawing, q, observation).reasons
        except (ValueError, ArithmeticError) as error:  # LinAlgError is a ValueError
            reasons = (f"the drawing cannot be checked: {error}",)
        self._refused = self._refused + 1 if reasons else 0
        if self._refused >= MOST_REFUSED:
            self.pause(Reason.DRAWING, *reasons)
        elif reasons:
            self.status = Status(GateState.OPEN, Reason.DRAWING, _first(reasons))
        else:
            self.status = Status(GateState.OPEN)
        return not reasons

    def _state_at(self, stamp_s: float) -> _JointState:
        if not self._states:
            raise ValueError("no joint state yet; is the robot's joint_state_broadcaster running?")
        state = min(self._states, key=lambda state: abs(state.stamp_s - stamp_s))
        away_s = abs(state.stamp_s - stamp_s)
        if away_s > STATE_SLACK_S:
            raise ValueError(
                f"the joint state nearest to the images is {away_s:.3f} s away (allowed {STATE_SLACK_S} s): "
                "are cameras and robot on one clock?"
            )
        return state


def _first(reasons: tuple[str, ...]) -> str:
    more = len(reasons) - LONGEST_REASONS
    return "; ".join(reasons[:LONGEST_REASONS]) + (f"; and {more} more" if more > 0 else "")


def find_ending(success: bool, elapsed_s: float, timeout_s: float, stuck: bool = False) -> Ending | None:
    """How an episode has ended, if it has; `stuck`: paused, and the arm at rest, where nobody will resume."""
    if success:
        return "success"
    if stuck:
        return "paused"
    return "timeout" if elapsed_s >= timeout_s - 1e-9 else None
