"""Joint positions whose frames project onto given keypoints: a few Gauss-Newton steps, batched and in torch."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from genima_core.arm import frame_index
from genima_core.controller.kinematics import DrawnFrames
from genima_core.controller.network import Statistics


class GoalSolver(torch.nn.Module):
    """Most probable goal given keypoints in four views and a Gaussian prior.

    Four spheres fix six joints; the prior decides the seventh, and what few, faint or contradictory spheres leave open.
    """

    lower: Tensor
    upper: Tensor
    moved: Tensor

    def __init__(self, frames: DrawnFrames, iterations: int = 6, sigma_px: float = 0.5, outlier_px: float = 2.0):
        """`sigma_px` is the keypoints' deviation at full weight; far beyond `outlier_px` one counts little."""
        super().__init__()
        self.frames = frames
        self.iterations, self.sigma_px, self.outlier_px = iterations, sigma_px, outlier_px
        arm = frames.rig.arm
        last = np.array([min(frame_index(name), 6) for name in arm.drawn_frames])  # joint that moves each frame
        moved = np.arange(7) <= last[:, None]
        for name, value in (("lower", arm.limits.lower), ("upper", arm.limits.upper), ("moved", moved)):
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32), persistent=False)

    @torch.no_grad()
    def forward(self, q_now: Tensor, pixels: Tensor, weight: Tensor, prior: Tensor, precision: Tensor) -> Tensor:
        """Goals (B, 7) rad.

        Args:
            q_now: (B, 7) rad, places the hand's camera.
            pixels: (B, 4 views, 4 targets, 2).
            weight: (B, 4, 4) 0 to 1, confidence in each.
            prior: (B, 7) rad, expected goal, also where the search begins.
            precision: (7, 7) inverse covariance of the goal about it, 1/rad².
        """
        R, p = self.frames.cameras(q_now)
        q = prior
        for i in range(self.iterations):
            uv, depth, J = self._project(q, R, p)
            error = pixels - uv
            # Wide at first, so that a far goal is not mistaken for an outlier.
            reach = max(self.outlier_px, 16.0 / 2**i)
            trust = weight * (depth > 0.02) / (1 + error.square().sum(-1) / reach**2)
            trust = (trust / self.sigma_px**2)[..., None, None]
            A = (J.transpose(-1, -2) @ (trust * J)).sum((1, 2)) + precision
            b = (J.transpose(-1, -2) @ (trust * error[..., None])).sum((1, 2))[..., 0] + (prior - q) @ precision
            step = torch.linalg.solve_ex(A, b)[0].clamp(-0.5, 0.5)
            q = torch.minimum(torch.maximum(q + step, self.lower), self.upper)
        return q

    def _project(self, q: Tensor, R: Tensor, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels (B, 4, 4, 2), depths (B, 4, 4), and pixels' derivatives by the joints (B, 4, 4, 2, 7)."""
        poses = self.frames.poses(q)
        points = self.frames.origins(poses)
        axes, origins = poses[:, None, :, :3, 2], poses[:, None, :, :3, 3]
        dp = torch.linalg.cross(axes.expand(-1, 4, -1, -1), points[:, :, None] - origins) * self.moved[..., None]
        x = (points[:, None] - p) @ R  # (B, views, 4, 3)
        dx = dp[:, None] @ R[:, :, None]  # (B, views, 4, 7, 3)
        z = x[..., None, 2:].clamp(min=0.02)
        uv = x[..., None, :2] / z
        duv = (dx[..., :2] - uv * dx[..., 2:]) / z
        focal, centre = self.frames.focal, self.frames.centre
        return uv[..., 0, :] * focal + centre, x[..., 2], (duv * focal[..., None, :]).transpose(-1, -2)


@dataclass(frozen=True)
class GoalStatistics(Statistics):
    """Also where arms usually go; actions are normalised relative to the straight way to the goal, (K, 7) rad."""

    goal_from_q: Tensor
    """(8, 7): the expected goal is (q, 1) @ this."""
    goal_precision: Tensor
    """(7, 7) inverse covariance of the goal about that, 1/rad²."""

    @classmethod
    def unit(cls, chunk_size: int) -> Self:
        zero, one = torch.zeros(chunk_size, 7), torch.ones(chunk_size, 7)
        return cls(torch.zeros(7), torch.ones(7), zero, one, torch.eye(8, 7), 25 * torch.eye(7))

    @classmethod
    def measure(cls, q: Tensor, actions: Tensor, is_pad: Tensor, frames: DrawnFrames) -> Self:
        goal = actions[:, -1].double()
        ones = torch.cat([q.double(), torch.ones(len(q), 1, dtype=torch.float64)], -1)
        # A little ridge towards "goal = q": few or equal samples must not make this singular.
        solution = torch.linalg.solve(ones.T @ ones + 0.1 * torch.eye(8), ones.T @ (goal - q.double()))
        goal_from_q = torch.eye(8, 7, dtype=torch.float64) + solution
        error = goal - ones @ goal_from_q
        precision = torch.linalg.inv(error.T @ error / len(q) + 0.03**2 * torch.eye(7)).float()
        # The goal as the network will see it: solved from keypoints that are off by half a pixel.
        pixels, shown = frames.visible(q, actions[:, -1])
        noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0)).to(q.device)
        found = GoalSolver(frames).to(q.device)(
            q, pixels + 0.5 * noise, shown.float(), ones.float() @ goal_from_q.float(), precision
        )
        # Their mean is not taken off: standing still stays at zero, whatever demonstrations do on average.
        rest = (actions - straight(q, found, actions.shape[1])).double()
        keep = (~is_pad).double()[..., None]
        mean = (rest * keep).sum(0) / keep.sum(0).clamp(min=1)
        std = (((rest - mean).square() * keep).sum(0) / keep.sum(0).clamp(min=1)).sqrt()
        zero, std = torch.zeros_like(mean).float(), std.clamp(min=0.01).float()
        return cls(q.mean(0), q.std(0).clamp(min=0.05), zero, std, goal_from_q.float(), precision)


def straight(q: Tensor, goal: Tensor, chunk_size: int) -> Tensor:
    """(B, K, 7) equal steps from q (B, 7), which is not among them, to goal (B, 7), which is the last."""
    part = torch.arange(1, chunk_size + 1, device=q.device, dtype=q.dtype)[:, None] / chunk_size
    return torch.lerp(q[:, None], goal[:, None], part)
