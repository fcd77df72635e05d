"""The arm as a MuJoCo file for franka-sim, which simulates what speaks the vendor's network protocol."""

from pathlib import Path

from genima_core.arm import FR3, Arm
from genima_core.sim.arm import UNTOUCHED, add_arm

import mujoco  # isort: skip

PREFIX = "fr3_"
"""franka-sim finds joints and links by names that begin so."""
HAND_RANGE_M = 0.04
_ARMATURE_KG_M2 = (0.2, 0.2, 0.2, 0.2, 0.15, 0.15, 0.15)
"""Its servos are explicit, and stiffer than lighter joints bear in a step of a millisecond."""


def write_arm(path: Path, arm: Arm = FR3) -> None:
    """The arm's kinematics, limits and masses, without meshes."""
    spec = mujoco.MjSpec()
    add_arm(spec, arm, meshes=False)
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for body in spec.bodies:
        if body.name.startswith("link"):
            body.name = PREFIX + body.name
    for i, (joint, armature) in enumerate(zip(spec.joints, _ARMATURE_KG_M2, strict=True)):
        joint.name, joint.armature = f"{PREFIX}joint{i + 1}", armature
    spec.compile()
    path.write_text(spec.to_xml())


def write_hand(path: Path) -> None:
    """Two fingers that slide apart; for `--gripper-physics`."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    hand = spec.worldbody.add_body(name="hand", quat=[0, 0, 0, 1])
    _weigh(hand, 0.73, (0.03, 0.1, 0.03))
    for side in range(2):
        finger = hand.add_body(name=f"finger{side + 1}", pos=[0, 0, 0.0584], quat=[float(not side), 0, 0, float(side)])
        _weigh(finger, 0.015, (0.01, 0.01, 0.02))
        finger.add_joint(
            name=f"finger_joint{side + 1}",
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=[0, 1, 0],
            range=[0, HAND_RANGE_M],
            limited=True,
            armature=0.1,
            damping=10.0,
        )
    spec.compile()
    path.write_text(spec.to_xml())


def _weigh(body: mujoco.MjsBody, mass_kg: float, half_size_m: tuple[float, float, float]) -> None:
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=half_size_m, mass=mass_kg, **UNTOUCHED)
