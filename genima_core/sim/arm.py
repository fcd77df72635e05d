"""An arm as a MuJoCo model: its own kinematic tree, dressed with the Franka meshes of gymnasium-robotics.

The fragment that ships with the meshes shifts joint 6 and places the hand differently, so the tree is our own.
"""

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from genima_core import geometry, gl  # noqa: F401  (gl selects the GL backend before mujoco loads)
from genima_core.arm import FINGER_Z_M, Arm
from genima_core.sim.meshes import mesh_folder

import mujoco  # isort: skip
from mujoco import mjtGeom as Geom, mjtJoint as Joint  # isort: skip

TCP_SITE = "tcp"
HAND_BODY = "hand"

VISUAL_GROUP, COLLISION_GROUP = 1, 3
"""MuJoCo's groups of the arm's geoms: what is drawn and what touches."""
FINGERTIP_BELOW_TCP_M = 0.009
"""The tcp lies between the fingertips; this much of them is below it."""

_LINK_MASSES_KG = (2.91, 2.71, 2.73, 2.04, 2.08, 3.00, 1.32, 0.6)
_HAND_MASS_KG, _FINGER_MASS_KG = 0.73, 0.015

# The servos' stiffness (Nm/rad), damping (Nms/rad), force limit (Nm) and armature (kg m²), joint 1 to 7. Stiff and
# nearly critically damped, so that a 50 Hz stream is followed within some tens of milliseconds, without oscillation.
_STIFFNESS = (16000.0, 16000.0, 16000.0, 16000.0, 4000.0, 4000.0, 4000.0)
_DAMPING = (300.0, 300.0, 260.0, 240.0, 50.0, 50.0, 45.0)
_FORCE_NM = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)
_ARMATURE = (0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1)

_WHITE, _GREY = (0.93, 0.94, 0.95, 1.0), (0.23, 0.24, 0.26, 1.0)

# MuJoCo compares one geom's type with the other's affinity: the arm touches the scene, but never itself; what lies
# loose touches everything, and what is fixed or hinged touches those two.
UNTOUCHED: dict[str, Any] = {"contype": 0, "conaffinity": 0}
FIXED: dict[str, Any] = {"contype": 0, "conaffinity": 3}
LOOSE: dict[str, Any] = {"contype": 2, "conaffinity": 3}
_TOUCHES_SCENE = {"contype": 1, "conaffinity": 0}


def add_arm(spec: mujoco.MjSpec, arm: Arm, meshes: bool = True, detailed: bool = True) -> None:
    """Adds the arm, the hand and their servos; the base frame is the world frame.

    Bodies ``link0`` to ``link7`` and ``hand`` sit in the frames of `arm.FRAMES`, site ``tcp`` in the tcp frame.
    The compiler of `spec` is set to radians. Without `meshes` only the kinematics are built, for inverse kinematics.
    `detailed` chooses the vendor's visual meshes over its light ones, which are drawn in a sixth of the time.
    """
    spec.compiler.degree = False
    body = spec.worldbody.add_body(name="link0")
    if meshes:
        if arm.shapes != "franka":
            raise ValueError(f"the arm {arm.name} has no meshes; the simulated cell shows arms with `meshes: franka`")
        _load_meshes(spec, detailed)
        _dress(body, _LINK_MASSES_KG[0], _WHITE, UNTOUCHED)
    servos = zip(arm.joint_names, _STIFFNESS, _DAMPING, _FORCE_NM, strict=True)
    for i, (joint, stiffness, damping, force_nm) in enumerate(servos):
        limits = [float(arm.limits.lower[i]), float(arm.limits.upper[i])]
        body = _add_body(body, f"link{i + 1}", arm.links[i])
        hinge = {"type": Joint.mjJNT_HINGE, "axis": [0, 0, 1], "limited": True, "range": limits}
        body.add_joint(name=joint, armature=_ARMATURE[i], damping=1.0, **hinge)
        _add_servo(spec, joint, stiffness, damping, force_nm, limits)
        mass_kg = _LINK_MASSES_KG[i + 1]
        if meshes:
            _dress(body, mass_kg, _WHITE if i < 6 else _GREY, _TOUCHES_SCENE if i >= 3 else UNTOUCHED)
        else:
            body.add_geom(type=Geom.mjGEOM_SPHERE, size=[0.05, 0, 0], mass=mass_kg, **UNTOUCHED)
    hand = _add_body(body, HAND_BODY, arm.T_joint7_hand)
    hand.add_site(
        name=TCP_SITE, pos=arm.T_hand_tcp[:3, 3], quat=geometry.to_quat_wxyz(arm.T_hand_tcp), rgba=[0, 0, 0, 0]
    )
    if meshes:
        _dress(hand, _HAND_MASS_KG, _GREY, _TOUCHES_SCENE)
        _add_fingers(spec, hand, arm)


