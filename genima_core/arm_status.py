"""What an arm reports: may it be moved, and for a Franka arm what to do about the commonest errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """Numbers as in diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    """Must not be moved now: another mode, such as guiding."""
    ERROR = 2


@dataclass(frozen=True)
class ArmStatus:
    level: Level
    message: str = ""
    """Part of a sentence: what is wrong, and what to do about it; "" at OK."""
    mode: str = ""
    errors: tuple[str, ...] = ()
    placed: int = 0
    """How often a simulated arm was put somewhere else; a real one never is."""


MODES = ("other", "idle", "move", "guiding", "reflex", "user_stopped", "automatic_error_recovery")
"""By number; the same in libfranka, franka_ros2 and multipanda_ros2."""
REMARKS = {
    "other": "look at Desk",
    "idle": "no controller is active; activate one, and read what the driver says",
    "guiding": "it is guided by hand; activate its controller afterwards",
    "reflex": "look at what the driver says",
    "user_stopped": "release the user stop",
    "automatic_error_recovery": "it is recovering from an error; wait",
}
_NOT_SMOOTH = (
    "commands were not smooth: packets were lost, or the controller does not interpolate; use that of "
    "config/controllers and a real-time kernel"
)
_CONTACT = "it touched something, or the load is not set in Desk; move it out of contact by hand"
_LIMIT = "a joint is at its limit; unlock the joints in Desk and guide it back by hand"
_FAST = "it was too fast; lower velocity_scale"
ADVICE = {
    "joint_motion_generator_velocity_discontinuity": _NOT_SMOOTH,
    "joint_motion_generator_acceleration_discontinuity": _NOT_SMOOTH,
    "controller_torque_discontinuity": _NOT_SMOOTH,
    "cartesian_reflex": _CONTACT,
    "joint_reflex": _CONTACT,
    "communication_constraints_violation": "the control computer answered too late; use a real-time kernel, a direct "
    "cable and the performance governor",
    "joint_position_limits_violation": _LIMIT,
    "joint_motion_generator_position_limits_violation": _LIMIT,
    "self_collision_avoidance_violation": "it came too close to itself; guide it apart by hand",
    "joint_velocity_violation": _FAST,
    "joint_motion_generator_velocity_limits_violation": _FAST,
    "power_limit_violation": "it needed too much power; lower velocity_scale and check the load in Desk",
}
"""One line for each of the commonest errors; the others are listed by name."""


def read_status(mode: int, errors: Sequence[str], last_errors: Sequence[str] = ()) -> ArmStatus:
    """The status of an arm by its mode and errors, `last_errors` having ended its last motion; "move" is OK."""
    name = MODES[mode] if 0 <= mode < len(MODES) else f"mode {mode}"
    if not errors and name == "move":
        return ArmStatus(Level.OK, "", name)
    named = tuple(errors) or (tuple(last_errors) if name == "reflex" else ())
    # Two errors may have one remedy; it is said once.
    remedies = dict.fromkeys(ADVICE[error] for error in named if error in ADVICE)
    if name == "user_stopped" or not remedies:
        remedies = {REMARKS.get(name, "look at Desk and the driver"): None, **remedies}
    level = Level.ERROR if errors or name in ("reflex", "user_stopped") else Level.WARN
    said = f"{name} with {', '.join(named)}" if named else name
    return ArmStatus(level, f"{said}: {'; '.join(remedies)}", name, named)


def silent_status(last: ArmStatus | None, silent_s: float) -> ArmStatus:
    """The status of an arm whose state has not come for so long, or never (None); an error that it had stays."""
    if last is None:
        return ArmStatus(Level.WARN, "no state has arrived yet: start its driver, check the topic's name", "silent")
    if last.level is Level.ERROR:
        return last
    why = "its driver has ended, or a reflex has deactivated its controllers"
    remedy = "read what the driver says, run genima recover"
    return ArmStatus(Level.WARN, f"no state for more than {silent_s:g} s: {why}; {remedy}", "silent")
