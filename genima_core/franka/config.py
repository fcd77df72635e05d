"""What our own driver of a Franka arm depends on."""

from dataclasses import dataclass
from typing import Literal

from genima_core.config import check_positive, check_within


@dataclass(frozen=True)
class FrankaConfig:
    """How the arm is reached and held. Load and end effector are set in Desk; the package cannot set them."""

    robot_ip: str = "172.16.0.2"
    realtime: Literal["auto", "enforce", "ignore"] = "auto"
    """enforce: refuse to run without a real-time kernel, as the vendor's library does. auto: unless the arm is on this
    computer, which only a simulated one is."""
    guided: bool = False
    """The arm is moved by hand: it carries its own weight and nothing else, and takes no commands."""
    backend: Literal["impedance", "robot"] = "impedance"
    """impedance: torques of a joint impedance law, which forgive lost packets and give way. robot: positions to the
    arm's own controller, which aborts where a lost packet makes them jump."""
    limits_share: float = 0.95
    """Of the vendor's velocity, acceleration and jerk limits; more than the streamer's own shares."""
    joint_stiffness: tuple[float, ...] = (600.0, 600.0, 600.0, 600.0, 250.0, 150.0, 50.0)
    joint_damping: tuple[float, ...] = (50.0, 50.0, 50.0, 50.0, 20.0, 12.0, 4.0)
    """Nm/rad and Nms/rad of joints 1 to 7. The stiffness, and the damping of joints 1 to 4, is that of the vendor's
    example of joint impedance control; with its damping of the others (30, 25, 15) joint 7 would lag by 0.3 s."""
    velocity_feedforward: bool = False
    """Damp the difference from the wanted velocity instead of the velocity. The arm follows more closely, and any
    roughness of what is wanted is felt."""
    torque_cutoff_hz: float = 30.0
    """Of the filter on the torques: without it they change as fast as the vendor allows."""
    leash_rad: float = 0.4
    """How far the target may be ahead of a joint; beyond that the arm is held by something, and pushes no harder."""
    guiding_damping: float = 1.0
    """Nms/rad of a guided arm."""
    collision_torque_nm: tuple[float, ...] = (40.0, 40.0, 36.0, 36.0, 32.0, 28.0, 24.0)
    collision_force_n: tuple[float, ...] = (40.0, 40.0, 40.0, 50.0, 50.0, 50.0)
    """External torques of the joints, and force (N) and torque (Nm) at the gripper, that count as a collision."""

    def __post_init__(self) -> None:
        check_positive(self, "torque_cutoff_hz leash_rad guiding_damping")
        check_within(self, 0.05, 1.0, "limits_share")
        for name, count in {
            "joint_stiffness": 7,
            "joint_damping": 7,
            "collision_torque_nm": 7,
            "collision_force_n": 6,
        }.items():
            numbers = getattr(self, name)
            if len(numbers) != count or not all(0 < number < 1e5 for number in numbers):
                raise ValueError(f"{name} is {list(numbers)}; it needs {count} positive numbers")
        if not self.robot_ip:
            raise ValueError("robot_ip is empty; give the address of the arm's control box, such as 172.16.0.2")
