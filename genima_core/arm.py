"""An arm as a value, and all that depends on it; `PANDA` and `FR3` by the vendor's control-parameter pages."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from genima_core.geometry import checked_numbers, from_rpy

FRAMES = ("joint1", "joint2", "joint3", "joint4", "joint5", "joint6", "joint7", "hand", "tcp")
"""Frames of every arm, in order. A joint's frame turns about its own z axis."""
SLOW_RAD_S = 0.1
"""At a position limit the velocity limit is 0: a slower joint never uses more of its limit than the share of this."""
TOLERANCE_RAD_S = 2e-3
"""By which a velocity may exceed limits that depend on the position, when it is judged."""


@dataclass(frozen=True)
class JointLimits:
    """Limits of the seven joints, arrays (7,): rad, rad/s, rad/s², rad/s³."""

    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    jerk: np.ndarray
    slowing: np.ndarray | None = None
    """(4, 7) of an arm that must be slower near its position limits: for each joint an offset o (rad/s), a deceleration
    a (rad/s²), and a lowest and a highest position p (rad). Towards p it may be as fast as √(2 a |p - q|) - o."""

    def velocity_at(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest velocity (..., 7) rad/s at positions (..., 7) rad."""
        if self.slowing is None:
            return -self.velocity, self.velocity
        offset, deceleration, lowest, highest = self.slowing
        down, up = (np.sqrt(2 * deceleration * np.maximum(way, 0.0)) - offset for way in (q - lowest, highest - q))
        return -np.clip(down, 0.0, self.velocity), np.clip(up, 0.0, self.velocity)

    def too_fast(self, q: np.ndarray, dq: np.ndarray) -> np.ndarray:
        """Whether each of some velocities (..., 7) rad/s exceeds the limits at positions (..., 7) rad."""
        lowest, highest = self.velocity_at(q)
        tolerance = 1e-6 * self.velocity if self.slowing is None else TOLERANCE_RAD_S
        return (dq < lowest - tolerance) | (dq > highest + tolerance)

    def velocity_shares(self, q: np.ndarray, dq: np.ndarray) -> np.ndarray:
        """Shares (..., 7) that velocities (..., 7) rad/s use of the limits at positions (..., 7) rad."""
        lowest, highest = self.velocity_at(q)
        return np.abs(dq) / np.maximum(np.where(dq > 0, highest, -lowest), SLOW_RAD_S)

    def scaled(self, velocity: float, acceleration: float, jerk: float) -> "JointLimits":
        """With shares of the limits; positions stay."""
        slowing = None
        if self.slowing is not None:
            slowing = self.slowing * np.array([velocity, velocity**2, 1.0, 1.0])[:, None]
        return replace(
            self,
            velocity=self.velocity * velocity,
            acceleration=self.acceleration * acceleration,
            jerk=self.jerk * jerk,
            slowing=slowing,
        )


@dataclass(frozen=True)
class Gripper:
    """What opens and closes at the end of an arm. Widths in m; positions in the unit of its joints, added up."""

    kind: Literal["franka_hand", "gripper_command", "parallel_gripper_command", "topic", "none"] = "topic"
    """What takes its goals: the Franka hand's actions, a gripper action of control_msgs, or a topic with the width, as
    in the simulated cell. none: a fixed tool, which counts as a closed gripper."""
    joints: tuple[str, ...] = ()
    open_position: float = 0.08
    closed_position: float = 0.0
    """Of the joints together, at max_width_m and at 0 m; between them in proportion."""
    max_width_m: float = 0.08

    def __post_init__(self) -> None:
        if self.kind != "none" and not self.joints:
            raise ValueError(f"gripper of kind {self.kind} has no joints; name those that tell its width")
        if self.kind in ("gripper_command", "parallel_gripper_command") and len(self.joints) != 1:
            raise ValueError(f"gripper joints are {', '.join(self.joints)}; kind {self.kind} moves one joint")
        if not 0 < self.max_width_m <= 1 or self.open_position == self.closed_position:
            given = f"gripper opens to {self.max_width_m:g} m, from {self.closed_position:g} to {self.open_position:g}"
            raise ValueError(f"{given}; a width of up to 1 m and two different positions are needed")

    def to_position(self, width_m: float) -> float:
        """Position of the joints together at a width."""
        return self.closed_position + (self.open_position - self.closed_position) * width_m / self.max_width_m

    def to_width_m(self, position: float) -> float:
        return self.max_width_m * (position - self.closed_position) / (self.open_position - self.closed_position)

    def to_opening(self, width_m: float) -> float:
        """0 closed to 1 open; a fixed tool is closed."""
        return 0.0 if self.kind == "none" else float(np.clip(width_m / self.max_width_m, 0.0, 1.0))

    def joint_positions(self, opening: float) -> np.ndarray:
        """Positions (n,) of its joints at an opening from 0 to 1: each has the same share."""
        return np.full(len(self.joints), self.to_position(opening * self.max_width_m) / max(1, len(self.joints)))


@dataclass(frozen=True)
class Capsule:
    """A rod with round ends that encloses a part of a link, in the frame of the link's joint; link 0 is the base."""

    link: int
    start_m: tuple[float, ...]
    end_m: tuple[float, ...]
    radius_m: float

    def __post_init__(self) -> None:
        if not (0 <= self.link <= 7 and len(self.start_m) == len(self.end_m) == 3 and self.radius_m > 0):
            ends = f"from {list(self.start_m)} to {list(self.end_m)} with radius {self.radius_m:g}"
            needed = "a link of 0 to 7, two points of three numbers and a positive radius are needed"
            raise ValueError(f"capsule of link {self.link} {ends}; {needed}")


@dataclass(frozen=True, eq=False)
class Arm:
    """A serial arm with seven revolute joints and a hand. Everything that depends on the arm asks it."""

    name: str
    joint_names: tuple[str, ...]
    base_frame: str
    hand_frame: str
    limits: JointLimits
    home: np.ndarray
    """(7,) rad"""
    links: np.ndarray
    """(7, 4, 4) pose of each joint's frame in the one before, at joint position zero."""
    T_joint7_hand: np.ndarray
    T_hand_tcp: np.ndarray
    gripper: Gripper
    drawn_frames: tuple[str, ...] = ("joint2", "joint4", "joint6", "tcp")
    """As in the paper: base, elbow and wrist joints, and the gripper."""
    joints_turn: bool = True
    """Whether a joint's drawn frame turns with the joint; in CoppeliaSim, and so in RLBench, it does not."""
    shapes: Literal["franka"] | tuple[Capsule, ...] = ()
    """For the collision check: the vendor's meshes, or capsules; none where nobody has described them."""

    def __post_init__(self) -> None:
        if len(self.joint_names) != 7 or len({*self.all_joints}) != len(self.all_joints):
            names, others = (", ".join(joints) or "none" for joints in (self.joint_names, self.gripper.joints))
            needed = "seven joints are needed, and no name twice"
            raise ValueError(f"joint_names are {names} and gripper joints {others}; {needed}")
        if len(self.drawn_frames) != 4 or not set(self.drawn_frames) <= set(FRAMES):
            raise ValueError(f"drawn_frames are {', '.join(self.drawn_frames)}; four of {', '.join(FRAMES)} are needed")
        if ((self.home < self.limits.lower) | (self.home > self.limits.upper)).any():
            raise ValueError(f"home {self.home.tolist()} lies outside of the arm's position limits")

    @property
    def all_joints(self) -> tuple[str, ...]:
        """Names of its joints and of the gripper's."""
        return (*self.joint_names, *self.gripper.joints)

    # ---- kinematics

    def forward_kinematics(self, q: np.ndarray) -> np.ndarray:
        """Poses in the base frame of all `FRAMES`, (..., 9, 4, 4), for joint positions (..., 7) in rad."""
        q = np.asarray(q, dtype=np.float64)
        if q.shape[-1:] != (7,):
            raise ValueError(f"joint positions have shape {q.shape}; forward kinematics needs (..., 7)")
        T_base_frame = np.empty((*q.shape[:-1], len(FRAMES), 4, 4))
        c, s = np.cos(q)[..., None], np.sin(q)[..., None]
        T = np.broadcast_to(np.eye(4), (*q.shape[:-1], 4, 4))
        for i in range(7):
            T = T @ self.links[i]
            x, y = T[..., 0].copy(), T[..., 1].copy()  # the joint turns the first two columns about the third
            T[..., 0], T[..., 1] = c[..., i, :] * x + s[..., i, :] * y, c[..., i, :] * y - s[..., i, :] * x
            T_base_frame[..., i, :, :] = T
        T_base_frame[..., 7, :, :] = T @ self.T_joint7_hand
        T_base_frame[..., 8, :, :] = T_base_frame[..., 7, :, :] @ self.T_hand_tcp
        return T_base_frame

    def frame_pose(self, q: np.ndarray, frame: str) -> np.ndarray:
        """T_base_frame (..., 4, 4) of one of `FRAMES`."""
        return self.forward_kinematics(q)[..., frame_index(frame), :, :]

    def target_poses(self, q: np.ndarray) -> np.ndarray:
        """Poses (..., 4, 4, 4) of the four drawn frames in the base frame."""
        index = [frame_index(name) for name in self.drawn_frames]
        poses = self.forward_kinematics(q)[..., index, :, :]
        if not self.joints_turn:
            back = np.append(np.asarray(q), np.zeros((*np.shape(q)[:-1], 2)), axis=-1)[..., index]
            c, s = np.cos(back)[..., None], np.sin(back)[..., None]
            x, y = poses[..., 0].copy(), poses[..., 1].copy()
            poses[..., 0], poses[..., 1] = c * x - s * y, s * x + c * y
        return poses

    def jacobian(self, q: np.ndarray, frame: str = "tcp") -> np.ndarray:
        """Geometric Jacobian (6, 7) of a frame in the base frame: linear velocity (m/rad) above angular."""
        poses, index = self.forward_kinematics(q), frame_index(frame)
        count = min(index + 1, 7)
        axes, origins = poses[:count, :3, 2], poses[:count, :3, 3]
        J = np.zeros((6, 7))
        J[:3, :count], J[3:, :count] = np.cross(axes, poses[index, :3, 3] - origins).T, axes.T
        return J

    # ---- limits

    def clip(self, q: np.ndarray, margin_rad: float = 0.0) -> np.ndarray:
        """Joint positions (..., 7) rad brought into the limits, and as far inside as the margin."""
        return np.clip(q, self.limits.lower + margin_rad, self.limits.upper - margin_rad)

    def narrowed(
        self, lower: Sequence[float] = (), upper: Sequence[float] = (), velocity: Sequence[float] = ()
    ) -> "Arm":
        """The arm with narrower limits, seven numbers each or none for its own; ValueError: wider, or nothing left."""
        if not (len(lower) or len(upper) or len(velocity)):
            return self
        own = self.limits
        narrow: dict[str, np.ndarray] = {}
        for name, what, given, sign in (
            ("lower", "lower position", lower, -1),
            ("upper", "upper position", upper, 1),
            ("velocity", "velocity", velocity, 1),
        ):
            if len(given) not in (0, 7) or not np.isfinite(given).all():
                raise ValueError(f"{what} limits are {list(given)}; give seven numbers, or none for the arm's own")
            most = getattr(own, name)
            narrow[name] = np.array(given, np.float64) if len(given) else most
            for i in np.flatnonzero(sign * (narrow[name] - most) > 0):
                wider = f"{narrow[name][i]:g}, wider than the {self.name}'s {most[i]:g}"
                raise ValueError(f"the {what} limit of joint {i + 1} is {wider}; limits may only be narrower")
        limits = replace(own, **narrow)
        for i in np.flatnonzero((limits.lower >= limits.upper) | (limits.velocity <= 0)):
            left = f"from {limits.lower[i]:g} to {limits.upper[i]:g} rad, velocity {limits.velocity[i]:g} rad/s"
            raise ValueError(f"nothing is left of joint {i + 1}: positions {left}; widen its limits")
        return replace(self, limits=limits, home=np.clip(self.home, limits.lower, limits.upper))

    # ---- as text

    def to_dict(self) -> str | dict[str, Any]:
        """For JSON and YAML: the name of a known arm, else a description that `arm_description.arm_from` reads."""
        if self is ARMS.get(self.name):
            return self.name
        return {
            "name": self.name,
            "joint_names": list(self.joint_names),
            "base_frame": self.base_frame,
            "hand_frame": self.hand_frame,
            "home": self.home.tolist(),
            **{name: values.tolist() for name, values in asdict(self.limits).items() if values is not None},
            "links": self.links.reshape(7, 16).tolist(),
            "hand": self.T_joint7_hand.ravel().tolist(),
            "tcp": self.T_hand_tcp.ravel().tolist(),
            "gripper": {**asdict(self.gripper), "joints": list(self.gripper.joints)},
            "drawn_frames": list(self.drawn_frames),
            "joints_turn": self.joints_turn,
            "meshes": self.shapes if isinstance(self.shapes, str) else "",
            "capsules": [asdict(shape) for shape in self.shapes if isinstance(shape, Capsule)],
        }


def frame_index(frame: str) -> int:
    """Place of a frame in `FRAMES`; ValueError for an unknown one."""
    if frame not in FRAMES:
        raise ValueError(f"unknown frame {frame!r}; the arm has {', '.join(FRAMES)}")
    return FRAMES.index(frame)


def links_from_dh(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """`Arm.links` (7, 4, 4) from Craig's DH parameters (a, d, alpha) (7, 3), m and rad; ValueError for others."""
    links = np.tile(np.eye(4), (7, 1, 1))
    for i, (a, d, alpha) in enumerate(checked_numbers(rows, (7, 3), "dh")):
        c, s = np.cos(alpha), np.sin(alpha)
        links[i, 1:3, 1:3] = [[c, -s], [s, c]]
        links[i, :3, 3] = a, -d * s, d * c
    return links


def pose_from(numbers: Sequence[float], what: str) -> np.ndarray:
    """A pose (4, 4) from x, y, z (m) and roll, pitch, yaw (rad), or from 16 numbers; ValueError for anything else."""
    if len(numbers) == 16:
        return checked_numbers(numbers, (16,), what).reshape(4, 4)
    x, y, z, *rpy = checked_numbers(numbers, (6,), what)
    return from_rpy(rpy, (x, y, z))


# ---- the Franka arms

_FRANKA_LINKS = links_from_dh(
    (
        (0.0, 0.333, 0.0),
        (0.0, 0.0, -np.pi / 2),
        (0.0, 0.316, np.pi / 2),
        (0.0825, 0.0, np.pi / 2),
        (-0.0825, 0.384, -np.pi / 2),
        (0.0, 0.0, np.pi / 2),
        (0.088, 0.0, np.pi / 2),
    )
)
FLANGE_Z_M, HAND_YAW_RAD, TCP_Z_M = 0.107, -np.pi / 4, 0.1034
FINGER_Z_M = 0.0584
"""Where the fingers of the Franka hand begin, in the hand frame; vendor's description."""
READY = np.array([0.0, -0.785398, 0.0, -2.356194, 0.0, 1.570796, 0.785398])
"""The vendor's "ready" configuration, rad."""


def _franka(name: str, limits: JointLimits) -> Arm:
    return Arm(
        name=name,
        joint_names=tuple(f"{name}_joint{i}" for i in range(1, 8)),
        base_frame=f"{name}_link0",
        hand_frame=f"{name}_hand",
        limits=limits,
        home=READY,
        links=_FRANKA_LINKS,
        T_joint7_hand=pose_from((0, 0, FLANGE_Z_M, 0, 0, HAND_YAW_RAD), "hand"),
        T_hand_tcp=pose_from((0, 0, TCP_Z_M, 0, 0, 0), "tcp"),
        gripper=Gripper("topic", (f"{name}_finger_joint1", f"{name}_finger_joint2")),
        shapes="franka",
    )


PANDA = _franka(
    "panda",
    JointLimits(
        lower=np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973]),
        upper=np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973]),
        velocity=np.array([2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61]),
        acceleration=np.array([15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0]),
        jerk=np.array([7500.0, 3750.0, 5000.0, 6250.0, 7500.0, 10000.0, 10000.0]),
    ),
)
"""The Franka Panda (FER)."""

FR3 = _franka(
    "fr3",
    JointLimits(
        lower=np.array([-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159]),
        upper=np.array([2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159]),
        velocity=np.array([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26]),
        acceleration=np.full(7, 10.0),
        jerk=np.full(7, 5000.0),
        slowing=np.array(
            [
                [0.30, 0.20, 0.20, 0.30, 0.35, 0.35, 0.35],
                [6.0, 2.585, 3.5, 4.0, 17.0, 5.5, 17.0],
                [-2.7501, -1.7918, -2.9065, -3.0481, -2.8101, 0.54092, -3.0196],
                [2.7501, 1.7918, 2.9065, -0.1458, 2.8101, 4.5205, 3.0196],
            ]
        ),
    ),
)
"""The Franka Research 3; `slowing` by the vendor's URDF."""

ARMS = {arm.name: arm for arm in (PANDA, FR3)}
