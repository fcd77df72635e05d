"""What the controller trains on: windows of K steps, as a torch data set that only indexes mapped arrays."""

from typing import Literal

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from genima_core.arm import Arm
from genima_core.data.cache import MovedEnds, WindowCache

Split = Literal["train", "val", "all"]


class FollowingWindows(TorchDataset):
    """What the controller trains on: targets without the scene, the joints now, and the way there.

    An item is a dict of ``rgb`` (V, 3, H, W) uint8 and ``alpha`` (V, 1, H, W) uint8 (for putting the targets over
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
        seed: int = 0,
        workers: int = 1,
        show_progress: bool = True,
    ) -> None:
        """Moved targets go to the folder of `cache`; `seed` of `MovedEnds`. ValueError: no variants."""
        if variants < 1:
            raise ValueError(f"variants is {variants}; each window gives at least one item")
        self.cache, self.variants, self.windows = cache, variants, cache.windows(split)
        part = slice(self.windows.start, self.windows.stop)
        future, commanded = cache.future[part], cache.commanded[part]
        self.is_pad = torch.from_numpy(cache.is_pad[part])
        """(windows, K)."""
        self.action_gripper = torch.from_numpy(cache.action_gripper[commanded])
        """(windows, K)."""
        starts, path = cache.q[cache.rows[part], None], cache.q[future][:, None]
        if variants > 1:
            moved = MovedEnds(variants - 1, seed=seed)
            self._moved_rgb, self._moved_alpha = cache.moved_targets(moved, workers, show_progress)
            q_now, q_goal = (ends[part] for ends in cache.moved_ends(moved))
            bent = moved_actions(cache.rig.arm, starts[:, 0], path[:, 0], q_now, q_goal)
            path = np.concatenate([path, bent], axis=1)
            starts = np.concatenate([starts, q_now], axis=1)
        self.q = torch.from_numpy(starts)
        """(windows, V, 7)."""
        self.actions = torch.from_numpy(path)
        """(windows, V, K, 7)."""
        self._balanced = torch.from_numpy(cache.balanced(split) - self.windows.start)

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
            "gripper": torch.tensor(float(self.cache.gripper[self.cache.rows[window]])),
            "actions": self.actions[i, variant],
            "action_gripper": self.action_gripper[i],
            "is_pad": self.is_pad[i],
            "instruction": self.instruction(index),
        }

    def pick(self, count: int) -> list[int]:
        """Items at random (of torch's generator), of each task as often."""
        window = self._balanced[torch.randint(len(self._balanced), (count,))]
        return (window * self.variants + torch.randint(self.variants, (count,))).tolist()

    def instruction(self, index: int) -> str:
        return self.cache.instructions[self.cache.episode_index[self.windows[index // self.variants]]]


def moved_actions(arm: Arm, q: np.ndarray, path: np.ndarray, q_now: np.ndarray, q_goal: np.ndarray) -> np.ndarray:
    """The demonstrated way, bent by a smoothstep so that it leads from another start to another goal at the same
    velocities.

    It is at `q` (N, 7), then `path` (N, K, 7); starts and goals (N, V, 7) lie within the limits. Returns (N, V, K, 7);
    the last step is the goal exactly.
    """
    K = path.shape[1]
    s = np.arange(1, K + 1, dtype=path.dtype)[:, None] / K
    s = s * s * (3 - 2 * s)
    at_start, at_goal = (q_now - q[:, None])[:, :, None], (q_goal - path[:, -1:])[:, :, None]
    actions = arm.clip(path[:, None] + at_start * (1 - s) + at_goal * s).astype(path.dtype)
    actions[:, :, -1] = q_goal
    return actions
