"""Where the package's config/, launch/ and demo checkpoint lie."""

import os
import sys
from pathlib import Path

PACKAGE = "genima_ros"
CALIBRATION = Path("calibration")
"""Where a cell keeps its rig, samples and verdicts, seen from where it is started."""
DEMO_CHECKPOINT = "checkpoints/demo"


def share_folder() -> Path:
    """The folder with config/, launch/ and checkpoints/: the source tree, where this file or the file that it links to
    belongs to one, else share/genima_ros of the first prefix that has it, those on AMENT_PREFIX_PATH first.
    FileNotFoundError where there is neither.
    """
    prefixes = [*map(Path, filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(":"))), Path(sys.prefix)]
    candidates = [Path(__file__).resolve().parents[1], *(prefix / "share" / PACKAGE for prefix in prefixes)]
    for folder in candidates:
        if (folder / "package.xml").is_file() and (folder / "config").is_dir():
            return folder
    where = ", ".join(map(str, candidates))
    raise FileNotFoundError(f"no config folder of {PACKAGE} in {where}; install the package again: pip install .")


def find_checkpoint(path: str | Path) -> Path:
    """An absolute path; a relative one is looked for here, then in the share folder."""
    path = Path(path)
    if path.is_absolute() or path.exists():
        return path.absolute()
    shared = share_folder() / path
    return shared if shared.exists() else path.absolute()
