"""Names of the episodes in a folder."""

import re
from pathlib import Path

EPISODE = re.compile(r"episode_(\d+)")


def folder_of(out: Path, number: int) -> Path:
    return out / f"episode_{number:06d}"


def number_of(folder: Path) -> int:
    """Of an episode's folder."""
    return int(folder.name.removeprefix("episode_"))


def episodes_in(out: Path) -> list[Path]:
    """The folders of episodes, by number; empty where there is no such folder."""
    try:
        return sorted((path for path in out.iterdir() if EPISODE.fullmatch(path.name)), key=number_of)
    except OSError:
        return []


def next_number(out: Path) -> int:
    """After the last that exists, whatever became of it."""
    return max(map(number_of, episodes_in(out)), default=-1) + 1
