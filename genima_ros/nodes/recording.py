"""What the recorder records: its parameters, the messages as they arrive, and whether an episode may start."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from genima_core.data.bags.messages import Message, header_stamp_ns
from genima_core.data.bags.recording import DRAWINGS, RecordingConfig, free_bytes, is_picture
from genima_core.data.bags.stamps import StreamMeter
from genima_core.files import check_name
from genima_core.timing import stamp_problem
from genima_ros.arms import ArmSetup, find_arm
from genima_ros.messages import interfaces
from genima_ros.messages.interfaces import Topic
from genima_ros.nodes.base import ArmParameters, unspun_node

QUEUE_S = 2.0
"""What arrives within this time is kept while nobody takes it."""
FASTEST_HZ = 1000.0
"""Of what is no camera's, for the length of the queue."""
BEST_EFFORT, RELIABLE = ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE
_FOREVER = "{sec: 9223372036, nsec: 854775807}"
LATCHED_QOS = f"""\
- history: keep_last
  depth: 1
  reliability: reliable
  durability: transient_local
  deadline: {_FOREVER}
  lifespan: {_FOREVER}
  liveliness: automatic
  liveliness_lease_duration: {_FOREVER}
  avoid_ros_namespace_conventions: false"""
"""What a bag says about a publisher of `interfaces.LATCHED`, so that players offer the same."""
LATCHED = {
    "instruction": interfaces.INSTRUCTION,
    "success": interfaces.SUCCESS,
    "scene": interfaces.SCENE,
    "camera_rig": interfaces.CAMERA_RIG,
    "streamer_state": interfaces.STREAMER_STATE,
    "gate": interfaces.GATE,
}
MOTION = {
    "joint_states": interfaces.JOINT_STATES,
    "leader_joint_states": interfaces.LEADER_JOINT_STATES,
    "gripper_state": interfaces.GRIPPER_STATE,
    "joint_commands": interfaces.JOINT_COMMANDS,
    "gripper_command": interfaces.GRIPPER_COMMAND,
    "approval": interfaces.APPROVAL,
    "action_chunk": interfaces.ACTION_CHUNK,
    DRAWINGS: interfaces.TARGETS,
}
JOINTS = ("joint_states", "leader_joint_states")
REMEDIES = {
    "camera": "start its driver, or name other cameras (parameter cameras, --cameras)",
    "joint_states": "start the robot's driver",
    "gripper_state": "start the gripper node and the gripper's driver",
    "leader_joint_states": "start the leader's driver, or record without one (parameter leader, --no-leader)",
}


@dataclass(frozen=True)
class RecorderParameters(RecordingConfig, ArmParameters):
    out: Path = Path("recordings")
    """Folder of the episodes; numbering continues after existing ones."""
    task: str = ""
    """Name of what is demonstrated."""
    instruction: str = ""
    """Used until one arrives on the topic."""
    cameras: tuple[str, ...] = ("wrist", "front", "right_shoulder", "left_shoulder")
    """Names of the cameras to record."""
    rig: Path | None = None
    """rig.json of the cameras; by default the rig on the topic camera_rig."""
    leader_arm: str = ""
    """The leader arm, likewise; by default one like the follower."""
    leader: bool = True
    """Whether a leader arm must be there; otherwise it is recorded if it is there."""
    stale_s: float = 1.0
    """Recording does not start while a stream is silent for longer than this, or its messages are older."""
    rerecord_s: float = 5.0
    """Time to lay out the scene between ~/rerecord and the new start; ~/start starts at once."""
    warn_minutes: float = 10.0
    """Warns when the disk will be full sooner than this."""

    def __post_init__(self) -> None:
        self.setup, self.leader_setup  # noqa: B018 (refuses arms that are not there)
        for name in self.cameras:
            check_name(name, "a camera")
        if self.task:
            check_name(self.task, "the task")
        if not self.cameras or self.fps <= 0 or not 1 <= self.jpeg_quality <= 100:
            given = f"{list(self.cameras)}, {self.fps} and {self.jpeg_quality}"
            raise ValueError(f"a recorder needs cameras, a positive fps and a jpeg_quality from 1 to 100, not {given}")

    @cached_property
    def leader_setup(self) -> ArmSetup:
        return find_arm(self.leader_arm or self.arm)

    @property
    def camera_roles(self) -> tuple[str, ...]:
        return tuple(f"camera/{name}" for name in self.cameras)

    @property
    def expected(self) -> tuple[str, ...]:
        """Roles of the streams that must be there for an episode to start."""
        gripper = ("gripper_state",) if self.setup.gripper_has_node else ()
        return (*self.camera_roles, *(JOINTS if self.leader else JOINTS[:1]), *gripper)

    @property
    def streams(self) -> dict[str, Topic]:
        return streams_of(self.cameras)


def streams_of(cameras: Iterable[str]) -> dict[str, Topic]:
    """Role to the topic that is recorded for it."""
    images = {f"camera/{name}": interfaces.camera_image(name) for name in cameras}
    infos = {f"camera_info/{name}": interfaces.camera_info(name) for name in cameras}
    return {**LATCHED, **MOTION, **infos, **images}


