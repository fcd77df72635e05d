"""Windows as `FollowingWindows` gives them, made without GL or a simulator: smooth reaches and ray-traced spheres."""

from dataclasses import replace

import numpy as np
import torch
from torch.utils.data import Dataset

from genima_core import geometry
from genima_core.arm import PANDA
from genima_core.cameras import CameraRig
from genima_core.controller.config import DEMO, DIFFUSION_POLICY, PAPER, Preset
from genima_core.controller.kinematics import DrawnFrames
from genima_core.controller.network import TrainingBatch
from genima_core.targets.look import OURS

SMALL = {
    "size": (32, 32),
    "hidden": 32,
    "heads": 2,
    "feedforward": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "latent": 4,
    "chunk_size": 5,
}


def tiny(**model: object) -> Preset:
    """The demo preset with a small network on small views."""
    small = {**SMALL, "widths": (8, 16), "blocks": (1, 1), "descriptor": 4}
    return replace(DEMO, model=replace(DEMO.model, **{**small, **model}), train=replace(DEMO.train, batch_size=4))


def tiny_paper(**model: object) -> Preset:
    """The paper's preset with a small network on small views, from no pretrained weights."""
    small = {**SMALL, "widths": (8, 16, 16, 16), "blocks": (1, 1, 1, 1), "text_dim": 64}
    return Preset(replace(PAPER.model, **{**small, **model}), PAPER.augment, replace(PAPER.train, batch_size=4))


def tiny_diffusion_policy(**model: object) -> Preset:
    """Diffusion Policy with a small network on small views, from no pretrained weights."""
    small = {
        "size": (32, 32),
        "widths": (8, 16),
        "blocks": (1, 1),
        "film_stages": (1,),
        "text_dim": 64,
        "hidden": 16,
        "keypoints": 8,
        "unet_widths": (16, 32),
        "kernel_size": 3,
        "step_dim": 16,
        "chunk_size": 8,
    }
    return Preset(
        replace(DIFFUSION_POLICY.model, **{**small, **model}),
        DIFFUSION_POLICY.augment,
        replace(DIFFUSION_POLICY.train, batch_size=4),
    )


def training_batch(batch: dict[str, torch.Tensor], text_dim: int, rig: CameraRig | None = None) -> TrainingBatch:
    """`windows` as a network's losses take them: opaque spheres on black, and where they are if the rig is given."""
    B = len(batch["q"])
    pixels, shown = torch.zeros(B, 4, 4, 2), torch.zeros(B, 4, 4, dtype=torch.bool)
    if rig is not None:
        pixels, shown = DrawnFrames(rig).visible(batch["q"], batch["actions"][:, -1])
    text = torch.randn(B, text_dim, generator=torch.Generator().manual_seed(0))
    images = batch["rgb"].float() / 255 * (batch["alpha"].float() / 255)
    return TrainingBatch(
        images,
        batch["q"],
        batch["gripper"],
        text,
        batch["actions"],
        batch["action_gripper"],
        batch["is_pad"],
        pixels,
        shown,
    )


def inverse_kinematics(T_base_tcp: np.ndarray, q: np.ndarray, steps: int = 40) -> np.ndarray:
    """(N, 7) for poses (N, 4, 4) by damped least squares from q (N, 7)."""

    def error(q):
        T = PANDA.frame_pose(q, "tcp")
        R = T_base_tcp[:, :3, :3] @ T[:, :3, :3].swapaxes(1, 2)
        turn = 0.5 * np.stack([R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], -1)
        return np.concatenate([T_base_tcp[:, :3, 3] - T[:, :3, 3], 0.3 * turn], -1)

    for _ in range(steps):
        e = error(q)
        J = np.stack([(error(q + 1e-4 * np.eye(7)[i]) - e) / -1e-4 for i in range(7)], -1)
        JT = J.swapaxes(1, 2)
        pull = 0.02 * (PANDA.home - q)
        q = q + (JT @ np.linalg.solve(J @ JT + 1e-3 * np.eye(6), e[..., None]))[..., 0] + pull
        q = np.clip(q, PANDA.limits.lower + 0.05, PANDA.limits.upper - 0.05)
    return q


def reaches(count: int, seed: int, T: int = 70) -> tuple[np.ndarray, np.ndarray]:
    """Joint positions (count, T, 7) and gripper (count, T) of reaches: home, above a button, press, back up."""
    rng = np.random.default_rng(seed)
    start = PANDA.home + rng.normal(0, 0.08, (count, 7))
    xy = np.stack([rng.uniform(0.3, 0.65, count), rng.uniform(-0.3, 0.3, count)], -1)
    yaw = rng.uniform(-0.5, 0.5, count)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 0, 0], poses[:, 0, 1], poses[:, 1, 0], poses[:, 1, 1] = np.cos(yaw), np.sin(yaw), np.sin(yaw), -np.cos(yaw)
    poses[:, 2, 2] = -1
    poses[:, :2, 3] = xy
    poses[:, 2, 3] = rng.uniform(0.12, 0.2, count)
    above = inverse_kinematics(poses, start.copy())
    poses[:, 2, 3] = 0.02
    press = inverse_kinematics(poses, above.copy())
    s = np.linspace(0, 1, T)
    smooth = lambda x: (lambda u: u**3 * (10 - 15 * u + 6 * u**2))(np.clip(x, 0, 1))  # noqa: E731
    a, b, c = (smooth((s - o) / w)[None, :, None] for o, w in ((0, 0.55), (0.5, 0.25), (0.78, 0.2)))
    q = start[:, None] + a * (above - start)[:, None] + (b - c) * (press - above)[:, None]
    gripper = np.broadcast_to((s < 0.3).astype(float), (count, T)).copy()
    return q, gripper


