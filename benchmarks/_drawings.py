"""Drawings for `benchmarks/gate.py`: good ones, and what a broken model, a broken cable or a mix-up makes of them."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from rich.progress import track

from genima_core.arm import PANDA
from genima_core.cameras import CameraRig, PinholeCamera, RigCamera
from genima_core.environment import follow
from genima_core.environments.make import make_environment
from genima_core.geometry import look_at
from genima_core.policy import Policy
from genima_core.sim.scene import default_rig
from genima_core.targets.draw import over_observation
from genima_core.targets.look import TARGET_NAMES, Look
from genima_core.targets.renderer import TargetRenderer
from genima_core.targets.triangulation import camera_poses, outline_labels, project

NOISE_LEVELS = (25.0, 80.0)
"""Range of the deviation, of 255."""
MOVED_PART = (0.2, 0.4)
"""Of the view's width, in one view."""
CLEAR_PART = 0.01
"""Of a view, that a sphere takes up where it is well seen."""
MOVED_M = (0.15, 0.3)
"""In space, in all views."""


@dataclass(frozen=True)
class Sample:
    """A drawing and what it was made for."""

    scene: int
    source: str
    """truth or drawn."""
    q: np.ndarray
    """(7,) rad at capture."""
    observation: np.ndarray
    drawing: np.ndarray
    q_target: np.ndarray
    """(7,) rad, where the expert is a chunk later."""
    gripper_target: float


PAPER_PERTURB = ("background", "lighting", "table_texture")
"""In the paper's geometry, so that wood and walls of any colour are seen."""


def paper_rig(size_px: int) -> CameraRig:
    """RLBench's four cameras and the paper's radii, in the base's frame: only the front camera sees the base."""
    at = {"front": (1.62, 0.0, 0.83), "right_shoulder": (0.09, -0.7, 1.15), "left_shoulder": (0.09, 0.7, 1.15)}
    intrinsics = PinholeCamera.from_fov(size_px, size_px, np.deg2rad(40.0))
    wrist = default_rig(size_px, size_px)["wrist"]
    looking = {name: look_at(place, (0.5, 0.0, 0.12)) for name, place in at.items()}
    radii_m = {"front": 0.08, "right_shoulder": 0.065, "left_shoulder": 0.065}
    cameras = (RigCamera(name, intrinsics, "base", looking[name], radii_m[name]) for name in at)
    return CameraRig((wrist, *cameras))


def two_cameras(names: tuple[str, str], size_px: int) -> CameraRig:
    """The fewest that a gate takes, of the simulated cell's."""
    rig = default_rig(size_px, size_px)
    return CameraRig(tuple(rig[name] for name in names))


def collect(
    policy: Policy, rig: CameraRig, look: Look, perturb: tuple[str, ...], seed: int, scenes: int, stride: int
) -> tuple[list[Sample], list[Sample]]:
    """True drawings, and the agent's of the same states: every `stride`-th of the expert's in each scene.

    Where rig or look are not the agent's own, it draws none.
    """
    size = policy.checkpoint.info.chunk_size
    agent_draws = (rig, look) == (policy.checkpoint.rig, policy.checkpoint.look)
    cell = make_environment(policy.checkpoint.info.tasks[0], rig, perturb)
    renderer = TargetRenderer(rig, look=look)
    true, drawn = [], []
    for scene in track(range(seed, seed + scenes), "drawing"):
        cell.reset(scene, "home" if scene % 2 else "anywhere")
        plan = cell.plan()
        states = [(cell.q, cell.observe() if k % stride == 0 else None) for k in follow(cell, plan)]
        for k in range(0, len(states), stride):
            observation, last = states[k][1], min(k + size, len(states) - 1)
            views = renderer.render(observation.q, states[last][0], float(plan.gripper[last]))
            images = observation.views(cell.rig.names)
            sample = Sample(
                scene,
                "truth",
                observation.q,
                images,
                over_observation(views, images),
                states[last][0],
                float(plan.gripper[last]),
            )
            true.append(sample)
            if agent_draws:
                drawn.append(replace(sample, source="drawn", drawing=policy.draw(observation, scene * 1000 + k)))
    cell.close()
    renderer.close()
    return true, drawn


