"""`genima convert`."""

from pathlib import Path

import tyro

from genima_core.files import read_text, write_json

_RECORDINGS = "a recording or a folder of recordings"
_RLBENCH = "an RLBench data set"
_CONTROLLER = "a released controller"
_AGENT = "a released drawing agent"
_OPTIONS = {
    _RECORDINGS: ("fps", "crop", "size", "rig", "instruction", "include_suspect", "include_failures"),
    _RLBENCH: ("cameras", "size", "tasks", "episodes", "fps", "description"),
    _CONTROLLER: ("rig", "text_encoder"),
    _AGENT: ("preset", "base", "autoencoder", "size", "steps"),
}
"""Which options each kind of source has."""


def convert(
    src: tyro.conf.Positional[Path],
    dst: tyro.conf.Positional[Path],
    cameras: tuple[str, str, str, str] | None = None,
    size: int | None = None,
    tasks: tuple[str, ...] | None = None,
    episodes: int | None = None,
    fps: int | None = None,
    description: int | None = None,
    rig: Path | None = None,
    text_encoder: str | None = None,
    preset: str | None = None,
    base: str | None = None,
    autoencoder: str | None = None,
    steps: int | None = None,
    crop: str | None = None,
    instruction: str | None = None,
    include_suspect: bool = False,
    include_failures: bool = False,
    json: Path | None = None,
) -> dict:
    """Brings what others recorded or trained into our formats.

    What SRC is decides: a recording (a rosbag2 folder), a folder of such, or a folder with RLBench's layout (the data
    set, a task or a variation) becomes a data set in DST, which goes on where it was interrupted and takes in what was
    recorded since; a .pt file of the paper's authors, or the folder that holds it, becomes a controller; a folder with
    a ControlNet (controlnet/, checkpoint-<step>/controlnet/) becomes a drawing agent around its base model.

    A recording that cannot be converted is left out, and the summary says why; it is an error only if DST would hold
    none. Recordings without a label count as successes, unless the simulated cell said that the task was not done.

    Example: genima convert recordings/push_button data/push_button

    Args:
        src: What to convert.
        dst: Folder to write.
        cameras: RLBench: four cameras in tile order; wrist, front, right_shoulder, left_shoulder by default.
        size: Recordings, RLBench and agent: width and height of each view in pixels; as recorded, or the preset's, by
            default.
        tasks: RLBench: which tasks; all by default.
        episodes: RLBench: most episodes of each variation; all by default.
        fps: Recordings and RLBench: rows per second; 20 by default, the paper's and RLBench's step.
        description: RLBench: which of a variation's descriptions is the instruction; 0, the first, by default.
        rig: Recordings and controller: the cameras that it was recorded or shall be used with, a rig's file or a data
            set's folder; by default, what each recording says.
        text_encoder: Controller: name or folder of the text encoder that it was trained with.
        preset: Agent: sd-turbo (default), sdxl-turbo or instruct-pix2pix.
        base: Agent: name or folder of the base model that it was trained with; the preset's by default.
        autoencoder: Agent: name or folder of a tiny decoder to draw with, such as madebyollin/taesd.
        steps: Agent: denoising steps in use; the preset's by default.
        crop: Recordings: part of each image to keep before it is resized: square (the middle), or
            left,top,width,height in recorded pixels; all by default.
        instruction: Recordings: of those that do not say theirs.
        include_suspect: Recordings: also those that were flagged suspect.
        include_failures: Recordings: also failed demonstrations, marked as such.
        json: Where to write what was done.
    """
    given = {
        "cameras": cameras,
        "size": size,
        "tasks": tasks,
        "episodes": episodes,
        "fps": fps,
        "description": description,
        "rig": rig,
        "text_encoder": text_encoder,
        "preset": preset,
        "base": base,
        "autoencoder": autoencoder,
        "steps": steps,
        "crop": crop,
        "instruction": instruction,
        "include_suspect": include_suspect,
        "include_failures": include_failures,
    }
    given = {name: value for name, value in given.items() if value is not None and value is not False}
    kind = _kind(src)
    if wrong := [f"--{name.replace('_', '-')}" for name in given if name not in _OPTIONS[kind]]:
        valid = ", ".join(f"--{name.replace('_', '-')}" for name in _OPTIONS[kind])
        raise ValueError(f"{src} is {kind}, to which {', '.join(wrong)} does not apply; valid are {valid}")
    if kind == _RECORDINGS:
        from genima_core.data.bags import conversion
        from genima_core.data.bags import episodes as recorded

        options = recorded.Options(**given | ({} if rig is None else {"rig": _read_rig(rig)}))
        result = conversion.convert_recordings(src, dst, options)
    elif kind == _RLBENCH:
        from genima_core.importers.rlbench.conversion import Options, convert_rlbench

        result = convert_rlbench(src, dst, Options(**given))
    elif kind == _AGENT:
        from genima_core.importers.agents import convert_agent

        result = convert_agent(src, dst, **given)
    else:
        if rig is None:
            raise ValueError(
                f"{src} is {kind}, which does not say what its cameras were: give --rig, a rig's file or "
                "the folder of a data set that was recorded with them"
            )
        from genima_core.importers.robobase import convert_controller

        result = convert_controller(_snapshot(src), dst, _read_rig(rig), text_encoder)
    if json is not None:
        write_json(json, result)
    return result


def _kind(src: Path) -> str:
    """What there is to convert.

    Raises:
        FileNotFoundError, ValueError: nothing, or nothing that is known.
    """
    from genima_core.data.bags.reader import find_bags
    from genima_core.importers.rlbench.layout import EXPECTED, find_variations, listing

    if not src.exists():
        raise FileNotFoundError(f"there is no {src}")
    if src.is_dir() and find_bags(src):
        return _RECORDINGS
    if find_variations(src):
        return _RLBENCH
    if _snapshot(src) is not None:
        return _CONTROLLER
    if src.is_dir() and _holds_network(src):
        return _AGENT
    held = f"It holds {listing(src)}" if src.is_dir() else "It is a file of another kind"
    raise ValueError(
        f"{src} is neither {_RECORDINGS} nor {_RLBENCH} nor {_CONTROLLER} nor {_AGENT}; valid are a "
        f"rosbag2 folder (metadata.yaml, *.mcap), a folder of such, a folder with {EXPECTED} (or the part "
        "of that below a task or a variation), a .pt file, a folder that holds one, and a folder with a "
        f"ControlNet (config.json, controlnet/ or checkpoint-<step>/). {held}"
    )


def _holds_network(src: Path) -> bool:
    """Whether a ControlNet or a UNet in diffusers' layout lies there."""
    folders = [
        src,
        *(src / name for name in ("controlnet", "unet")),
        *(path / name for path in src.glob("checkpoint-*") for name in ("controlnet", "unet")),
    ]
    for folder in folders:
        config = folder / "config.json"
        if config.is_file() and any(kind in read_text(config) for kind in ("ControlNetModel", "UNet2DCondition")):
            return True
    return False


def _snapshot(src: Path) -> Path | None:
    """The controller's file that `src` is or holds: the latest of several."""
    if src.is_file():
        return src if src.suffix == ".pt" else None
    files = sorted(src.glob("*.pt"))
    latest = [file for file in files if file.stem.startswith("latest")] or files
    if len(latest) > 1:
        raise ValueError(f"{src} holds several controllers, give one of: {', '.join(file.name for file in latest)}")
    return latest[0] if latest else None


def _read_rig(path: Path):
    from genima_core.cameras import CameraRig
    from genima_core.data import layout

    return CameraRig.load(path / layout.RIG if path.is_dir() else path)
