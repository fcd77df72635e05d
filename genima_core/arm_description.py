"""Reads an arm: by its name, or described in plain numbers, Craig's DH rows or a URDF."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np

from genima_core.arm import ARMS, Arm, Capsule, Gripper, JointLimits, links_from_dh, pose_from
from genima_core.config import from_overrides
from genima_core.files import check_name, explained, read_text
from genima_core.geometry import checked_numbers, from_rpy, make_transform


@dataclass(frozen=True)
class ArmDescription:
    """An arm in plain numbers, as YAML and JSON hold it. Kinematics: one of `dh`, `urdf` and `links`."""

    name: str
    joint_names: tuple[str, ...]
    acceleration: tuple[float, ...]
    jerk: tuple[float, ...]
    home: tuple[float, ...]
    """rad"""
    lower: tuple[float, ...] = ()
    upper: tuple[float, ...] = ()
    velocity: tuple[float, ...] = ()
    """These three may come from the URDF."""
    slowing: tuple[tuple[float, ...], ...] = ()
    """Of an arm that must be slower near its position limits: `JointLimits.slowing`, four rows of seven numbers."""
    dh: tuple[tuple[float, ...], ...] = ()
    """Craig's (modified) DH parameters a (m), d (m), alpha (rad) of joint 1 to 7."""
    urdf: str = ""
    """Path of a URDF with these joints, one after the other."""
    links: tuple[tuple[float, ...], ...] = ()
    """Poses of the joints' frames in the one before, seven rows of 16 numbers."""
    hand: tuple[float, ...] = ()
    """Pose of the hand in joint 7's frame (of a URDF, its link): x, y, z (m), roll, pitch, yaw (rad), or 16 numbers."""
    tcp: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    """Pose of the tool centre point in the hand, likewise."""
    base_frame: str = "base_link"
    hand_frame: str = "hand"
    gripper: Gripper = field(default_factory=lambda: Gripper("none"))
    drawn_frames: tuple[str, ...] = ("joint2", "joint4", "joint6", "tcp")
    joints_turn: bool = True
    meshes: Literal["", "franka"] = ""
    capsules: tuple[Capsule, ...] = ()


def arm_from(value: object, folder: Path = Path()) -> Arm:
    """The arm that a name or an `ArmDescription` means, a URDF's path relative to `folder`; ValueError, an OSError."""
    if isinstance(value, str):
        if value not in ARMS:
            raise ValueError(f"there is no arm {value!r}; valid are {', '.join(ARMS)}, or a description of one")
        return ARMS[value]
    if not isinstance(value, Mapping):
        raise ValueError(f"the arm is {value!r}; valid are {', '.join(ARMS)}, or a description of one")
    d = from_overrides(ArmDescription, value, "the arm")
    check_name(d.name, "the arm")
    given = [name for name in ("dh", "urdf", "links") if getattr(d, name)]
    if len(given) != 1:
        raise ValueError(f"the arm {d.name} has {' and '.join(given) or 'no'} kinematics; give one of dh, urdf, links")
    T_joint7_link, slowing = np.eye(4), checked_numbers(d.slowing, (4, 7), "slowing") if d.slowing else None
    numbers = {field.name: getattr(d, field.name) for field in fields(JointLimits) if field.name != "slowing"}
    if d.urdf:
        links, T_joint7_link, of_urdf = _read_urdf(folder / d.urdf, d.joint_names)
        numbers = {name: own or of_urdf.get(name, ()) for name, own in numbers.items()}
    else:
        links = links_from_dh(d.dh) if d.dh else checked_numbers(d.links, (7, 16), "links").reshape(7, 4, 4)
    vectors = {name: checked_numbers(values, (7,), name) for name, values in numbers.items()}
    limits = JointLimits(**vectors, slowing=slowing)
    least = min(limits.velocity.min(), limits.acceleration.min(), limits.jerk.min())
    if (limits.lower >= limits.upper).any() or least <= 0:
        raise ValueError(f"the arm {d.name}: lower limits must be below upper ones, all other limits positive")
    if slowing is not None and ((slowing[:2] <= 0).any() or (slowing[2] >= slowing[3]).any()):
        valid = "offsets and decelerations must be positive, lowest positions below highest ones"
        raise ValueError(f"the arm {d.name}: slowing is {slowing.tolist()}; {valid}")
    return Arm(
        name=d.name,
        joint_names=d.joint_names,
        base_frame=d.base_frame,
        hand_frame=d.hand_frame,
        limits=limits,
        home=checked_numbers(d.home, (7,), "home"),
        links=links,
        T_joint7_hand=T_joint7_link @ pose_from(d.hand, "hand"),
        T_hand_tcp=pose_from(d.tcp, "tcp"),
        gripper=d.gripper,
        drawn_frames=d.drawn_frames,
        joints_turn=d.joints_turn,
        shapes="franka" if d.meshes == "franka" else d.capsules,
    )


def _read_urdf(path: Path, joint_names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, dict[str, tuple[float, ...]]]:
    """`Arm.links`, the last link in joint 7's frame, and limits of a chain of revolute joints, with fixed ones."""
    from scipy.spatial.transform import Rotation  # not at the top: other arms need none

    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError(f"URDF {path} defines entities, which no URDF needs; remove its DOCTYPE")
    with explained(f"URDF {path} is not XML", ElementTree.ParseError):
        joints = {joint.get("name", ""): joint for joint in ElementTree.fromstring(text).findall("joint")}
    missing = [name for name in joint_names if name not in joints]
    if missing:
        raise ValueError(f"URDF {path} has no joint {', '.join(missing)}; it has {', '.join(joints)}")
    into = {_link(joint, "child"): joint for joint in joints.values()}
    links, T_turned_joint = [], np.eye(4)
    for i, name in enumerate(joint_names):
        joint, before = joints[name], joint_names[i - 1] if i else None
        origin, link = _origin(joint), _link(joint, "parent")
        for _ in joints:
            if link not in into or into[link].get("name") == before:
                break
            if into[link].get("type") != "fixed":
                raise ValueError(f"URDF {path}: {into[link].get('name')} moves {name}, but is not among joint_names")
            origin, link = _origin(into[link]) @ origin, _link(into[link], "parent")
        if i and (link not in into or into[link].get("name") != before):
            raise ValueError(f"URDF {path}: {name} does not follow {before}")
        axis = np.array([float(v) for v in _attribute(joint, "axis", "xyz", "1 0 0").split()])
        # Our joints turn about z, a URDF's about any axis.
        T_joint_turned = make_transform(Rotation.align_vectors([axis], [[0.0, 0.0, 1.0]])[0].as_matrix(), np.zeros(3))
        links.append(T_turned_joint @ origin @ T_joint_turned)
        T_turned_joint = np.linalg.inv(T_joint_turned)
    limits = {
        name: tuple(float(_attribute(joints[joint], "limit", name, "nan")) for joint in joint_names)
        for name in ("lower", "upper", "velocity")
    }
    return np.stack(links), T_turned_joint, limits


def _link(joint: ElementTree.Element, role: str) -> str:
    return _attribute(joint, role, "link", "")


def _attribute(joint: ElementTree.Element, tag: str, name: str, default: str) -> str:
    element = joint.find(tag)
    return default if element is None else element.get(name, default)


def _origin(joint: ElementTree.Element) -> np.ndarray:
    xyz, rpy = ([float(v) for v in _attribute(joint, "origin", key, "0 0 0").split()] for key in ("xyz", "rpy"))
    return from_rpy(rpy, xyz)
