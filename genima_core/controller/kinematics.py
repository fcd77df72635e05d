"""Where the drawn frames are at given joint positions, in torch and batched, and which positions put them there."""

import numpy as np
import torch
from torch import Tensor

from genima_core.arm import frame_index
from genima_core.cameras import CameraRig

BEHIND_PX = -1e4
"""Pixel coordinates of what lies behind a camera."""


class DrawnFrames(torch.nn.Module):
    """Origins of the arm's drawn frames in the base frame, and their pixels in the views of a rig; differentiable."""

    links: Tensor
    joint7_hand: Tensor
    joint7_tcp: Tensor
    mounts: Tensor
    on_hand: Tensor
    focal: Tensor
    centre: Tensor
    radii: Tensor
    size: Tensor

    def __init__(self, rig: CameraRig):
        super().__init__()
        self.rig = rig
        arm, lenses = rig.arm, [c.intrinsics for c in rig.cameras]
        self._drawn = [frame_index(name) for name in arm.drawn_frames]
        for name, value in {
            "links": arm.links,
            "joint7_hand": arm.T_joint7_hand,
            "joint7_tcp": arm.T_joint7_hand @ arm.T_hand_tcp,
            "mounts": np.stack([c.T_mount_cam for c in rig.cameras]),
            "on_hand": [c.mount == "hand" for c in rig.cameras],
            # (views, 1, 2), to be broadcast over points.
            "focal": [[(k.fx, k.fy)] for k in lenses],
            "centre": [[(k.cx, k.cy)] for k in lenses],
            "radii": [c.target_radius_m * c.intrinsics.fx for c in rig.cameras],
            "size": rig.size,
        }.items():
            self.register_buffer(name, torch.as_tensor(np.asarray(value), dtype=torch.float32), persistent=False)

    def poses(self, q: Tensor) -> Tensor:
        """T_base_joint (..., 7, 4, 4) of joints 1 to 7 for joint positions (..., 7) in rad."""
        c, s = torch.cos(q)[..., None, None], torch.sin(q)[..., None, None]
        poses: list[Tensor] = []
        for i in range(7):
            # link @ Rz(q_i): only the first two columns turn.
            x, y, rest = self.links[i].split((1, 1, 2), dim=1)
            ci, si = c[..., i, :, :], s[..., i, :, :]
            step = torch.cat([ci * x + si * y, ci * y - si * x, rest.expand(*ci.shape[:-2], 4, 2)], dim=-1)
            poses.append(poses[-1] @ step if poses else step)
        return torch.stack(poses, -3)

    def origins(self, poses: Tensor) -> Tensor:
        """Origins (..., 4, 3) in metres of base, elbow, wrist and gripper from poses (..., 7, 4, 4) of the joints."""
        ends = torch.stack([poses[..., 6, :, :] @ T[:, 3] for T in (self.joint7_hand, self.joint7_tcp)], -2)
        every = torch.cat([poses[..., 3], ends], -2)
        return torch.stack([every[..., i, :3] for i in self._drawn], -2)

    def forward(self, q: Tensor) -> Tensor:
        """Origins (..., 4, 3) in metres of base, elbow, wrist and gripper for joint positions (..., 7)."""
        return self.origins(self.poses(q))

    def cameras(self, q_now: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations (B, views, 3, 3) and positions (B, views, 1, 3) in the base frame, with the hand at `q_now`."""
        T_base_hand = self.poses(q_now)[:, 6:] @ self.joint7_hand
        T_base_cam = torch.where(self.on_hand[:, None, None] > 0, T_base_hand @ self.mounts, self.mounts)
        return T_base_cam[..., :3, :3], T_base_cam[..., None, :3, 3]

    def pixels(self, q_now: Tensor, q_target: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (B, views, 4 targets, 2) and depths (B, views, 4) m of the frames at `q_target`, seen at `q_now`."""
        R, p = self.cameras(q_now)
        points_cam = (self(q_target)[:, None] - p) @ R
        z = points_cam[..., 2:]
        uv = points_cam[..., :2] / z.clamp(min=1e-3) * self.focal + self.centre
        return torch.where(z > 1e-3, uv, BEHIND_PX), z[..., 0]

    def visible(self, q_now: Tensor, q_target: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels, and whether (B, views, 4) bool a sphere's centre lies in the view and not behind another sphere."""
        uv, depth = self.pixels(q_now, q_target)
        inside = ((uv > -0.5) & (uv < self.size - 0.5)).all(-1)
        radius_px = self.radii[:, None] / depth.clamp(min=1e-3)
        apart = (uv[..., :, None, :] - uv[..., None, :, :]).norm(dim=-1)  # target, other
        behind = depth[..., :, None] > depth[..., None, :] + 1e-3
        hidden = behind & (depth[..., None, :] > 1e-3) & (apart < 0.7 * radius_px[..., None, :])
        return uv, inside & ~hidden.any(-1)


class GoalSolver(torch.nn.Module):
    """Most probable goal given keypoints in all views and a Gaussian prior, by a few Gauss-Newton steps.

    Four spheres fix six joints. The prior decides the last, which only the stripes show (`StripeReader`), and what
    few, faint or contradictory spheres leave open.
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

        `q_now` (B, 7) rad places the hand's camera; keypoints `pixels` (B, views, 4 targets, 2), `weight` (B, views,
        4) 0 to 1 the confidence in each; the search begins at `prior` (B, 7) rad, the expected goal, with `precision`
        (7, 7) 1/rad², the inverse covariance of the goal about it.
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
            q = self.clip(q + step)
        return q

    def clip(self, q: Tensor) -> Tensor:
        """Joint positions (..., 7) within the limits."""
        return torch.minimum(torch.maximum(q, self.lower), self.upper)

    def _project(self, q: Tensor, R: Tensor, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels (B, views, 4, 2), depths (B, views, 4), and pixels' derivatives by the joints (B, views, 4, 2, 7)."""
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


def straight(q: Tensor, goal: Tensor, chunk_size: int) -> Tensor:
    """(B, K, 7) equal steps from q (B, 7), which is not among them, to goal (B, 7), which is the last."""
    part = torch.arange(1, chunk_size + 1, device=q.device, dtype=q.dtype)[:, None] / chunk_size
    return torch.lerp(q[:, None], goal[:, None], part)
