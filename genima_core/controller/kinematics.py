"""Where the drawn frames are, as a differentiable function of joint positions; checked against `Arm`."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from genima_core.arm import frame_index
from genima_core.cameras import CameraRig

BEHIND_PX = -1e4
"""Pixel coordinates of what lies behind a camera."""


class DrawnFrames(torch.nn.Module):
    """Origins of the arm's drawn frames in the base frame, and their pixels in the views of a rig."""

    links: Tensor
    joint7_hand: Tensor
    joint7_tcp: Tensor
    mounts: Tensor
    intrinsics: Tensor
    radii: Tensor
    size: Tensor

    def __init__(self, rig: CameraRig):
        super().__init__()
        self.rig = rig
        arm = rig.arm
        hand = arm.T_joint7_hand
        self._drawn = [frame_index(name) for name in arm.drawn_frames]
        intrinsics = [(k.fx, k.fy, k.cx, k.cy) for k in (c.intrinsics for c in rig.cameras)]
        radii = [c.target_radius_m * c.intrinsics.fx for c in rig.cameras]
        for name, value in (
            ("links", arm.links),
            ("joint7_hand", hand),
            ("joint7_tcp", hand @ arm.T_hand_tcp),
            ("mounts", np.stack([c.T_mount_cam for c in rig.cameras])),
            ("intrinsics", intrinsics),
            ("radii", radii),
            ("size", rig.size),
        ):
            self.register_buffer(name, torch.as_tensor(np.asarray(value), dtype=torch.float32), persistent=False)

    def poses(self, q: Tensor) -> list[Tensor]:
        """T_base_joint (..., 4, 4) of joints 1 to 7 for joint positions (..., 7) in rad."""
        c, s = torch.cos(q)[..., None, None], torch.sin(q)[..., None, None]
        poses: list[Tensor] = []
        for i in range(7):
            # link @ Rz(q_i): only the first two columns turn.
            x, y, rest = self.links[i].split((1, 1, 2), dim=1)
            ci, si = c[..., i, :, :], s[..., i, :, :]
            step = torch.cat([ci * x + si * y, ci * y - si * x, rest.expand(*ci.shape[:-2], 4, 2)], dim=-1)
            poses.append(poses[-1] @ step if poses else step)
        return poses

    def origins(self, poses: Sequence[Tensor] | Tensor) -> Tensor:
        """Origins (..., 4, 3) in metres of base, elbow, wrist and gripper from poses of joints 1 to 7."""
        if isinstance(poses, Tensor):
            poses = poses.unbind(-3)
        hand, tcp = ((poses[6] @ T[:, 3:])[..., :3, 0] for T in (self.joint7_hand, self.joint7_tcp))
        every = [*(pose[..., :3, 3] for pose in poses), hand, tcp]
        return torch.stack([every[index] for index in self._drawn], dim=-2)

    def forward(self, q: Tensor) -> Tensor:
        """Origins (..., 4, 3) in metres of base, elbow, wrist and gripper for joint positions (..., 7)."""
        return self.origins(self.poses(q))

    def cameras(self, q_now: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Rotation, position in the base frame and (fx, fy, cx, cy) of each camera, with the hand at `q_now`."""
        T_base_hand = self.poses(q_now)[6] @ self.joint7_hand
        cameras = []
        for camera, mount, intrinsics in zip(self.rig.cameras, self.mounts, self.intrinsics, strict=True):
            T_base_cam = T_base_hand @ mount if camera.mount == "hand" else mount
            cameras.append((T_base_cam[..., :3, :3], T_base_cam[..., None, :3, 3], intrinsics))
        return cameras

    def pixels(self, q_now: Tensor, q_target: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (B, 4 views, 4 targets, 2) and depths (B, 4, 4) in metres of the frames at `q_target`.

        `q_now` places the camera in the hand.
        """
        points = self(q_target)
        pixels, depths = [], []
        for R, p, intrinsics in self.cameras(q_now):
            points_cam = (points - p) @ R
            z = points_cam[..., 2:]
            uv = points_cam[..., :2] / z.clamp(min=1e-3) * intrinsics[:2] + intrinsics[2:]
            pixels.append(torch.where(z > 1e-3, uv, BEHIND_PX))
            depths.append(z[..., 0])
        return torch.stack(pixels, dim=-3), torch.stack(depths, dim=-2)

    def visible(self, q_now: Tensor, q_target: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels, and whether (B, 4, 4) bool a sphere's centre lies in the view and not behind another sphere."""
        uv, depth = self.pixels(q_now, q_target)
        inside = ((uv > -0.5) & (uv < self.size - 0.5)).all(-1)
        radius_px = self.radii[:, None] / depth.clamp(min=1e-3)
        apart = (uv[..., :, None, :] - uv[..., None, :, :]).norm(dim=-1)  # target, other
        behind = depth[..., :, None] > depth[..., None, :] + 1e-3
        hidden = behind & (depth[..., None, :] > 1e-3) & (apart < 0.7 * radius_px[..., None, :])
        return uv, inside & ~hidden.any(-1)
