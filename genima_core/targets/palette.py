"""What is drawn: names, colours and stripes of the four target spheres.

Hues as in the paper (base red, elbow green, wrist purple, gripper cyan or yellow), spread so that no two of them,
nor a blue object in the scene, lie closer than 50 degrees. Each sphere has two tones of one hue.
"""

from dataclasses import dataclass

import numpy as np

TARGET_NAMES = ("base", "elbow", "wrist", "gripper")
"""In the order of `Arm.drawn_frames`; label i + 1 in label images."""

GRIPPER_OPEN_ABOVE = 0.1
"""Openings above this are drawn as open, as in the original implementation."""

STRIPE_TONE = 0.45
"""Brightness of the dark stripes relative to the light ones; hue and saturation stay."""

SECTORS = 24
STRIPE_SECTORS = frozenset((0, 1, 2, 3, 4, 8, 9, 10, 14, 15, 20))
"""Dark sectors of `SECTORS` around the frame's z axis: four widths, so that no two rotations look alike."""


@dataclass(frozen=True)
class TargetColour:
    """Two tones of one hue, uint8 RGB."""

    light: tuple[int, int, int]

    @property
    def dark(self) -> tuple[int, int, int]:
        red, green, blue = self.light
        return round(STRIPE_TONE * red), round(STRIPE_TONE * green), round(STRIPE_TONE * blue)

    @property
    def hue_deg(self) -> float:
        """0 to 360, red 0, green 120, blue 240."""
        r, g, b = self.light
        return float(np.degrees(np.arctan2(np.sqrt(3) * (g - b), 2 * r - g - b))) % 360


BASE = TargetColour((255, 0, 0))
ELBOW = TargetColour((0, 230, 0))
WRIST = TargetColour((205, 0, 245))
GRIPPER_OPEN = TargetColour((0, 240, 240))
GRIPPER_CLOSED = TargetColour((255, 235, 0))


def gripper_colour(opening: float) -> TargetColour:
    """Colour of the gripper's sphere for an opening from 0 (closed) to 1 (open)."""
    return GRIPPER_OPEN if opening > GRIPPER_OPEN_ABOVE else GRIPPER_CLOSED


def target_colours(gripper_opening: float) -> tuple[TargetColour, TargetColour, TargetColour, TargetColour]:
    return BASE, ELBOW, WRIST, gripper_colour(gripper_opening)
