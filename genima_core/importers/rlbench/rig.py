"""Where the arm and the cameras of RLBench recordings are, in our frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.spatial.transform import Rotation

from genima_core.arm import FRAMES, PANDA
from genima_core.cameras import MOVED_DEG, MOVED_MM, CameraRig, Mount, PinholeCamera, RigCamera
from genima_core.geometry import invert, make_transform, transform_points
from genima_core.importers.rlbench.demo import Demo

TARGET_RADIUS_M = {"wrist": 0.03, "front": 0.08, "right_shoulder": 0.065, "left_shoulder": 0.065, "overhead": 0.08}
"""The paper's; its overhead camera, which is none of the four, shows no joints."""

Q_ZERO = np.radians([0.0, 0.0, 0.0, 4.12, 0.0, 0.0, 0.0])
"""(7,) rad, to be added to RLBench's joint positions: its joint 4 is 4 degrees further than it says, which moves the
wrist by 3 cm (stepjam/PyRep, issue 187, where the tip is turned by 4.12). `fit_arm` finds out from recordings."""

FIT_LIMIT_MM = 20.0
"""Median distance of a joint from ours above which the arm is another one."""
ZERO_LIMIT_RAD = 0.15
"""How far joint 4's zero is searched."""

_JOINT4 = np.eye(7)[3]
_OPTICAL_FROM_PYREP = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class ArmFit:
    """Where the arm stands in RLBench's world, how its joints count, and how well its kinematics are ours."""

    T_world_base: np.ndarray
    q_zero: np.ndarray
    """(7,) rad, to be added to RLBench's joint positions; only joint 4's differs from 0."""
    report: dict[str, Any]
    """How well it fits, rounded; the median is that of the joint that fits worst."""


def fit_arm(demos: Sequence[Demo]) -> ArmFit:
    """Finds the base by a least-squares fit (Kabsch) of our joints' origins to the recorded ones, then joint 4's zero.

    CoppeliaSim's origins could lie anywhere along the axes, but in RLBench's Panda they are where the vendor's DH
    parameters put them (its own URDF, compared at random configurations): joints 1 to 4 exactly, which is why the base
    comes from these, joints 5 to 7 within 0.7 mm. Its gripper tip is not our tcp but 7 mm further out and 2 mm aside.

    By how much its joint 4 is further than it says (see `Q_ZERO`) is told by the joints beyond. Without it, targets
    would not lie on the arm.

    ValueError where some joint or the tip is more than 20 mm off (median): another arm, or poses in other frames.
    """
    q, p_world, T_world_tip = (
        np.concatenate([getattr(demo, name) for demo in demos]) for name in ("q", "p_world_joint", "T_world_tip")
    )
    # Where joints 1 to 4 are does not depend on joint 4.
    T_world_base = _kabsch(_origins(q)[:, :4].reshape(-1, 3), p_world[:, :4].reshape(-1, 3))

    def distances_mm(joint4_zero: float) -> np.ndarray:
        p_base = _origins(q + joint4_zero * _JOINT4)
        return 1000 * np.linalg.norm(transform_points(T_world_base, p_base) - p_world, axis=-1)

    bounds = (-ZERO_LIMIT_RAD, ZERO_LIMIT_RAD)
    found = minimize_scalar(lambda zero: np.square(distances_mm(zero)).sum(), bounds=bounds, options={"xatol": 1e-7})
    q_zero, residual_mm = found.x * _JOINT4, distances_mm(found.x)
    T_tcp_tip = invert(T_world_base @ PANDA.frame_pose(q + q_zero, "tcp")) @ T_world_tip
    tip_mm = 1000 * T_tcp_tip[:, :3, 3]
    distances = dict(zip(FRAMES, np.median(residual_mm, axis=0), strict=False))
    distances["gripper tip"] = np.median(np.linalg.norm(tip_mm, axis=-1))
    worst = max(distances, key=lambda name: distances[name])
    if not distances[worst] <= FIT_LIMIT_MM:
        listed = ", ".join(f"{name} {distance:.0f}" for name, distance in distances.items())
        off = f"{worst} is {distances[worst]:.0f} mm (median) from where its kinematics put it"
        remedy = "Convert recordings of RLBench's Panda, with joint_poses and gripper_matrix in the world frame"
        given = f"{off}, and {FIT_LIMIT_MM:.0f} are allowed ({listed})"
        raise ValueError(f"these recordings are not of a Panda in RLBench's conventions: {given}. {remedy}")
    report = {
        "T_world_base": T_world_base.round(6).tolist(),
        "joint4_zero_deg": round(float(np.degrees(found.x)), 3),
        "residual_mm_median": round(float(np.median(residual_mm, axis=0).max()), 3),
        "residual_mm_max": round(float(residual_mm.max()), 3),
        "tip_from_tcp_mm": np.median(tip_mm, axis=0).round(2).tolist(),
    }
    return ArmFit(T_world_base, q_zero, report)


