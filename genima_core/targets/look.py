"""What targets look like: names, colours and stripes of the spheres. An agent draws one look, and all follow it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

TARGET_NAMES = ("base", "elbow", "wrist", "gripper")
"""In the order of `Arm.drawn_frames`; label i + 1 in label images."""

GRIPPER_OPEN_ABOVE = 0.1
"""Openings above this are drawn as open, as in the original implementation."""

Colour = tuple[int, int, int]
"""uint8 RGB."""


@dataclass(frozen=True)
class TargetColour:
    """Light and dark stripes of one sphere."""

    light: Colour
    dark: Colour

    def __post_init__(self) -> None:
        for name in ("light", "dark"):
            if not all(0 <= level <= 255 for level in getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)}; valid are three numbers from 0 to 255")
        if len(set(self.light)) == 1:
            raise ValueError(f"light is {self.light}, a grey; targets are found by their hue")

    @property
    def hue_deg(self) -> float:
        """0 to 360, red 0, green 120, blue 240."""
        r, g, b = self.light
        return float(np.degrees(np.arctan2(np.sqrt(3) * (g - b), 2 * r - g - b))) % 360


@dataclass(frozen=True)
class Stripes:
    """Where a sphere is dark: in sectors around the frame's z axis, or in slices along its x axis."""

    around: Literal["z", "x"]
    dark: tuple[tuple[float, float], ...]
    """From where to where, 0 to 1 around the sphere or from one side to the other."""

    def __post_init__(self) -> None:
        borders = [border for part in self.dark for border in part]
        if borders != sorted(set(borders)) or not all(0 <= border <= 1 for border in borders):
            raise ValueError(f"dark stripes are {self.dark}; they must increase, between 0 and 1, and not touch")

    def is_dark(self, place: np.ndarray) -> np.ndarray:
        return np.any([(begin <= place) & (place < end) for begin, end in self.dark], axis=0)


@dataclass(frozen=True)
class Look:
    """All that decides what the spheres of a drawing look like; their radii are the rig's, and differ by camera."""

    base: TargetColour
    elbow: TargetColour
    wrist: TargetColour
    gripper_open: TargetColour
    gripper_closed: TargetColour
    stripes: Stripes
    rims: Literal["clear", "white"] = "clear"
    """Pixels that a sphere covers in part: its colour, as opaque as it covers them; or opaque, mixed with white."""
    near_m: float = 0.003
    """Nothing is drawn that is nearer to a camera."""

    def __post_init__(self) -> None:
        if not 0 < self.near_m <= 1:
            raise ValueError(f"near_m is {self.near_m}; valid are distances above 0, up to 1 m")

    def gripper(self, opening: float) -> TargetColour:
        """Colour of the gripper's sphere for an opening from 0 (closed) to 1 (open)."""
        return self.gripper_open if opening > GRIPPER_OPEN_ABOVE else self.gripper_closed

    def colours(self, opening: float) -> tuple[TargetColour, TargetColour, TargetColour, TargetColour]:
        """Of the four targets."""
        return self.base, self.elbow, self.wrist, self.gripper(opening)


def _two_tones(red: int, green: int, blue: int) -> TargetColour:
    """Dark stripes of the same hue and saturation, 0.45 times as bright."""
    return TargetColour((red, green, blue), (round(0.45 * red), round(0.45 * green), round(0.45 * blue)))


def _black(red: int, green: int, blue: int) -> TargetColour:
    return TargetColour((red, green, blue), (0, 0, 0))


OURS = Look(
    # Hues as in the paper (base red, elbow green, wrist purple, gripper cyan or yellow), spread so that no two of them,
    # nor a blue object in the scene, lie closer than 50 degrees.
    _two_tones(255, 0, 0),
    _two_tones(0, 230, 0),
    _two_tones(205, 0, 245),
    _two_tones(0, 240, 240),
    _two_tones(255, 235, 0),
    # Stripes of four widths, so that no two rotations look alike.
    Stripes("z", ((0, 5 / 24), (8 / 24, 11 / 24), (14 / 24, 16 / 24), (20 / 24, 21 / 24))),
)
RELEASED_DARK = (24, 48), (72, 96), (120, 144), (168, 192), (216, 256)
"""Pixels of the published textures, which are 256 wide."""
RELEASED = Look(
    # What the published code renders: its textures times its materials' colours, sliced along x by 24 of 256 pixels.
    _black(154, 0, 0),
    _black(43, 207, 62),
    _black(132, 104, 240),
    _black(5, 206, 235),
    _black(255, 255, 0),
    Stripes("x", tuple((begin / 256, end / 256) for begin, end in RELEASED_DARK)),
    rims="white",
    near_m=1e-5,
)
LOOKS: Mapping[str, Look] = {"ours": OURS, "released": RELEASED}
