"""Recognises what a folder from elsewhere holds, and so which `genima convert` reads it."""

from collections.abc import Callable
from pathlib import Path

from genima_core.data import layout
from genima_core.data.bags.reader import find_bags
from genima_core.files import read_text
from genima_core.importers.rlbench.layout import EXPECTED, find_variations, listing


def check_kind(src: Path, kind: str) -> None:
    """Checks that `src` is of a kind: bags, rlbench, lerobot, agent or controller.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is of another kind; the message names the verb for it, or what it holds.
    """
    if not src.exists():
        raise FileNotFoundError(f"{src} does not exist")
    holds, valid = _KINDS[kind]
    if holds(src):
        return
    for other, (holds, _) in _KINDS.items():
        if holds(src):
            raise ValueError(f"`genima convert {kind}` cannot read {src}; use `genima convert {other}`")
    held = f"It holds {listing(src)}" if src.is_dir() else "It is a file of another kind"
    raise ValueError(f"`genima convert {kind}` cannot read {src}: it needs {valid}. {held}")


def find_snapshot(src: Path) -> Path | None:
    """The controller's .pt file that `src` is or contains, of several the one called latest; None if there is none.

    ValueError if it contains several and none, or more than one, is called latest.
    """
    if src.is_file():
        return src if src.suffix == ".pt" else None
    files = sorted(src.glob("*.pt"))
    latest = [file for file in files if file.stem.startswith("latest")] or files
    if len(latest) > 1:
        raise ValueError(f"{src} holds several controllers, give one of: {', '.join(file.name for file in latest)}")
    return latest[0] if latest else None


def _holds_network(src: Path) -> bool:
    """Whether the folder contains a ControlNet or a UNet in diffusers' layout."""
    for pattern in ("", "controlnet", "unet", "checkpoint-*/controlnet", "checkpoint-*/unet"):
        for config in src.glob(f"{pattern}/config.json".lstrip("/")):
            if any(name in read_text(config) for name in ("ControlNetModel", "UNet2DCondition")):
                return True
    return False


_KINDS: dict[str, tuple[Callable[[Path], bool], str]] = {
    "bags": (
        lambda src: src.is_dir() and bool(find_bags(src)),
        "a rosbag2 folder (metadata.yaml, *.mcap) or a folder of such",
    ),
    "rlbench": (
        lambda src: bool(find_variations(src)),
        f"a folder with {EXPECTED}, or the part of that below a task or a variation",
    ),
    "lerobot": (lambda src: (src / layout.INFO).is_file(), f"a LeRobotDataset ({layout.INFO})"),
    "controller": (lambda src: find_snapshot(src) is not None, "a .pt file or the folder that holds it"),
    "agent": (_holds_network, "a folder with a ControlNet (config.json, controlnet/ or checkpoint-<step>/)"),
}
