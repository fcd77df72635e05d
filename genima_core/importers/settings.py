"""The configuration (config.yaml) that the published training writes beside a controller, read within bounds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genima_core.files import read_yaml

REFERENCE = re.compile(r"\$\{([\w.]+)\}")
MAX_REFERENCES = 10
"""From one name to the next, until there is a value."""
CAMERAS = "env.cameras"
"""In the order in which the published evaluation tiles them, whatever they are trained in."""


@dataclass(frozen=True)
class Settings:
    """Values by dotted names."""

    path: Path
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Settings":
        """FileNotFoundError, ValueError: no such file; not YAML, or no mapping."""
        return cls(path, read_yaml(path))

    def get(self, name: str) -> Any:
        """A value, that of another name where it refers to one; ValueError where there is none."""
        for _ in range(MAX_REFERENCES):
            value: Any = self.values
            for key in name.split("."):
                if not isinstance(value, Mapping) or key not in value:
                    raise ValueError(f"{self.path} has no {name}; it is not the configuration of a GENIMA controller")
                value = value[key]
            reference = REFERENCE.fullmatch(value) if isinstance(value, str) else None
            if reference is None:
                return value
            name = reference[1]
        raise ValueError(f"{self.path}: {name} refers to other names, and never to a value")

    def need(self, name: str, *valid: object) -> None:
        """ValueError where a value is none of these."""
        if (value := self.get(name)) not in valid:
            told = f"{self.path}: {name} is {value!r}"
            raise ValueError(f"{told}; only {' or '.join(map(repr, valid))} can be converted")


def find_settings(folder: Path, *others: str) -> Path | None:
    """The first config.yaml of a folder, of hydra's beside it, or of `others` (patterns below `folder`)."""
    for pattern in ("config.yaml", ".hydra/config.yaml", *others):
        if found := sorted(path for path in folder.glob(pattern) if path.is_file()):
            return found[0].resolve()
    return None
