import cv2
import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.cameras import CameraRig, PinholeCamera, RigCamera
from genima_core.geometry import look_at
from genima_core.targets.renderer import TargetRenderer, TargetViews


@pytest.fixture(scope="session")
def rig() -> CameraRig:
    """A hand camera that sees the gripper's target, and three cameras that see the whole arm; 64×64."""

    def base_camera(name: str, eye: tuple, radius_m: float) -> RigCamera:
        return RigCamera(name, PinholeCamera.from_fov(64, 64, 0.85), "base", look_at(eye, (0.25, 0.0, 0.45)), radius_m)

    T_hand_cam = look_at((0.08, 0.0, 0.0), (0.04, 0.0, 0.15), up=(1.0, 0.0, 0.0))
    return CameraRig(
        (
            RigCamera("wrist", PinholeCamera.from_fov(64, 64, 1.4), "hand", T_hand_cam, 0.03),
            base_camera("front", (1.5, 0.1, 0.9), 0.08),
            base_camera("right_shoulder", (-0.2, -1.1, 1.1), 0.065),
            base_camera("left_shoulder", (-0.2, 1.1, 1.1), 0.065),
        )
    )


@pytest.fixture(scope="session")
def renderer(rig: CameraRig):
    """One renderer of the 64×64 rig for all tests."""
    renderer = TargetRenderer(rig)
    yield renderer
    renderer.close()


@pytest.fixture(scope="session")
def views(renderer: TargetRenderer) -> TargetViews:
    return renderer.render(PANDA.home, PANDA.home, 1.0)


@pytest.fixture(scope="session")
def scene() -> np.ndarray:
    """Four pictures (4, 64, 64, 3) uint8 with something robot-like and a blue button."""
    pictures = np.full((4, 64, 64, 3), (150, 145, 140), dtype=np.uint8)
    pictures[:, 32:] = (120, 112, 100)
    for picture in pictures:
        cv2.line(picture, (32, 0), (21, 64), (235, 235, 230), 8)
        cv2.circle(picture, (32, 48), 5, (30, 50, 200), -1)
    return pictures


def random_q(rng: np.random.Generator, spread: float = 0.15) -> np.ndarray:
    """Joint positions (7,) around home."""
    return PANDA.home + spread * rng.standard_normal(7)


@pytest.fixture
def random_arm(rng: np.random.Generator):
    """Draws joint positions around home."""
    return lambda spread=0.15: random_q(rng, spread)
