"""JSON files that others read while they are written."""

import json
import os
from collections.abc import Mapping
from pathlib import Path


def write_json(path: Path | None, content: Mapping[str, object]) -> None:
    """Writes JSON so that a reader sees all of it or what was there before; nothing where `path` is None."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(temporary, path)
