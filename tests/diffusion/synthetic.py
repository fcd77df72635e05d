"""A `WindowCache` of scenes that no renderer drew: soft backgrounds, and discs in the targets' colours."""

from pathlib import Path

import numpy as np

from genima_core.cameras import CameraRig
from genima_core.data.cache import WindowCache
from genima_core.targets.look import OURS


def cache(folder: Path, rig: CameraRig, episodes: int = 4, length: int = 10, size: int = 32) -> WindowCache:
    """Discs lie where a small mark in the picture says."""
    rng = np.random.default_rng(0)
    N = episodes * length
    v, u = np.mgrid[:size, :size] + 0.5
    images = np.empty((N, 4, size, size, 3), np.uint8)
    labels = np.zeros((N, 4, size, size), np.uint8)
    rgb = np.full_like(images, 255)
    gripper = rng.integers(0, 2, N).astype(np.float32)
    for n in range(N):
        for view in range(4):
            corner = rng.uniform(60, 200, (2, 2, 3))
            images[n, view] = (
                corner[0, 0]
                + (corner[0, 1] - corner[0, 0]) * u[..., None] / size
                + (corner[1, 0] - corner[0, 0]) * v[..., None] / size
            ).clip(0, 255)
            for i, colour in enumerate(OURS.colours(gripper[n])):
                x, y = rng.uniform(0.2, 0.8, 2) * size
                inside = (u - x) ** 2 + (v - y) ** 2 < (size / 9) ** 2
                labels[n, view][inside] = i + 1
                rgb[n, view][inside] = colour.light
                images[n, view, int(y), int(x)] = colour.dark
    folder.mkdir(parents=True)
    arrays = {
        "images": images,
        "target_rgb": rgb,
        "target_labels": labels,
        "target_alpha": np.where(labels > 0, 255, 0).astype(np.uint8),
        "q": np.zeros((N, 7), np.float32),
        "gripper": gripper,
        "action_gripper": gripper,
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    instructions = tuple(f"push the {('red', 'blue')[e % 2]} button" for e in range(episodes))
    return WindowCache(
        folder=folder,
        dataset_root=folder,
        horizon=5,
        stride=1,
        rig=rig.resize(size, size),
        numbers=tuple(range(episodes)),
        row_offsets=np.arange(episodes + 1) * length,
        instructions=instructions,
        tasks=("push_button",) * episodes,
        fingerprint="synthetic",
    )
