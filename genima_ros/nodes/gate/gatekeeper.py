"""The target gate as a part of a node: it closes on a bad drawing, says why, and opens when the operator says so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from genima_core.arm_status import Level
from genima_core.streaming.states import Reason, Status
from genima_core.targets.gate import Gate, GateState
from genima_ros.messages import interfaces
from genima_ros.messages.diagnostics import Diagnostics
from genima_ros.messages.status import status_to_message
from genima_ros.nodes.cameras.rig_watch import read_rig

LONGEST_REASONS = 3
"""A bad drawing breaks many rules at once; the first ones say enough."""


@dataclass
class Gatekeeper:
    """Lets drawings through until one fails; then none, until ~/resume.

    Publishes: gate (latched, see `messages.status`), and why it is closed in the node's diagnostics.
    Subscribes: camera_rig (where the cameras are now; until it comes, the rig of the gate holds).
    Services: ~/resume (Trigger).
    """

    node: Node
    gate: Gate
    diagnostics: Diagnostics
    on_resume: Callable[[], None]
    reason: str = ""
    """Why it is closed; empty while it is open."""
    kind: Reason = Reason.NONE

    def __post_init__(self) -> None:
        self._state = interfaces.publish(self.node, interfaces.GATE)
        interfaces.subscribe(self.node, interfaces.CAMERA_RIG, self._on_rig)
        self.node.create_service(interfaces.RESUME.type, interfaces.RESUME.name, self._resume)
        self._tell()

    def admits(self, drawing: np.ndarray, q: np.ndarray, observation: np.ndarray) -> bool:
        """Whether a drawing may become motion; (4, H, W, 3) uint8 both, (7,) rad at capture.

        A check that cannot be made closes the gate too.
        """
        if self.reason:
            return False
        try:
            reasons = self.gate.check(drawing, q, observation).reasons
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            reasons = (f"the drawing cannot be checked: {error}",)
        if not reasons:
            return True
        self._close(Reason.DRAWING, reasons)
        return False

    def _close(self, kind: Reason, reasons: Sequence[str]) -> None:
        self.kind = kind
        more = len(reasons) - LONGEST_REASONS
        self.reason = "; ".join(reasons[:LONGEST_REASONS]) + (f"; and {more} more" if more > 0 else "")
        self._tell()
        self.remind()

    def _on_rig(self, message: String) -> None:
        """Spheres are located by where the cameras are now, not by where they were in training."""
        try:
            rig = read_rig(message)
            if (rig.names, rig.size) != (self.gate.rig.names, self.gate.rig.size):
                raise ValueError(
                    f"camera_rig has the cameras {', '.join(rig.names)} with {rig.size[0]}x{rig.size[1]} "
                    f"pixels; the checkpoint's are {', '.join(self.gate.rig.names)} with "
                    f"{self.gate.rig.size[0]}x{self.gate.rig.size[1]}"
                )
        except ValueError as error:
            self._close(Reason.RIG, (str(error),))
            return
        self.gate = replace(self.gate, rig=replace(rig, arm=self.gate.rig.arm))

    def remind(self) -> None:
        """Keeps the reason in the diagnostics while the gate is closed."""
        if self.reason:
            self.diagnostics.warn(
                f"the target gate is closed, the policy pauses: {self.reason}. Look at "
                f"{self.node.resolve_topic_name(interfaces.TARGETS.name)}; to go on, call "
                f"{self.node.resolve_service_name(interfaces.RESUME.name)} (std_srvs/Trigger)",
                "gate",
            )

    def _resume(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = True
        response.message = f"opened; it was closed: {self.reason}" if self.reason else "the gate is open already"
        if self.reason:
            self.kind, self.reason = Reason.NONE, ""
            self.on_resume()
            self._tell()
        return response

    def _tell(self) -> None:
        state = GateState.CLOSED if self.reason else GateState.OPEN
        level = Level.WARN if self.reason else Level.OK
        self._state.publish(status_to_message("gate", Status(state, self.kind, self.reason), level))
