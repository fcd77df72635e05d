"""What a running cell shows while its arm is at rest, for calibration."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from sensor_msgs.msg import CameraInfo, Image, JointState

from genima_core.calibration.samples import Moment
from genima_ros.arms import ArmSetup
from genima_ros.clients.observer import Observer
from genima_ros.messages import conversions, interfaces

FOUND_S = 10.0
REST_S = 20.0
REST_RAD = 0.002
SETTLE_S = 0.3
"""An image counts when it was captured this long after the arm came to rest: what it holds has stopped swinging."""
AHEAD_S = 0.2
"""An image may be this much newer than the newest joint state."""


class CalibrationLink(Observer):
    """Keeps the newest image, intrinsics and joints of a running cell; commands nothing."""

    def __init__(self, domain: int, cameras: Sequence[str], arm: ArmSetup, namespace: str = "") -> None:
        super().__init__(domain, "calibration", arm.remappings(namespace).items())
        self.cameras, self._setup = tuple(cameras), arm
        self.q: np.ndarray | None = None
        self.opening = 1.0
        self._joint_stamp_s = self._rest_since_s = -np.inf
        self._rest_q: np.ndarray | None = None
        self._images: dict[str, Image] = {}
        self._infos: dict[str, CameraInfo] = {}
        for name in cameras:
            self.listen(interfaces.camera_image(name), partial(self._images.__setitem__, name))
            self.listen(interfaces.camera_info(name), partial(self._infos.__setitem__, name))
        self.listen(interfaces.JOINT_STATES, self._on_joint_state)

    def wait_ready(self, timeout_s: float = FOUND_S) -> None:
        """RuntimeError if a stream is missing, which it names."""
        if not self.spin_until(lambda: not self.missing, timeout_s):
            silent = f"nothing arrives on {', '.join(self.missing)} in ROS domain {self.domain}"
            remedy = "start the cameras and the arm's driver (genima up), and check --cameras and --arm"
            raise RuntimeError(f"{silent}; {remedy}")

    @property
    def missing(self) -> list[str]:
        images = [interfaces.camera_image(name).name for name in self.cameras if name not in self._images]
        infos = [interfaces.camera_info(name).name for name in self.cameras if name not in self._infos]
        return [*images, *infos, *([interfaces.JOINT_STATES.name] if self.q is None else [])]

    def why_not(self) -> str:
        """Why there is no `moment` now; "" if there is one."""
        if self.missing:
            return f"nothing arrives on {', '.join(self.missing)}"
        settled_s = self._rest_since_s + SETTLE_S
        if self._joint_stamp_s < settled_s:
            return "the arm moves"
        early = [name for name, s in self._stamps_s().items() if s < settled_s]
        late = [name for name, s in self._stamps_s().items() if s > self._joint_stamp_s + AHEAD_S]
        if early:
            since = f"since the arm came to rest ({self._joint_stamp_s - settled_s:.1f} s ago by the stamps)"
            return f"no image of {', '.join(early)} {since}: wait, or check that cameras and arm share one clock"
        return f"the images of {', '.join(late)} are ahead of the joint states; check the clocks" if late else ""

    def moment(self) -> Moment | None:
        """What is seen now, if all of it was captured while the arm was at rest.

        ValueError if an image is not of the size that its camera_info tells, or is distorted.
        """
        if self.q is None or self.why_not():
            return None
        images = {name: conversions.image_to_rgb(self._images[name]) for name in self.cameras}
        cameras = {name: conversions.camera_info_to_camera(self._infos[name]) for name in self.cameras}
        for name, image in images.items():
            size, told = image.shape[1::-1], cameras[name].size
            if size != told:
                sizes = f"images of camera {name!r} are {size[0]}x{size[1]}; its camera_info is for {told[0]}x{told[1]}"
                remedy = "intrinsics of another size are wrong, so let the driver publish both at one size"
                raise ValueError(f"{sizes}: {remedy}")
        return Moment(min(self._stamps_s().values()), self.q.copy(), self.opening, images, cameras)

    def wait_moment(self, since_s: float = -np.inf) -> Moment:
        """The next `moment`, captured since then; RuntimeError where none comes in time."""
        self.spin_until(lambda: not self.why_not() and min(self._stamps_s().values()) >= since_s, REST_S)
        if (moment := self.moment()) is None or moment.stamp_s < since_s:
            raise RuntimeError(f"no picture of the arm at rest within {REST_S:.0f} s: {self.why_not()}")
        return moment

    def _stamps_s(self) -> dict[str, float]:
        return {name: conversions.seconds(message.header.stamp) for name, message in self._images.items()}

    def _on_joint_state(self, message: JointState) -> None:
        if not set(self._setup.arm.joint_names) <= set(message.name):
            return
        self.q = conversions.positions_by_name(message, self._setup.arm.joint_names)
        self._joint_stamp_s = conversions.seconds(message.header.stamp)
        if self._rest_q is None or np.abs(self.q - self._rest_q).max() > REST_RAD:
            self._rest_q, self._rest_since_s = self.q, self._joint_stamp_s
        if not self._setup.gripper_has_node and set(self._setup.arm.gripper.joints) <= set(message.name):
            self.opening = conversions.gripper_opening(message, self._setup.arm.gripper)
