"""Where the package's config/, launch/ and demo checkpoint lie."""

import os
import sys
from pathlib import Path

PACKAGE = "genima_ros"


def share_folder() -> Path:
    """The folder with config/ and launch/: the source tree, or share/genima_ros of the prefix it is installed in.

    Raises:
        FileNotFoundError: neither is there.
    """
    prefixes = [*map(Path, filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(":"))), Path(sys.prefix)]
    candidates = [Path(__file__).parents[1], *(prefix / "share" / PACKAGE for prefix in prefixes)]
    for folder in candidates:
        if (folder / "package.xml").is_file() and (folder / "config").is_dir():
            return folder
    raise FileNotFoundError(
        f"no config folder of {PACKAGE} in {', '.join(map(str, candidates))}; install the package anew: pip install ."
    )
