"""Publishes where the cameras of a real cell are, as the simulated cell does for its own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genima_core.cameras import CameraRig
from genima_ros.messages import interfaces
from genima_ros.nodes.base import ArmParameters, GraphNode
from genima_ros.nodes.cameras.rig_frames import publish_frames


@dataclass(frozen=True)
class RigParameters(ArmParameters):
    """The arm is the one whose base and hand carry the cameras."""

    rig: Path | None = None
    """rig.json, as `genima calibrate install` writes it."""
    tf: bool = True
    """Whether the cameras are frames of TF as well, where tf2_msgs is installed."""
    leave_out: tuple[str, ...] = ()
    """Cameras whose frame somebody else publishes."""


class RigNode(GraphNode[RigParameters]):
    """Speaks once, latched: who comes later still hears it.

    Publishes: camera_rig, diagnostics, and where tf2_msgs is installed /tf_static.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("rig", RigParameters, **options)
        path = self.parameters.rig
        if path is None:
            raise ValueError("the rig node needs the parameter rig: the rig.json with where the cameras are")
        self._rig, arm = CameraRig.load(path), self.parameters.setup.arm
        self.announce(interfaces.CAMERA_RIG)
        self.say(interfaces.CAMERA_RIG, data=json.dumps(self._rig.to_dict()))
        if self.parameters.tf:
            self._frames = publish_frames(self, self._rig, arm, self.parameters.leave_out)
        self.get_logger().info(f"rig {self._rig.fingerprint()} from {path}")

    def values(self) -> dict[str, object]:
        return {"rig": self._rig.fingerprint()}
