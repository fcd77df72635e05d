"""Names that the streamer still uses; see `arm`."""

from collections.abc import Sequence

from genima_core.arm import ARMS, PANDA, JointLimits

JOINT_NAMES, FINGER_NAMES = PANDA.joint_names, PANDA.gripper.joints
GRIPPER_WIDTH_M = PANDA.gripper.max_width_m
ARM_LIMITS = {name: arm.limits for name, arm in ARMS.items()}

__all__ = ["ARM_LIMITS", "FINGER_NAMES", "GRIPPER_WIDTH_M", "JOINT_NAMES", "JointLimits", "narrow_limits"]


def narrow_limits(
    arm: str, lower: Sequence[float] = (), upper: Sequence[float] = (), velocity: Sequence[float] = ()
) -> JointLimits:
    """Limits of an arm with some of them replaced by narrower ones."""
    return ARMS[arm].narrowed(lower, upper, velocity).limits
