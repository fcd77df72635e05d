"""Records an episode that runs without ROS, in the messages that the nodes of a graph would have sent."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.data.bags import messages
from genima_core.data.bags.chunks import chunk_to_message
from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.messages import IMAGE, Message
from genima_core.data.bags.recording import SIMULATED_BAD_SHARE, EpisodeRecorder, RecordingConfig
from genima_core.pixels import tile
from genima_core.streaming.states import Command, Status
from genima_core.types import ActionChunk

STREAMS = {
    "joint_states": "/joint_states",
    "joint_commands": "/joint_commands",
    "gripper_command": "/gripper/command",
    "action_chunk": "/action_chunk",
    "targets": "/targets/image",
    "streamer_state": "/streamer_state",
    "gate": "/gate",
    "instruction": "/instruction",
    "success": "/success",
}
"""Role to its topic in a graph without a namespace."""
JOINT_STATE, STATUS = "sensor_msgs/msg/JointState", "diagnostic_msgs/msg/DiagnosticStatus"
_TYPES = messages.typestore().types


class SimulatedRecorder:
    """Writes one episode into a new folder; all times are seconds of the simulation, and never decrease."""

    def __init__(
        self, folder: Path, rig: CameraRig, task: str, instruction: str, seed: int, fps: float, begun_s: float
    ) -> None:
        """`fps` is the rate of the pictures. FileExistsError if the folder exists, OSError if it cannot be made."""
        cameras = {f"camera/{name}": f"/{name}/color/image_raw" for name in rig.names}
        infos = {f"camera_info/{name}": f"/{name}/color/camera_info" for name in rig.names}
        self._rig, self._arm, self._streams = rig, rig.arm, {**STREAMS, **cameras, **infos}
        info = EpisodeInfo(
            task=task.replace("/", "_"),
            instruction=instruction,
            streams=self._streams,
            arm=rig.arm,
            rig=rig.to_dict(),
            seed=seed,
            begun_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        config = RecordingConfig(fps=fps, bad_share=SIMULATED_BAD_SHARE)
        expected = (*cameras, "joint_states", "joint_commands")
        self._recorder = EpisodeRecorder(folder, info, expected, config, _ns(begun_s))
        self._said: dict[str, object] = {}
        self._say("instruction", "std_msgs/msg/String", begun_s, data=instruction)

    def on_joint_state(self, q: np.ndarray, dq: np.ndarray, opening: float, now_s: float) -> None:
        fingers = self._arm.gripper.joint_positions(opening)
        velocities = np.append(dq, np.zeros(len(fingers)))
        self._joints("joint_states", self._arm.all_joints, np.append(q, fingers), velocities, now_s)

    def on_command(self, command: Command, now_s: float) -> None:
        """What the streamer asks, and what it says where that is new."""
        if command.q is not None and command.dq is not None:
            self._joints("joint_commands", self._arm.joint_names, command.q, command.dq, now_s)
        if command.gripper_width_m is not None and self._is_new("gripper_command", command.gripper_width_m):
            self._say("gripper_command", "std_msgs/msg/Float64", now_s, data=float(command.gripper_width_m))
        told = {"commander": str(command.commander), "taken_over": str(command.taken_over).lower()}
        self._status("streamer_state", "streamer", command.status, told, now_s)

    def on_images(self, images: Mapping[str, np.ndarray], now_s: float) -> None:
        """Camera to (H, W, 3) uint8 RGB, captured now."""
        for camera, rgb in images.items():
            self._image(f"camera/{camera}", rgb, now_s, now_s)
            self._add(f"camera_info/{camera}", *_camera_info(self._rig[camera].intrinsics, now_s), now_s)

    def on_drawing(self, views: np.ndarray, stamp_s: float, now_s: float) -> None:
        """(V, H, W, 3) uint8 RGB, drawn over what was captured at stamp_s."""
        self._image("targets", tile(list(views)), stamp_s, now_s)

    def on_chunk(self, chunk: ActionChunk, now_s: float) -> None:
        self._add("action_chunk", *chunk_to_message(chunk, self._arm), now_s)

    def on_gate(self, status: Status, now_s: float) -> None:
        self._status("gate", "gate", status, {}, now_s)

    def finish(self, success: bool, now_s: float) -> EpisodeInfo:
        """Closes the recording, and labels it."""
        self._say("success", "std_msgs/msg/Bool", now_s, data=success)
        self._recorder.finish(_ns(now_s))
        self._recorder.relabel("success" if success else "failure")
        return self._recorder.info

    def _is_new(self, role: str, said: object) -> bool:
        new, self._said[role] = self._said.get(role) != said, said
        return new

    def _status(self, role: str, name: str, status: Status, more: Mapping[str, str], now_s: float) -> None:
        """As `genima_ros.messages.status` writes it."""
        if not self._is_new(role, (status, *more.values())):
            return
        told = {"state": str(status.state), "reason": str(status.reason), **more}
        values = [_TYPES["diagnostic_msgs/msg/KeyValue"](key=key, value=value) for key, value in told.items()]
        self._say(role, STATUS, now_s, level=0, name=name, message=status.text, hardware_id="", values=values)

    def _joints(self, role: str, names: Sequence[str], q: np.ndarray, dq: np.ndarray, now_s: float) -> None:
        self._say(
            role,
            JOINT_STATE,
            now_s,
            header=header(now_s),
            name=list(names),
            position=np.asarray(q, np.float64),
            velocity=np.asarray(dq, np.float64),
            effort=np.zeros(0),
        )

    def _image(self, role: str, rgb: np.ndarray, stamp_s: float, now_s: float) -> None:
        height, width = rgb.shape[:2]
        shape: dict[str, Any] = {"height": height, "width": width, "encoding": "rgb8", "step": 3 * width}
        self._say(role, IMAGE, now_s, header=header(stamp_s), is_bigendian=0, data=rgb.reshape(-1), **shape)

    def _say(self, role: str, kind: str, now_s: float, **fields: Any) -> None:
        self._add(role, kind, _TYPES[kind](**fields), now_s)

    def _add(self, role: str, kind: str, message: object, now_s: float) -> None:
        data, now_ns = messages.serialize(message, kind), _ns(now_s)
        captured_ns = messages.header_stamp_ns(data, kind) or now_ns
        self._recorder.add(Message(self._streams[role], kind, data, now_ns, captured_ns))


def header(stamp_s: float) -> Any:
    seconds, nanoseconds = divmod(_ns(stamp_s), 10**9)
    return _TYPES["std_msgs/msg/Header"](_TYPES["builtin_interfaces/msg/Time"](seconds, nanoseconds), "")


def _camera_info(camera: PinholeCamera, stamp_s: float) -> tuple[str, object]:
    kind = "sensor_msgs/msg/CameraInfo"
    message = _TYPES[kind](
        header=header(stamp_s),
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=camera.K.ravel(),
        r=np.eye(3).ravel(),
        p=np.hstack([camera.K, np.zeros((3, 1))]).ravel(),
        binning_x=0,
        binning_y=0,
        roi=_TYPES["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
    )
    return kind, message


def _ns(time_s: float) -> int:
    return round(1e9 * time_s)