def name_of(role: str) -> str:
    """For the operator: a camera's own name, or the role."""
    return role.removeprefix("camera/")


class StreamInputs:
    """Subscribes to topics by role; nothing is called back, `take` hands out what came.

    The subscriptions belong to a node of their own that no executor spins, for the time of reception: the middleware
    knows it, but the EventsExecutor does not pass it on to callbacks, which run late when the interpreter is busy.
    """

    def __init__(self, node: Node, streams: Mapping[str, Topic], fps: float) -> None:
        """`fps` is the rate of the cameras."""
        self._streams, self._fps = dict(streams), fps
        self._node = unspun_node(f"{node.get_name()}_inputs", node.context, namespace=node.get_namespace())
        self._subscriptions = {role: self._subscribe(role, BEST_EFFORT) for role in self._streams}

    @property
    def topics(self) -> dict[str, str]:
        """Role to the full name of its topic."""
        return {role: subscription.topic_name for role, subscription in self._subscriptions.items()}

    def take(self) -> Iterator[tuple[str, Message]]:
        """Role and message of all that came since the last time; in order within each role."""
        for role, subscription in self._subscriptions.items():
            topic, name = self._streams[role], subscription.topic_name
            kind, qos = type_name(topic.type), LATCHED_QOS if is_latched(topic.qos) else ""
            while True:
                with subscription.handle:
                    taken = subscription.handle.take_message(topic.type, True)
                if taken is None:
                    break
                data, info = taken
                received_ns = info["received_timestamp"] or time.time_ns()  # some middlewares leave it at 0
                # Where no header says when it was captured, the time of sending comes closest.
                captured_ns = header_stamp_ns(data, kind) or info["source_timestamp"] or received_ns
                yield role, Message(name, kind, data, received_ns, captured_ns, qos)

    def publishers(self, role: str) -> int:
        """How many there are on the topic."""
        return self._node.count_publishers(self._subscriptions[role].topic_name)

    def adapt(self) -> None:
        """Reliable where all publishers offer that, else best effort. Switching may lose some messages."""
        for role, subscription in self._subscriptions.items():
            offers = self._node.get_publishers_info_by_topic(subscription.topic_name)
            reliable = all(offer.qos_profile.reliability == RELIABLE for offer in offers)
            wanted = RELIABLE if reliable else BEST_EFFORT
            current = subscription.qos_profile.reliability
            if offers and wanted != current and not is_latched(self._streams[role].qos):
                self._node.destroy_subscription(subscription)
                self._subscriptions[role] = self._subscribe(role, wanted)

    def close(self) -> None:
        self._node.destroy_node()

    def _subscribe(self, role: str, reliability: ReliabilityPolicy):
        topic = self._streams[role]
        rate_hz = self._fps if role.startswith("camera") or is_picture(role) else FASTEST_HZ
        depth = max(10, round(QUEUE_S * rate_hz))
        own = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability)
        qos = topic.qos if is_latched(topic.qos) else own
        return self._node.create_subscription(topic.type, topic.name, lambda _: None, qos, raw=True)


def is_latched(qos: QoSProfile) -> bool:
    return qos.durability == DurabilityPolicy.TRANSIENT_LOCAL


def type_name(kind: type) -> str:
    """As in "sensor_msgs/msg/Image"."""
    package, _, _ = kind.__module__.partition(".")
    return f"{package}/msg/{kind.__name__}"


def check_start(
    parameters: RecorderParameters,
    inputs: StreamInputs,
    meters: Mapping[str, StreamMeter],
    joints: Mapping[str, Iterable[Message]],
    now_ns: int,
) -> None:
    """RuntimeError: why an episode cannot start, and what to do. `joints` holds the latest messages of both arms."""
    for role in parameters.expected:
        _check_stream(role, inputs.topics[role], meters[role], parameters.stale_s, now_ns)
    for role in dict.fromkeys((*parameters.expected, *JOINTS)):
        if (count := inputs.publishers(role)) > 1:
            raise RuntimeError(f"{inputs.topics[role]} has {count} publishers; end all but one")
    arms = {"arm": parameters.setup, "leader_arm": parameters.leader_setup}
    for (parameter, setup), role in zip(arms.items(), JOINTS, strict=True):
        # Arm and hand may come in messages of their own, so all names count.
        given = {name for message in joints[role] for name in _names(message)}
        missing = [name for name in setup.arm.joint_names if name not in given]
        if given and missing:
            there = f"{inputs.topics[role]} lacks {', '.join(missing)}; it has {', '.join(sorted(given))}"
            raise RuntimeError(f"{there}: name the right arm (parameter {parameter}, --{parameter.replace('_', '-')})")
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
        left = f"{free_mb:.0f} MB are left on the disk of {out}, less than the reserve of {reserve_mb:g} MB"
        raise RuntimeError(f"{left}: make space, or {other}")
