"""What a data set was made from, kept beside its meta data so that an interrupted collection or conversion goes on."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from genima_core.config import from_overrides
from genima_core.data import layout
from genima_core.data.dataset import Dataset
from genima_core.files import read_json, write_json

ORIGIN = "meta/origin.json"


@dataclass(frozen=True)
class Origin:
    """How a data set was made, and of what; values as JSON reads them back."""

    made: str
    """As in "was ...": collected, converted from RLBench."""
    arguments: Mapping[str, Any]
    """Name to value of all that decides what the data set holds; resuming needs the same."""
    episodes: tuple[str, ...] = ()
    """Names of the episodes in their order; the data set's are the first of them."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """What was found out on the way and is shown again later."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", json.loads(json.dumps(dict(self.arguments))))

    def save(self, root: Path) -> None:
        write_json(root / ORIGIN, asdict(self))


def resume(root: Path, origin: Origin) -> tuple[int, Origin]:
    """How many episodes `root` holds, and its origin; 0 and `origin` if it is new. ValueError: made otherwise."""
    if not (root / layout.INFO).is_file():
        return 0, origin
    known = len(Dataset(root))
    before = read_origin(root)
    if before is None:
        if known:
            raise ValueError(f"{root} holds a data set that was not {origin.made}; choose another folder")
        return 0, origin
    if before.made != origin.made:
        raise ValueError(f"{root} holds a data set that was not {origin.made} but {before.made}; choose another folder")
    then, now = before.arguments, origin.arguments
    changed = [key for key in {**now, **then} if then.get(key) != now.get(key)]
    if changed:
        different = "; ".join(f"{key} {then.get(key)!r}, not {now.get(key)!r}" for key in changed)
        raise ValueError(f"{root} was {origin.made} with {different}: choose another folder or the same arguments")
    return known, before


def read_origin(root: Path) -> Origin | None:
    """How the data set in `root` was made; None where nobody noted that; ValueError where the file is damaged."""
    path = root / ORIGIN
    return from_overrides(Origin, read_json(path), str(path)) if path.is_file() else None