def spheres(rig: CameraRig, q_now: np.ndarray, q_target: np.ndarray, gripper: np.ndarray, supersample: int = 2):
    """Ray-traced views: rgb (N, 4, 3, H, W) and alpha (N, 4, 1, H, W) uint8; eight stripes about each z axis."""
    width, height = rig.size
    w, h = width * supersample, height * supersample
    frames = PANDA.target_poses(q_target)
    hands = PANDA.frame_pose(q_now, "hand")
    N = len(q_now)
    rgb = np.full((N, 4, height, width, 3), 255, np.uint8)
    alpha = np.zeros((N, 4, height, width), np.uint8)
    for v, camera in enumerate(rig.cameras):
        k = camera.intrinsics.resize(w, h)
        u, y = np.meshgrid((np.arange(w) - k.cx) / k.fx, (np.arange(h) - k.cy) / k.fy)
        rays = np.stack([u, y, np.ones_like(u)], -1).astype(np.float32)
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        for n in range(N):
            T_base_cam = camera.T_base_cam(hands[n])
            T_cam_frame = geometry.invert(T_base_cam) @ frames[n]
            depth = np.full((h, w), np.inf, np.float32)
            colour = np.zeros((h, w, 3), np.float32)
            for i in range(4):
                centre = T_cam_frame[i, :3, 3].astype(np.float32)
                if centre[2] < 0.02:
                    continue
                along = rays @ centre
                square = along**2 - centre @ centre + camera.target_radius_m**2
                hit = (square > 0) & (along - np.sqrt(np.maximum(square, 0)) < depth)
                hit &= along > 0
                if not hit.any():
                    continue
                t = along[hit] - np.sqrt(square[hit])
                normal = (rays[hit] * t[:, None] - centre) @ T_cam_frame[i, :3, :3].astype(np.float32)
                stripe = np.cos(4 * np.arctan2(normal[:, 1], normal[:, 0])) > 0
                tones = OURS.colours(gripper[n])[i]
                colour[hit] = np.where(stripe[:, None], tones.light, tones.dark)
                depth[hit] = t
            mask = np.isfinite(depth).astype(np.float32)
            fold = lambda x: x.reshape(height, supersample, width, supersample, -1).mean((1, 3))  # noqa: E731
            coverage = fold(mask)
            rgb[n, v] = np.where(coverage > 0, fold(colour * mask[..., None]) / np.maximum(coverage, 1e-3), 255)
            alpha[n, v] = 255 * coverage[..., 0]
    return np.ascontiguousarray(rgb.transpose(0, 1, 4, 2, 3)), alpha[:, :, None]


def windows(
    rig: CameraRig, count: int, seed: int, chunk: int = 20, episodes: int = 50, noise: float = 0.02
) -> dict[str, torch.Tensor]:
    """A batch of `count` windows: rgb, alpha, q, gripper, actions, action_gripper, is_pad."""
    rng = np.random.default_rng(seed)
    q, gripper = reaches(episodes, seed)
    e, t = rng.integers(0, episodes, count), rng.integers(0, q.shape[1] - 1, count)
    index = t[:, None] + 1 + np.arange(chunk)
    is_pad = index > q.shape[1] - 1
    index = np.minimum(index, q.shape[1] - 1)
    actions, action_gripper = q[e[:, None], index], gripper[e[:, None], index]
    offset = rng.normal(0, noise, (count, 7))
    q_now = q[e, t] + offset
    fade = np.linspace(1, 0, chunk + 1)[1:, None]
    actions = actions + offset[:, None] * fade + rng.normal(0, noise, (count, 1, 7)) * (1 - fade)
    rgb, alpha = spheres(rig, q_now, actions[:, -1], action_gripper[:, -1])
    floats = {"q": q_now, "gripper": gripper[e, t], "actions": actions, "action_gripper": action_gripper}
    return {
        "rgb": torch.from_numpy(rgb),
        "alpha": torch.from_numpy(alpha),
        "is_pad": torch.from_numpy(is_pad),
        **{name: torch.from_numpy(value).float() for name, value in floats.items()},
    }


class Windows(Dataset):
    """`windows` as a torch data set."""

    def __init__(self, rig: CameraRig, count: int, seed: int, chunk: int = 5) -> None:
        self.arrays = windows(rig, count, seed, chunk, episodes=4)
        self.variants = 1
        self.q, self.actions = self.arrays["q"][:, None], self.arrays["actions"][:, None]
        self.is_pad = self.arrays["is_pad"]

    def __len__(self) -> int:
        return len(self.arrays["q"])

    def pick(self, count: int) -> list[int]:
        return torch.randint(len(self), (count,)).tolist()

    def __getitem__(self, index: int) -> dict:
        return {**{name: a[index] for name, a in self.arrays.items()}, "instruction": "push the button"}
