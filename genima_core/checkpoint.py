"""A checkpoint folder: everything that drawing and following need, and where it came from.

Layout::

    checkpoint.json                 `CheckpointInfo`
    rig.json                        the `CameraRig` it was trained with
    diffusion/                      diffusers folders: vae, unet, controlnet, scheduler, text_encoder, tokenizer
    controller/                     config.json, model.safetensors, statistics.json
    README.md                       model card
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genima_core.arm import Arm
from genima_core.cameras import CameraRig
from genima_core.config import from_overrides
from genima_core.files import check_replaceable, read_json, replaced_folder, restore, write_json

if TYPE_CHECKING:
    from genima_core.targets.gate import Gate, GateConfig

FORMAT = 1
OF_CHECKPOINT = (
    "checkpoint.json",
    ("checkpoint.json", "rig.json", "diffusion", "controller", "README.md"),
    "a checkpoint",
)
"""What `files.replaced_folder` needs to know an older one by."""
COLLECTED = "collected"
"""`Origin.made` of scripted demonstrations."""


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint was trained for and on."""

    format: int
    preset: str
    tasks: tuple[str, ...]
    instructions: tuple[str, ...]
    """Of the data set: others mean nothing to it."""
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

    def __post_init__(self) -> None:
        if not (self.tasks and self.seeds and self.chunk_size >= 1 and self.dt_s > 0 and self.view_size >= 1):
            raise ValueError(
                f"a checkpoint needs tasks, seeds, and chunk_size, dt_s and view_size above 0; it says {self.tasks}, "
                f"{self.seeds[:3]}, {self.chunk_size}, {self.dt_s}, {self.view_size}"
            )


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
                raise FileNotFoundError(f"{path} is not a complete checkpoint: {part} is missing; {restore(path)}")
        data = read_json(path / "checkpoint.json")
        if data.get("format") != FORMAT:
            raise ValueError(
                f"{path / 'checkpoint.json'} has format {data.get('format')}; this version reads format {FORMAT}"
            )
        info = from_overrides(CheckpointInfo, data, str(path / "checkpoint.json"))
        rig = CameraRig.load(path / "rig.json")
        if rig.fingerprint() != info.rig:
            raise ValueError(
                f"{path}: rig.json has fingerprint {rig.fingerprint()}, the checkpoint was trained with "
                f"{info.rig}; restore the rig.json it came with"
            )
        return cls(path, info, rig)

    @property
    def arm(self) -> Arm:
        """The arm that it was trained with."""
        return self.rig.arm

    def unknown_instruction(self, instruction: str) -> str:
        """What is wrong with an instruction, in one sentence; "" for one that it was taught, and for none."""
        taught = self.info.instructions
        if not instruction or _plain(instruction) in map(_plain, taught):
            return ""
        return (
            f"the checkpoint was never taught {instruction!r} and may do anything; it knows "
            + ", ".join(repr(text) for text in taught[:5])
            + (f" and {len(taught) - 5} more" if len(taught) > 5 else "")
        )

    def gate(self, config: "GateConfig | None" = None, arm: Arm | None = None) -> "Gate":
        """The target gate for its drawings, and for another arm than the one of training, if that follows them."""
        from genima_core.targets.gate import Gate, GateConfig  # OpenCV and SciPy: not everybody judges drawings

        rig = replace(self.rig, arm=arm or self.rig.arm)
        return Gate(rig, self.info.chunk_size * self.info.dt_s, config or GateConfig())


def assemble(
    data: Path,
    diffusion: Path,
    controller: Path,
    out: Path,
    autoencoder: Path | None = None,
    preset: str = "demo",
    results: tuple[Path, ...] = (),
    licence: str = "",
    repeated_by: str = "",
) -> None:
    """Puts what was trained into one checkpoint folder with its model card; an older one is replaced at the end.

    Raises:
        FileNotFoundError, ValueError: a part is missing or damaged, or parts do not belong together.
        FileExistsError: `out` is something else.
    """
    from genima_core.data.dataset import Dataset
    from genima_core.data.origin import read_origin

    out = Path(out)
    check_replaceable(out, *OF_CHECKPOINT)
    dataset = Dataset(data)
    agent, follower = _part(diffusion, "agent", "agent.json"), _part(controller, "controller", "config.json")
    chunks = from_overrides(_Chunks, _read_json(follower / "config.json"), str(follower), strict=False)
    drawn = from_overrides(_Drawn, _read_json(agent / "agent.json"), str(agent), strict=False)
    if drawn.size != chunks.size:
        raise ValueError(
            f"the agent draws on views of {drawn.size} pixels, the controller reads {chunks.size}; both need the same "
            "size"
        )
    width, height = chunks.size
    rig = dataset.rig.resize(width, height)
    info = CheckpointInfo(
        FORMAT,
        preset,
        tuple(sorted(set(dataset.tasks))),
        tuple(sorted(set(dataset.instructions))),
        chunks.chunk_size,
        chunks.dt_s,
        width,
        rig.fingerprint(),
        dataset.fingerprint(),
        tuple(dataset.seeds),
        git_revision(),
    )
    scores = {
        name: _read_json(folder / "scores.json")
        for name, folder in (("autoencoder", autoencoder), ("diffusion", diffusion), ("controller", controller))
        if folder is not None and (folder / "scores.json").exists()
    }
    origin = read_origin(dataset.root)
    card = ModelCard(
        info,
        len(dataset),
        sum(dataset.lengths),
        None if origin is None else origin.made,
        scores,
        [_read_json(path) for path in results],
        licence,
        repeated_by,
    )
    with replaced_folder(out, *OF_CHECKPOINT) as temporary:
        shutil.copytree(agent, temporary / "diffusion")
        shutil.copytree(follower, temporary / "controller")
        rig.save(temporary / "rig.json")
        write_json(temporary / "checkpoint.json", asdict(info))
        (temporary / "README.md").write_text(card.markdown())
        Checkpoint.open(temporary)