def find_rig(
    demos: Sequence[Demo], cameras: tuple[str, ...], size: tuple[int, int], arm: ArmFit
) -> tuple[CameraRig, dict[str, dict]]:
    """The rig of the recorded cameras for pictures of this size, and how far each moved relative to its mount.

    A camera is mounted on the base or the hand, whichever it moves less relative to. ValueError if it moves relative
    to both, or if its intrinsics change or belong to pictures of another size.
    """
    T_base_hand = PANDA.frame_pose(np.concatenate([demo.q for demo in demos]) + arm.q_zero, "hand")
    rig, report = [], {}
    for c, name in enumerate(cameras):
        intrinsics, T_cam_optical = _intrinsics(name, np.concatenate([demo.K[:, c] for demo in demos]), size)
        T_world_cam = np.concatenate([demo.T_world_cam[:, c] for demo in demos])
        if not np.allclose(T_world_cam[:, :3, :3] @ T_world_cam[:, :3, :3].swapaxes(1, 2), np.eye(3), atol=1e-3):
            raise ValueError(f"camera {name!r} has extrinsics that are not rigid transforms (4, 4); record again")
        T_base_cam = invert(arm.T_world_base) @ T_world_cam @ T_cam_optical
        candidates: dict[Mount, np.ndarray] = {"base": T_base_cam, "hand": invert(T_base_hand) @ T_base_cam}
        means = {mount: _mean(poses) for mount, poses in candidates.items()}
        moved = {mount: _farthest(means[mount], poses) for mount, poses in candidates.items()}
        mount = min(moved, key=lambda m: moved[m][0] / MOVED_MM + moved[m][1] / MOVED_DEG)
        if moved[mount][0] > MOVED_MM or moved[mount][1] > MOVED_DEG:
            listed = " and ".join(f"{mm:.1f} mm and {deg:.2f}° against the {m}" for m, (mm, deg) in moved.items())
            remedy = "Convert recordings with other camera poses into separate data sets"
            given = f"it moves {listed}, and {MOVED_MM:g} mm and {MOVED_DEG:g}° are allowed"
            raise ValueError(f"camera {name!r} is fixed to neither base nor hand: {given}. {remedy}")
        rig.append(RigCamera(name, intrinsics, mount, means[mount], TARGET_RADIUS_M[name]))
        report[name] = {"mount": mount, "moved_mm": round(moved[mount][0], 3), "moved_deg": round(moved[mount][1], 4)}
    return CameraRig(tuple(rig)), report


def _intrinsics(name: str, K: np.ndarray, size: tuple[int, int]) -> tuple[PinholeCamera, np.ndarray]:
    """Our intrinsics, and T_cam_optical: the OpenCV camera in the recorded camera's frame."""
    fx, fy, cx, cy = K[0, 0, 0], K[0, 1, 1], K[0, 0, 2], K[0, 1, 2]
    if np.abs(K - K[0]).max() > 0.05:
        raise ValueError(f"camera {name!r} changes its intrinsics; convert different cameras into separate data sets")
    if abs(2 * cx - size[0]) > 1 or abs(2 * cy - size[1]) > 1:
        given = f"camera {name!r} was recorded with {2 * cx:.0f}x{2 * cy:.0f} pixels"
        remedy = "convert the pictures as RLBench wrote them, with --size"
        raise ValueError(f"{given}, but its pictures are {size[0]}x{size[1]}; {remedy}")
    if fx * fy <= 0:
        raise ValueError(f"camera {name!r} has focal lengths {fx:g} and {fy:g}; valid are two of the same sign")
    # The optical axis of a simulated camera meets the middle of the image. PyRep writes that as size / 2, counting
    # from the corner of the first pixel; ours is the centre of that pixel.
    camera = PinholeCamera(*size, abs(fx), abs(fy), cx - 0.5, cy - 0.5)
    return camera, _OPTICAL_FROM_PYREP if fx < 0 else np.eye(4)


def _origins(q: np.ndarray) -> np.ndarray:
    """Origins (N, 7, 3) of the joints in the base frame."""
    return PANDA.forward_kinematics(q)[:, :7, :3, 3]


def _kabsch(points_base: np.ndarray, points_world: np.ndarray) -> np.ndarray:
    """T_world_base that brings points (N, 3) closest to their partners."""
    mean_base, mean_world = points_base.mean(axis=0), points_world.mean(axis=0)
    R_world_base = Rotation.align_vectors(points_world - mean_world, points_base - mean_base)[0].as_matrix()
    return make_transform(R_world_base, mean_world - R_world_base @ mean_base)


def _mean(poses: np.ndarray) -> np.ndarray:
    return make_transform(Rotation.from_matrix(poses[:, :3, :3]).mean().as_matrix(), poses[:, :3, 3].mean(axis=0))


def _farthest(pose: np.ndarray, poses: np.ndarray) -> tuple[float, float]:
    """Largest distance in mm and largest angle in degrees of poses (N, 4, 4) from one."""
    mm = 1000 * np.linalg.norm(poses[:, :3, 3] - pose[:3, 3], axis=-1).max()
    rad = Rotation.from_matrix(pose[:3, :3].T @ poses[:, :3, :3]).magnitude().max()
    return float(mm), float(np.degrees(rad))
