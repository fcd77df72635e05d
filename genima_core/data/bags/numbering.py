"""Names of the episodes in a folder."""

import re
from pathlib import Path

EPISODE = re.compile(r"episode_(\d+)")


def folder_of(out: Path, number: int) -> Path:
    return out / f"episode_{number:06d}"


def number_of(folder: Path) -> int:
    """Of an episode's folder."""
    return int(EPISODE.fullmatch(folder.name)[1])


def next_number(out: Path) -> int:
    """After the last that exists, whatever became of it."""
    try:
        found = [EPISODE.fullmatch(path.name) for path in out.iterdir()]
    except OSError:
        return 0
    return max((int(match[1]) for match in found if match), default=-1) + 1