def _add_fingers(spec: mujoco.MjSpec, hand: mujoco.MjsBody, arm: Arm) -> None:
    travel = [0.0, arm.gripper.max_width_m / 2]
    for side, joint in enumerate(arm.gripper.joints):
        R_hand_finger = Rotation.from_euler("z", np.pi * side)  # the second finger is the first one, turned
        T_hand_finger = geometry.make_transform(R_hand_finger.as_matrix(), (0.0, 0.0, FINGER_Z_M))
        finger = _add_body(hand, f"finger{side + 1}", T_hand_finger)
        finger.add_joint(
            name=joint, type=Joint.mjJNT_SLIDE, axis=[0, 1, 0], limited=True, range=travel, armature=0.1, damping=2.0
        )
        _add_servo(spec, joint, 600.0, 20.0, 40.0, travel)
        _add_mesh(finger, "finger_visual", VISUAL_GROUP, _FINGER_MASS_KG, UNTOUCHED, rgba=_GREY)
        # Boxes instead of the mesh: the finger's root, and the pad that touches things.
        for size, pos in (((0.010, 0.006, 0.010), (0, 0.0065, 0.044)), ((0.010, 0.009, 0.017), (0, 0.0150, 0.017))):
            box = finger.add_geom(type=Geom.mjGEOM_BOX, size=size, pos=pos, mass=0, **_TOUCHES_SCENE)
            box.group, box.condim, box.friction = COLLISION_GROUP, 4, [1.5, 0.02, 0.0001]


def _load_meshes(spec: mujoco.MjSpec, detailed: bool) -> None:
    folder = mesh_folder()
    for link in (*(f"link{i}" for i in range(8)), "hand"):
        visual = "visual" if detailed else "collision"
        spec.add_mesh(name=f"{link}_visual", file=str(folder / visual / f"{link}.stl"))
        spec.add_mesh(name=f"{link}_collision", file=str(folder / "collision" / f"{link}.stl"))
    spec.add_mesh(name="finger_visual", file=str(folder / "visual" / "finger.stl"))


def _dress(body: mujoco.MjsBody, mass_kg: float, colour: tuple[float, ...], contact: dict[str, int]) -> None:
    """Gives a link the meshes of its name."""
    _add_mesh(body, f"{body.name}_visual", VISUAL_GROUP, 0, UNTOUCHED, rgba=colour)
    _add_mesh(body, f"{body.name}_collision", COLLISION_GROUP, mass_kg, contact)


def _add_mesh(
    body: mujoco.MjsBody, mesh: str, group: int, mass_kg: float, contact: dict[str, int], **look: Any
) -> None:
    body.add_geom(type=Geom.mjGEOM_MESH, meshname=mesh, group=group, mass=mass_kg, **contact, **look)


def _add_body(parent: mujoco.MjsBody, name: str, T_parent_body: np.ndarray) -> mujoco.MjsBody:
    return parent.add_body(name=name, pos=T_parent_body[:3, 3], quat=geometry.to_quat_wxyz(T_parent_body), gravcomp=1)


def _add_servo(spec: mujoco.MjSpec, joint: str, kp: float, kv: float, force: float, limits: list[float]) -> None:
    actuator = spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    actuator.ctrllimited, actuator.ctrlrange = True, limits
    actuator.forcelimited, actuator.forcerange = True, [-force, force]
    actuator.set_to_position(kp=kp, kv=kv)