@dataclass(frozen=True)
class _Chunks:
    """What a checkpoint takes from its controller's config.json."""

    size: tuple[int, int]
    chunk_size: int
    dt_s: float


@dataclass(frozen=True)
class _Drawn:
    """And from its agent's agent.json."""

    size: tuple[int, int]


def _plain(instruction: str) -> str:
    """Without what changes nothing of its meaning."""
    return " ".join(instruction.casefold().split())


def _part(folder: Path, name: str, mark: str) -> Path:
    """What a training run left in its folder, or the folder itself if it is that."""
    for candidate in (folder / name, folder):
        if (candidate / mark).is_file():
            return candidate
    raise FileNotFoundError(
        f"{folder} holds no {name} ({mark} is missing, there and in {name}/); a finished `genima "
        "train` or `genima convert` writes it"
    )


@dataclass(frozen=True)
class ModelCard:
    """What a checkpoint is, how it was made and what it scores."""

    info: CheckpointInfo
    episodes: int
    frames: int
    made: str | None
    """How its data set was made, as `Origin.made` says; None where nobody noted that."""
    scores: Mapping[str, dict[str, Any]]
    """scores.json of the parts that were trained here."""
    results: Sequence[dict[str, Any]] = ()
    licence: str = ""
    repeated_by: str = ""

    def markdown(self) -> str:
        info = self.info
        lines = [
            f"# Genima checkpoint, preset `{info.preset}`",
            "",
            f"Draws and follows joint targets for: {', '.join(info.tasks)}. Views {info.view_size}×{info.view_size}, "
            f"chunks of {info.chunk_size} actions every {info.dt_s} s."
            + (f" Licence: {self.licence}." if self.licence else ""),
            "",
            "## How it was made",
            "",
            f"- Data: {self._data()} ({self.frames} frames), fingerprint `{info.dataset}`, camera rig `{info.rig}`.",
            f"- Code: revision `{info.revision}`"
            + (f"; `{self.repeated_by}` repeats it." if self.repeated_by else "."),
        ]
        if imported := [part for part in ("diffusion", "controller") if part not in self.scores]:
            lines.append(f"- Imported, not trained here: {' and '.join(imported)}.")
        if self.scores:
            lines += [
                "",
                "| part | parameters | steps | minutes | samples/s | held-out scores |",
                "|---|---|---|---|---|---|",
            ]
        lines += [
            f"| {name} | {score['parameters'] / 1e6:.2f} M | {score['steps']} | {score['minutes']:.1f} | "
            f"{score['samples_per_s']:.0f} | {_flat(score['scores'])} |"
            for name, score in self.scores.items()
        ]
        lines += [*self._results(), "", "## What it cannot do", ""]
        lines.append(
            "It knows one cell: its cameras, its arm and the tasks above"
            + (". It says nothing about a real robot." if self.made == COLLECTED else ".")
        )
        return "\n".join(lines) + "\n"

    def _data(self) -> str:
        if self.made == COLLECTED:
            seeds = self.info.seeds
            return f"{self.episodes} scripted demonstrations in simulation, scene seeds {min(seeds)} to {max(seeds)}"
        return f"{self.episodes} demonstrations, " + ("of unknown origin" if self.made is None else self.made)

    def _results(self) -> list[str]:
        if not self.results:
            return []
        lines = [
            "",
            "## What it scores",
            "",
            "Closed loop in simulation, on scenes that were neither trained nor tuned on. The controls must "
            "fail: `shuffled` shows the agent another episode, the next seed's; `blank` draws nothing. "
            "`truth` follows perfect targets.",
            "",
            "| task | targets | seeds | successes | rate | 95 % interval |",
            "|---|---|---|---|---|---|",
        ]
        for r in self.results:
            low, high = r["success_interval_95"]
            lines.append(
                f"| {r['task']} | {r['targets']} | {min(r['seeds'])} to {max(r['seeds'])} | {r['successes']} "
                f"of {r['episodes']} | {r['success_rate']:.0%} | {low:.0%} to {high:.0%} |"
            )
        for r in [r for r in self.results if "draw_found_rate" in r][:1]:
            lines += [
                "",
                f"Drawing, unseen scenes: {r['draw_found_rate']:.1%} of the visible spheres found, median "
                f"error of their centres {r['draw_error_px_median']:.2f} px (90th percentile "
                f"{r['draw_error_px_p90']:.2f} px). Following: gripper {r['follow_error_cm_median']:.1f} cm from "
                f"the target with true drawings, {r['follow_drawn_error_cm_median']:.1f} cm with the agent's "
                "(medians).",
            ]
        return lines


def _flat(scores: Mapping[str, Any], prefix: str = "") -> str:
    """Scores as one cell of a table."""
    parts = []
    for key, value in scores.items():
        if isinstance(value, dict):
            parts.append(_flat(value, f"{prefix}{key} "))
        elif isinstance(value, (int, float)):
            parts.append(f"{prefix}{key} {value:.3g}")
    return ", ".join(parts)


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON file, or an error that says which command writes it."""
    try:
        return read_json(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} is missing; a finished `genima train` or `genima eval --json` writes it"
        ) from error


def git_revision() -> str:
    """Revision of the source tree this file lies in, "+" appended when it was changed; "unknown" outside git."""

    def git(*args: str) -> str:
        return subprocess.run(
            ("git", *args), cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        # Making a checkpoint changes checkpoints/, and nothing that made it.
        changed = git("status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)checkpoints")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
