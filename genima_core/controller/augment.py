"""Turns rendered spheres into training pictures: random backgrounds, kornia's augmentations, flaws of drawings."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from kornia import augmentation as K
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn import functional as F

from genima_core.controller.config import AugmentConfig
from genima_core.controller.kinematics import DrawnFrames

Recode = Callable[[Tensor, Tensor], Tensor]
"""Views (B, V, 3, H, W) in [0, 1] and the noise's deviation (B,) -> the views, encoded, disturbed and decoded."""


@dataclass(frozen=True)
class Pictures:
    """What the network sees (B, V, 3, H, W) in [0, 1], its spheres (B, V, 4 targets, 2) px, which are seen."""

    images: Tensor
    pixels: Tensor
    shown: Tensor


class Augmentation:
    """Batched augmentation; all randomness is torch's global generator, as kornia's is."""

    def __init__(self, config: AugmentConfig, frames: DrawnFrames, recode: Recode | None = None):
        self.config, self.frames, self.recode = config, frames, recode
        self.jitter = K.ColorJitter(*config.jitter)

    def __call__(self, rgb: Tensor, alpha: Tensor, q: Tensor, q_target: Tensor, backgrounds: Tensor) -> Pictures:
        """Pictures of spheres rgb (B, V, 3, H, W), alpha (B, V, 1, H, W) over backgrounds; arm and goal (B, 7)."""
        c = self.config
        B, V, _, H, W = rgb.shape
        device = rgb.device
        pixels, shown = self.frames.visible(q, q_target)
        drawing = torch.rand(B, device=device) < c.drawing_share
        opacity = torch.empty(B, V, 1, 1, 1, device=device).uniform_(*c.opacity)

        # White outside the spheres would bleed in when colour and coverage are moved: weight by coverage first.
        blank = torch.rand(B, device=device) < c.blank
        cover = alpha.float() / 255 * ~blank[:, None, None, None, None]
        shown = shown & ~blank[:, None, None]
        layer = torch.cat([rgb.float() / 255 * cover, cover], 2)
        if c.shift_px > 0 or c.drop > 0 or c.fade > 0:
            layer, pixels, shown = self._disturb(layer, pixels, shown, drawing)
        layer = layer * opacity
        images = layer[:, :, :3] + backgrounds.float() / 255 * (1 - layer[:, :, 3:])

        if c.elastic_share > 0 and c.elastic[0] > 0:
            reach, smooth = c.elastic
            size = min(2 * int(2 * smooth) + 1, H // 2 * 2 - 1)
            warp = K.RandomElasticTransform((size, size), (smooth, smooth), (2 * reach / W, 2 * reach / H), p=1.0)
            _change(images, torch.rand(B, device=device) < c.elastic_share, warp)
        _change(images, torch.rand(B, device=device) < c.jitter_share, self.jitter)
        if c.crop_px > 0:
            # One shift for all views; geometry across views stays as consistent as it can.
            crop = K.RandomCrop((H, W), padding=c.crop_px)
            _change(images.view(B, 1, 3 * V, H, W), torch.rand(B, device=device) < c.crop_share, crop)
        if c.recode > 0 and self.recode is not None:
            chosen = drawing & (torch.rand(B, device=device) < c.recode)
            if chosen.any():
                noise = torch.rand(int(chosen.sum()), device=device) * c.latent_noise
                images[chosen] = self.recode(images[chosen], noise)
        if c.blur_px > 0:
            sigma = torch.where(drawing, torch.rand(B, device=device) * c.blur_px, 0.0).clamp(min=0.05)
            sigma = sigma[:, None].expand(B, V).reshape(-1, 1).expand(-1, 2)
            size = 2 * int(2 * c.blur_px + 0.5) + 1
            images = gaussian_blur2d(images.flatten(0, 1), (size, size), sigma).reshape(images.shape)
        least, largest = c.noise
        deviation = least + (largest - least) * torch.rand(B, V, 1, 1, 1, device=device)
        images = images + torch.randn_like(images) * deviation
        return Pictures(images.clamp(0, 1), pixels, shown)

    def _disturb(self, layer: Tensor, pixels: Tensor, shown: Tensor, drawing: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Moves, fades and drops single spheres of the samples that are `drawing`."""
        c = self.config
        B, V, _, H, W = layer.shape
        device = layer.device
        on = drawing[:, None, None].float()
        # How wrong a drawing is differs from drawing to drawing, and whole views are off more than single spheres.
        scale = c.shift_px * on[..., None] * (0.25 + 1.5 * torch.rand(B, 1, 1, 1, device=device))
        shift = scale * (0.8 * torch.randn(B, V, 4, 2, device=device) + 0.6 * torch.randn(B, V, 1, 2, device=device))
        kept = (torch.rand(B, V, 4, device=device) >= c.drop * on).float()
        strength = kept * (1 - c.fade * on * torch.rand(B, V, 4, device=device))

        # Which sphere a place belongs to, on a coarse grid: the flow is smooth, and this is the costly part.
        h, w = max(H // 4, 2), max(W // 4, 2)
        u = (torch.arange(w, device=device) + 0.5) * W / w - 0.5
        v = (torch.arange(h, device=device) + 0.5) * H / h - 0.5
        near = pixels.clamp(-2 * W, 3 * W)
        # |p - c|^2 without the term that all spheres share.
        along_u, along_v = near[..., 0, None, None] * u, near[..., 1, None, None] * v[:, None]
        away = near.square().sum(-1)[..., None, None] - 2 * along_u - 2 * along_v
        nearest = (-away / (2 * (0.04 * W) ** 2)).softmax(2)  # (B, V, 4, h, w)
        change = torch.einsum("bvihw,bvic->bvchw", nearest, torch.cat([shift, strength[..., None]], -1))
        change = F.interpolate(change.flatten(0, 1), size=(H, W), mode="bilinear")
        grid = F.affine_grid(torch.eye(2, 3, device=device)[None], [1, 1, H, W], align_corners=False)
        grid = grid - change[:, :2].permute(0, 2, 3, 1) * torch.tensor([2 / W, 2 / H], device=device)
        moved = F.grid_sample(layer.flatten(0, 1), grid, align_corners=False) * change[:, 2:]
        return moved.reshape(layer.shape), pixels + shift, shown & (kept > 0)


def _change(images: Tensor, chosen: Tensor, change: Callable[[Tensor], Tensor]) -> None:
    """Changes the views of the samples (B,) that are chosen, in place."""
    if chosen.any():
        part = images[chosen]
        images[chosen] = change(part.flatten(0, 1)).reshape(part.shape)
