"""Whether an episode may start: every stream there and fresh, one arm a topic, the right joints, space on the disk."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState

from genima_core.data.bags.recording import free_bytes
from genima_core.data.bags.stamps import StreamMeter
from genima_ros.nodes.recording.inputs import StreamInputs
from genima_ros.nodes.recording.parameters import JOINTS, RecorderParameters

REMEDIES = {
    "camera": "start its driver, or name other cameras (parameter cameras, --cameras)",
    "joint_states": "start the robot's driver",
    "gripper_state": "start the gripper node and the gripper's driver",
    "leader_joint_states": "start the leader's driver, or record without one (parameter leader, --no-leader)",
}


def refusal(
    parameters: RecorderParameters,
    inputs: StreamInputs,
    meters: Mapping[str, StreamMeter],
    joints: Mapping[str, Iterable[bytes]],
    now_ns: int,
) -> str:
    """Why an episode cannot start, and what to do; "" if it can. `joints` holds the latest messages of both arms."""
    for role in parameters.expected:
        if problem := _stream(role, inputs.topics[role], meters[role], parameters.stale_s, now_ns):
            return problem
    for role in dict.fromkeys((*parameters.expected, *JOINTS)):
        if (count := inputs.publishers(role)) > 1:
            return f"{inputs.topics[role]} has {count} publishers; end all but one"
    for role in JOINTS:
        if problem := _other_joints(parameters, role, inputs.topics[role], joints[role]):
            return problem
    return _disk(parameters.out, parameters.reserve_mb)


def _stream(role: str, topic: str, meter: StreamMeter, stale_s: float, now_ns: int) -> str:
    remedy = REMEDIES[role.partition("/")[0]]
    if meter.silent_s == float("inf"):
        return f"nothing has arrived on {topic}; {remedy}"
    if meter.silent_s > stale_s:
        return f"{topic} has been silent for {meter.silent_s:.1f} s; {remedy}"
    if abs(age_s := meter.age_s(now_ns)) > stale_s:
        return (
            f"{topic} is stamped {abs(age_s):.1f} s in the {'past' if age_s > 0 else 'future'}; set the clocks of "
            "all machines by NTP, or restart its driver"
        )
    return ""


def _other_joints(parameters: RecorderParameters, role: str, topic: str, messages: Iterable[bytes]) -> str:
    """Arm and hand may come in messages of their own, so all names count."""
    parameter, setup = ("arm", parameters.setup) if role == "joint_states" else ("leader_arm", parameters.leader_setup)
    given = {name for data in messages for name in deserialize_message(data, JointState).name}
    missing = [name for name in setup.arm.joint_names if name not in given]
    if not given or not missing:
        return ""
    return (
        f"{topic} lacks {', '.join(missing)}; it has {', '.join(sorted(given))}: name the robot by the "
        f"parameter {parameter}"
    )


def _disk(out: Path, reserve_mb: float) -> str:
    try:
        out.mkdir(parents=True, exist_ok=True)
        free_mb = free_bytes(out) / 1e6
    except OSError as error:
        return f"folder {out} cannot be created: {error}; choose another one (parameter out, --out)"
    if not os.access(out, os.W_OK | os.X_OK):
        return f"folder {out} is not writable; change its permissions or choose another one (parameter out, --out)"
    if free_mb < reserve_mb:
        return (
            f"{free_mb:.0f} MB are left on the disk of {out}, less than the reserve of {reserve_mb:g} MB: make "
            "space, or choose another folder (parameter out, --out)"
        )
    return ""
