"""Whether an episode may start: every stream there and fresh, one arm a topic, the right joints, space on the disk."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from genima_core.data.bags.messages import Message
from genima_core.data.bags.recording import free_bytes
from genima_core.data.bags.stamps import StreamMeter
from genima_core.timing import stamp_problem
from genima_ros.nodes.recording.inputs import StreamInputs
from genima_ros.nodes.recording.parameters import JOINTS, RecorderParameters

REMEDIES = {
    "camera": "start its driver, or name other cameras (parameter cameras, --cameras)",
    "joint_states": "start the robot's driver",
    "gripper_state": "start the gripper node and the gripper's driver",
    "leader_joint_states": "start the leader's driver, or record without one (parameter leader, --no-leader)",
}


def check_start(
    parameters: RecorderParameters,
    inputs: StreamInputs,
    meters: Mapping[str, StreamMeter],
    joints: Mapping[str, Iterable[Message]],
    now_ns: int,
) -> None:
    """`joints` holds the latest messages of both arms.

    Raises:
        RuntimeError: why an episode cannot start, and what to do.
    """
    for role in parameters.expected:
        _check_stream(role, inputs.topics[role], meters[role], parameters.stale_s, now_ns)
    for role in dict.fromkeys((*parameters.expected, *JOINTS)):
        if (count := inputs.publishers(role)) > 1:
            raise RuntimeError(f"{inputs.topics[role]} has {count} publishers; end all but one")
    for parameter, role, setup in zip(
        ("arm", "leader_arm"), JOINTS, (parameters.setup, parameters.leader_setup), strict=True
    ):
        # Arm and hand may come in messages of their own, so all names count.
        given = {name for message in joints[role] for name in _names(message)}
        missing = [name for name in setup.arm.joint_names if name not in given]
        if given and missing:
            raise RuntimeError(
                f"{inputs.topics[role]} lacks {', '.join(missing)}; it has {', '.join(sorted(given))}: name the robot "
                f"by the parameter {parameter}"
            )
    _check_disk(parameters.out, parameters.reserve_mb)


def _names(message: Message) -> Sequence[str]:
    """Of a joint state's joints; none where it is damaged."""
    try:
        return message.decode().name
    except ValueError:
        return ()


def _check_stream(role: str, topic: str, meter: StreamMeter, stale_s: float, now_ns: int) -> None:
    remedy = REMEDIES[role.partition("/")[0]]
    if meter.silent_s == float("inf"):
        raise RuntimeError(f"nothing has arrived on {topic}; {remedy}")
    if meter.silent_s > stale_s:
        raise RuntimeError(f"{topic} has been silent for {meter.silent_s:.1f} s; {remedy}")
    if abs(age_s := meter.age_s(now_ns)) > stale_s:
        raise RuntimeError(stamp_problem(topic, 1e-9 * now_ns - age_s, 1e-9 * now_ns, stale_s, "its driver"))


def _check_disk(out: Path, reserve_mb: float) -> None:
    other = "choose another folder (parameter out, --out)"
    try:
        out.mkdir(parents=True, exist_ok=True)
        free_mb = free_bytes(out) / 1e6
    except OSError as error:
        raise RuntimeError(f"folder {out} cannot be created: {error}; {other}") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise RuntimeError(f"folder {out} is not writable; change its permissions, or {other}")
    if free_mb < reserve_mb:
        raise RuntimeError(
            f"{free_mb:.0f} MB are left on the disk of {out}, less than the reserve of {reserve_mb:g} MB: make space, "
            f"or {other}"
        )
