"""Reads a recorded demonstration (a rosbag2 folder that `genima record` wrote) as arrays, without ROS.

python examples/read_recording.py recordings/push_button/episode_000000
"""

from pathlib import Path

import numpy as np
import tyro

import genima_core as genima


def main(folder: tyro.conf.Positional[Path]) -> None:
    """Prints what was recorded, resampled to 20 rows a second."""
    episode, rig = genima.read_episode(folder)
    print(f"{episode.task}: {episode.instruction!r}, {'success' if episode.success else 'failure'}")
    print(
        f"{len(episode.q)} rows in {episode.stamps_s[-1] - episode.stamps_s[0]:.1f} s, cameras {', '.join(rig.names)}"
    )
    print(f"joints moved by {np.round(np.ptp(episode.q, axis=0), 2).tolist()} rad")
    for name, frames in episode.images.items():  # decoded as they are asked for
        print(f"{name}: {frames.shape}, mean brightness {np.mean([frame.mean() for frame in frames]):.0f} of 255")


if __name__ == "__main__":
    tyro.cli(main)
