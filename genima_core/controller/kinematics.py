"""Where the drawn frames are, as a differentiable function of joint positions; checked against `panda`."""

import numpy as np
import torch

from genima_core import panda
from genima_core.cameras import CameraRig


class DrawnFrames(torch.nn.Module):
    """Origins of `panda.TARGET_FRAMES` in the base frame, and their pixels in the views of a rig."""

    def __init__(self, rig: CameraRig | None = None):
        super().__init__()
        # Each joint's transform is a constant times a rotation about z: taken from `panda`, not written twice.
        zero = panda.forward_kinematics(np.zeros(7))
        before = [zero[0], *(np.linalg.inv(zero[i - 1]) @ zero[i] for i in range(1, 7))]
        self.register_buffer("links", torch.tensor(np.stack(before), dtype=torch.float32), persistent=False)
        hand, tcp = (np.linalg.inv(zero[6]) @ zero[panda.frame_index(name)] for name in ("hand", "tcp"))
        self.register_buffer("joint7_hand", torch.tensor(hand, dtype=torch.float32), persistent=False)
        self.register_buffer("joint7_tcp", torch.tensor(tcp, dtype=torch.float32), persistent=False)
        self.rig = rig

    def poses(self, q: torch.Tensor) -> list[torch.Tensor]:
        """T_base_joint (..., 4, 4) of joints 1 to 7 for joint positions (..., 7) in rad."""
        c, s = torch.cos(q), torch.sin(q)
        T, poses = None, []
        for i in range(7):
            link = self.links[i]
            # link @ Rz(q): only the first two columns turn.
            x = c[..., i, None, None] * link[:, 0:1] + s[..., i, None, None] * link[:, 1:2]
            y = c[..., i, None, None] * link[:, 1:2] - s[..., i, None, None] * link[:, 0:1]
            rest = link[:, 2:].expand(*x.shape[:-1], 2)
            step = torch.cat([x, y, rest], dim=-1)
            T = step if T is None else T @ step
            poses.append(T)
        return poses

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        """Origins (..., 4, 3) in metres of base, elbow, wrist and gripper for joint positions (..., 7)."""
        poses = self.poses(q)
        tcp = poses[6] @ self.joint7_tcp
        return torch.stack([poses[1][..., :3, 3], poses[3][..., :3, 3], poses[5][..., :3, 3], tcp[..., :3, 3]], dim=-2)

    def pixels(self, q_now: torch.Tensor, q_target: torch.Tensor) -> torch.Tensor:
        """Pixels (..., 4 views, 4 targets, 2) of the frames at `q_target`, seen with the hand at `q_now`.

        What lies behind a camera gets pixels far outside the view.
        """
        return self._project(q_now, q_target)[0]

    def visible(self, q_now: torch.Tensor, q_target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`pixels`, and whether (..., 4, 4) bool the sphere's centre lies in the view and not behind another sphere."""
        uv, depth = self._project(q_now, q_target)
        width, height = self.rig.size
        inside = ((uv > -0.5) & (uv < torch.tensor([width - 0.5, height - 0.5], device=uv.device))).all(-1)
        radius = torch.tensor([c.target_radius_m * c.intrinsics.fx for c in self.rig.cameras], device=uv.device)
        radius_px = radius[:, None] / depth.clamp(min=1e-3)
        apart = (uv[..., :, None, :] - uv[..., None, :, :]).norm(dim=-1)  # target, other
        behind = depth[..., :, None] > depth[..., None, :] + 1e-3
        hidden = behind & (depth[..., None, :] > 1e-3) & (apart < 0.7 * radius_px[..., None, :])
        return uv, inside & ~hidden.any(-1)

    def _project(self, q_now: torch.Tensor, q_target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels (..., 4, 4, 2) and depths (..., 4, 4) in metres."""
        points = self(q_target)
        T_base_hand = self.poses(q_now)[6] @ self.joint7_hand
        views, depths = [], []
        for camera in self.rig.cameras:
            T_mount_cam = torch.as_tensor(camera.T_mount_cam, dtype=q_now.dtype, device=q_now.device)
            T_base_cam = T_base_hand @ T_mount_cam if camera.mount == "hand" else T_mount_cam
            R, p = T_base_cam[..., :3, :3], T_base_cam[..., :3, 3]
            points_cam = (points - p[..., None, :]) @ R
            k = camera.intrinsics
            z = points_cam[..., 2:]
            scale = torch.tensor([k.fx, k.fy], dtype=q_now.dtype, device=q_now.device)
            centre = torch.tensor([k.cx, k.cy], dtype=q_now.dtype, device=q_now.device)
            uv = points_cam[..., :2] / z.clamp(min=1e-3) * scale + centre
            views.append(torch.where(z > 1e-3, uv, torch.full_like(uv, -1e4)))
            depths.append(z[..., 0])
        return torch.stack(views, dim=-3), torch.stack(depths, dim=-2)
