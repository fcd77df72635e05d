"""Checks a drawing before it becomes motion: can these spheres be the arm, a second from now?

What is checked, in this order: the picture is no noise; it shows the observation that it was drawn over; each sphere is
found, and found in every view that shows enough of it; its views agree on one point in space; the points are those of
one configuration of the arm; they lie in the workspace; and the arm can get there in time. One sphere beside the
gripper's may be out of sight of all cameras but one. Spheres are told by colour alone, which needs no observation. The
observation, where it is given, is what tells a drawing of another scene, because that can be geometrically perfect.

Two cameras at the base locate spheres by themselves. With one there, and others on the hand, the arm helps: its links
say how far along their lines of sight the spheres are. With less, nothing can be judged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from genima_core.arm import frame_index
from genima_core.cameras import CameraRig
from genima_core.config import check_positive
from genima_core.geometry import checked_numbers
from genima_core.pixels import check_views
from genima_core.targets.detect import find_centres, label_centres
from genima_core.targets.look import OURS, TARGET_NAMES, Look
from genima_core.targets.triangulation import (
    Reach,
    camera_poses,
    outline_labels,
    project,
    reach,
    reach_in_sight,
    triangulate,
)

ROUNDS = 3
"""Of locating in sight: what hides a part of a sphere is known once all are located."""


class GateState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True)
class GateConfig:
    """Limits, for pictures of any size; `benchmarks/gate.py` prints what good drawings come to beside each."""

    noise_levels: float = 12.0
    """Standard deviation of the noise from pixel to pixel, of 255 levels, in any view."""
    scene_levels: float = 13.0
    """Difference from the observation beside the spheres, of 255 levels, mean over the cameras on the base."""
    reprojection: float = 0.1
    """Of the view's width: a drawn centre and its point seen from that camera; twice as much for a sphere that only one
    view shows, which the others locate through the arm. The base, which does not move, need only be there."""
    hand_radii: float = 1.0
    """In views from the hand in addition, of the sphere's radius there: one that fills the view is drawn carelessly."""
    seen_pixels: float = 0.008
    """Of the view: a sphere that should show so much of itself must be found; 33 pixels at 64×64."""
    hand_pixels: float = 0.06
    """The same in views from the hand, where models draw carelessly what the edge cuts off."""
    reach_m: float = 0.05
    """From each point to the frame of the nearest configuration."""
    workspace_lower_m: tuple[float, float, float] = (-0.3, -0.8, -0.05)
    workspace_upper_m: tuple[float, float, float] = (0.9, 0.8, 1.2)
    """Box in the base frame that holds the elbow, the wrist and the gripper."""
    joint_speed: float = 0.7
    """Share of each joint's maximum velocity, as the mean over the chunk's time."""
    tcp_speed_m_s: float = 0.45
    """Of the gripper, the mean over the chunk's time."""

    def __post_init__(self) -> None:
        check_positive(self, "noise_levels scene_levels reprojection hand_radii seen_pixels hand_pixels reach_m")
        check_positive(self, "joint_speed tcp_speed_m_s")
        lower, upper = self.workspace_lower_m, self.workspace_upper_m
        if not (len(lower) == len(upper) == 3 and all(a < b for a, b in zip(lower, upper, strict=True))):
            needed = "three numbers each are needed, x, y and z in m, the upper ones above the lower"
            raise ValueError(f"workspace_lower_m is {list(lower)}, workspace_upper_m {list(upper)}; {needed}")


@dataclass(frozen=True)
class Measures:
    """What a drawing came to, for each limit of `GateConfig`, the worst of all views and spheres; reprojection and the
    largest part of a view where a sphere should be seen and is not (`unseen`), of what is allowed there.
    """

    noise_levels: float
    scene_levels: float
    reprojection: float
    unseen: float
    reach_m: float
    joint_speed: float
    tcp_speed_m_s: float


@dataclass(frozen=True)
class Verdict:
    """Whether a drawing may become motion; arrays in the order of the rig and of `TARGET_NAMES`."""

    passed: bool
    reasons: tuple[str, ...]
    """Why not, each a sentence; empty if it passed."""
    points: np.ndarray
    """(4, 3) m in the base frame; NaN where a sphere is not located."""
    error_px: np.ndarray
    """(views, 4 targets) between the drawn centre and its point seen from that camera; NaN where not drawn."""
    q: np.ndarray
    """(7,) rad, the configuration nearest to the points."""
    measures: Measures