def noisy(sample: Sample, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise in all views, or in one."""
    deviation = rng.uniform(*NOISE_LEVELS) * np.ones((len(sample.drawing), 1, 1, 1))
    if rng.random() < 0.5:
        deviation *= (np.arange(len(deviation)) == rng.integers(len(deviation)))[:, None, None, None]
    noise = deviation * rng.standard_normal(sample.drawing.shape)
    return np.clip(sample.drawing + noise, 0, 255).astype(np.uint8)


def without_sphere(sample: Sample, points: np.ndarray, rig: CameraRig, rng: np.random.Generator) -> np.ndarray:
    """One sphere painted over with the observation, in all views or in one fixed view that shows it well."""
    target = _clear_target(sample, points, rig, rng)
    discs = _discs(sample, points, target, rig)
    if rng.random() < 0.5:
        discs &= (np.arange(len(discs)) == _clear_view(sample, points, target, rig, rng))[:, None, None]
    return np.where(discs[..., None], sample.observation, sample.drawing)


def with_moved_sphere(sample: Sample, points: np.ndarray, rig: CameraRig, rng: np.random.Generator) -> np.ndarray:
    """One that joints move is elsewhere: in one fixed view by `MOVED_PART` of it, or in all by `MOVED_M` in space."""
    target, width = _clear_target(sample, points, rig, rng, moving=True), rig.size[0]
    discs, direction = _discs(sample, points, target, rig), rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    if rng.random() < 0.5:
        view = _clear_view(sample, points, target, rig, rng)
        shifts = np.zeros((len(discs), 2))
        shifts[view] = rng.uniform(*MOVED_PART) * width * direction[:2] / np.linalg.norm(direction[:2])
    else:
        T_base_cam = camera_poses(rig, sample.q)
        there = points[target] + rng.uniform(*MOVED_M) * direction
        pixels, _ = project(rig, T_base_cam, np.stack([points[target], there]))
        shifts = np.nan_to_num(pixels[:, 1] - pixels[:, 0])
    result = np.where(discs[..., None], sample.observation, sample.drawing)
    for view, shift in enumerate(shifts):
        v, u = np.nonzero(discs[view])
        to_u, to_v = u + round(shift[0]), v + round(shift[1])
        inside = (to_u >= 0) & (to_u < width) & (to_v >= 0) & (to_v < rig.size[1])
        result[view, to_v[inside], to_u[inside]] = sample.drawing[view, v[inside], u[inside]]
    return result


def of_another_scene(sample: Sample, samples: list[Sample], rng: np.random.Generator) -> np.ndarray:
    """A whole drawing that was made in another scene, as of images that were mixed up."""
    return _other(sample, samples, rng).drawing


def with_spheres_of_another_scene(
    sample: Sample, samples: list[Sample], rig: CameraRig, rng: np.random.Generator
) -> np.ndarray:
    """Another scene's true spheres over this scene's picture: what a model draws that does not look."""
    other = _other(replace(sample, source="truth"), samples, rng)
    shown = outline_labels(rig, camera_poses(rig, other.q), PANDA.target_poses(other.q_target)[:, :3, 3]) > 0
    return np.where(shown[..., None], other.drawing, sample.observation)


def _other(sample: Sample, samples: list[Sample], rng: np.random.Generator) -> Sample:
    others = [other for other in samples if other.scene != sample.scene and other.source == sample.source]
    return others[rng.integers(len(others))]


def _discs(sample: Sample, points: np.ndarray, target: int, rig: CameraRig) -> np.ndarray:
    """Pixels (views, H, W) bool of a sphere and its blurred rim, the other spheres left out."""
    labels = outline_labels(rig, camera_poses(rig, sample.q), points)
    rim = 2 * max(1, round(rig.size[0] * 3 / 64)) + 1
    return np.stack(
        [
            (cv2.dilate((view == target + 1).astype(np.uint8), np.ones((rim, rim), np.uint8)) > 0)
            & ((view == 0) | (view == target + 1))
            for view in labels
        ]
    )


def _clear_target(
    sample: Sample, points: np.ndarray, rig: CameraRig, rng: np.random.Generator, moving: bool = False
) -> int:
    """A sphere that some camera on the base shows well: nobody misses another one; if `moving`, not the base's."""
    parts = _parts(sample, points, rig)
    parts[:, TARGET_NAMES.index("base")] *= not moving
    return int(rng.choice(np.flatnonzero((parts >= CLEAR_PART).any(axis=0))))


def _clear_view(sample: Sample, points: np.ndarray, target: int, rig: CameraRig, rng: np.random.Generator) -> int:
    """A camera on the base that shows a sphere well."""
    return int(rng.choice(np.flatnonzero(_parts(sample, points, rig)[:, target] >= CLEAR_PART)))


def _parts(sample: Sample, points: np.ndarray, rig: CameraRig) -> np.ndarray:
    """Which part of each view of a camera on the base each sphere covers, (views, spheres)."""
    labels = outline_labels(rig, camera_poses(rig, sample.q), points)
    parts = np.stack([(labels == target + 1).mean(axis=(1, 2)) for target in range(len(points))], axis=1)
    return parts * np.array([[camera.mount == "base"] for camera in rig.cameras])
