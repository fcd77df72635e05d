import itertools

import numpy as np

from genima_core.arm import PANDA
from genima_core.targets import palette

COLOURS = (palette.BASE, palette.ELBOW, palette.WRIST, palette.GRIPPER_OPEN, palette.GRIPPER_CLOSED)
BLUE_DEG = 240.0


def hue_distance(a: float, b: float) -> float:
    return abs((a - b + 180) % 360 - 180)


def test_one_name_per_drawn_frame():
    assert len(palette.TARGET_NAMES) == len(PANDA.drawn_frames) == len(palette.target_colours(1.0))


def test_hues_are_apart_from_each_other_and_from_blue():
    hues = [c.hue_deg for c in COLOURS]
    assert min(hue_distance(a, b) for a, b in itertools.combinations([*hues, BLUE_DEG], 2)) >= 48


def test_tones_share_their_hue_and_differ_in_brightness():
    for colour in COLOURS:
        assert hue_distance(palette.TargetColour(colour.dark).hue_deg, colour.hue_deg) < 1
        assert max(colour.light) - max(colour.dark) >= 100


def test_gripper_colour_changes_at_the_original_threshold():
    assert palette.gripper_colour(0.0) is palette.gripper_colour(0.1) is palette.GRIPPER_CLOSED
    assert palette.gripper_colour(0.11) is palette.gripper_colour(1.0) is palette.GRIPPER_OPEN


def test_stripes_look_different_after_every_turn():
    pattern = np.array([s in palette.STRIPE_SECTORS for s in range(palette.SECTORS)])
    assert all((pattern != np.roll(pattern, k)).any() for k in range(1, palette.SECTORS))
