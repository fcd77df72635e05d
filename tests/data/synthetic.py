"""Episodes and rigs for tests, made without GL or a simulator."""

import cv2
import numpy as np

from genima_core import geometry
from genima_core.arm import PANDA
from genima_core.cameras import CameraRig, PinholeCamera, RigCamera
from genima_core.data.episode import Episode


def rig(size: int = 32) -> CameraRig:
    def camera(name, eye, target, fov, radius):
        return RigCamera(
            name, PinholeCamera.from_fov(size, size, np.radians(fov)), "base", geometry.look_at(eye, target), radius
        )

    T_hand_cam = geometry.make_transform(np.eye(3), np.array([0.07, 0.0, 0.0]))
    wrist = RigCamera("wrist", PinholeCamera.from_fov(size, size, np.radians(80)), "hand", T_hand_cam, 0.03)
    return CameraRig(
        (
            wrist,
            camera("front", (1.45, 0, 0.8), (0.3, 0, 0.35), 50, 0.08),
            camera("right_shoulder", (-0.2, -0.9, 0.9), (0.4, 0.0, 0.3), 55, 0.065),
            camera("left_shoulder", (-0.2, 0.9, 0.9), (0.4, 0.0, 0.3), 55, 0.065),
        )
    )


def frames(rng: np.random.Generator, T: int, size: int) -> np.ndarray:
    """(T, size, size, 3) uint8: a soft background, and coloured shapes with sharp edges that move."""
    background = cv2.GaussianBlur(rng.integers(90, 170, (size, size, 3)).astype(np.uint8), (0, 0), size / 16)
    colour = tuple(int(c) for c in rng.integers(0, 256, 3))
    result = []
    for t in range(T):
        image, x = background.copy(), int(size * (0.2 + 0.6 * t / T))
        cv2.circle(image, (x, size // 2), size // 8, (220, 30, 20), -1, cv2.LINE_AA)
        cv2.line(image, (0, x), (size - 1, size - x), colour, max(1, size // 30), cv2.LINE_AA)
        result.append(image)
    return np.stack(result)


def episode(
    seed: int,
    T: int = 12,
    size: int = 32,
    instruction: str = "push the red button",
    success: bool = True,
    names: tuple[str, ...] = ("wrist", "front", "right_shoulder", "left_shoulder"),
) -> Episode:
    """A smooth motion with capture times that jitter; float32 values, as they are stored."""
    rng = np.random.default_rng(seed)
    s = np.linspace(0, 1, T)[:, None]
    q = PANDA.home + rng.normal(0, 0.05, 7) + s * s * (3 - 2 * s) * rng.normal(0, 0.3, 7)
    q = np.clip(q, PANDA.limits.lower + 0.1, PANDA.limits.upper - 0.1).astype(np.float32).astype(float)
    stamps = 100.0 + 0.05 * np.arange(T) + rng.uniform(0, 0.01, T)
    gripper = (np.arange(T) < T // 2).astype(float)
    return Episode(
        stamps_s=stamps,
        image_stamps_s=stamps[:, None] - rng.uniform(0, 0.02, (T, len(names))),
        images={name: frames(rng, T, size) for name in names},
        q=q,
        dq=np.gradient(q, 0.05, axis=0).astype(np.float32).astype(float),
        gripper=gripper,
        action_q=np.vstack([q[1:], q[-1:]]),
        action_gripper=np.append(gripper[1:], gripper[-1]),
        instruction=instruction,
        task="push_button",
        seed=seed,
        success=success,
    )
