"""What the two models train on: windows of K steps, as torch data sets that only index mapped arrays."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from genima_core.arm import Arm
from genima_core.data.cache import MovedEnds, WindowCache
from genima_core.targets.draw import over_observation
from genima_core.tiling import tile

__all__ = ["DrawingWindows", "FollowingWindows", "MovedEnds", "Statistics", "WindowCache", "moved_actions"]

Split = Literal["train", "val", "all"]


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each joint over windows and steps, (7,) rad; deviations are at least 1e-3."""

    action_mean: np.ndarray
    action_std: np.ndarray
    q_mean: np.ndarray
    q_std: np.ndarray


class DrawingWindows(TorchDataset):
    """What the diffusion agent trains on: an observation, and the same with the targets drawn over it.

    An item is a dict of ``observation`` and ``target``, tiled (3, 2H, 2W) uint8, and ``instruction``, str.
    """

    def __init__(self, cache: WindowCache, split: Split = "train") -> None:
        self.cache = cache
        self.windows = cache.windows(split)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict:
        window = self.windows[index]
        images = self.cache.images[window]
        drawn = over_observation(self.cache.views(window), images)
        return {
            "observation": torch.from_numpy(tile(images)).permute(2, 0, 1).contiguous(),
            "target": torch.from_numpy(tile(drawn)).permute(2, 0, 1).contiguous(),
            "instruction": self.instruction(index),
        }

    def instruction(self, index: int) -> str:
        return self.cache.instructions[self.cache.episode_index[self.windows[index]]]


class FollowingWindows(TorchDataset):
    """What the controller trains on: targets without the scene, the joints now, and the way there.

    An item is a dict of ``rgb`` (4, 3, H, W) uint8 and ``alpha`` (4, 1, H, W) uint8 (for putting the targets over
    random backgrounds), ``q`` (7,), ``gripper`` (), ``actions`` (K, 7) absolute joint positions for steps 1 to K,
    ``action_gripper`` (K,), ``is_pad`` (K,) bool, all rad or opening in float32, and ``instruction``, str. The last
    action is the pose that the targets show, also where it is padding.

    With `variants` V > 1 there are V items per window in a row: the window itself, then V - 1 with `MovedEnds`.
    """

    def __init__(
        self,
        cache: WindowCache,
        split: Split = "train",
        variants: int = 1,
        sigma_rad: float = 0.05,
        seed: int = 0,
        workers: int = 1,
        show_progress: bool = True,
    ) -> None:
        """The folder of `cache` receives the moved targets as well; `workers` processes render what is missing.

        `sigma_rad` and `seed` as in `MovedEnds`. ValueError for less than one variant.
        """
        if variants < 1:
            raise ValueError(f"variants is {variants}; each window gives at least one item")
        self.cache, self.variants, self.windows = cache, variants, cache.windows(split)
        part = slice(self.windows.start, self.windows.stop)
        future, commanded = cache.future[part], cache.commanded[part]
        self.is_pad = torch.from_numpy(cache.is_pad[part])
        """(windows, K)."""
        self.action_gripper = torch.from_numpy(cache.action_gripper[commanded])
        """(windows, K)."""
        starts, path = cache.q[part, None], cache.q[future][:, None]
        if variants > 1:
            moved = MovedEnds(variants - 1, sigma_rad, seed)
            self._moved_rgb, self._moved_alpha = cache.moved_targets(moved, workers, show_progress)
            q_now, q_goal = (ends[part] for ends in cache.moved_ends(moved))
            bent = moved_actions(cache.rig.arm, starts[:, 0], path[:, 0], q_now, q_goal)
            path = np.concatenate([path, bent], axis=1)
            starts = np.concatenate([starts, q_now], axis=1)
        self.q = torch.from_numpy(starts)
        """(windows, V, 7)."""
        self.actions = torch.from_numpy(path)
        """(windows, V, K, 7)."""

    def __len__(self) -> int:
        return len(self.windows) * self.variants

    def __getitem__(self, index: int) -> dict:
        i, variant = divmod(range(len(self))[index], self.variants)
        window = self.windows[i]
        if variant == 0:
            rgb, alpha = self.cache.target_rgb[window], self.cache.target_alpha[window]
        else:
            rgb, alpha = self._moved_rgb[window, variant - 1], self._moved_alpha[window, variant - 1]
        return {
            "rgb": torch.from_numpy(np.array(rgb)).permute(0, 3, 1, 2).contiguous(),
            "alpha": torch.from_numpy(np.array(alpha))[:, None],
            "q": self.q[i, variant],
            "gripper": torch.tensor(float(self.cache.gripper[window])),
            "actions": self.actions[i, variant],
            "action_gripper": self.action_gripper[i],
            "is_pad": self.is_pad[i],
            "instruction": self.instruction(index),
        }

    def instruction(self, index: int) -> str:
        return self.cache.instructions[self.cache.episode_index[self.windows[index // self.variants]]]

    def statistics(self) -> Statistics:
        """Over all items, padding included."""
        actions, q = (values.numpy().reshape(-1, 7).astype(np.float64) for values in (self.actions, self.q))
        return Statistics(actions.mean(0), np.maximum(actions.std(0), 1e-3), q.mean(0), np.maximum(q.std(0), 1e-3))


def moved_actions(arm: Arm, q: np.ndarray, path: np.ndarray, q_now: np.ndarray, q_goal: np.ndarray) -> np.ndarray:
    """The demonstrated way, bent so that it leads from another start to another goal.

    The offset at the start fades into the offset at the goal along a smoothstep, so both ends keep their velocity.

    Args:
        q: (N, 7) where the demonstration is at step 0.
        path: (N, K, 7) where it is at steps 1 to K.
        q_now: (N, V, 7) other starts, within the limits of the joints.
        q_goal: (N, V, 7) other goals, likewise.

    Returns:
        (N, V, K, 7); the last step is the goal exactly.
    """
    K = path.shape[1]
    s = np.arange(1, K + 1, dtype=path.dtype)[:, None] / K
    s = s * s * (3 - 2 * s)
    at_start, at_goal = (q_now - q[:, None])[:, :, None], (q_goal - path[:, -1:])[:, :, None]
    actions = arm.clip(path[:, None] + at_start * (1 - s) + at_goal * s).astype(path.dtype)
    actions[:, :, -1] = q_goal
    return actions
