"""Size and rate of a camera's stream."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, order=True)
class Profile:
    width: int
    height: int
    fps: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.fps}"

    @classmethod
    def parse(cls, text: str) -> "Profile":
        """A profile from "640x480x30"; ValueError for another form."""
        found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})x([1-9]\d{0,5})", text)
        if found is None:
            raise ValueError(f"profile is {text!r}; it needs width x height x rate, such as 640x480x30")
        return cls(*map(int, found.groups()))


def nearest(profiles: Iterable[Profile], wanted: Profile, count: int = 4) -> list[Profile]:
    """Those most like `wanted`, the most alike first: the size counts before the rate."""

    def distance(profile: Profile) -> tuple[float, float]:
        size = abs(np.log(profile.width / wanted.width)) + abs(np.log(profile.height / wanted.height))
        return round(float(size), 6), abs(profile.fps - wanted.fps)

    return sorted(profiles, key=distance)[:count]


def in_short(profiles: Iterable[Profile]) -> str:
    """Sizes with their rates: "640x480 @ 6, 15, 30; 1280x720 @ 6, 15"."""
    rates: dict[str, list[int]] = {}
    for profile in sorted(set(profiles)):
        rates.setdefault(f"{profile.width}x{profile.height}", []).append(profile.fps)
    return "; ".join(f"{size} @ {', '.join(map(str, fps))}" for size, fps in rates.items())
