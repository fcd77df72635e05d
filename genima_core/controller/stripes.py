"""How far the gripper's sphere is turned, read from its stripes: the last joint moves no sphere (preset `demo`)."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genima_core.controller.kinematics import DrawnFrames

TURNS = 24
"""Turns that are told apart, 15 degrees each; in between the likely ones are averaged."""
ELEVATIONS_DEG = (-60.0, -40.0, -20.0, 0.0, 20.0, 40.0, 60.0)
"""Of the samples on the sphere: cameras look at it from the side, the one at the hand along its axis."""
FACING = 0.25
"""Cosine of the angle between surface and line of sight from which on a sample is seen well."""
GRIPPER, LAST = 3, 6
"""Index of the gripper among the drawn frames, and of the joint that turns it about its own axis."""
FEATURES = 8


class StripeReader(nn.Module):
    """Reads the turn of the gripper's sphere about its axis, relative to where a goal has it.

    The sphere is unrolled in each view: what the picture shows around its axis, as the goal's geometry says. Turning
    the sphere shifts that strip, so one learned pattern is compared with it at every turn.
    """

    def __init__(self, frames: DrawnFrames) -> None:
        super().__init__()
        self.frames = frames
        self.soften = nn.Conv1d(4, FEATURES, 3, padding=1, padding_mode="circular")
        self.pattern = nn.Parameter(0.1 * torch.randn(1, FEATURES, TURNS))
        self.prior = nn.Parameter(torch.zeros(TURNS))
        """Of each turn where no sphere is seen."""
        around, up = np.meshgrid(2 * np.pi * np.arange(TURNS) / TURNS, np.deg2rad(ELEVATIONS_DEG), indexing="ij")
        normals = np.stack([np.cos(around) * np.cos(up), np.sin(around) * np.cos(up), np.sin(up)], -1)
        turns = (np.arange(TURNS) + TURNS // 2) % TURNS - TURNS // 2
        radii_m = [camera.target_radius_m for camera in frames.rig.cameras]
        self.normals: Tensor
        self.turns_rad: Tensor
        self.radii_m: Tensor
        for name, value in (("normals", normals), ("turns_rad", 2 * np.pi / TURNS * turns), ("radii_m", radii_m)):
            self.register_buffer(name, torch.as_tensor(np.asarray(value), dtype=torch.float32), persistent=False)

    def forward(self, images: Tensor, q_now: Tensor, goal: Tensor, weight: Tensor) -> Tensor:
        """Logits (B, TURNS) of images (B, views, 3, H, W), joints now (B, 7) rad, a goal (B, 7) rad, and how sure it is
        that the gripper's sphere is there in each view (B, views).
        """
        strips = self.unroll(images, q_now, goal)
        B, V = weight.shape
        features = F.gelu(self.soften(strips.flatten(0, 1)))
        wrapped = torch.cat([features, features[..., :-1]], -1)
        likely = F.conv1d(wrapped, self.pattern)[:, 0].unflatten(0, (B, V))
        return (likely * weight[..., None]).sum(1) + self.prior

    def unroll(self, images: Tensor, q_now: Tensor, goal: Tensor) -> Tensor:
        """(B, views, 4, TURNS): mean colour around the sphere, less that of all of it, and how much of it is seen."""
        R_cam, p_cam = self.frames.cameras(q_now)
        T = self.frames.poses(goal)[:, LAST] @ self.frames.joint7_tcp
        normals = torch.einsum("bij,atj->bati", T[:, :3, :3], self.normals)[:, None]  # (B, 1, TURNS, rings, 3)
        points = T[:, None, None, None, :3, 3] + normals * self.radii_m[:, None, None, None]
        sight = p_cam[:, :, None] - points
        facing = (normals * sight).sum(-1) / sight.norm(dim=-1)
        x = torch.einsum("bvnmi,bvij->bvnmj", -sight, R_cam)
        # By the goal, which all views together place more exactly than each view by itself.
        pixels = x[..., :2] / x[..., 2:].clamp(min=0.02) * self.frames.focal[:, None] + self.frames.centre[:, None]
        grid = (pixels + 0.5) / self.frames.size * 2 - 1
        colours = F.grid_sample(images.flatten(0, 1), grid.flatten(0, 1), align_corners=False, padding_mode="zeros")
        colours = colours.unflatten(0, images.shape[:2])  # (B, views, 3, TURNS, rings)
        seen = ((facing > FACING) & (grid.abs() < 1).all(-1)).float()[:, :, None]
        total, count = (colours * seen).sum(-1), seen.sum(-1)  # (B, views, 3 or 1, TURNS)
        mean = total.sum(-1, keepdim=True) / count.sum(-1, keepdim=True).clamp(min=1)
        strip = total / count.clamp(min=1) - mean
        return torch.cat([strip * (count > 0), count / len(ELEVATIONS_DEG)], 2)

    def turn(self, logits: Tensor) -> Tensor:
        """(B, 1) rad: the expected turn around the likeliest one."""
        chance = logits.softmax(-1)
        peak = self.turns_rad[chance.argmax(-1)]
        apart = wrapped_rad(self.turns_rad - peak[:, None])
        near = chance * (apart.abs() < 1.6 * 2 * np.pi / TURNS)
        return wrapped_rad(peak + (near * apart).sum(-1) / near.sum(-1))[:, None]

    def loss(self, logits: Tensor, turn_rad: Tensor) -> Tensor:
        """Cross-entropy against true turns (B,) rad, shared between the two next to each."""
        place = (turn_rad / (2 * np.pi) * TURNS) % TURNS
        low, part = place.floor(), place - place.floor()
        expected = F.one_hot(low.long() % TURNS, TURNS) * (1 - part[:, None])
        expected = expected + F.one_hot((low.long() + 1) % TURNS, TURNS) * part[:, None]
        return -(expected * logits.log_softmax(-1)).sum(-1).mean()


def wrapped_rad(angle: Tensor) -> Tensor:
    """The same angle between -pi and pi."""
    return torch.remainder(angle + np.pi, 2 * np.pi) - np.pi
