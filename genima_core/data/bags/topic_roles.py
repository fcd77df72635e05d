"""Which topic is what in a recording that somebody else made, by the names that drivers give them."""

import re
from dataclasses import replace

from genima_core.arm import ARMS, PANDA, Gripper
from genima_core.data.bags import messages
from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.reader import Bag

_CAMERA = re.compile(r"(?:.*/)?(?P<name>[^/]+)/color/(?P<kind>camera_info|image_raw/compressed|image_raw|image_rect)")
_TOPICS = {
    "joint_states": "joint_states",
    "joint_commands": "joint_commands",
    "gripper/command": "gripper_command",
    "gripper/state": "gripper_state",
    "instruction": "instruction",
    "success": "success",
}
_JOINT, _FINGER = re.compile(r".*joint_?[1-7]"), re.compile(r".*finger_?joint_?\d?")
EXPECTED = "<camera>/color/image_raw (or image_raw/compressed) of four cameras, and joint_states"


def infer(bag: Bag) -> EpisodeInfo:
    """What a recording without episode.json is about; its instruction and rig are not known.

    Raises:
        ValueError: no cameras or joint states under the usual names, or not one arm's seven joints and its fingers.
    """
    streams: dict[str, str] = {}
    for topic in sorted(bag.topics):
        if (found := _CAMERA.fullmatch(topic)) is not None:
            role = "camera_info" if found["kind"] == "camera_info" else "camera"
            streams.setdefault(f"{role}/{found['name']}", topic)
        for ending, role in _TOPICS.items():
            if topic.strip("/") == ending:
                streams[role] = topic
    if "joint_states" not in streams or not any(role.startswith("camera/") for role in streams):
        raise ValueError(
            f"it has no episode.json, and lacks the topics that are needed to interpret it: {EXPECTED}; "
            f"it has {', '.join(sorted(bag.topics)) or 'none'}"
        )
    joints, fingers = _joints(bag, streams["joint_states"])
    known = [arm for arm in ARMS.values() if (arm.joint_names, arm.gripper.joints) == (joints, fingers)]
    arm = known[0] if known else replace(PANDA, name="recorded", joint_names=joints, gripper=Gripper("topic", fingers))
    return EpisodeInfo(task="", instruction="", streams=streams, arm=arm)


def _joints(bag: Bag, topic: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the seven joints and of the fingers, from the messages; arm and hand may be in separate ones."""
    names: list[str] = []
    for message in bag.messages({topic}):
        new = [name for name in messages.deserialize(message.data, message.type).name if name not in names]
        names += new
        fingers = tuple(name for name in names if _FINGER.fullmatch(name))
        joints = tuple(sorted(name for name in names if _JOINT.fullmatch(name) and name not in fingers))
        if len(joints) == 7 and fingers:
            return joints, fingers
    raise ValueError(
        f"{topic} does not describe one arm with joints 1 to 7 and its fingers; it has {', '.join(names) or 'none'}"
    )
