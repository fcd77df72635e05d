"""How far the arm stays away from itself and from the table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Margins:
    """Distances in m. The hand's must leave room for the task: fingers come down beside flat things."""

    self_clearance_m: float = 0.01
    """Between parts of the arm."""
    hand_clearance_m: float = 0.01
    """Of hand and fingers above the table."""
    arm_clearance_m: float = 0.04
    """Of links 3 to 7 above the table."""
    table_height_m: float = 0.0
    """In the base frame; the table is assumed to be infinite."""

    def __post_init__(self) -> None:
        for name in ("self_clearance_m", "hand_clearance_m", "arm_clearance_m"):
            if not 0 <= getattr(self, name) <= 0.2:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be in [0, 0.2]: give metres")
        if not -2.0 <= self.table_height_m <= 1.0:
            raise ValueError(
                f"table_height_m is {self.table_height_m}; it must be in [-2, 1]: give metres from the arm's base, up"
            )