@dataclass(frozen=True)
class Gate:
    """Judges drawings made for one rig."""

    rig: CameraRig
    duration_s: float
    """Time that the arm has to get to what is drawn: chunk size times its period."""
    config: GateConfig = GateConfig()
    look: Look = OURS

    def __post_init__(self) -> None:
        if not can_judge(self.rig):
            given = ", ".join(f"{camera.name} (on the {camera.mount})" for camera in self.rig.cameras)
            needed = "the target gate needs two cameras to locate spheres, at least one of them on the base"
            raise ValueError(f"{needed}; the rig has {given}: add a camera, or do without the gate (gate:=false)")

    def check(self, drawing: np.ndarray, q_now: np.ndarray, observation: np.ndarray | None = None) -> Verdict:
        """The verdict on a drawing (views, H, W, 3) uint8, made while the arm was at `q_now` (7,) rad, with the
        `observation` also on whether it shows that scene. ValueError: pictures of another size than the rig's, or not 7
        finite numbers.
        """
        check_views(drawing, len(self.rig.cameras), self.rig.size, "the drawing is")
        if observation is not None:
            check_views(observation, len(self.rig.cameras), self.rig.size, "the observation is")
        checked_numbers(q_now, (7,), "joint positions of the moment of capture")
        T_base_cam = camera_poses(self.rig, q_now)
        # What the observation shows already is no sphere, be it as red as one.
        centres = find_centres(drawing, observation=observation, look=self.look)
        locate = self._locate_in_sight if self._one_at_base else self._locate
        points = locate(T_base_cam, centres, q_now)
        arm = reach(self.rig.arm, points, q_now)
        error_px, allowed_px = self._errors(T_base_cam, centres, points, arm)
        parts = _parts(outline_labels(self.rig, T_base_cam, arm.points))
        lost = self._lost(points, parts)
        drawn = np.isfinite(centres[..., 0]) | lost  # what is lost is said of all views together
        unseen = np.where(drawn, 0.0, parts)
        speed = np.abs(arm.q - q_now) / self.duration_s / self.rig.arm.limits.velocity
        tcp_speed = float(np.linalg.norm(arm.points[3] - self.rig.arm.target_poses(q_now)[3, :3, 3])) / self.duration_s
        noise = np.array([_noise(view) for view in drawing])
        spheres = outline_labels(self.rig, T_base_cam, np.where(np.isfinite(points), points, arm.points)) > 0
        scene = 0.0
        if observation is not None:
            views = zip(drawing[~self._on_hand], observation[~self._on_hand], spheres[~self._on_hand], strict=True)
            scene = float(np.mean([_difference(*view) for view in views]))
        reasons = (
            *self._of_pictures(noise, scene),
            *self._of_points(lost, centres, error_px, allowed_px),
            *self._of_arm(arm, points, unseen, speed, tcp_speed),
        )
        measures = Measures(
            float(noise.max()),
            scene,
            _worst(error_px / allowed_px),
            float((unseen / self._needed).max()),
            _worst(arm.distance_m),
            float(speed.max()),
            tcp_speed,
        )
        return Verdict(not reasons, reasons, points, error_px, arm.q, measures)

    @property
    def _on_hand(self) -> np.ndarray:
        return np.array([camera.mount == "hand" for camera in self.rig.cameras])

    @property
    def _one_at_base(self) -> bool:
        return int((~self._on_hand).sum()) == 1

    @property
    def _needed(self) -> np.ndarray:
        """Part of each view that a sphere must take up to be needed there, (views, 1)."""
        return np.where(self._on_hand, self.config.hand_pixels, self.config.seen_pixels)[:, None]

    def _locate(self, T_base_cam: np.ndarray, centres: np.ndarray, q_now: np.ndarray) -> np.ndarray:
        """Points (4, 3) m, NaN where a sphere is in less than two views; that of a frame that never moves is known."""
        now = self.rig.arm.target_poses(q_now)[:, :3, 3]
        points = np.where(self._still[:, None], now, triangulate(self.rig, T_base_cam, centres))
        # Where another sphere hides a part, or the view ends, the rest has another centre: known once they are located.
        shift = self._shift(T_base_cam, points)
        return np.where(self._still[:, None], now, triangulate(self.rig, T_base_cam, centres - shift))

    def _locate_in_sight(self, T_base_cam: np.ndarray, centres: np.ndarray, q_now: np.ndarray) -> np.ndarray:
        """The same with one camera at the base, where hardly a sphere is in two views: by the arm that comes nearest to
        all lines of sight; a view from the hand counts for what it should show.
        """
        drawn = np.isfinite(centres[..., 0]) & ~self._still
        used, points, shift = drawn & ~self._on_hand[:, None], np.full((4, 3), np.nan), np.zeros_like(centres)
        for _ in range(ROUNDS):
            points = reach_in_sight(self.rig, T_base_cam, centres - shift, used, q_now)
            shift = self._shift(T_base_cam, points)
            shows = _parts(outline_labels(self.rig, T_base_cam, points)) > self._needed
            used = drawn & (~self._on_hand[:, None] | shows)
        return np.where((self._still | used.any(axis=0))[:, None], points, np.nan)

    def _errors(
        self, T_base_cam: np.ndarray, centres: np.ndarray, points: np.ndarray, arm: Reach
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distances (views, 4) px of the drawn spheres from where they should be, and what is allowed there."""
        located = np.isfinite(points)
        points = np.where(located, points, arm.points)
        pixels, radii = project(self.rig, T_base_cam, points)
        error_px = np.linalg.norm(centres - pixels - self._shift(T_base_cam, points), axis=-1)
        # Models colour a view from the hand where no sphere can be; what nothing is located by, endangers nothing.
        on_hand = self._on_hand[:, None]
        absent = _parts(outline_labels(self.rig, T_base_cam, points)) <= self._needed
        error_px[on_hand & absent] = np.nan
        error_px[:, self._still] = np.nan  # nothing is located by them, and things of their colour change nearby
        sure = np.where(located[:, 0], 1.0, 2.0)
        # A camera within a sphere sees no radius, and nothing but it.
        radii_px = np.nan_to_num(radii, nan=self.rig.size[0])
        carelessness_px = np.where(on_hand, self.config.hand_radii * radii_px, 0.0)
        return error_px, sure * self.config.reprojection * self.rig.size[0] + carelessness_px

    def _lost(self, points: np.ndarray, parts: np.ndarray) -> np.ndarray:
        """Which spheres (4,) would have to be located and are not: the gripper's, those that two views should show
        (`parts` (views, 4) of them, where the arm puts them), and any if that leaves less than two that move.
        """
        absent = ~np.isfinite(points[:, 0])
        needed = (parts > self._needed).sum(axis=0) >= 2
        needed[TARGET_NAMES.index("gripper")] = True
        if (absent & ~needed).sum() > 1:
            needed[:] = True
        return absent & needed

    @property
    def _still(self) -> np.ndarray:
        """Which of the drawn frames no joint moves."""
        return np.array([frame_index(name) <= 1 for name in self.rig.arm.drawn_frames])

    def _shift(self, T_base_cam: np.ndarray, points: np.ndarray) -> np.ndarray:
        """From the spheres' centres to those of their visible parts, (views, 4, 2) px; 0 where nothing is visible."""
        pixels, _ = project(self.rig, T_base_cam, points)
        return np.nan_to_num(label_centres(outline_labels(self.rig, T_base_cam, points)) - pixels)

    def _of_pictures(self, noise: np.ndarray, scene: float) -> Iterator[str]:
        limit = self.config.noise_levels
        for view in np.flatnonzero(noise > limit):
            levels = f"{noise[view]:.0f} of 255 levels from pixel to pixel, allowed are {limit:.0f}"
            yield f"the {self.rig.names[view]} view is noisy: {levels}"
        if scene > self.config.scene_levels:
            levels = f"{scene:.0f} of 255 levels, allowed are {self.config.scene_levels:.0f}"
            yield f"the drawing shows another scene than the cameras: beside the spheres it differs by {levels}"

    def _of_points(
        self, lost: np.ndarray, centres: np.ndarray, error_px: np.ndarray, allowed_px: np.ndarray
    ) -> Iterator[str]:
        for target in np.flatnonzero(lost):
            views = [self.rig.names[view] for view in np.flatnonzero(np.isfinite(centres[:, target, 0]))]
            seen = f"it is drawn in {len(views)} of {len(centres)} views ({', '.join(views) or 'none'})"
            needed = f"{self.rig.names[int(self._on_hand.argmin())]} is" if self._one_at_base else "2 are"
            yield f"the {TARGET_NAMES[target]} sphere cannot be located: {seen}, {needed} needed"
        for view, target in np.argwhere(error_px > allowed_px):
            what = f"the {TARGET_NAMES[target]} sphere of the {self.rig.names[view]} view"
            away, allowed = f"{error_px[view, target]:.1f} px from where all views put it", allowed_px[view, target]
            yield f"the views contradict each other: {what} lies {away}, allowed are {allowed:.1f}"

    def _of_arm(
        self, arm: Reach, points: np.ndarray, unseen: np.ndarray, speed: np.ndarray, tcp_speed: float
    ) -> Iterator[str]:
        config, lower, upper = self.config, self.config.workspace_lower_m, self.config.workspace_upper_m
        for target in np.flatnonzero(arm.distance_m > config.reach_m):
            away = f"{100 * arm.distance_m[target]:.1f} cm from the nearest configuration"
            allowed = f"allowed are {100 * config.reach_m:.1f}"
            yield f"no arm looks like this: the {TARGET_NAMES[target]} sphere lies {away}, {allowed}"
        for view, target in np.argwhere(unseen > self._needed):
            where = f"the {TARGET_NAMES[target]} sphere is missing in the {self.rig.names[view]} view"
            yield f"{where}: it should take up {100 * unseen[view, target]:.1f} % of it"
        for target in np.flatnonzero(((points < lower) | (points > upper)).any(axis=-1)):
            where = f"the {TARGET_NAMES[target]} sphere is at {_metres(points[target])} m in the base frame"
            yield f"{where}, outside of the workspace from {_metres(lower)} to {_metres(upper)}"
        too_far = f"too far for {self.duration_s:.1f} s:"
        for joint in np.flatnonzero(speed > config.joint_speed):
            turn = f"joint {joint + 1} would turn at {100 * speed[joint]:.0f} % of its maximum velocity"
            yield f"{too_far} {turn}, allowed are {100 * config.joint_speed:.0f}"
        if tcp_speed > config.tcp_speed_m_s:
            yield (f"{too_far} the gripper would move at {tcp_speed:.2f} m/s, allowed are {config.tcp_speed_m_s:.2f}")


def can_judge(rig: CameraRig) -> bool:
    """Whether its cameras locate spheres: two or more, of which one is at the base."""
    return len(rig.cameras) >= 2 and any(camera.mount == "base" for camera in rig.cameras)


def _noise(view: np.ndarray) -> float:
    """Standard deviation of the noise from pixel to pixel, of 255 levels; edges and gradients do not count."""
    grey = view.astype(np.float32).mean(axis=-1)
    diagonal = grey[:-1, :-1] - grey[1:, :-1] - grey[:-1, 1:] + grey[1:, 1:]
    # Of Gaussian noise the median magnitude is 0.6745 deviations; averaging three channels divides it by sqrt(3).
    return float(np.median(np.abs(diagonal)) / 0.6745 / 2 * np.sqrt(3))


def _difference(drawing: np.ndarray, observation: np.ndarray, spheres: np.ndarray) -> float:
    """Difference of views (H, W, 3) beside spheres (H, W), of 255 levels, without details and the worst 2 %."""
    size = drawing.shape[1]
    reach_px = 2 * max(1, round(size * 6 / 64)) + 1
    beside = cv2.dilate(spheres.astype(np.uint8), np.ones((reach_px, reach_px), np.uint8)) == 0
    drawn, seen = (cv2.GaussianBlur(view.astype(np.float32), (0, 0), size * 3 / 64) for view in (drawing, observation))
    levels = np.abs((drawn - seen).mean(axis=-1))
    return float(np.quantile(levels[beside], 0.98)) if beside.any() else 0.0


def _parts(labels: np.ndarray) -> np.ndarray:
    """Which part of each view each sphere covers, (views, 4)."""
    return np.stack([(labels == 1 + target).mean(axis=(1, 2)) for target in range(len(TARGET_NAMES))], axis=1)


def _worst(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else 0.0


def _metres(point: Sequence[float]) -> str:
    return f"({', '.join(f'{x:.2f}' for x in point)})"
