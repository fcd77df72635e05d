"""A checkpoint folder: everything that drawing and following need, and where it came from.

Layout::

    checkpoint.json                 `CheckpointInfo`
    rig.json                        the `CameraRig` it was trained with
    diffusion/                      diffusers folders: vae, unet, controlnet, scheduler, text_encoder, tokenizer
    controller/                     config.json, model.safetensors, statistics.json
    README.md                       model card
"""

import json
import shutil
import subprocess
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from genima_core.cameras import CameraRig

FORMAT = 1
REMEDY = "use `git checkout -- checkpoints/demo` for the shipped one, or `make demo-checkpoint` to train it anew"


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint was trained for and on."""

    format: int
    preset: str
    tasks: tuple[str, ...]
    chunk_size: int
    """K, actions a chunk."""
    dt_s: float
    """Time between the actions of a chunk."""
    view_size: int
    """Width and height of each view in pixels."""
    rig: str
    """`CameraRig.fingerprint` of rig.json."""
    dataset: str
    """Fingerprint of the data set."""
    seeds: tuple[int, ...]
    """Scene seeds of the training episodes: never evaluate on them."""
    revision: str
    """Git revision of the code that trained it."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder whose parts are present and belong together."""

    path: Path
    info: CheckpointInfo
    rig: CameraRig

    @classmethod
    def open(cls, path: Path) -> "Checkpoint":
        """Reads and checks a folder; the weights are loaded by `DiffusionAgent` and `Controller`.

        Raises:
            FileNotFoundError: a part is missing.
            ValueError: a part is damaged, or parts do not belong together.
        """
        path = Path(path)
        for part in ("checkpoint.json", "rig.json", "diffusion", "controller"):
            if not (path / part).exists():
                raise FileNotFoundError(f"{path} is no complete checkpoint: {part} is missing; {REMEDY}")
        try:
            data = json.loads((path / "checkpoint.json").read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{path / 'checkpoint.json'} is damaged ({error}); {REMEDY}") from error
        names = {f.name for f in fields(CheckpointInfo)}
        if set(data) != names or data["format"] != FORMAT:
            raise ValueError(f"{path / 'checkpoint.json'} has keys {sorted(data)}, format {data.get('format')}; "
                             f"this version reads format {FORMAT} with keys {sorted(names)}")
        info = CheckpointInfo(**{**data, "tasks": tuple(data["tasks"]), "seeds": tuple(data["seeds"])})
        rig = CameraRig.load(path / "rig.json")
        if rig.fingerprint() != info.rig:
            raise ValueError(f"{path}: rig.json has fingerprint {rig.fingerprint()}, the checkpoint was trained with "
                             f"{info.rig}; restore the rig.json it came with")
        return cls(path, info, rig)


def assemble(diffusion: Path, controller: Path, info: CheckpointInfo, rig: CameraRig, card: str, out: Path) -> None:
    """Puts the trained parts into one checkpoint folder; an older one at `out` is replaced at the end.

    `diffusion` and `controller` are the inference folders that training wrote.
    """
    out = Path(out)
    temporary = out.with_name(out.name + ".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    shutil.copytree(diffusion, temporary / "diffusion")
    shutil.copytree(controller, temporary / "controller")
    rig.save(temporary / "rig.json")
    (temporary / "checkpoint.json").write_text(json.dumps(asdict(info), indent=2) + "\n")
    (temporary / "README.md").write_text(card)
    Checkpoint.open(temporary)
    if out.exists():
        shutil.rmtree(out)
    temporary.rename(out)


def git_revision() -> str:
    """Revision of the source tree this file lies in, "+" appended when it has changes; "unknown" outside git."""
    def git(*args: str) -> str:
        return subprocess.run(("git", *args), cwd=Path(__file__).parent, capture_output=True, text=True,
                              check=True).stdout.strip()
    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
