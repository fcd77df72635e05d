"""`genima_core.tiling` for batches of tensors, on their device."""

from torch import Tensor


def tiled(views: Tensor) -> Tensor:
    """Tiled pictures (B, C, 2H, 2W) of views (B, 4, H, W, C)."""
    B, _, H, W, C = views.shape
    return views.reshape(B, 2, 2, H, W, C).permute(0, 5, 1, 3, 2, 4).reshape(B, C, 2 * H, 2 * W)


def untiled(pictures: Tensor) -> Tensor:
    """Views (B, 4, H, W, C) of tiled pictures (B, C, 2H, 2W)."""
    B, C, H, W = pictures.shape
    return pictures.reshape(B, C, 2, H // 2, 2, W // 2).permute(0, 2, 4, 3, 5, 1).reshape(B, 4, H // 2, W // 2, C)
