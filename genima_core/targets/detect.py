"""Finds targets: where they should be, where they were rendered, and where a drawing shows them."""

from dataclasses import dataclass

import cv2
import numpy as np

from genima_core.targets.draw import TargetViews
from genima_core.targets.look import OURS, TARGET_NAMES, Look

HUE_SURE_DEG, HUE_LIMIT_DEG = 18.0, 35.0
"""A pixel this close to a target's hue counts fully, one beyond the limit not at all."""
SATURATION_LIMIT, SATURATION_SURE = 0.25, 0.55
VALUE_LIMIT, VALUE_SURE = 35.0, 75.0
"""The dark stripes have value 100 to 115; below the limit a hue means nothing."""
CHANGE_LIMIT, CHANGE_SURE = 20.0, 60.0
"""Change of the most changed channel, of 255, between the observation and the drawing over it."""
MIN_WEIGHT = 0.3
FOUND_WITHIN = 0.1
"""A drawn target counts as found within this part of the view's width from its true centre."""


@dataclass(frozen=True)
class DrawingScore:
    """How well a drawing shows the targets, (views, targets) in the order of the rig and `TARGET_NAMES`: which are in
    the view at all, of these which are drawn within `FOUND_WITHIN` of its width, and how far from the true centre, NaN
    if not.
    """

    visible: np.ndarray
    found: np.ndarray
    error_px: np.ndarray


def visible_targets(views: TargetViews, min_pixels: int | None = None) -> np.ndarray:
    """Which targets show at least `min_pixels` pixels, (views, 4) bool; by default 0.15 % of the view, 6 at 64×64."""
    return _label_sums(views.labels)[0] >= (min_pixels or max(1, round(0.0015 * views.labels[0].size)))


def label_centres(labels: np.ndarray) -> np.ndarray:
    """Centroids (views, 4 targets, 2) px of what `labels` (views, H, W) show; NaN where a target is absent."""
    count, sum_u, sum_v = _label_sums(labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([sum_u / count, sum_v / count], axis=-1)


def find_centres(
    drawn: np.ndarray, gripper_open: bool | None = None, observation: np.ndarray | None = None, look: Look = OURS
) -> np.ndarray:
    """Centres (views, 4 targets, 2) px of the targets in a drawing (views, H, W, 3) uint8, by their colours; NaN for
    none.

    Without `gripper_open` it is the more prominent of cyan and yellow; with an `observation` only what differs from it
    counts.
    """
    if observation is not None and observation.shape != drawn.shape:
        raise ValueError(f"the observation is {observation.shape}, not of the size of the drawing, {drawn.shape}")
    states = (True, False) if gripper_open is None else (gripper_open,)
    grippers = [look.gripper(float(state)) for state in states]
    candidates = [[look.base], [look.elbow], [look.wrist], grippers]
    centres = np.full((len(drawn), len(candidates), 2), np.nan)
    for view, picture in enumerate(drawn):
        hue, coloured = _hue_and_weight(picture, None if observation is None else observation[view])
        for target, colours in enumerate(candidates):
            blobs = [_largest_blob(coloured * _hue_weight(hue, colour.hue_deg)) for colour in colours]
            centres[view, target] = max(blobs, key=lambda blob: blob[0])[1]
    return centres


def score_drawing(
    drawn: np.ndarray,
    truth: TargetViews,
    observation: np.ndarray | None = None,
    gripper_open: bool | None = None,
    look: Look = OURS,
) -> DrawingScore:
    """A drawing (views, H, W, 3) uint8 against the centroids of what is visible of the targets that it should show."""
    visible = visible_targets(truth)
    found_at, true_at = find_centres(drawn, gripper_open, observation, look), label_centres(truth.labels)
    distance = np.linalg.norm(found_at - true_at, axis=-1)
    found = visible & (distance <= FOUND_WITHIN * truth.labels.shape[-1])
    return DrawingScore(visible, found, np.where(found, distance, np.nan))


def _label_sums(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of pixels and sums of their coordinates, each (views, targets) float64."""
    count, bins = len(labels), len(TARGET_NAMES) + 1
    view, v, u = np.nonzero(labels)
    index = view * bins + labels[view, v, u]
    sums = (np.bincount(index, weights, minlength=count * bins) for weights in (np.ones(len(u)), u, v))
    number, sum_u, sum_v = (s.reshape(count, bins)[:, 1:] for s in sums)
    return number, sum_u, sum_v


def _rise(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, linear in between."""
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def _hue_and_weight(picture: np.ndarray, observation: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Hue in degrees, and how sure a pixel belongs to any target, 0 to 1; both (H, W) float32."""
    hue, saturation, value = cv2.split(cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_RGB2HSV))
    weight = _rise(saturation, SATURATION_LIMIT, SATURATION_SURE) * _rise(value, VALUE_LIMIT, VALUE_SURE)
    if observation is not None:
        change = cv2.absdiff(picture, observation).max(axis=-1).astype(np.float32)
        weight *= _rise(change, CHANGE_LIMIT, CHANGE_SURE)
    return hue, weight


def _hue_weight(hue: np.ndarray, hue_deg: float) -> np.ndarray:
    distance = np.abs((hue - np.float32(hue_deg) + 180.0) % 360.0 - 180.0)
    return 1.0 - _rise(distance, HUE_SURE_DEG, HUE_LIMIT_DEG)


def _largest_blob(weight: np.ndarray) -> tuple[float, np.ndarray]:
    """Total weight and centre (2,) px of the heaviest connected region; 0 and NaN where it is too small."""
    height, width = weight.shape
    least = max(3.0, width * height / 1400)
    nothing = 0.0, np.full(2, np.nan)
    if weight.sum() < least:
        return nothing
    mask = (weight > MIN_WEIGHT).astype(np.uint8)
    # Closing gaps of a pixel or two keeps a sphere together that a stripe or another sphere's rim cuts in two.
    reach = 2 * max(1, round(width / 64)) + 1
    count, regions = cv2.connectedComponents(cv2.dilate(mask, np.ones((reach, reach), np.uint8)), connectivity=8)
    kept = np.where(mask > 0, weight, 0.0)
    mass = np.bincount(regions.ravel(), kept.ravel(), minlength=count)
    mass[0] = 0.0
    best = int(np.argmax(mass))
    if mass[best] < least:
        return nothing
    v, u = np.nonzero(regions == best)
    w = kept[v, u]
    return float(mass[best]), np.array([np.sum(w * u), np.sum(w * v)]) / mass[best]
