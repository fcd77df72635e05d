"""How well held-out windows are followed, and whether the drawing is what is followed."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from genima_core.controller.augment import Augmentation
from genima_core.controller.network import Network


@dataclass(frozen=True)
class Score:
    """Errors at the last action; medians over windows unless said otherwise."""

    follow_rad: float
    """Mean of joints 1 to 6: what four spheres show well."""
    joints_rad: tuple[float, ...]
    """(7,)."""
    tip_cm: float
    tip_p90_cm: float
    """Distance of the gripper from where the spheres show it."""
    gripper_wrong: float
    """Share of windows whose last gripper class is wrong."""
    goal_tip_cm: float | None = None
    """Tip of the goal solved from the keypoints, before the transformer, if there is one."""
    keypoint_px: float | None = None
    """Distance of the keypoints from visible spheres, if there are any."""

    def __str__(self) -> str:
        goal = "" if self.goal_tip_cm is None else f", goal {self.goal_tip_cm:.1f} cm, {self.keypoint_px:.2f} px"
        return f"{self.follow_rad:.3f} rad {self.tip_cm:.1f} cm (p90 {self.tip_p90_cm:.1f}{goal})"


@torch.inference_mode()
def score(
    model: Network, batch: Mapping[str, Tensor], text: Tensor, backgrounds: Tensor, augmentation: Augmentation
) -> dict[str, Score]:
    """Scores of a batch of windows over backgrounds (B, 4, 3, H, W) uint8.

    "clean" shows opaque spheres, "degraded" what training shows, "shuffled" another window's spheres, "blank" none.
    With the last two the error must grow manifold, or the controller does not read the drawing.
    """
    goal = batch["actions"][:, -1]
    plain = backgrounds.float() / 255
    alpha = batch["alpha"].float() / 255
    clean = plain * (1 - alpha) + batch["rgb"].float() / 255 * alpha
    degraded = augmentation(batch["rgb"], batch["alpha"], batch["q"], goal, backgrounds).images
    pictures = {"clean": clean, "degraded": degraded, "shuffled": clean.roll(1, 0), "blank": plain}
    return {name: _score(model, images, batch, text) for name, images in pictures.items()}


def _score(model: Network, images: Tensor, batch: Mapping[str, Tensor], text: Tensor) -> Score:
    goal, frames = batch["actions"][:, -1], model.frames
    parts = [model(*x) for x in zip(*(t.split(64) for t in (images, batch["q"], batch["gripper"], text)), strict=True)]
    joints = torch.cat([p.joints[:, -1] for p in parts])
    opened = torch.cat([p.gripper[:, -1] > 0.5 for p in parts])
    error = (joints - goal).abs().median(0).values.tolist()

    def tips_cm(joints: Tensor) -> Tensor:
        return 100 * (frames(joints) - frames(goal))[:, 3].norm(dim=-1)

    goal_tip = keypoint_px = None
    if parts[0].goal is not None:
        goal_tip = float(tips_cm(torch.cat([p.goal for p in parts])).median())
    if parts[0].pixels is not None:
        pixels, shown = frames.visible(batch["q"], goal)
        keypoint_px = float((torch.cat([p.pixels for p in parts]) - pixels).norm(dim=-1)[shown].median())
    tip = tips_cm(joints)
    wrong = (opened != (batch["action_gripper"][:, -1] > 0.5)).float().mean()
    tips = float(tip.median()), float(tip.quantile(0.9))
    return Score(sum(error[:6]) / 6, tuple(error), *tips, float(wrong), goal_tip, keypoint_px)
