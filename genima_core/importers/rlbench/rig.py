"""Where the arm and the cameras of RLBench recordings are, in our frames."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from genima_core.arm import PANDA
from genima_core.cameras import MOVED_DEG, MOVED_MM, CameraRig, Mount, PinholeCamera, RigCamera
from genima_core.geometry import invert, make_transform
from genima_core.importers.rlbench.demo import Demo

TARGET_RADIUS_M = {"wrist": 0.03, "front": 0.08, "right_shoulder": 0.065, "left_shoulder": 0.065, "overhead": 0.08}
"""The paper's; its overhead camera, which is none of the four, shows no joints."""

Q_ZERO = np.radians([0.0, 0.0, 0.0, 3.98, 0.0, 0.0, 0.0])
"""(7,) rad, to be added to RLBench's joint positions: its joint 4 is 4 degrees further than it says, which moves the
wrist by 3 cm (measured in recordings that tell the joints' poses; see stepjam/PyRep, issue 187)."""
T_TCP_TIP = make_transform(np.diag([-1.0, -1.0, 1.0]), [0.0004, 0.0021, 0.0070])
"""The gripper's tip there, 7 mm further out than our tcp and 2 mm aside (RLBench's own URDF)."""
ARM = replace(PANDA, T_hand_tcp=PANDA.T_hand_tcp @ T_TCP_TIP, joints_turn=False)
"""Its Panda, as the published code draws it: the gripper's target at that tip, and joints' targets as CoppeliaSim has
their frames.
"""

FIT_LIMIT_MM, FIT_LIMIT_DEG = 10.0, 5.0
"""Median errors of an episode's gripper pose above which the arm is another one."""

_NOISE_M, _LEVER_M = 0.0005, 0.1
"""How well our kinematics are RLBench's while the arm touches nothing; an error of 1 rad counts as one of 0.1 m."""
_KNOWN_M, _KNOWN_RAD = 0.001, np.radians(0.3)
"""How well tip and zero are known beforehand, which decides where an arm hardly moves, or is always bent."""
_ROWS = 30
"""All rows together count as so many, since they err alike."""

_JOINT4 = np.eye(7)[3]
_OPTICAL_FROM_PYREP = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class ArmFit:
    """Where the arm stands in RLBench's world, how its joints count, and how well its kinematics are ours."""

    T_world_base: np.ndarray
    q_zero: np.ndarray
    """(7,) rad, to be added to RLBench's joint positions; only joint 4's differs from 0."""
    T_tcp_tip: np.ndarray
    report: dict[str, Any]
    """How well the gripper's poses fit, rounded; the median is that of the episode that fits worst."""


