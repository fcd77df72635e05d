"""Are the cameras that run those that the models were trained with, and where the rig says they are?"""

from functools import partial

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from genima_core.cameras import CameraRig
from genima_core.files import parse_json
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.diagnostics import Diagnostics


def read_rig(message: String) -> CameraRig:
    """The rig of a message on camera_rig; ValueError if it holds none."""
    try:
        return CameraRig.from_dict(parse_json(message.data, "the message"), "it")
    except ValueError as error:
        raise ValueError(f"camera_rig holds no rig ({error}); `genima calibrate install` writes one") from error


class RigWatch:
    """Compares with the rig of training what comes on camera_rig, and that with each camera_info.

    Subscribes: camera_rig, <camera>/color/camera_info. Warns in the node's diagnostics; nothing stops.
    """

    def __init__(self, node: Node, trained: CameraRig, diagnostics: Diagnostics) -> None:
        self._trained, self._diagnostics = trained, diagnostics
        self._running: CameraRig | None = None
        self._changed = ""
        self._infos: dict[str, CameraInfo] = {}
        interfaces.subscribe(node, interfaces.CAMERA_RIG, self._on_rig)
        for name in trained.names:
            interfaces.subscribe(node, interfaces.camera_info(name), partial(self._infos.__setitem__, name))

    @property
    def fingerprint(self) -> str:
        """Of the rig that runs; "" while nobody said which that is."""
        return "" if self._running is None else self._running.fingerprint()

    def remind(self) -> None:
        """Call it now and then: what is wrong stays in the diagnostics."""
        if self._changed:
            self._diagnostics.warn(self._changed, "rig")
        rig = self._running or self._trained
        rig = rig if rig.names == self._trained.names else self._trained
        for name, message in self._infos.items():
            try:
                text = rig[name].intrinsics.difference(conversions.camera_info_to_camera(message))
            except ValueError as error:
                text = str(error)
            if text:
                self._diagnostics.warn(
                    f"camera {name} is not the one of the rig: by its camera_info {text}; crop and "
                    "resize as for the calibration, or calibrate again",
                    f"camera_info {name}",
                )

    def _on_rig(self, message: String) -> None:
        try:
            rig = self._running = read_rig(message)
        except ValueError as error:
            self._changed = str(error)
            return
        self._changed = ""
        if differences := self._trained.differences(rig):
            self._changed = (
                f"another rig than the checkpoint's ({rig.fingerprint()}, not {self._trained.fingerprint()}): "
                f"{'; '.join(differences)}. Put the cameras back, or train on recordings of this rig"
            )