def fit_arm(demos: Sequence[Demo]) -> tuple[ArmFit, list[str]]:
    """Finds base, joint 4's zero and the gripper's tip from joint positions and gripper poses alone.

    A robust fit, since an arm that pulls at a drawer is bent by some millimetres (PerAct's episodes), and since some
    episodes may be of another arm.

    Returns:
        The fit, and for each episode why it does not fit; empty where it does.
    """
    q, T_world_tip = (np.concatenate([getattr(demo, name) for demo in demos]) for name in ("q", "T_world_tip"))
    rows = np.split(np.arange(len(q)), np.cumsum([len(demo) for demo in demos])[:-1])
    each = T_world_tip @ invert(PANDA.frame_pose(q + Q_ZERO, "tcp") @ T_TCP_TIP)
    means = np.stack([_mean(each[own]) for own in rows])
    begin = means[_most_central(means)]

    def unpack(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return begin @ _small(x[:6]), Q_ZERO + x[6] * _JOINT4, T_TCP_TIP @ _small(x[7:])

    def errors(x: np.ndarray) -> np.ndarray:
        """(N, 6) rotation vectors and metres: recorded tips, seen from where our kinematics put them."""
        T_world_base, q_zero, T_tcp_tip = unpack(x)
        T = invert(T_world_base @ PANDA.frame_pose(q + q_zero, "tcp") @ T_tcp_tip) @ T_world_tip
        return np.column_stack([Rotation.from_matrix(T[:, :3, :3]).as_rotvec(), T[:, :3, 3]])

    def residuals(x: np.ndarray) -> np.ndarray:
        off = errors(x) / _NOISE_M * [*[_LEVER_M] * 3, 1.0, 1.0, 1.0]
        robust = np.copysign(np.sqrt(2 * (np.hypot(1, off) - 1)), off)  # its square grows linearly
        known = x[6:] / [_KNOWN_RAD, *[_KNOWN_RAD] * 3, *[_KNOWN_M] * 3]
        return np.append(robust * np.sqrt(_ROWS / len(q)), known)

    x = least_squares(residuals, np.zeros(13)).x
    T_world_base, q_zero, T_tcp_tip = unpack(x)
    deg, mm = (
        np.linalg.norm(part, axis=1) for part in np.split(errors(x) * [*[np.degrees(1.0)] * 3, *[1e3] * 3], 2, 1)
    )
    medians = [(float(np.median(mm[own])), float(np.median(deg[own]))) for own in rows]
    report = {
        "T_world_base": T_world_base.round(6).tolist(),
        "joint4_zero_deg": round(float(np.degrees(q_zero[3])), 3),
        "tip_from_tcp_mm": (1000 * T_tcp_tip[:3, 3]).round(2).tolist(),
        "residual_mm_median": round(max(medians)[0], 3),
        "residual_mm_max": round(float(mm.max()), 3),
    }
    return ArmFit(T_world_base, q_zero, T_tcp_tip, report), [_another_arm(*median) for median in medians]


def _another_arm(mm: float, deg: float) -> str:
    if mm <= FIT_LIMIT_MM and deg <= FIT_LIMIT_DEG:
        return ""
    given = f"the gripper is {mm:.0f} mm and {deg:.1f}° (median) from where the joints put it"
    remedy = "Convert recordings of RLBench's Panda, with gripper_matrix in the world frame"
    return (
        f"not of a Panda in RLBench's conventions: {given}, and {FIT_LIMIT_MM:.0f} mm and {FIT_LIMIT_DEG:.0f}° are "
        f"allowed. {remedy}"
    )


def find_rig(
    demos: Sequence[Demo], cameras: tuple[str, ...], size: tuple[int, int], arm: ArmFit
) -> tuple[CameraRig | None, dict[str, dict], list[str]]:
    """The rig of the recorded cameras for pictures of this size: what most episodes agree on.

    A camera is mounted on the base or the hand, whichever it moves less relative to. Against the hand, it is the
    recorded pose of the gripper that counts: the joints do not tell how a loaded arm is bent.

    Returns:
        The rig, or None if no episode has one; how far each camera moved relative to its mount; and for each episode
        why its cameras are not those of the rig, empty where they are.
    """
    reasons = [
        next(filter(None, (_unusable(name, demo, c, size) for c, name in enumerate(cameras))), "") for demo in demos
    ]
    found: dict[str, tuple[Mount, np.ndarray]] = {}
    for c, name in enumerate(cameras):
        usable = [i for i, reason in enumerate(reasons) if not reason]
        if not usable:
            return None, {}, reasons
        poses = {i: _poses(demos[i], c, arm) for i in usable}
        moved = {i: {mount: _farthest(_mean(T), T) for mount, T in of.items()} for i, of in poses.items()}
        mount = min(poses[usable[0]], key=lambda m: np.median([_score(*moved[i][m]) for i in usable]))
        for i in usable:
            if not _still(*moved[i][mount]):
                listed = " and ".join(
                    f"{mm:.1f} mm and {deg:.2f}° against the {m}" for m, (mm, deg) in moved[i].items()
                )
                reasons[i] = f"camera {name!r} is fixed to neither base nor hand: it moves {listed}, {_ALLOWED}"
        usable = [i for i in usable if not reasons[i]]
        if not usable:
            return None, {}, reasons
        usual = usable[_most_central(np.stack([_mean(poses[i][mount]) for i in usable]))]
        for i in usable:
            mm, deg = _farthest(_mean(poses[usual][mount]), poses[i][mount])
            if not _still(mm, deg):
                reasons[i] = (
                    f"camera {name!r} is {mm:.1f} mm and {deg:.2f}° from where it usually is, {_ALLOWED}. {_APART}"
                )
            elif np.abs(demos[i].K[:, c] - demos[usual].K[0, c]).max() > 0.05:
                reasons[i] = f"camera {name!r} has other intrinsics than usual. {_APART}"
        found[name] = mount, demos[usual].K[0, c]
    rig, report = [], {}
    for c, (name, (mount, K)) in enumerate(found.items()):
        T = np.concatenate([_poses(demo, c, arm)[mount] for demo, no in zip(demos, reasons, strict=True) if not no])
        T_mount_cam = _mean(T)
        mm, deg = _farthest(T_mount_cam, T)
        if mount == "hand":
            T_mount_cam = PANDA.T_hand_tcp @ arm.T_tcp_tip @ T_mount_cam
        rig.append(RigCamera(name, _intrinsics(K, size), mount, T_mount_cam, TARGET_RADIUS_M[name]))
        report[name] = {"mount": mount, "moved_mm": round(mm, 3), "moved_deg": round(deg, 4)}
    return CameraRig(tuple(rig), ARM), report, reasons


_ALLOWED = f"and {MOVED_MM:g} mm and {MOVED_DEG:g}° are allowed"
_APART = "Convert recordings with other cameras into separate data sets"


def _unusable(name: str, demo: Demo, c: int, size: tuple[int, int]) -> str:
    """What is wrong with camera `c` of an episode, whatever others say; empty if nothing is."""
    K = demo.K[:, c]
    fx, fy, width, height = K[0, 0, 0], K[0, 1, 1], 2 * K[0, 0, 2], 2 * K[0, 1, 2]
    if np.abs(K - K[0]).max() > 0.05:
        return f"camera {name!r} changes its intrinsics; convert different cameras into separate data sets"
    if abs(width - size[0]) > 1 or abs(height - size[1]) > 1:
        given = f"camera {name!r} was recorded with {width:.0f}x{height:.0f} pixels"
        remedy = "convert the pictures as RLBench wrote them, with --size"
        return f"{given}, but its pictures are {size[0]}x{size[1]}; {remedy}"
    if fx * fy <= 0:
        return f"camera {name!r} has focal lengths {fx:g} and {fy:g}; valid are two of the same sign"
    return ""


def _poses(demo: Demo, c: int, arm: ArmFit) -> dict[Mount, np.ndarray]:
    """(T, 4, 4) poses of an OpenCV camera relative to the base, and relative to the gripper's tip."""
    T_cam_optical = _OPTICAL_FROM_PYREP if demo.K[0, c, 0, 0] < 0 else np.eye(4)
    T_world_cam = demo.T_world_cam[:, c] @ T_cam_optical
    return {"base": invert(arm.T_world_base) @ T_world_cam, "hand": invert(demo.T_world_tip) @ T_world_cam}


def _intrinsics(K: np.ndarray, size: tuple[int, int]) -> PinholeCamera:
    # The optical axis of a simulated camera meets the middle of the image. PyRep writes that as size / 2, counting
    # from the corner of the first pixel; ours is the centre of that pixel.
    return PinholeCamera(*size, abs(K[0, 0]), abs(K[1, 1]), K[0, 2] - 0.5, K[1, 2] - 0.5)


def _small(x: np.ndarray) -> np.ndarray:
    """(4, 4) from a rotation vector and a translation."""
    return make_transform(Rotation.from_rotvec(x[:3]).as_matrix(), x[3:])


def _mean(poses: np.ndarray) -> np.ndarray:
    return make_transform(Rotation.from_matrix(poses[:, :3, :3]).mean().as_matrix(), poses[:, :3, 3].mean(axis=0))


def _most_central(poses: np.ndarray) -> int:
    """Which of the poses (N, 4, 4) is nearest to most others."""
    mm = 1000 * np.linalg.norm(poses[:, None, :3, 3] - poses[None, :, :3, 3], axis=-1)
    traces = np.einsum("aij,bij->ab", poses[:, :3, :3], poses[:, :3, :3])
    deg = np.degrees(np.arccos(np.clip((traces - 1) / 2, -1, 1)))
    return int(np.median(_score(mm, deg), axis=1).argmin())


def _farthest(pose: np.ndarray, poses: np.ndarray) -> tuple[float, float]:
    """Largest distance in mm and largest angle in degrees of poses (N, 4, 4) from one."""
    mm = 1000 * np.linalg.norm(poses[:, :3, 3] - pose[:3, 3], axis=-1).max()
    rad = Rotation.from_matrix(pose[:3, :3].T @ poses[:, :3, :3]).magnitude().max()
    return float(mm), float(np.degrees(rad))


def _score(mm: Any, deg: Any) -> Any:
    return mm / MOVED_MM + deg / MOVED_DEG


def _still(mm: float, deg: float) -> bool:
    return mm <= MOVED_MM and deg <= MOVED_DEG
